"""Events of the built-in simulation, from ROOT to Parquet: nothing that saves time or memory changes a result."""

import sys

import ingesting
import numpy as np
import pytest
from analyses import changed, shipped
from studies import memory_of_events

from nuisflow import expressions
from nuisflow.datasets import ditau
from nuisflow.events import selection, variations
from nuisflow.settings import configuration
from nuisflow.slices.events import processing, shifted_names
from nuisflow.storage import ingested

EVENTS = 3000
SETTINGS = configuration.Configuration.model_validate(
    changed(
        shipped("config"),
        ("variations.les", {"kind": "shift", "shift": "les", "size": 0.01}),
        ("derived", {"unused": "DER_pt_tot + 1", "ratio": "PRI_met / DER_mass_vis"}),
        ("regions.signal", {"selection": "(ratio < 0.5) & (DER_sum_pt > 60)"}),
        ("features", ["PRI_met", "PRI_n_jets", "unused", "DER_mass_vis", "DER_lep_eta_centrality"]),
    )
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "ttbar.arrow"
    columns = ditau.simulate("ttbar", EVENTS, np.random.default_rng(5))
    return ingesting.of_columns(path, columns | {"weight": np.full(EVENTS, 0.1)})


def together(parts):
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("variation", shifted_names(SETTINGS, "ttbar"))
def test_deciding_first_is_the_same_as_deriving_everything_for_all_events(raw, variation):
    settings = processing(SETTINGS, "ttbar", variation)
    found = together(selection.process(raw, settings, configuration.Dask(chunk_size=700)))

    z = {} if settings.variation is None else {settings.variation: settings.z}
    shifts = {name: shift for name, shift in settings.variations.items() if name in z}
    everything = ingesting.load(raw, settings.events, settings.sample)
    everything = ditau.reconstruct(variations.shifted(everything, settings.events.dataset, shifts, z))
    for name, expression in settings.events.derived.items():
        everything[name] = expressions.evaluate(expression, everything)
    texts = (SETTINGS.selection, SETTINGS.regions["signal"].selection)
    chosen = np.logical_and(*(expressions.evaluate(text, everything) for text in texts))
    assert 0 < np.count_nonzero(chosen) < EVENTS
    for name in ("entry", "weight", *SETTINGS.features):
        assert np.array_equal(found[name], everything[name][chosen].astype(found[name].dtype)), name


@pytest.mark.parametrize("variation", ["nominal", "jes_up", "soft_met_down"])
def test_columns_of_which_nothing_is_made_are_not_read_and_change_nothing(raw, variation):
    settings = processing(configuration.Configuration.model_validate(shipped("config")), "ttbar", variation)
    chunk, used = selection.chunks(raw, EVENTS)[0], selection.used_of(settings)
    few, all_ = (selection.read(chunk, settings.events, settings.sample, names) for names in (used, None))
    unread = {"true_mass", "PRI_jet_leading_eta", "PRI_jet_subleading_eta"}
    assert all_.keys() - few.keys() == (unread if variation == "soft_met_down" else {*unread, "soft_x", "soft_y"})
    found, expected = (selection.processed(columns, settings) for columns in (few, all_))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in expected)


def test_threads_may_read_one_file_at_the_same_time(raw):
    settings = processing(SETTINGS, "ttbar", "jes_up")
    alone = together(selection.process(raw, settings, configuration.Dask(chunk_size=100)))
    dask = configuration.Dask(chunk_size=100, workers=4)
    for _ in range(3):
        ingested._kept.cache_clear()
        found = together(selection.process(raw, settings, dask))
        assert all(np.array_equal(found[name], alone[name], equal_nan=True) for name in alone)


def test_no_event_selected_is_an_empty_table_with_all_columns(raw):
    settings = processing(SETTINGS, "ttbar", "tes_down")
    none = settings.model_copy(update={"events": settings.events.model_copy(update={"selection": "PRI_lep_pt < 0"})})
    found = together(selection.process(raw, none, configuration.Dask()))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(
        ("entry", "region", "weight", "observable", *SETTINGS.features), 0
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc says how much memory a process took")
def test_ten_times_the_chunks_take_no_more_memory(tmp_path):
    found = memory_of_events.study((5, 50), size=100_000, dask={"chunk_size": 10_000})  # both fill row groups
    assert found["events"].tolist() == [500_000, 5_000_000]
    assert found["selected"][1] == 10 * found["selected"][0]
    taken = found["peak_mb"] - found["baseline_mb"]
    assert taken[1] - taken[0] < 5  # the columns of 4,500,000 events are 378 MB, of those that are selected 40 MB

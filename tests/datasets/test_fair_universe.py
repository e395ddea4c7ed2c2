"""The events of the Fair Universe challenge, official and early ones: labels, undefined values, derived quantities."""

import tempfile
from pathlib import Path

import ingesting
import numpy as np
import pandas as pd
import pytest
from analyses import changed, shipped

from nuisflow.datasets import fair_universe, kinematics
from nuisflow.events import ingestion
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices.events import Ingestion, Origin
from nuisflow.storage import files

CONFIG = shipped("fair_universe")
OPTIONS = CONFIG["dataset"] | {"path": ".", "soft_term": False}
ROWS = {"htautau": 336, "ztautau": 634, "ttbar": 26, "diboson": 4}


def converted(path, process, expected=None, **options):
    options = {name: (OPTIONS | options)[name] for name in fair_universe.OPTIONS}
    origin = Origin(kind="fair_universe", tree="", process=process, seed=1, expected=expected, options=options)
    columns = (*fair_universe.COLUMNS, "weight")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "s.arrow"
        ingestion.ingest([path], output, Ingestion(origin=origin, sample=process, columns=columns))
        return ingesting.whole(output)


def found(data, pattern):
    paths = sorted((data / "fair_universe").glob(pattern))
    if not paths:
        pytest.skip(f"no {pattern} in {data / 'fair_universe'}: set NUISFLOW_DATA to the folder with the test data")
    return paths[0]


@pytest.fixture(scope="module")
def official(data):
    return found(data, "*.sample1000.parquet")


@pytest.fixture(scope="module")
def early(data):
    """Return ten test sets of an early version, each at its own tau energy scale."""
    return pd.read_parquet(found(data, "v0*.parquet"))


@pytest.fixture(scope="module")
def early_columns(early):
    return fair_universe.marked({name: early[name].to_numpy(float) for name in kinematics.PRIMARY})


@pytest.mark.parametrize("process", fair_universe.PROCESSES)
def test_the_official_sample_has_all_its_events_with_their_weights(official, process):
    table = pd.read_parquet(official)
    table = table[table["detailed_labels"] == process]
    columns = converted(official, process)
    assert len(columns["weight"]) == ROWS[process] == len(table)
    assert tuple(columns) == (*fair_universe.COLUMNS, "weight")
    assert columns["weight"].sum() == pytest.approx(table["weights"].astype(float).sum())
    for name in kinematics.PRIMARY:
        assert np.array_equal(columns[name], table[name].to_numpy()), name


def test_the_signal_label_is_that_of_htautau(official):
    table = pd.read_parquet(official)
    assert np.array_equal(table["labels"] == 1, table["detailed_labels"] == "htautau")


@pytest.mark.parametrize("process", fair_universe.PROCESSES)
def test_weights_are_scaled_to_the_events_of_a_pseudo_experiment(official, process):
    expected = float(CONFIG["samples"][process]["expected"])
    assert converted(official, process, expected)["weight"].sum() == pytest.approx(expected)


def test_an_unknown_process_in_the_file_is_named(tmp_path):
    columns = {name: [1.0] for name in kinematics.PRIMARY} | {"weights": [1.0], "detailed_labels": ["wjets"]}
    pd.DataFrame(columns).to_parquet(tmp_path / "events.parquet")
    with pytest.raises(files.FileError, match="column 'detailed_labels' has 'wjets'; expected htautau"):
        converted(tmp_path / "events.parquet", "ttbar")


def test_derived_quantities_of_the_official_sample_come_back_where_all_jets_pass(official):
    table = pd.read_parquet(official)
    columns = {name: table[name].to_numpy(float) for name in kinematics.PRIMARY}
    derived = fair_universe.reconstruct(columns)
    passed = np.all([(columns[f"{jet}_pt"] > 26) | (columns[f"{jet}_pt"] < 0) for jet in kinematics.JETS], axis=0)
    assert passed.mean() > 0.8
    for name in kinematics.DERIVED:
        # The published transverse mass differs by up to 0.012, as if made from unrounded angles in single precision.
        tolerance = 2e-2 if name == "DER_mass_transverse_met_lep" else 2e-3
        expected = table[name].to_numpy(float)[passed]
        np.testing.assert_allclose(derived[name][passed], expected, atol=tolerance, rtol=1e-4, err_msg=name)


def test_jets_that_fall_to_26_gev_are_removed_and_the_event_is_kept(official):
    columns = converted(official, "ztautau")
    after = fair_universe.reconstruct(fair_universe.shift(columns, {"jes": (-10.0, 0.01)}))
    for jet, number in zip(kinematics.JETS, (1, 2), strict=True):
        before = columns[f"{jet}_pt"]
        lost = (before > 0) & (before * np.float32(0.9) <= 26)
        assert lost.sum() > 3
        assert np.all(after[f"{jet}_pt"][lost] == -25)
        assert np.all(after["PRI_n_jets"][lost] < columns["PRI_n_jets"][lost])
        assert np.all(after["PRI_n_jets"][~lost & (before > 0)] >= number)


# --- the early version: undefined is -7, and a tau energy scale was applied and recorded


def test_jets_that_do_not_exist_are_marked_alike_in_all_versions(early, early_columns):
    for jet, number in zip(kinematics.JETS, (1, 2), strict=True):
        missing = early["PRI_n_jets"].to_numpy() < number
        for field in ("pt", "eta", "phi"):
            assert np.array_equal(early_columns[f"{jet}_{field}"] == -25, missing)
            assert np.array_equal(early_columns[f"{jet}_{field}"][~missing], early[f"{jet}_{field}"][~missing])
    assert np.any(early["PRI_jet_subleading_pt"] == -7)


def test_early_events_taken_to_the_nominal_scale_and_back_have_the_recorded_quantities(early, early_columns):
    """Undo the recorded tau energy scale by hand, apply it as a shift, and derive everything again."""
    scale = early["tes"].to_numpy(float)
    assert len(np.unique(scale)) == 9
    nominal = dict(early_columns) | {"PRI_had_pt": early_columns["PRI_had_pt"] / scale}
    added = early_columns["PRI_had_pt"] - nominal["PRI_had_pt"]
    met = early_columns["PRI_met"] * np.exp(1j * early_columns["PRI_met_phi"])
    met += added * np.exp(1j * early_columns["PRI_had_phi"])
    nominal |= {"PRI_met": np.abs(met), "PRI_met_phi": np.angle(met)}
    shifted = fair_universe.shift(nominal, {"tes": ((scale - 1) / 0.01, 0.01)})
    for name in kinematics.PRIMARY:
        turn = 2 * np.pi * (name == "PRI_met_phi") * np.rint((shifted[name] - early_columns[name]) / (2 * np.pi))
        np.testing.assert_allclose(shifted[name] - turn, early_columns[name], atol=2e-3, rtol=1e-6, err_msg=name)
    for name, values in kinematics.derived(shifted, undefined=-7.0).items():
        recorded = early[name].to_numpy(float)
        far = np.abs(values - recorded) > 1e-3 + 1e-5 * np.abs(recorded)
        assert far.mean() < 1e-3, name
        assert np.array_equal(values == -7, recorded == -7), name


def test_the_recorded_quantities_are_those_of_the_scaled_tau_not_of_the_nominal_one(early, early_columns):
    nominal = dict(early_columns) | {"PRI_had_pt": early_columns["PRI_had_pt"] / early["tes"].to_numpy(float)}
    far = np.abs(kinematics.derived(nominal)["DER_mass_vis"] - early["DER_mass_vis"].to_numpy(float))
    assert np.median(far) > 0.5


# --- configuration


def test_the_shipped_priors_are_those_of_the_challenge():
    sizes = {name: variation["size"] for name, variation in CONFIG["variations"].items()}
    scales = {"ttbar_scale": 0.02, "diboson_scale": 0.25, "bkg_scale": 0.001}
    assert sizes == {"tes": 0.01, "jes": 0.01, "soft_met": 1.0, **scales}
    assert CONFIG["variations"]["bkg_scale"]["processes"] == ["ztautau", "ttbar", "diboson"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "samples.ttbar.process",
            "tt",
            "samples.ttbar.process: fair_universe does not have 'tt'; allowed: htautau, ztautau, ttbar",
        ),
        ("dataset.soft_term", False, "variations.soft_met: soft_met varies a noise that the events lack"),
        ("features", ["DER_mass_MMC"], "features.0: no column 'DER_mass_MMC'"),
        ("samples.ttbar.files", [], "samples.ttbar.files: is required for a fair_universe data set"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_remedy(path, value, message):
    with pytest.raises(ConfigurationError) as caught:
        reading.check(changed(CONFIG, (path, value)), "fair_universe.yaml")
    assert f"fair_universe.yaml: {message}" in str(caught.value)

"""What must hold for physics reasons, on the whole chain from events to the fit, without a network in between.

The observable is the visible mass of simulated events, so that each test takes a second. The same holds for scores
(tests/test_workflow.py checks sums and the Asimov fit there) and strategies (tests/test_strategies.py).
"""

import ingesting
import numpy as np
import pyhf
import pytest
from analyses import changed, shipped

from nuisflow import datasets, seeds
from nuisflow.events import selection
from nuisflow.likelihood import fits, measurements, uncertainties
from nuisflow.likelihood.model import Model
from nuisflow.settings import points
from nuisflow.settings.checks import reading
from nuisflow.slices import inference
from nuisflow.slices.events import processing, shifted_names, simulation
from nuisflow.storage import event_files, files
from nuisflow.templates import displacements, workspaces
from nuisflow.templates.filling import fill

VISIBLE = changed(
    shipped("config"),
    ("regions", {"signal": {}, "mass": {"observable": "DER_mass_vis", "selection": "PRI_n_jets < 2", "binning": {"rule": "quantile", "number": 8}}}),
    ("regions.signal", {"selection": "PRI_n_jets >= 2"}),
    ("selection", "PRI_had_pt > 26"),
    ("learning", {}),
    ("templates", {}),
    *((f"samples.{name}.events", 8000) for name in ("htautau", "ztautau", "ttbar", "diboson")),
)  # fmt: skip


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Simulate, process and fill; the score of every event is a stand-in that the tests do not use."""
    settings = reading.check(VISIBLE)
    folder = tmp_path_factory.mktemp("chain")
    paths, scores = [], []
    for sample in settings.samples:
        chosen = simulation(settings, sample)
        columns = datasets.ditau.simulate(chosen.process, chosen.events, seeds.generator(1, sample))
        columns["weight"] = np.full(chosen.events, chosen.expected / chosen.events)
        ingesting.of_columns(folder / f"{sample}.arrow", columns)
        for variation in shifted_names(settings, sample):
            path = folder / variation / f"{sample}.parquet"
            chosen = processing(settings, sample, variation)
            parts = selection.process(folder / f"{sample}.arrow", chosen, settings.dask)
            rows = event_files.write_event_parts(path, parts, {"region": list(settings.regions)})
            paths.append(path)
            scores.append((variation, sample, rows))
    names = {"variation": sorted({row[0] for row in scores}), "sample": list(settings.samples)}
    halves = (
        {"variation": np.full(rows, names["variation"].index(variation)), "sample": np.full(rows, names["sample"].index(sample)), "score": np.full(rows, 0.5, np.float32)}
        for variation, sample, rows in scores
    )  # fmt: skip
    event_files.write_event_parts(folder / "scores.parquet", halves, names)
    filled = fill(paths, folder / "scores.parquet", inference.filling(settings))
    return settings, filled.histograms, folder


@pytest.fixture(scope="module")
def displaced(chain, tmp_path_factory):
    """Process and fill what the chain has at +-2 standard deviations."""
    settings, histograms, folder = chain
    paths, rows = [], []
    for sample in settings.samples:
        for variation in points.folders(settings, sample):
            path = folder / variation / f"{sample}.parquet"
            chosen = processing(settings, sample, variation)
            parts = selection.process(folder / f"{sample}.arrow", chosen, settings.dask)
            rows.append(
                (variation, sample, event_files.write_event_parts(path, parts, {"region": list(settings.regions)}))
            )
            paths.append(path)
    names = {"variation": list(points.displaced(settings)), "sample": list(settings.samples)}
    codes = (
        (np.full(number, names["variation"].index(variation)), np.full(number, names["sample"].index(sample)))
        for variation, sample, number in rows
    )
    halves = ({"variation": v, "sample": s, "score": np.full(len(s), 0.5, np.float32)} for v, s in codes)
    scores = tmp_path_factory.mktemp("displaced") / "displaced_scores.parquet"
    event_files.write_event_parts(scores, halves, names)
    filling = inference.displaced_filling(settings)
    return displacements.fill(histograms, paths, folder / "scores.parquet", scores, filling)


def model_of(settings, histograms):
    return Model(workspaces.build(histograms, inference.workspace(settings)).workspace)


def test_template_sums_are_the_selected_weights(chain):
    settings, histograms, folder = chain
    for variation in ("nominal", "tes_up", "jes_down"):
        for sample in settings.samples:
            table = files.read_table(folder / variation / f"{sample}.parquet")
            for region, histogram in histograms.items():
                total = histogram[sample, variation, :].values().sum()
                assert total == pytest.approx(table["weight"][table["region"] == region].sum(), rel=1e-9)


def test_a_higher_tau_energy_scale_selects_more_events_and_a_lower_one_fewer(chain):
    _, histograms, _ = chain
    yields = {v: histograms["mass"]["ztautau", v, :].values().sum() for v in ("tes_down", "nominal", "tes_up")}
    assert yields["tes_down"] < yields["nominal"] < yields["tes_up"]


def test_yields_go_on_changing_beyond_one_standard_deviation(chain, displaced):
    nominal = chain[1]["mass"]["ztautau", "nominal", :].values().sum()
    yields = [displaced["mass"]["ztautau", f"tes_{side}", :].values().sum() for side in ("down2", "down", "up", "up2")]
    assert sorted([*yields, nominal]) == [*yields[:2], nominal, *yields[2:]]


def test_displaced_events_at_one_standard_deviation_are_the_raw_templates(chain, displaced):
    for region, histogram in chain[1].items():
        for name in ("tes_up", "jes_down"):
            assert np.array_equal(displaced[region][:, name, :].values(), histogram[:, name, :].values())


def test_displaced_template_sums_are_the_selected_weights(chain, displaced):
    table = files.read_table(chain[2] / "jes_up2" / "ttbar.parquet")
    for region, histogram in displaced.items():
        expected = table["weight"][table["region"] == region].sum()
        assert histogram["ttbar", "jes_up2", :].values().sum() == pytest.approx(expected, rel=1e-9)


def test_without_smoothing_the_model_expects_the_displaced_events_at_one_standard_deviation(chain, displaced):
    settings, histograms, _ = chain
    model = model_of(settings, histograms)
    for name, z in (("tes_up", 1.0), ("jes_down", -1.0)):
        found = displacements.expectation(displaced, name, model.channels)
        np.testing.assert_allclose(found, model.expected({name.split("_")[0]: z}), rtol=1e-9)


def test_a_fit_to_asimov_data_gives_what_went_in_with_pulls_of_zero(chain):
    settings, histograms, _ = chain
    model = model_of(settings, histograms)
    result = fits.fit(model, model.asimov())
    assert result.converged
    assert result.values[model.index("mu")] == pytest.approx(1, abs=1e-6)
    assert max(abs(pull.pull) for pull in fits.pulls(model, result)) < 1e-5
    assert all(pull.constraint < 1 + 1e-6 for pull in fits.pulls(model, result))


def test_dropping_a_variation_never_widens_the_interval(chain):
    settings, histograms, _ = chain
    model = model_of(settings, histograms)
    full = fits.interval(model, model.asimov())
    for name in settings.variations:
        fixed = fits.interval(model, model.asimov(), fixed={name: 0.0}) if name in model.names else full
        assert fixed.high - fixed.low <= (full.high - full.low) * (1 + 1e-6), name


def test_more_luminosity_never_widens_the_interval(chain):
    settings, histograms, _ = chain
    widths = []
    for factor in (1.0, 4.0):
        more = {name: histogram * factor for name, histogram in histograms.items()}
        model = model_of(settings, more)
        interval = fits.interval(model, model.asimov())
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0]


def test_the_fast_likelihood_is_that_of_pyhf(chain):
    settings, histograms, _ = chain
    specification = workspaces.build(histograms, inference.workspace(settings)).workspace
    model, workspace = Model(specification), pyhf.Workspace(specification)
    reference = workspace.model()
    generator = np.random.default_rng(5)
    for _ in range(20):
        values = np.array(reference.config.suggested_init()) + 0.1 * generator.standard_normal(len(model.names))
        expected = -2 * float(reference.logpdf(values, workspace.data(reference))[0])
        assert float(np.ravel(model.twice_nll(values, model.data))[0]) == pytest.approx(expected, rel=1e-9)


def test_a_variation_without_effect_is_left_out_and_does_not_disturb_the_fit(chain):
    settings, histograms, _ = chain
    model = model_of(settings, histograms)
    assert "soft_met" not in model.names  # nothing here depends on the missing momentum
    measured = measurements.measure(
        model,
        "asimov",
        inference.fit(settings).groups,
        {name: histogram.axes["score"].edges for name, histogram in histograms.items()},
    )
    assert measured["mu"] == pytest.approx(1, abs=1e-6)


def test_a_group_called_other_keeps_its_members(chain):
    settings, histograms, _ = chain
    model = model_of(settings, histograms)
    some = uncertainties.breakdown(model, model.asimov(), groups={"other": ["tes"]})
    everything = uncertainties.breakdown(
        model, model.asimov(), groups={"other": [n for n in settings.variations if n in model.names]}
    )
    widths = [{source.group: source.frozen for source in parts.sources}["other"] for parts in (some, everything)]
    assert widths[0] == pytest.approx(widths[1], rel=1e-6)


def test_the_parts_of_the_uncertainty_are_within_the_total(chain):
    settings, histograms, _ = chain
    model = model_of(settings, histograms)
    parts = uncertainties.breakdown(
        model, model.asimov(), groups=measurements.present(model, inference.fit(settings).groups)
    )
    assert 0 < parts.sigma_stat < parts.sigma_total
    assert all(0 <= source.frozen <= parts.sigma_total for source in parts.sources)

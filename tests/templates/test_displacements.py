"""Tests of the histograms at displaced true points."""

import functools

import numpy as np
import pytest
from tests.templates import test_filling

from nuisflow import seeds
from nuisflow.settings.points import Point
from nuisflow.slices.inference import DisplacedFilling
from nuisflow.storage import event_files
from nuisflow.templates import displacements
from nuisflow.templates import histograms as templates
from nuisflow.templates.filling import TemplateError, fill

SAMPLES = test_filling.SAMPLES


def point(kind, z, processes, factor=None, regions=test_filling.REGIONS):
    return Point(
        variation="any",
        kind=kind,
        z=z,
        parameters=("any",),
        value=z,
        processes=processes,
        regions=regions,
        factor=factor,
    ).model_dump()


POINTS = {
    "tes_down": point("shift", -1.0, ("higgs", "z")),
    "tes_up2": point("shift", 2.0, ("higgs", "z")),
    "pileup_up": point("weight", 1.0, ("z",)),
    "pileup_up2": point("weight", 2.0, ("z",)),
    "rate_up2": point("rate", 2.0, ("tt",), 1.21),
}


def filling(**changes):
    content = {
        "processes": ("higgs", "z", "tt"),
        "samples": SAMPLES,
        "regions": test_filling.REGIONS,
        "scored": ("signal",),
        "scores": tuple(test_filling.FOLDERS),
        "displaced": POINTS,
    }
    return DisplacedFilling.model_validate(content | changes)


def displaced_events():
    """Return the events at +2 of the shift, and nominal ones with another weight."""
    events = {("tes_up2", sample): test_filling.event_columns("tes_up2", sample) for sample in ("higgs", "z")}
    nominal = test_filling.event_columns("nominal", "z")
    weight = nominal["weight"] * seeds.generator(5, "pileup").normal(1.2, 0.1, len(nominal["weight"]))
    names = ("entry", "region", "observable", "score")
    return events | {("pileup_up2", "z"): {name: nominal[name] for name in names} | {"weight": weight}}


def write(folder, events, step=10_000):
    """Write displaced events, and the scores of those that have their own."""
    paths, parts = [], []
    for (variation, sample), columns in events.items():
        size = len(columns["entry"])
        pieces = [{n: v[start : start + step] for n, v in columns.items()} for start in range(0, size, step)]
        path = folder / "displaced" / variation / f"{sample}.parquet"
        unscored = ({n: v for n, v in piece.items() if n != "score"} for piece in pieces)
        event_files.write_event_parts(path, unscored, {"region": test_filling.REGIONS})
        paths.append(path)
        if variation.startswith("tes"):
            code = list(SAMPLES).index(sample)
            for piece in pieces:
                rows = np.ones(len(piece["score"]), int)
                parts.append({"variation": 0 * rows, "sample": code * rows, "score": piece["score"]})
    scores = folder / "displaced_scores.parquet"
    event_files.write_event_parts(scores, iter(parts), {"variation": ["tes_up2"], "sample": list(SAMPLES)})
    return paths, scores


def run(folder, events=None, step=10_000, order=slice(None), **changes):
    nominal, scores = test_filling.write(folder, step=step)
    filled = fill(nominal, scores, test_filling.filling()).histograms
    paths, rescored = write(folder, displaced_events() if events is None else events, step)
    return filled, displacements.fill(filled, paths[order], scores, rescored, filling(**changes))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return the templates and the histograms at displaced points."""
    return run(tmp_path_factory.mktemp("displaced"))


def test_axes_are_process_point_and_the_bins_of_the_templates(filled):
    for region, histogram in filled[1].items():
        assert list(histogram.axes["process"]) == ["higgs", "z", "tt"]
        assert list(histogram.axes["variation"]) == list(POINTS)
        assert histogram.axes["score"] == filled[0][region].axes["score"]


@pytest.mark.parametrize("name", ["tes_down", "pileup_up"])
def test_at_one_standard_deviation_the_expectation_is_the_raw_template(filled, name):
    for region, histogram in filled[1].items():
        for process in ("higgs", "z", "tt"):
            expected, found = templates.content(filled[0][region], process, name), histogram[process, name, :]
            np.testing.assert_array_equal(found.values(), expected.values)
            np.testing.assert_array_equal(found.variances(), expected.variances)


def test_farther_points_are_histograms_of_their_events(filled):
    events = displaced_events()
    for region, histogram in filled[1].items():
        edges = histogram.axes["score"].edges
        for (name, sample), columns in events.items():
            inside = columns["region"] == test_filling.REGIONS.index(region)
            value = columns["score" if region == "signal" else "observable"][inside].astype(float)
            weight = columns["weight"][inside]
            clipped = np.clip(value, edges[0], np.nextafter(edges[-1], 0))
            found = histogram[sample, name, :]
            np.testing.assert_allclose(found.values(), np.histogram(clipped, edges, weights=weight)[0], rtol=1e-12)
            squares = np.histogram(clipped, edges, weights=weight**2)[0]
            np.testing.assert_allclose(found.variances(), squares, rtol=1e-12)


def test_rates_are_exact_factors_and_other_processes_stay_nominal(filled):
    for region, histogram in filled[1].items():
        nominal = {process: templates.content(filled[0][region], process) for process in ("higgs", "z", "tt")}
        np.testing.assert_allclose(histogram["tt", "rate_up2", :].values(), 1.21 * nominal["tt"].values, rtol=1e-14)
        assert histogram["tt", "rate_up2", :].variances() == pytest.approx(1.21**2 * nominal["tt"].variances)
        for process, name in (("z", "rate_up2"), ("tt", "tes_up2"), ("higgs", "pileup_up2")):
            np.testing.assert_array_equal(histogram[process, name, :].values(), nominal[process].values)


@pytest.mark.parametrize(("step", "rows"), [(97, 200_000), (10_000, 60)])
def test_chunks_change_not_a_bit(filled, tmp_path, monkeypatch, step, rows):
    monkeypatch.setattr(event_files, "read_event_parts", functools.partial(event_files.read_event_parts, rows=rows))
    _, again = run(tmp_path, step=step)
    for region, histogram in filled[1].items():
        np.testing.assert_array_equal(again[region].view(flow=True), histogram.view(flow=True))


def test_the_order_of_the_files_does_not_matter(filled, tmp_path):
    _, again = run(tmp_path, order=slice(None, None, -1))
    for region, histogram in filled[1].items():
        np.testing.assert_array_equal(again[region].view(flow=True), histogram.view(flow=True))


def test_missing_events_are_named(tmp_path):
    events = displaced_events()
    del events["tes_up2", "z"]
    with pytest.raises(TemplateError, match="events of tes_up2/z are missing; run process_events"):
        run(tmp_path, events)


def test_reweighted_events_that_are_not_the_nominal_ones_are_an_error(tmp_path):
    events = displaced_events()
    events["pileup_up2", "z"] = {name: values[:-3] for name, values in events["pileup_up2", "z"].items()}
    with pytest.raises(TemplateError, match=r"1500 scores of nominal/z, but .*z.parquet has 1497 events"):
        run(tmp_path, events)


def test_without_scored_regions_no_scores_are_read(tmp_path):
    nominal, scores = test_filling.write(tmp_path)
    settings = test_filling.filling(scored=(), regions={"signal": {"rule": "uniform", "high": 1.0}, "control": {}})
    events = displaced_events() | test_filling.all_events()
    for columns in events.values():
        columns["observable"] = np.where(columns["region"] == 0, 0.5, columns["observable"])
    nominal, _ = test_filling.write(tmp_path, {key: events[key] for key in test_filling.all_events()})
    filled = fill(nominal, scores, settings).histograms
    paths, _ = write(tmp_path, {key: events[key] for key in displaced_events()})
    found = displacements.fill(filled, paths, tmp_path / "none", None, filling(scored=()))
    assert found["signal"]["z", "tes_up2", :].values().sum() > 0


# --- the expectation in the bins of a workspace


def test_the_expectation_is_the_sum_over_processes_in_the_order_of_the_channels(filled):
    histograms = filled[1]
    sizes = {region: histogram.axes["score"].size for region, histogram in histograms.items()}
    channels = [("control", 0, sizes["control"]), ("signal", sizes["control"], sum(sizes.values()))]
    found = displacements.expectation(histograms, "tes_up2", channels)
    both = [histograms[name][:, "tes_up2", :].values().sum(axis=0) for name in ("control", "signal")]
    np.testing.assert_array_equal(found, np.maximum(np.concatenate(both), 0))


def test_negative_expectations_become_zero_and_are_logged(filled, caplog):
    histogram = filled[1]["signal"].copy()
    histogram.view()["value"][0, 1, 2] = -1e6
    size = histogram.axes["score"].size
    found = displacements.expectation({"signal": histogram}, "tes_up2", [("signal", 0, size)])
    assert found[2] == 0
    assert found.min() >= 0
    assert "tes_up2: region signal, bin 2" in caplog.text


def test_histograms_of_another_workspace_are_an_error(filled):
    with pytest.raises(TemplateError, match="6 bins at displaced points, but 4 in the workspace"):
        displacements.expectation(filled[1], "tes_up2", [("signal", 0, 4)])
    with pytest.raises(TemplateError, match="'tes_up3' is missing in region 'signal'; run fill_displaced"):
        displacements.expectation(filled[1], "tes_up3", [("signal", 0, 6)])

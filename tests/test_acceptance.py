"""Shifts whose effect on the yield is kept, or taken out: in templates, at displaced points, at every hypothesised z."""

import numpy as np
import pytest
from analyses import changed, shipped
from tests.templates import test_conditional, test_displacements, test_filling

from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.conditional import grid
from nuisflow.slices import inference, training
from nuisflow.slices.conditional import rescoring
from nuisflow.slices.events import processing
from nuisflow.storage import event_files
from nuisflow.templates import displacements, filling
from nuisflow.templates import histograms as templates
from nuisflow.templates.conditional import fill, move, needed

RENORMALISED = {
    "kept": {},
    "renormalised": {"tes": (("signal", "control"),)},
    "by_region": {"tes": (("signal",), ("control",))},  # decorrelate: [region]
    "restricted": {"tes": (("signal",),)},  # regions: [signal]
}
MOVED = [("higgs", side) for side in ("up", "down")] + [("z", side) for side in ("up", "down")]


def totals(histograms, process, variation):
    """Return the yield of every region."""
    return {name: templates.content(found, process, variation).values.sum() for name, found in histograms.items()}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return the templates, and histograms at displaced points, with the acceptance kept and renormalised."""
    folder, results = tmp_path_factory.mktemp("acceptance"), {}
    nominal, scores = test_filling.write(folder)
    paths, rescored = test_displacements.write(folder, test_displacements.displaced_events())
    points = {name: point | {"variation": name.rpartition("_")[0]} for name, point in test_displacements.POINTS.items()}
    for name, renormalised in RENORMALISED.items():
        settings = test_filling.filling(renormalised=renormalised)
        restricted = {"tes": ("signal",)} if name == "restricted" else {}
        settings = settings.model_copy(update={"restricted": restricted})
        found = filling.fill(nominal, scores, settings).histograms
        displaced = test_displacements.filling(renormalised=renormalised, displaced=points)
        results[name] = found, displacements.fill(found, paths, scores, rescored, displaced)
    return results


@pytest.mark.parametrize(("process", "side"), MOVED)
def test_renormalised_templates_have_the_nominal_yield_summed_over_regions(filled, process, side):
    found = filled["renormalised"][0]
    nominal, varied = totals(found, process, "nominal"), totals(found, process, f"tes_{side}")
    assert sum(varied.values()) == pytest.approx(sum(nominal.values()), rel=1e-12)
    assert varied != pytest.approx(nominal, rel=1e-3)  # events move between regions still


@pytest.mark.parametrize(("process", "side"), MOVED)
def test_renormalised_templates_are_the_kept_ones_times_one_number(filled, process, side):
    kept, found = (
        [templates.content(histogram, process, f"tes_{side}") for histogram in filled[name][0].values()]
        for name in ("kept", "renormalised")
    )
    factor = found[0].values.sum() / kept[0].values.sum()
    assert factor != pytest.approx(1, abs=1e-3)
    for before, after in zip(kept, found, strict=True):
        assert after.values == pytest.approx(before.values * factor, rel=1e-12)
        assert after.variances == pytest.approx(before.variances * factor**2, rel=1e-12)


@pytest.mark.parametrize(("process", "side"), MOVED)
def test_a_shift_of_every_region_by_itself_keeps_the_yield_of_every_region(filled, process, side):
    """Its parameters move one region at a time: only so does each of them keep the sum over regions."""
    found, displaced = filled["by_region"]
    nominal = totals(found, process, "nominal")
    assert totals(found, process, f"tes_{side}") == pytest.approx(nominal, rel=1e-12)
    assert totals(displaced, process, "tes_up2") == pytest.approx(nominal, rel=1e-12)


@pytest.mark.parametrize(("process", "side"), MOVED)
def test_a_shift_of_one_region_keeps_the_yield_there_and_is_nominal_elsewhere(filled, process, side):
    found = filled["restricted"][0]
    nominal, varied = totals(found, process, "nominal"), totals(found, process, f"tes_{side}")
    assert varied == pytest.approx(nominal, rel=1e-12)
    shape = [templates.content(found["signal"], process, name).values for name in ("nominal", f"tes_{side}")]
    assert not np.allclose(*shape, rtol=1e-3)
    other = [templates.content(found["control"], process, name).values for name in ("nominal", f"tes_{side}")]
    np.testing.assert_array_equal(*other)


def test_nothing_else_is_renormalised(filled):
    (kept, kept_displaced), (found, found_displaced) = filled["kept"], filled["renormalised"]
    for region in test_filling.REGIONS:
        for variation in found[region].axes["variation"]:
            for process in ("tt", "data") if variation.startswith("tes") else ("higgs", "z", "tt", "data"):
                before, after = (templates.content(h[region], process, variation) for h in (kept, found))
                assert np.array_equal(before.values, after.values)
        for point in ("pileup_up2", "rate_up2"):
            for process in ("higgs", "z", "tt"):
                before, after = (
                    templates.content(h[region], process, point) for h in (kept_displaced, found_displaced)
                )
                assert np.array_equal(before.values, after.values)


@pytest.mark.parametrize("point", ["tes_down", "tes_up2"])
@pytest.mark.parametrize("process", ["higgs", "z"])
def test_displaced_points_have_the_nominal_yield_too(filled, process, point):
    nominal = sum(totals(filled["kept"][0], process, "nominal").values())
    kept, found = (sum(totals(filled[name][1], process, point).values()) for name in ("kept", "renormalised"))
    assert found == pytest.approx(nominal, rel=1e-12)
    assert kept != pytest.approx(nominal, rel=1e-3)


def test_a_process_without_events_at_the_variation_stays_without(filled):
    found = {region: histogram.copy() for region, histogram in filled["kept"][0].items()}
    for histogram in found.values():
        for field in ("value", "variance"):
            histogram.view(flow=True)[field][0, histogram.axes["variation"].index("tes_up")] = 0
    filling.renormalise(found, found, ["higgs"], "tes_up", list(found))
    assert sum(totals(found, "higgs", "tes_up").values()) == 0


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """Return what a conditional training is fitted with, where every point has another yield, renormalised."""
    return rescored(tmp_path_factory)


@pytest.fixture(scope="module")
def conditional_by_region(tmp_path_factory):
    """Return the same with one parameter per region."""
    return rescored(tmp_path_factory, decorrelate=("region",))


def rescored(tmp_path_factory, **options):
    shift = {"kind": "shift", "shift": "rotation", "size": 0.5, "acceptance": "renormalised"} | options
    settings = test_conditional.configured()
    settings = settings.model_copy(
        update={"variations": settings.variations | {"rotation": settings.variations["rotation"].model_validate(shift)}}
    )
    folder, rules = tmp_path_factory.mktemp("conditional"), rescoring(settings, "aware")
    rules = rules.model_copy(update={"thrown": (*rules.thrown, "rotation_up2")})
    for name in ("nominal", "rotation_up", "rotation_down", "rotation_up2", "rotation_down2", "tilt_up2", "tilt_down2"):
        for sample in ("signal", "background"):
            path = folder / name / f"{sample}.parquet"
            events = test_conditional.event_columns(sample, name, settings)
            event_files.write_event_parts(path, iter([events]), {"region": ["main", "side"]})
    paths = needed(sorted(folder.glob("*/*.parquet")), rules)
    moving = (part for path in paths for part in move(path, rules, test_conditional.BINS, test_conditional.score))
    return settings, fill(moving, test_conditional.BINS, rules)


@pytest.mark.parametrize("point", ["rotation_up", "rotation_down", "rotation_up2", "rotation_down2"])
@pytest.mark.parametrize("process", ["signal", "background"])
def test_events_scored_at_every_hypothesised_z_have_the_nominal_yield(conditional, process, point):
    settings, filled = conditional
    for at in grid(settings, "aware").points:
        varied, nominal = (
            sum(h[{"process": process, "variation": name, "at": at}].values().sum() for h in filled.histograms.values())
            for name in (point, "nominal")
        )
        assert varied == pytest.approx(nominal, rel=1e-9)


def test_events_scored_at_every_z_keep_the_yield_of_every_region_where_each_has_a_parameter(conditional_by_region):
    _, filled = conditional_by_region
    for histogram in filled.histograms.values():
        at = histogram.axes["at"][0]
        varied, nominal = (
            histogram[{"process": "signal", "variation": name, "at": at}].values().sum()
            for name in ("rotation_up2", "nominal")
        )
        assert varied == pytest.approx(nominal, rel=1e-9)
    of_main = filled.patterns[filled.patterns["b0"] < len(test_conditional.BINS["main"]) - 1]
    sums = of_main.groupby(["point", "process"])["weight"].sum()
    assert sums["rotation_up2", "signal"] == pytest.approx(sums["nominal", "signal"], rel=1e-9)


def test_pseudo_experiments_are_thrown_from_the_renormalised_yield(conditional):
    _, filled = conditional
    sums = filled.patterns.groupby(["point", "process"])["weight"].sum()
    assert sums["rotation_up2", "signal"] == pytest.approx(sums["nominal", "signal"], rel=1e-9)


def test_the_default_keeps_the_acceptance_and_a_change_reruns_no_events_and_no_training():
    content = shipped("config")
    kept, found = (
        reading.check(changed(content, *changes)) for changes in ((), [("variations.tes.acceptance", "renormalised")])
    )
    assert kept.variations["tes"].acceptance == "kept"
    assert processing(kept, "ttbar", "tes_up") == processing(found, "ttbar", "tes_up")
    assert training.training(kept, "augmentation", 1) == training.training(found, "augmentation", 1)
    assert inference.workspace(kept) == inference.workspace(found)
    assert inference.filling(kept).renormalised == inference.displaced_filling(kept).renormalised == {}
    assert (
        inference.filling(found).renormalised
        == inference.displaced_filling(found).renormalised
        == {"tes": (tuple(kept.regions),)}
    )
    parted = reading.check(
        changed(content, ("variations.tes.acceptance", "renormalised"), ("variations.tes.decorrelate", ["region"]))
    )
    assert inference.filling(parted).renormalised == {"tes": tuple((name,) for name in kept.regions)}


def test_another_word_than_kept_and_renormalised_is_refused():
    with pytest.raises(ConfigurationError, match=r"variations.tes.acceptance: .*'kept' or 'renormalised'"):
        reading.check(changed(shipped("config"), ("variations.tes.acceptance", "dropped")))

"""Tests of the true points away from nominal."""

import pytest
from analyses import changed, shipped

from nuisflow.settings import points
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import events

DITAU = shipped("config")
TILT = ("variations.tilt", {"kind": "weight", "factor": "1 + 0.1 * z", "processes": ["ttbar"]})
FREE = ("variations.free", {"kind": "free_rate", "processes": ["ttbar"]})
LUMI = ("variations.luminosity", {"kind": "luminosity", "size": 0.03})


def check(*changes):
    return reading.check(changed(DITAU, ("toys.displacements", {"down": -1, "up": 1, "far": 2.5}), *changes))


def test_every_variation_with_a_prior_is_displaced_and_no_other():
    settings = check(TILT, FREE, LUMI)
    names = [name for name in settings.variations if name != "free"]
    assert list(points.displaced(settings)) == [f"{name}_{side}" for name in names for side in ("down", "up", "far")]


def test_a_point_knows_the_value_of_its_parameter_and_the_factor_on_yields():
    found = points.displaced(check(TILT, LUMI))
    assert (found["tes_far"].parameters, found["tes_far"].value, found["tes_far"].factor) == (("tes",), 2.5, None)
    assert found["ttbar_rate_far"].value == 2.5
    assert found["ttbar_rate_far"].factor == pytest.approx(1.02**2.5)
    assert found["luminosity_far"].parameters == ("lumi",)
    assert found["luminosity_far"].value == found["luminosity_far"].factor == pytest.approx(1.075)
    assert found["tilt_far"].processes == ("ttbar",)


def test_only_points_that_templates_do_not_have_need_events_of_their_own():
    settings = check(TILT)
    assert points.folders(settings, "ttbar") == ["tes_far", "jes_far", "soft_met_far", "tilt_far"]
    assert points.shifted_folders(settings, "ttbar") == ["tes_far", "jes_far", "soft_met_far"]
    assert points.folders(settings, "htautau") == points.shifted_folders(settings, "htautau")


def test_the_folder_of_a_point_holds_events_at_its_true_value():
    settings = check(TILT)
    shifted, weighted = (events.processing(settings, "ttbar", name) for name in ("jes_far", "tilt_far"))
    assert (shifted.variation, shifted.z, list(shifted.variations)) == ("jes", 2.5, ["jes"])
    assert (weighted.variation, weighted.z, list(weighted.variations)) == ("tilt", 2.5, ["tilt"])
    assert shifted.events.features == settings.features
    assert weighted.events.features == ()


def test_no_displacements_are_no_points():
    settings = check(("toys.displacements", {}))
    assert points.displaced(settings) == {}
    assert points.folders(settings, "ttbar") == []


@pytest.mark.parametrize(
    ("displacements", "message"),
    [
        ({"none": 0}, "toys.displacements.none: 0 is the nominal point"),
        ({"up": 2}, r"toys.displacements.up: 'up' is reserved for \+1; choose another name for 2"),
        ({"down": 1}, "toys.displacements.down: 'down' is reserved for -1"),
        ({"low": -40}, "toys.displacements.low: the luminosity would be -0.2 of the nominal one"),
        ({"rate": 1.5}, "ttbar_rate, a point of 'ttbar', is also the variation"),
        ({"b_up": 1.5}, "ttbar_b_up, a point of 'ttbar_b', is also a point of 'ttbar'"),
        ({"Far": 2}, "toys.displacements"),
        ({"far": "inf"}, "toys.displacements.far"),
    ],
)
def test_points_that_cannot_be_are_errors_that_name_them(displacements, message):
    rate = {"kind": "rate", "size": 0.1}
    names = [(f"variations.{name}", rate) for name in ("ttbar", "ttbar_b")]
    with pytest.raises(ConfigurationError, match=message):
        check(LUMI, *names, ("toys.displacements", displacements))

"""Rates, symmetric or not: what may be written, and what follows from them."""

import pyhf
import pytest
from analyses import FLAT, changed

from nuisflow.settings import points
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import scenarios


def check(size, *changes):
    rate = {"kind": "rate", "size": size, "processes": ["b"]}
    return reading.check(changed(FLAT, ("variations", {"norm": rate}), *changes))


@pytest.mark.parametrize(
    ("size", "sides"), [(0.1, (1.1, 1 / 1.1)), ([0.05, -0.07], (1.05, 0.93)), ([-0.2, 0.3], (0.8, 1.3))]
)
def test_the_sides_of_a_rate(size, sides):
    assert check(size).variations["norm"].sides == pytest.approx(sides)


def test_displaced_points_of_an_asymmetric_rate_are_where_a_workspace_has_them():
    interpolation = pyhf.interpolators.code4([[[[0.93], [1.0], [1.05]]]])
    found = points.displaced(check([0.05, -0.07], ("toys", {"displacements": {"up2": 2, "down": -1, "half": -0.5}})))
    assert {name: point.factor for name, point in found.items()} == pytest.approx(
        {
            "norm_up2": 1.05**2,
            "norm_down": 0.93,
            "norm_half": float(interpolation(pyhf.tensorlib.astensor([[-0.5]])).item()),
        }
    )


def test_the_derivative_of_an_asymmetric_rate_is_that_of_its_interpolation_and_of_one_size_the_size_as_published():
    scenario = ("scenarios", {"all": {"constrained": ["norm"]}})
    norm = check([0.05, -0.07], scenario)
    near = float(norm.variations["norm"].factor(1e-5))
    assert scenarios.slice_of(norm).parameters["norm"].size == pytest.approx((near - 1) / 1e-5, rel=1e-4)
    assert scenarios.slice_of(check(0.1, scenario)).parameters["norm"].size == 0.1


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (-0.1, r"variations.norm.size: Input should be greater than 0 \(got -0.1\)"),
        ([0.1], r"variations.norm.size.1: is required"),
        ([-1, 0.1], r"variations.norm.size.0: Input should be greater than -1"),
        ([0, 0], r"variations.norm.size: neither side changes anything; give relative changes such as"),
        ("a", r"variations.norm.size: must be a number"),
    ],
)
def test_a_wrong_size_is_named_with_a_remedy(size, message):
    with pytest.raises(ConfigurationError, match=message):
        check(size)


@pytest.mark.parametrize("section", ["smooth", "symmetrise"])
@pytest.mark.parametrize(
    "rate", [{"kind": "rate", "size": 0.1}, {"kind": "free_rate"}, {"kind": "luminosity", "size": 0.1}]
)
def test_a_rate_has_no_template_to_smooth_or_to_symmetrise(section, rate):
    variations = {"norm": rate | {"processes": ["b"]}}
    with pytest.raises(ConfigurationError, match=rf"templates.{section}: 'norm' is of kind .*; remove it"):
        reading.check(changed(FLAT, ("variations", variations), ("templates", {section: ["norm"]})))

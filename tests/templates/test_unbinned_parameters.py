"""One parameter per process or region: the same likelihood where all are equal, another where they are not."""

import numpy as np
import pytest

from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.templates.unbinned.parameters import decorrelated

PROCESSES = ("one", "signal", "two")


def described(random):
    """Return three processes, of which the first and the last respond to two variations, and a region of three bins."""
    parameter = {"lower": -3.0, "upper": 3.0, "width": 1.0, "init": 0.0}
    powers = [[1, 0], [0, 1], [2, 0], [0, 2], [1, 1], [3, 0]]
    polynomials = 0.05 * random.standard_normal((4, 3, len(powers)))
    polynomials[:, 1] = 0
    polynomials[:, 2, [1, 3, 4]] = 0  # the last process does not respond to b
    monomials = [[1, 0], [2, 0], [0, 1], [1, 1], [1, 0], [2, 0]]
    slopes = 0.1 * random.standard_normal((3, len(monomials)))
    slopes[:, 3] = 0
    shares = random.dirichlet([1.0, 1.0, 1.0], 3).T.tolist()
    region = {"region": "control", "yields": {"one": 50.0, "signal": 1.0, "two": 70.0}, "shares": shares}
    return {
        "poi": "mu",
        "signal": "signal",
        "processes": list(PROCESSES),
        "parameters": [
            {"name": "mu", "kind": "signal", "init": 1.0, "lower": -5.0, "upper": 10.0, "width": 0.0},
            parameter | {"name": "a", "kind": "learned"},
            parameter | {"name": "b", "kind": "learned"},
        ],
        "linear": {"mu": ["signal"]},
        "rates": {},
        "yields": {"one": 100.0, "signal": 20.0, "two": 30.0},
        "learned": ["a", "b"],
        "powers": powers,
        "yield_terms": polynomials[0].tolist(),
        "norms": polynomials[1:3].tolist(),
        "monomials": monomials,
        "owners": ["one"] * 4 + ["two"] * 2,
        "binned": [region | {"slopes": slopes.tolist(), "norms": polynomials[3].tolist()}],
        "closure": {},
    }


def model_of(description, names):
    """Return the model whose learned parameters are *names*."""
    first, learned = description["parameters"][0], description["parameters"][1]
    return UnbinnedModel(description | {"parameters": [first, *(learned | {"name": name} for name in names)]})


def values_of(model, random):
    events = np.concatenate([-random.exponential(1.0, (300, 3)), 0.3 * random.standard_normal((300, 6))], axis=1)
    counts = np.array([40.0, 30.0, 50.0])
    return model.data(np.ones(300), events, np.arange(300) % 2, counts=counts), events


def likelihoods(axes, points):
    """Return -2 ln L before and after, at pairs of points of both, relative to the first pair."""
    before = described(np.random.default_rng(1))
    after = decorrelated(before, axes)
    one, two = model_of(before, ["a", "b"]), model_of(after, after["learned"])
    found = []
    for model, place in ((one, 0), (two, 1)):
        data, _ = values_of(model, np.random.default_rng(2))
        heights = []
        for pair in points:
            chosen = model.point(pair[place])
            pulls = sum(value**2 for name, value in pair[place].items() if name != "mu")
            heights.append(model.twice_nll(data, chosen)[0] - pulls)
        found.append(np.subtract(heights, heights[0]))
    return found


ALL = [["a", "b"], ["", ""], ["a", ""]]
APART = [["a_one", "b"], ["", ""], ["a_two", ""]]
REGIONS = [["a_control", "b"], ["", ""], ["a_control", ""]]


def test_one_parameter_for_all_changes_nothing():
    same, other = likelihoods({"": ALL, "control": ALL}, [({}, {}), ({"a": 0.7, "b": -0.4}, {"a": 0.7, "b": -0.4})])
    assert other == pytest.approx(same, abs=1e-9)


@pytest.mark.parametrize(
    ("axes", "parameters"),
    [
        ({"": APART, "control": APART}, ("a_one", "a_two")),
        ({"": ALL, "control": REGIONS}, ("a", "a_control")),
    ],
)
def test_equal_parameters_of_processes_or_regions_are_the_common_one(axes, parameters):
    points = [({}, {})]
    points += [({"a": z, "b": 0.3}, dict.fromkeys(parameters, z) | {"b": 0.3}) for z in (-1.2, 0.5, 2.0)]
    same, other = likelihoods(axes, points)
    assert other == pytest.approx(same, abs=1e-9)


def test_a_parameter_of_a_process_moves_it_alone_and_one_of_a_region_its_bins_alone():
    before = described(np.random.default_rng(1))
    apart = decorrelated(before, {"": APART, "control": APART})
    model, common = model_of(apart, apart["learned"]), model_of(before, ["a", "b"])
    expected, moved = common.expected(common.point({"a": 1.0})), model.expected(model.point({"a_two": 1.0}))
    assert moved[2] == pytest.approx(expected[2])
    assert moved[:2] == pytest.approx(model.expected(model.inits)[:2])
    regions = decorrelated(before, {"": ALL, "control": REGIONS})
    model = model_of(regions, regions["learned"])
    _, events = values_of(common, np.random.default_rng(2))
    place = model.point({"a_control": 1.0})
    process, fold = np.zeros(300, dtype=np.int64), np.arange(300) % 2
    assert model.responses(place, process, fold, model.widened(events)) == pytest.approx(np.ones(300))
    assert model.bin_responses(place) == pytest.approx(common.bin_responses(common.point({"a": 1.0})))
    assert model.outputs == common.outputs

"""The strategy `observable`: no training, and templates that are plain histograms of an expression."""

import gaussians
import numpy as np
import pandas as pd
import pytest
import small_analyses
import torch
from analyses import FLAT, changed

from nuisflow import strategies
from nuisflow.learning import loop
from nuisflow.learning.classifier import Classifier
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import inference, report, training
from nuisflow.storage import files
from nuisflow.strategies import metrics
from nuisflow.templates import shown

EDGES = (0.0, 50.0, 70.0, 90.0, 110.0, 130.0, 200.0)
MASS = {"strategy": "observable", "expression": "DER_mass_vis", "binning": {"rule": "edges", "edges": list(EDGES)}}
UNIFORM = {"rule": "uniform", "number": 5, "low": -2.0, "high": 3.0}


def made(expression="x", inputs=("x", "y"), **binning):
    content = {"strategy": "observable", "expression": expression, "binning": UNIFORM | binning, "inputs": inputs}
    return strategies.read(content)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    settings = small_analyses.configured(("trainings", {"mass": MASS}))
    return small_analyses.make(tmp_path_factory.mktemp("observable"), settings)


def by_hand(small, folder, process):
    """Return sums of weights and errors of the events of *process*, beyond the edges in the first or last bin."""
    events = pd.read_parquet(small.folder / "events" / folder / f"{process}.parquet")
    events = events[events["region"] == "signal"]
    values = np.clip(events["DER_mass_vis"].astype(float), EDGES[0], np.nextafter(EDGES[-1], 0))
    sums, squares = (np.histogram(values, EDGES, weights=events["weight"] ** power)[0] for power in (1, 2))
    return sums, np.sqrt(squares)


@pytest.mark.parametrize("process", ["htautau", "ztautau", "ttbar"])
def test_the_workspace_is_that_of_histograms_filled_by_hand(small, process):
    workspace = files.read_json(small.of("workspace.json"))
    channel = next(one for one in workspace["channels"] if one["name"] == "signal")
    sample = next(one for one in channel["samples"] if one["name"] == process)
    modifiers = {(one["name"], one["type"]): one["data"] for one in sample["modifiers"]}
    sums, errors = by_hand(small, "nominal", process)
    np.testing.assert_allclose(sample["data"], sums, rtol=1e-5, atol=1e-3)  # an empty bin has a little
    np.testing.assert_allclose(modifiers["staterror_signal", "staterror"], errors, rtol=1e-6)
    for side, key in (("up", "hi"), ("down", "lo")):
        rate, shape = modifiers["tes", "normsys"][key], modifiers["tes", "histosys"][f"{key}_data"]
        np.testing.assert_allclose(
            rate * np.array(shape), by_hand(small, f"tes_{side}", process)[0], rtol=1e-5, atol=1e-3
        )


def test_its_axis_is_drawn_in_units_of_the_observable(small):
    histogram = files.read_histograms(small.of("templates.json"))["signal"]
    axis = report.plots(small.settings).axes["mass"]
    assert (axis.label, axis.regions) == ("DER_mass_vis", ("signal",))
    drawn = shown.in_units(histogram, axis.low, axis.high)
    np.testing.assert_allclose(drawn.axes["score"].edges, EDGES)
    np.testing.assert_array_equal(drawn.view(), histogram.view())
    fit = {"asimov": {"yields": {"prefit": {"signal": {"edges": [0, 0.5, 1]}, "control": {"edges": [0, 200]}}}}}
    found = shown.yields_in_units(fit, axis.regions, axis.low, axis.high)["asimov"]["yields"]["prefit"]
    assert {name: one["edges"] for name, one in found.items()} == {"signal": [0, 100, 200], "control": [0, 200]}


VALUES = {
    "x": lambda x, y: x,
    "x * y - 1": lambda x, y: x * y - 1,
    "sqrt(x**2 + y**2)": np.hypot,
    "where((x > 0) & (y < 1), x, -y)": lambda x, y: np.where((x > 0) & (y < 1), x, -y),
    "arctan2(y, x) + pi / 2": lambda x, y: np.arctan2(y, x) + np.pi / 2,
    "abs(x) % 2": lambda x, y: np.abs(x) % 2,
    "x % 2 + y // 1": lambda x, y: x % 2 + y // 1,
    "maximum(x, y) + 1.e-1": lambda x, y: np.maximum(x, y) + 0.1,
    "2": lambda x, y: np.full_like(x, 2),
    "(x > 0) + (y > 0)": lambda x, y: 1 * (x > 0) + 1 * (y > 0),  # numexpr takes this for "or"
    "3 - (x > 0)": lambda x, y: 3 - 1 * (x > 0),
    "where(x == -99.9, 0, x)": lambda x, y: np.where(x < -50, 0, x),  # -99.9 is another number in single precision
}


@pytest.mark.parametrize("expression", VALUES)
def test_values_are_what_the_expression_says_of_features_in_single_precision(expression):
    features = np.random.default_rng(1).normal(0, 2, (500, 2)).astype(np.float32)
    features[::7, 0] = -99.9
    expected = VALUES[expression](*features.T.astype(float))
    np.testing.assert_allclose(made(expression).values(features), expected, rtol=1e-5, atol=1e-5)


def test_a_feature_may_have_the_name_of_a_function():
    features = np.array([[2.0, -3.0]], np.float32)
    assert made("abs * abs(sign)", ("abs", "sign")).values(features) == pytest.approx([6])


def test_the_score_is_the_position_between_the_ends_and_values_beyond_are_at_them():
    features = torch.tensor([[-9.0, 0], [-2.0, 0], [0.5, 0], [3.0, 0], [4.0, 0]])
    assert made().score({}, features, torch.zeros(5, 0)).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("expression", ["x", "-x"])
def test_it_costs_nothing_and_its_auc_is_that_of_the_better_direction(expression, tmp_path):
    options = {"strategy": "observable", "expression": expression, "binning": UNIFORM, "inputs": ("x", "y")}
    pool = gaussians.pool(options, number=2000)
    classifier, history = loop.train(pool, pool.settings.training, "cpu")
    signal, background = gaussians.columns(4000, (1, 1), 1), gaussians.columns(4000, (0, 0), 2)
    expected = metrics.area_under_curve(
        np.concatenate([signal["x"], background["x"]]), np.repeat([1, 0], 4000), np.ones(8000)
    )
    assert expected > 0.6
    assert all(row["auc"] == pytest.approx(expected, abs=0.05) for row in history)
    assert [row["events_seen"] for row in history] == [0] * len(history)
    classifier.save(tmp_path / "model.pt")
    assert np.array_equal(Classifier.load(tmp_path / "model.pt").score(signal), classifier.score(signal))


def test_events_with_negative_weights_are_taken_and_its_auc_counts_them_as_they_are():
    options = {"strategy": "observable", "expression": "x", "binning": UNIFORM, "inputs": ("x", "y")}
    pool = gaussians.pool(options, number=2000)
    pool.samples["background"]["w"][::5] = -1
    _, history = loop.train(pool, pool.settings.training, "cpu")
    rows = [pool.samples[name].take(rows) for name, rows in pool.rows(0, validation=True).items()]
    above = rows[0]["x"][:, None] > rows[1]["x"]  # every pair of signal and background
    weights = rows[0]["w"][:, None].astype(float) * rows[1]["w"]
    expected = np.sum(weights * above) / weights.sum()
    assert history[0]["auc"] == pytest.approx(expected, abs=1e-6)


def test_few_events_are_enough_where_nothing_is_learnt():
    options = {"strategy": "observable", "expression": "x", "binning": UNIFORM, "inputs": ("x", "y")}
    pool = gaussians.pool(options, number=2)
    classifier, history = loop.train(pool, pool.settings.training, "cpu")
    assert all(np.isnan(row["auc"]) for row in history)
    columns = {"x": np.float32([-2.0, 0.5]), "y": np.float32([0, 0]), "entry": np.arange(2)}
    assert classifier.score(columns).tolist() == [0, 0.5]


def test_its_bins_are_its_own_and_regions_with_other_observables_keep_theirs(small):
    found = inference.filling(small.settings, "mass").regions
    assert found["signal"].edges == pytest.approx(np.array(EDGES) / 200)
    assert (found["control"].rule, found["control"].high) == ("uniform", 200)


def test_another_edge_inside_and_other_words_change_no_score():
    settings = reading.check(changed(small_analyses.TOY, ("trainings", {"mass": MASS})))
    words = MASS | {"axis": "visible mass", "label": "m", "binning": {"rule": "edges", "edges": [0, 100, 200]}}
    other = reading.check(changed(small_analyses.TOY, ("trainings", {"mass": words})))
    wider = reading.check(
        changed(small_analyses.TOY, ("trainings", {"mass": MASS | {"binning": {"rule": "edges", "edges": [0, 300]}}}))
    )
    assert training.training(settings, "mass", 1) == training.training(other, "mass", 1)
    assert training.training(settings, "mass", 1) != training.training(wider, "mass", 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expression": "w"}, r"expression: 'w' uses 'w', which is no column; .* made of the section 'features'"),
        ({"expression": "where(x, 1, 0)"}, r"trainings.obs.expression: 'x' is a float32, not true or false; write"),
        ({"expression": "x.real"}, r"trainings.obs.expression: .* is not allowed"),
        ({"binning": {"number": 5}}, r"trainings.obs.binning: give 'low' and 'high'"),
        ({"binning": UNIFORM | {"low": 5}}, r"binning: low \(5\) must be below high \(3\)"),
        (
            {"binning": {"edges": [1, 2]}},
            r"trainings.obs.binning.edges: is not used by 'rule: quantile'; write 'rule: edges'",
        ),
        ({"binning": {"rule": "edges", "edges": [2, 1]}}, r"binning.edges: needs at least two increasing edges"),
        ({"inputs": ["x"]}, r"trainings.obs.inputs: are the features, filled in by itself; remove it"),
        ({"variations": ["r"]}, r"knows no variations"),
    ],
)
def test_a_wrong_observable_is_named_with_a_remedy(options, message):
    content = {"strategy": "observable", "expression": "x", "binning": UNIFORM} | options
    with pytest.raises(ConfigurationError, match=message):
        reading.check(changed(FLAT, ("trainings", {"obs": content})))

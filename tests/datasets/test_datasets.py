"""The data sets with known densities: events follow them, and shifts do what the densities say."""

import math

import numpy as np
import pytest
from scipy import stats

from nuisflow import datasets

KNOWN = {kind: module for kind, module in datasets.MODULES.items() if hasattr(module, "log_density")}
CASES = [(kind, process) for kind, module in KNOWN.items() for process in module.PROCESSES]
SHIFTED = [(kind, shift) for kind, module in KNOWN.items() for shift in module.SHIFTS]
EVENTS = 40_000


def simulated(kind, process, events=EVENTS, seed=3):
    return KNOWN[kind].simulate(process, events, np.random.default_rng(seed))


def test_every_simulated_data_set_keeps_the_contract():
    for module in datasets.MODULES.values():
        made = set(dir(module.Objects)) if hasattr(module, "of") else set()  # where the section decides what there is
        assert {"COLUMNS", "DERIVED", "SHIFTS", "PROCESSES", "UNDEFINED", "reconstruct"} <= set(dir(module)) | made
        assert (hasattr(module, "simulate") or hasattr(module, "convert")) == bool(module.PROCESSES)


@pytest.mark.parametrize(("kind", "process"), CASES)
def test_events_have_the_promised_columns_in_single_precision(kind, process):
    columns = simulated(kind, process, 10)
    assert tuple(columns) == KNOWN[kind].COLUMNS
    assert all(values.shape == (10,) and values.dtype == np.float32 for values in columns.values())


@pytest.mark.parametrize(("kind", "process"), CASES)
def test_the_densities_are_normalised(kind, process):
    # Importance sampling with a broad normal distribution (and an exponential one for x2).
    generator = np.random.default_rng(1)
    columns, log_sampled = {}, 0.0
    for name in KNOWN[kind].COLUMNS:
        if name == "x2":
            columns[name] = generator.exponential(1.0, 400_000)
            log_sampled = log_sampled - columns[name]
        else:
            columns[name] = generator.normal(1.0, 4.0, 400_000)
            log_sampled = log_sampled + stats.norm.logpdf(columns[name], 1.0, 4.0)
    ratio = np.exp(KNOWN[kind].log_density(process, columns, {}) - log_sampled)
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / math.sqrt(ratio.size))


S = math.sqrt(0.5)
MARGINALS = {
    ("gaussian", "signal"): {"x": stats.norm(S, 0.7), "y": stats.norm(S, 0.7)},
    ("gaussian", "background"): {"x": stats.norm(-S, 0.7), "y": stats.norm(-S, 0.7)},
    ("inferno", "signal"): {"x0": stats.norm(0, 1), "x1": stats.norm(0, 1), "x2": stats.expon(scale=1 / 2)},
    ("inferno", "background"): {
        "x0": stats.norm(2, math.sqrt(5)),
        "x1": stats.norm(0, 3),
        "x2": stats.expon(scale=1 / 3),
    },
    ("pivot", "signal"): {"x": stats.norm(1, 1), "y": stats.norm(1, 1)},
    ("pivot", "background"): {"x": stats.norm(0, 1), "y": stats.norm(0, 1)},
}


@pytest.mark.parametrize(("kind", "process"), CASES)
def test_events_are_those_of_the_papers(kind, process):
    columns = simulated(kind, process)
    for name, marginal in MARGINALS[kind, process].items():
        assert stats.kstest(columns[name], marginal.cdf).pvalue > 1e-3
    correlation = -0.5 if (kind, process) == ("pivot", "background") else 0.0
    first, second = list(columns)[:2]
    assert np.corrcoef(columns[first], columns[second])[0, 1] == pytest.approx(correlation, abs=5 / math.sqrt(EVENTS))


@pytest.mark.parametrize(("kind", "process"), CASES)
def test_the_density_is_that_of_the_events(kind, process):
    # Densities of independent columns are products; the correlated ones are compared with scipy's.
    columns = {name: values[:100].astype(float) for name, values in simulated(kind, process).items()}
    if (kind, process) == ("pivot", "background"):
        expected = stats.multivariate_normal([0, 0], [[1, -0.5], [-0.5, 1]]).logpdf(
            np.stack(list(columns.values()), axis=1)
        )
    else:
        expected = sum(MARGINALS[kind, process][name].logpdf(values) for name, values in columns.items())
    assert KNOWN[kind].log_density(process, columns, {}) == pytest.approx(expected)


@pytest.mark.parametrize("z", [-0.8, 0.5])
@pytest.mark.parametrize(("kind", "shift"), SHIFTED)
def test_shifted_events_follow_the_shifted_density(kind, shift, z):
    # Two ways to the mean of a column at z: of shifted events, and of nominal events weighted with p_z / p_0.
    module, size = KNOWN[kind], 0.5
    for process in module.ACTS_ON[shift]:
        events = simulated(kind, process)
        moved = module.shift(events, {shift: (z, size)})
        weights = np.exp(
            module.log_density(process, events, {shift: z * size}) - module.log_density(process, events, {})
        )
        assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / math.sqrt(EVENTS))
        for name in module.COLUMNS:
            for power in (1, 2):
                there, here = moved[name].astype(float) ** power, weights * events[name].astype(float) ** power
                error = math.sqrt((there.var() + here.var()) / EVENTS)
                assert there.mean() == pytest.approx(here.mean(), abs=5 * error), (name, power)


@pytest.mark.parametrize(("kind", "shift"), SHIFTED)
def test_a_shift_at_zero_changes_no_bit_and_may_differ_per_event(kind, shift):
    module = KNOWN[kind]
    process = module.ACTS_ON[shift][0]
    events = simulated(kind, process, 100)
    z = np.where(np.arange(100) < 50, 0.0, 1.0)
    moved = module.shift(events, {shift: (z, 0.5)})
    all_moved = module.shift(events, {shift: (1.0, 0.5)})
    changed = [name for name in module.COLUMNS if not np.array_equal(moved[name], events[name])]
    assert changed
    for name in module.COLUMNS:
        assert moved[name].dtype == np.float32
        assert np.array_equal(moved[name][:50], events[name][:50])
        assert np.array_equal(moved[name][50:], all_moved[name][50:])


def test_a_rotation_turns_the_classes_by_the_angle():
    turned = datasets.gaussian.shift({"x": np.array([1.0]), "y": np.array([0.0])}, {"rotation": (np.array([2.0]), 0.5)})
    assert [turned["x"][0], turned["y"][0]] == pytest.approx([math.cos(1), math.sin(1)])


def test_the_rate_of_x2_stays_positive_far_below_its_prior():
    events = simulated("inferno", "background", 100)
    moved = datasets.inferno.shift(events, {"lambda": (-9.0, 1.0)})
    assert np.isfinite(moved["x2"]).all()
    assert moved["x2"] == pytest.approx(events["x2"] * 30)
    assert np.isfinite(datasets.inferno.log_density("background", events, {"lambda": -9.0})).all()


@pytest.mark.parametrize("kind", KNOWN)
def test_unknown_names_are_errors_that_list_the_known_ones(kind):
    module = KNOWN[kind]
    with pytest.raises(ValueError, match="no process 'ttbar'; the processes of this data set are signal, background"):
        module.simulate("ttbar", 10, np.random.default_rng(1))
    with pytest.raises(ValueError, match="no shift 'tes'; the shifts of this data set are"):
        module.shift(simulated(kind, "signal", 3), {"tes": (1.0, 0.1)})

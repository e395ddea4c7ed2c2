"""Exact templates of the rotating Gaussians: against the table of widths, simulated events and pseudo-experiments."""

import math

import numpy as np
import pandas as pd
import pytest
from analyses import ROOT

from nuisflow.comparison import exact_templates, exact_toys
from nuisflow.datasets import gaussian
from nuisflow.slices import scenarios

ANGLE = gaussian.ANGLE
EXPECTED = pd.read_csv(ROOT / "config" / "published" / "gaussian.csv").set_index("training")
CASES = [label for label in EXPECTED.index if "bins" in label]


def of_case(label, factor):
    """Return classifier, truth and auxiliary measurement of a row of the table."""
    classifier, _, words = label.partition(", ")
    number, rule, _ = words.split()
    truth = factor * ANGLE
    return exact_templates.scorer(classifier.lower(), rule, int(number), truth), np.array([truth]), np.array([ANGLE])


@pytest.mark.parametrize("label", CASES)
def test_every_width_of_the_table_is_reproduced(label):
    for factor, end in ((1, ""), (2, "_double")):
        known, truth, measured = of_case(label, factor)
        model, data = exact_templates.model(known), exact_templates.asimov(known, truth)
        profiled = exact_templates.half_widths(model, data, measured)[0]
        fixed = exact_templates.half_widths(model, data, measured, truth)[0]
        assert profiled == pytest.approx(EXPECTED.loc[label, f"profiled{end}"], rel=0.005)
        assert fixed <= profiled * (1 + 1e-6)
        if not np.isnan(expected := EXPECTED.loc[label, f"known{end}"]):
            assert fixed == pytest.approx(expected, rel=0.005)


def test_the_auc_is_the_published_one():
    assert exact_templates.area_under_curve(0.0) == pytest.approx(0.9783, abs=0.0005)
    assert exact_templates.area_under_curve(math.pi / 4) == pytest.approx(0.9234, abs=0.0005)


@pytest.mark.parametrize("strategy", ["baseline", "clairvoyant", "aware", "augmented"])
def test_templates_are_those_of_simulated_events(strategy):
    truth, number = 1.3, 200_000
    known = exact_templates.scorer(strategy, "quantile", 10, truth)
    angle = truth if known.angle is None else known.angle
    expected = exact_templates.templates(known, np.array([truth]), angle)
    totals = (exact_templates.SIGNAL, exact_templates.BACKGROUND)
    for process, template, total in zip(gaussian.PROCESSES, expected, totals, strict=True):
        events = gaussian.simulate(process, number, np.random.default_rng(4))
        events = gaussian.shift(events, {"rotation": (truth - ANGLE, 1.0)})
        u = events["x"] * math.cos(angle) + events["y"] * math.sin(angle)
        counts = np.histogram(u, np.clip(known.edges, -20, 20))[0]
        share = template[0] / total
        assert share.sum() == pytest.approx(1)
        assert np.abs(counts / number - share) == pytest.approx(0, abs=5 * 0.5 / math.sqrt(number))


def test_quantile_bins_have_equal_shares_of_the_mixture():
    known = exact_templates.scorer("baseline", "quantile", 10, ANGLE)
    signal, background = exact_templates.templates(known, np.array([ANGLE]), ANGLE)
    mixture = 0.5 * (signal / exact_templates.SIGNAL + background / exact_templates.BACKGROUND)
    assert mixture == pytest.approx(np.full((1, 10), 0.1))


def test_a_fit_to_expected_events_finds_the_truth_if_the_measurement_does():
    for strategy in ("baseline", "aware", "clairvoyant"):
        for truth in (ANGLE, 1.2):
            known = exact_templates.scorer(strategy, "quantile", 10, truth)
            true = np.array([truth])
            found = exact_templates.fit(exact_templates.model(known), exact_templates.asimov(known, true), true)
            assert found.mu == pytest.approx(1, abs=2e-4)
            assert found.angle == pytest.approx(truth, abs=5e-3)


def test_golden_section_finds_minima_element_by_element():
    places = np.array([-0.7, 0.2, 0.9])
    found = exact_templates.golden_section(lambda x: (x - places) ** 4, np.full(3, -1.0), np.full(3, 1.0))
    assert found == pytest.approx(places, abs=1e-3)


@pytest.mark.parametrize(
    ("strategy", "toys"), [("baseline", 2000), ("augmented", 2000), ("clairvoyant", 2000), ("aware", 100)]
)
@pytest.mark.parametrize("factor", [1, 1.5, 2])
def test_intervals_cover(strategy, toys, factor):
    known = exact_templates.scorer(strategy, "quantile", 10, factor * ANGLE)
    result = exact_toys.coverage(known, factor * ANGLE, toys, seed=1)
    assert result.coverage == pytest.approx(0.6827, abs=4 * math.sqrt(0.6827 * 0.3173 / toys))
    assert result.mean == pytest.approx(1, abs=0.02 + 4 * result.deviation / math.sqrt(toys))


def test_rescored_pseudo_experiments_have_the_expected_events_at_every_hypothesis():
    known = exact_templates.scorer("aware", "quantile", 10, ANGLE)
    data = exact_toys._rescored(known, ANGLE, 50, np.random.default_rng(2))
    for angle in (0.0, 0.6, ANGLE, math.pi / 2):
        counts = data(np.full(50, angle)).mean(axis=0)
        expected = np.sum(exact_templates.templates(known, np.array([ANGLE]), angle), axis=0)[0]
        assert counts == pytest.approx(expected, abs=5 * np.sqrt(expected.max() / 50) + 0.01 * expected.max())


def test_the_exact_analysis_is_the_shipped_one():
    from nuisflow.settings.checks import reading

    assert scenarios.is_exact(reading.load(ROOT / "config" / "gaussian.yaml"))
    assert not scenarios.is_exact(reading.load(ROOT / "config" / "inferno.yaml"))

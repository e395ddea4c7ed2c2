"""What the studies in tests/studies show, with fewer pseudo-experiments."""

import numpy as np
import pytest
from studies import shrinking_simulation

from nuisflow.likelihood import toys

pytestmark = pytest.mark.slow
NUMBER = 300
ERROR = np.sqrt(toys.LEVEL * (1 - toys.LEVEL) / NUMBER)


@pytest.fixture(scope="module")
def coverage():
    """Return coverage by (problem, simulated events per bin, model)."""
    tables = [
        shrinking_simulation.study(NUMBER, (few, many), [problem], seed=2)
        for problem, few, many in (("ordinary", 5, 1000), ("degenerate", 20, 3000))
    ]
    rows = [row for table in tables for row in table.to_dict("records")]
    return {(row["problem"], row["events_per_bin"], row["model"]): row["coverage"] for row in rows}


@pytest.mark.parametrize(("problem", "many"), [("ordinary", 1000), ("degenerate", 3000)])
def test_intervals_cover_as_they_should_with_a_large_simulation(coverage, problem, many):
    assert abs(coverage[problem, many, "lite"] - toys.LEVEL) < 3 * ERROR


@pytest.mark.parametrize(("problem", "few"), [("ordinary", 5), ("degenerate", 20)])
def test_intervals_cover_too_rarely_with_a_small_simulation(coverage, problem, few):
    assert coverage[problem, few, "lite"] < toys.LEVEL - 4 * ERROR


@pytest.mark.parametrize(("problem", "few"), [("ordinary", 5), ("degenerate", 20)])
def test_without_mc_statistics_it_is_much_worse(coverage, problem, few):
    assert coverage[problem, few, "none"] < coverage[problem, few, "lite"] - 5 * ERROR


def test_joining_bins_helps_but_not_where_templates_are_nearly_degenerate(coverage):
    assert coverage["ordinary", 5, "merged"] > coverage["ordinary", 5, "lite"] + 2 * ERROR
    assert coverage["degenerate", 20, "merged"] < toys.LEVEL - 4 * ERROR


@pytest.mark.parametrize("problem", shrinking_simulation.PROBLEMS.values(), ids=shrinking_simulation.PROBLEMS)
def test_a_large_simulation_gives_the_expected_templates(problem):
    templates = problem.simulate(20_000, np.random.default_rng(1))
    for template, expected in zip(templates, problem.expected(), strict=True):
        np.testing.assert_allclose(template.values, expected, atol=5 * np.sqrt(template.variances).max())
        effective = template.values.sum() ** 2 / template.variances.sum()
        assert effective == pytest.approx(20_000 * len(expected), rel=0.02)


def test_the_figure_can_be_drawn(tmp_path):
    table = shrinking_simulation.study(5, (5, 50))
    shrinking_simulation.draw(table, tmp_path / "study.svg")
    assert (tmp_path / "study.svg").read_text().startswith("<?xml")

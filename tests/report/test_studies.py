"""Words, rows and figure of the studies of sizes."""

import itertools

import numpy as np
import pandas as pd
import pytest
from analyses import FLAT, changed

from nuisflow.comparison.studies import COLUMNS, laws
from nuisflow.report.plots import studies as plots
from nuisflow.report.plots import style
from nuisflow.report.review import studies
from nuisflow.settings.checks import reading
from nuisflow.slices import report

TRAININGS = {
    "nominal": {"strategy": "nominal", "label": "Nominal"},
    "trees": {"strategy": "boosted_trees", "label": "Trees"},
}
SETTINGS = report.plots(reading.check(changed(FLAT, ("trainings", TRAININGS)), "test"))
SCATTER = (0.99, 1.01)


def found(nominal=-0.1, trees=-0.1, sizes=(0.1, 0.3, 1.0), seeds=2, study="training_events", **changes):
    """Return tables of exact power laws, but for seeds that scatter by a percent."""
    common = {"study": study, "converged": True, "sigma_stat": 0.1, "sigma_mcstat": 0.05, "coverage": 0.68}
    common |= {"coverage_error": 0.01, "mu_whole": 1.03, "shift": 0.1}
    rows = []
    for name, start, exponent in (("nominal", 0.25, nominal), ("trees", 0.26, trees)):
        for size in sizes:
            for seed in range(seeds):
                sigma = start * size**exponent * SCATTER[seed]
                one = {"training": name, "size": size, "seed": seed + 1, "sigma": sigma, "sigma_syst": sigma / 2}
                rows.append(common | one | changes)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return {"studies": table, "power_laws": laws(table)}


def sentences(**options):
    (section,) = studies.sections(found(**options), SETTINGS)
    return section["sentences"]


def test_what_fewer_events_cost_and_more_would_gain_is_said_of_the_best():
    first, second = sentences()
    assert first == "With 10 %, σ(μ) of Nominal, best with all, is 0.315 (+25.9 %)."  # 0.25 * 10^0.1
    assert second.startswith("If its power law goes on, learning from twice as many changes that by −6.7 ± ")  # 2^-0.1


def test_a_gain_within_twice_its_error_is_not_established():
    assert "No gain by learning from twice as many is established" in sentences(nominal=-0.001)[1]


def test_that_few_events_change_the_order_is_said():
    assert sentences(nominal=-0.3)[-1] == "With 10 %, Trees has the smallest σ(μ)."
    assert len(sentences()) == 2


def test_one_seed_and_two_sizes_have_no_errors():
    (section,) = studies.sections(found(sizes=(0.3, 1.0), seeds=1, study="simulated_events"), SETTINGS)
    assert section["sentences"][1] == "If its power law goes on, simulating twice as many changes that by −6.7 %."
    assert section["rows"][0]["exponents"][0] == "−0.100"


def test_every_size_has_a_row_with_its_distance_from_the_whole():
    (section,) = studies.sections(found(), SETTINGS)
    assert [row[0] for row in section["rows"][0]["sizes"]] == ["10 %", "30 %", "100 %"]
    assert [row[-1] for row in section["rows"][0]["sizes"]] == ["0.10", "0.10", "0.10"]
    (section,) = studies.sections(found(shift=-1e-9), SETTINGS)
    assert section["rows"][0]["sizes"][-1][-1] == "0.00"


def test_nothing_is_shown_where_nothing_was_asked_for_and_failed_fits_are_said():
    assert studies.sections({}, SETTINGS) == []
    (section,) = studies.sections(found(converged=False), SETTINGS)
    assert (section["rows"], section["sentences"]) == ([], ["No fit converged."])


@pytest.mark.parametrize("options", [{}, {"sizes": (0.999, 1.0), "seeds": 1}, {"sizes": tuple(np.geomspace(0.0001, 1, 30))}, {"coverage": np.nan}])  # fmt: skip
def test_the_figure_is_drawn_of_few_and_of_many_sizes(options):
    tables = found(**options)
    with style.applied():
        drawn = plots.figure(tables["studies"], tables["power_laws"], SETTINGS)
        drawn.canvas.draw()
        axes = drawn.axes[0]
        boxes = [tick.label1.get_window_extent() for tick in axes.xaxis.get_major_ticks() if tick.label1.get_text()]
    edges = sorted((box.x0, box.x1) for box in boxes)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(edges))

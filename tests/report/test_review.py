"""Tests of the words and figures of the review: what is shown, and what is said where there is nothing."""

import numpy as np
import pandas as pd
import pytest
from analyses import FLAT, changed
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nuisflow.report.plots import review as plots
from nuisflow.report.plots import style
from nuisflow.report.review import conformal, epistemic, permutation, visibility
from nuisflow.settings.checks import reading
from nuisflow.slices import review

TRAININGS = {"nominal": {"strategy": "nominal", "label": "Nominal"}, "trees": {"strategy": "boosted_trees", "label": "Trees"}}  # fmt: skip
VARIATIONS = {f"scale{i}": {"kind": "shift", "columns": {"x": "x + z"}, "label": f"A long-winded name of scale {i}"} for i in range(200)}  # fmt: skip
SETTINGS = review.words(reading.check(changed(FLAT, ("trainings", TRAININGS), ("variations", VARIATIONS)), "test"))


def table(variations=3, trainings=("nominal", "trees"), lost=0.02):
    rows = []
    for index, name in enumerate(trainings):
        for variation, z in [("", 0), *((f"scale{i}", z) for i in range(variations) for z in (-1, 1))]:
            fall = lost * abs(z) * (index + 1) / (1 + int(variation[5:] or 0))
            point = f"{variation}_{'up' if z > 0 else 'down'}" if z else "nominal"
            row = {"training": name, "seed": 1, "variation": variation, "point": point, "z": z, "coverage": 0.9 - fall}
            row |= {"coverage_error": 0.001, "coverage_signal": 0.9 - 2 * fall, "coverage_background": 0.9}
            rows.append(row | {"size": 1.2, "all": 0.2, "empty": 0.0, "threshold": 0.3})
    return pd.DataFrame(rows)


def test_the_loss_of_coverage_is_told_with_whom_and_where():
    found = conformal.section(table(), SETTINGS)
    assert found["text"] == (
        "Away from nominal, up to 4.0 % of the coverage is lost for all events and, for the signal, between 4.0 % "
        "(Nominal) and 8.0 % (Trees)."
    )
    nominal = found["rows"][0]
    assert nominal["coverage"] == "90.0 ± 0.1 %"
    assert nominal["lowest_all"] == "88.0 % (A long-winded name of scale 0 −1)"
    assert nominal["off"]


def test_without_variations_or_scores_the_page_says_so():
    found = conformal.section(table(variations=0), SETTINGS)
    assert "nothing is lost" in found["text"]
    assert not found["moved"]
    assert conformal.section(None, SETTINGS) is conformal.section(pd.DataFrame([dict.fromkeys(table().columns)]), SETTINGS) is None  # fmt: skip
    alone = conformal.section(table(trainings=("trees",)), SETTINGS)
    assert [row["label"] for row in alone["rows"]] == ["Trees"]
    assert "between" not in alone["text"]


def overlap(figure):
    """Return whether words of one axis or the page's ends collide."""
    FigureCanvasAgg(figure).draw()
    page, found = figure.bbox, figure.get_tightbbox(figure.canvas.get_renderer())
    return found.x0 * figure.dpi < page.x0 - 2 or found.x1 * figure.dpi > page.x1 + 2


@pytest.mark.parametrize("variations", [0, 1, 200])
def test_any_number_of_variations_can_be_drawn_and_those_that_cost_most_are(variations):
    with style.applied():
        figure = plots.conformal(table(variations), SETTINGS)
        assert not overlap(figure)
    titles = [axes.get_xlabel().replace("\n", " ") for axes in figure.axes if axes.get_xlabel()]
    expected = [f"A long-winded name of scale {i} (standard deviations)" for i in range(min(variations, plots.MOST))]
    assert titles == expected


def curves():
    part = [[0.1, 0.5, 0.9], [0.5] * 3, [0.45] * 3, [0.05, 0.02, 0.05], [0.001] * 3]
    return {"training": "trees", "seed": 1, "name": "x", "score": part, "distance": part, "feature": part}


def test_members_are_told_with_what_they_mean_for_mu_and_their_absence_is_no_table():
    row = {"training": "trees", "seed": 1, "members": 5, "total": 0.5, "aleatoric": 0.45, "epistemic": 0.05}
    row |= {"epistemic_signal": 0.06, "epistemic_background": None, "with_distance": 0.25, "feature": "x"}
    breakdown = {"training": "trees", "seed": 1, "data": "asimov", "group": "epistemic", "sigma": 0.04}
    tables = {"epistemic": pd.DataFrame([row | {"with_feature": 0.5}]), "breakdown": pd.DataFrame([breakdown])}
    (found,) = epistemic.rows(tables, SETTINGS)
    assert (found["label"], found["distance"], found["feature"], found["sigma"]) == (
        "Trees",
        "25 %",
        "x (50 %)",
        "0.040",
    )
    assert found["epistemic_background"] == "–"
    assert epistemic.rows({}, SETTINGS) == []
    with style.applied():
        assert not overlap(plots.epistemic([curves()], SETTINGS))
        assert not overlap(plots.epistemic([], SETTINGS))


def test_features_are_ranked_by_what_the_measurement_loses_without_them():
    rows = [("nominal", 1, None, 0.2, 0.1), ("nominal", 1, "x", 0.3, 0.15), ("nominal", 1, "y", 0.19, 0.08), ("nominal", 1, "z", np.nan, np.nan)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["training", "seed", "feature", "sigma", "syst"])
    found = permutation.section(frame, {}, SETTINGS)
    assert found["names"] == ["Nominal"]
    assert found["whole"] == ["0.200 (0.100)"]
    assert [(row["feature"], row["cells"]) for row in found["rows"]] == [
        ("x", ["+50 % (+0.050)"]),
        ("y", ["−5 % (−0.020)"]),
        ("z", ["– (–)"]),
    ]
    assert permutation.section(None, {}, SETTINGS) is None


def test_variations_are_visible_or_not_and_data_that_are_told_from_the_model_are_a_caution():
    rows = [("scale1_up", "scale1", 1.0, 0.5, 0.01, 0.0, "x"), ("data", "data", 0.0, 0.56, 0.01, 6.0, "x"), ("scale2_up", "scale2", 1.0, None, None, None, None)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["name", "variation", "z", "auc", "error", "significance", "feature"])
    found = visibility.rows(frame, SETTINGS)
    assert [row["label"] for row in found] == [
        "Data against the model",
        *(f"A long-winded name of scale {i}" for i in (1, 2)),
    ]
    assert [row["verdict"] for row in found] == ["visible (6.0 sd)", "not visible (0.0 sd)", "–"]
    assert [row["off"] for row in found] == [True, False, False]
    (caution,) = visibility.cautions(frame)
    assert "0.5600 ± 0.0100" in caution.text
    assert visibility.cautions(frame[frame["name"] != "data"]) == visibility.cautions(None) == []

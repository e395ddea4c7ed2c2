"""Tests of the words on classifiers."""

import pandas as pd
import pytest
from analyses import FLAT, changed

from nuisflow.report.plots import classifiers as plots
from nuisflow.report.plots import style
from nuisflow.report.review import classifiers
from nuisflow.settings.checks import reading
from nuisflow.slices import report

TRAININGS = {"nominal": {"strategy": "nominal"}, "trees": {"strategy": "boosted_trees", "label": "Trees"}}
SETTINGS = report.plots(reading.check(changed(FLAT, ("trainings", TRAININGS)), "test"))


def table(**changes):
    row = {"seed": 1, "fold": 1, "auc": 0.8, "auc_trained": 0.801, "p_value_signal": 0.3, "p_value_background": 0.4}
    return pd.DataFrame([{"training": "nominal", **row}, {"training": "trees", **row, **changes}])


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, False),
        ({"auc_trained": 0.83, "p_value_signal": 1e-6}, True),
        ({"auc_trained": 0.802, "p_value_signal": 1e-6}, False),
        ({"auc_trained": None, "p_value_signal": None, "p_value_background": None}, False),
    ],
    ids=["alike", "over-trained", "established but small", "nothing learnt"],
)
def test_over_training_is_a_caution_where_it_is_established_and_matters(changes, warned):
    found = classifiers.cautions(table(**changes), SETTINGS)
    assert bool(found) == warned
    assert all("Trees" in one.text and "not biased" in one.remedy for one in found)
    rows = classifiers.rows(table(**changes), [], SETTINGS)
    assert [row["off"] for row in rows] == [False, warned]


def test_the_smallest_p_value_counts_the_number_of_tests():
    (_, row) = classifiers.rows(table(p_value_signal=0.2), [], SETTINGS)
    assert row["p_value"] == "0.400"


def test_figures_of_a_training_without_networks_or_without_signal_are_drawn():
    shares = [[0.5, 0.5], [0.1, 0.1]]
    one = {"training": "nominal", "seed": 1, "auc": None, "roc": None, "held_out": [shares, shares], "trained": None}
    one |= {"points": None, "points_calibrated": None, "networks": [{"held_out": None, "seen": None}]}
    curve = [[0, 0.1, 1], [0, 0.8, 1]]
    full = one | {"training": "trees", "roc": curve, "trained": [shares, shares]}
    full |= {"networks": [{"held_out": curve, "seen": curve}] * 2}
    full |= {"points": [[0.2, 0.8], [0.25, 0.7], [0.02, 0.02]], "points_calibrated": [[0.2], [0.2], [0.1]]}
    with style.applied():
        for figure in (plots.compared([one, full], SETTINGS), plots.training([one], SETTINGS), plots.training([full], SETTINGS)):  # fmt: skip
            figure.canvas.draw()
        roc = plots.training([full, full | {"seed": 2}], SETTINGS).axes[1]
    assert [text.get_text() for text in roc.get_legend().get_texts()] == ["held out (4)", "seen in training (4)"]
    assert len(roc.lines) == 8


def test_networks_stand_one_by_one_in_the_order_of_the_configuration():
    more = pd.concat([table(fold=2), table(auc_trained=None, p_value_signal=None), table(seed=2, auc_trained=0.79)])
    found = classifiers.networks(more, SETTINGS)
    assert [row["label"] for row in found["rows"]] == ["nominal"] * 3 + ["Trees"] * 3
    assert [row["cells"][:2] for row in found["rows"][3:]] == [["1", "1"], ["1", "2"], ["2", "1"]]
    assert found["rows"][3]["cells"][2:] == ["0.8000", "–", "–", "–", "0.400"]
    assert found["rows"][5]["cells"][3:5] == ["0.7900", "−0.0100"]
    assert classifiers.networks(pd.concat([more] * 30), SETTINGS)["left"] == 80


def test_features_are_ranked_by_importance_beside_what_moves_them():
    losses = [("nominal", 1, "pt", 0.010), ("nominal", 2, "pt", 0.014), ("trees", 1, "pt", 0.02), ("trees", 1, "eta", 0.1), ("nominal", 1, "eta", 0.0)]  # fmt: skip
    frame = pd.DataFrame(losses, columns=["training", "seed", "feature", "auc_lost"])
    contents = {"signal": {"features": [{"feature": "pt", "shapes": {"scale": [0.5, 2.0], "rate": [0.1, 0.1]}}]}}
    found = classifiers.importance(frame, contents, SETTINGS)
    assert found["names"] == ["nominal", "Trees"]
    assert [row["feature"] for row in found["rows"]] == ["eta", "pt"]
    assert found["rows"][1]["cells"] == ["12.0 ± 2.8", "20.0"]
    assert found["rows"][1]["moved"] == "scale (2)"
    assert classifiers.importance(None, {}, SETTINGS) is None

"""Tests of what a held-out alternative says about trainings that know a two-point variation."""

import numpy as np
import pandas as pd
import pytest

from nuisflow.comparison import held_out, trainings
from nuisflow.report.held_out import cautions, rows
from nuisflow.slices.report import ComparisonSettings, PlotSettings

TRAININGS = {"nominal": ("Nominal", "nominal"), "adversarial": ("Adversarial", "adversarial")}


def settings(**changes):
    content = {
        "signal": "s",
        "trainings": TRAININGS,
        "seeds": 4,
        "folds": 2,
        "samples": {},
        "regions": (),
        "scored": (),
        "held_out": {"generator": ("generator_held_out", ("generator_a", "generator_b"))},
    }
    return ComparisonSettings.model_validate(content | changes)


def words():
    content = {"processes": {}, "regions": {}, "plots": {}, "poi": "mu", "blinded": False}
    labels = {"trainings": {name: label for name, (label, _) in TRAININGS.items()}}
    return PlotSettings.model_validate(content | labels | {"variations": {"generator": "Z generator"}})


def impacts(**sizes):
    """Return impacts of both nuisance parameters: *sizes* of the second, and 3/4 of it of the first."""
    rows = [
        {"training": name, "seed": seed, "data": data, "parameter": parameter} | {"impact_up": up, "impact_down": -up}
        for name, size in sizes.items()
        for seed, scatter in enumerate((0.0, 0.001, -0.001, 0.002), start=1)
        for data in ("asimov", "observed")
        for parameter, part in (("generator_a", 0.6), ("generator_b", 0.8), ("tes", 5.0))
        for up in [part * (size + scatter) * (1 if data == "asimov" else 100)]
    ]
    return pd.DataFrame(rows)


def coverage(**biases):
    rows = [
        {"training": name, "seed": seed, "mu_true": 1.0, "variation": "generator", "point": "generator_held_out"}
        | {"z": 0.0, "asimov_mu": 1 + bias + scatter, "asimov_low": bias + scatter, "asimov_high": bias + 2 + scatter}
        for name, bias in biases.items()
        for seed, scatter in enumerate((0.0, 0.002, -0.002, 0.001), start=1)
    ]
    return pd.DataFrame(rows)


def table(apparent, bias, **changes):
    found = held_out.table(
        impacts(nominal=0.2, adversarial=apparent), coverage(nominal=-0.3, adversarial=bias), settings(**changes)
    )
    return found.set_index("training")


def test_the_apparent_uncertainty_is_the_impact_of_all_its_parameters_in_quadrature():
    found = table(0.1, -0.3)
    assert found.loc["nominal", "apparent"] == pytest.approx(np.median([0.2, 0.201, 0.199, 0.202]))
    assert found.loc["adversarial", "apparent_relative"] == pytest.approx(0.1005 / 0.2005 - 1)
    assert found["sigma"].tolist() == pytest.approx([1.0, 1.0])
    expected = trainings.difference(np.array([0.1, 0.101, 0.099, 0.102]), np.array([0.2, 0.201, 0.199, 0.202]))
    assert found.loc["adversarial", "apparent_significance"] == pytest.approx(expected.significance)


@pytest.mark.parametrize(
    ("apparent", "bias", "flagged"),
    [
        (0.1, -0.3, True),  # looks away from the two samples, and errs as before
        (0.1, 0.3, True),  # to whichever side
        (0.1, -0.1, False),  # the gain is real
        (0.2, -0.3, False),  # nothing has changed
        (0.3, -0.5, False),  # worse, and says so
    ],
)
def test_a_training_is_flagged_if_only_its_apparent_uncertainty_drops(apparent, bias, flagged):
    found = table(apparent, bias)
    assert found["flagged"].tolist() == [False, flagged]
    lines = [line for caution in cautions(found.reset_index(), words()) for line in caution.details]
    named = [line for line in lines if line.startswith("Adversarial: its uncertainty from Z generator is")]
    assert len(named) == flagged


def test_a_variation_that_does_not_span_the_third_alternative_is_named_once():
    (caution,) = cautions(table(0.2, -0.4).reset_index(), words())
    assert caution.text.startswith("Two samples do not span the third: on the held-out alternative μ is biased")
    assert caution.text.endswith("whatever the training: Z generator (bias 0.30 or more, claimed 0.20).")
    assert not cautions(table(0.5, -0.4).reset_index(), words())


def test_a_drop_that_seeds_do_not_establish_is_not_flagged():
    wide = impacts(nominal=0.2, adversarial=0.17)
    mine = (wide["training"] == "adversarial") & (wide["seed"] == 1)
    wide["impact_up"] *= np.where(mine, 4.0, 1.0)
    found = held_out.table(wide, coverage(nominal=-0.3, adversarial=-0.3), settings())
    assert not found["flagged"].any()


def test_the_reference_is_the_nominal_strategy_or_else_the_first_training():
    others = {"adversarial": ("Adversarial", "adversarial"), "nominal": ("Nominal", "nominal")}
    assert set(table(0.1, -0.3, trainings=others)["reference"]) == {"nominal"}
    without = {name: (label, "adversarial") for name, (label, _) in others.items()}
    assert set(table(0.1, -0.3, trainings=without)["reference"]) == {"adversarial"}


def test_the_report_says_what_is_the_reference_and_marks_a_bias_beyond_the_apparent_uncertainty():
    shown = rows(table(0.4, -0.3).reset_index(), words())
    assert [row["bias_relative"] == "reference" for row in shown] == [True, False]
    assert [row["exceeded"] for row in shown] == [True, False]


def test_without_held_out_samples_there_is_no_row():
    found = held_out.table(impacts(nominal=0.2), coverage(nominal=0.1), settings(held_out={}))
    assert list(found.columns) == list(held_out.COLUMNS)
    assert not len(found)


def test_an_impact_that_was_not_found_is_not_a_small_apparent_uncertainty():
    """The fit with one parameter held failed, for every seed but the first."""
    moved = impacts(nominal=0.2, adversarial=0.2)
    lost = (moved["training"] == "adversarial") & (moved["parameter"] == "generator_b") & (moved["seed"] > 1)
    moved.loc[lost, ["impact_up", "impact_down"]] = np.nan
    found = held_out.table(moved, coverage(nominal=-0.3, adversarial=-0.3), settings()).set_index("training")
    assert found.loc["adversarial", "apparent"] == pytest.approx(0.2)
    assert not found.loc["adversarial", "flagged"]

"""The table at the end of a run."""

import numpy as np
import pandas as pd

from nuisflow.report import terminal

COVERED = ["coverage", "coverage_error"]


def table(*rows):
    return pd.DataFrame(rows, columns=["rank", "label", "data", "sigma", "relative", "significance", *COVERED])


ROWS = (
    (1, "Adversarial", "asimov", 0.2583, 0.0, 0.0, 0.6828, 0.005),
    (2, "Nominal", "asimov", 0.2700, 0.0453, 3.4, 0.62, 0.005),
    (3, "Trees", "asimov", 0.2900, 0.1227, np.nan, np.nan, np.nan),
    (1, "Nominal", "observed", 0.3000, 0.0, 0.0, 0.62, 0.005),
)


def test_every_training_has_a_line_with_its_uncertainty_whether_it_holds_and_how_sure_the_difference_is():
    assert terminal.lines(table(*ROWS)) == [
        "rank  training     sigma  coverage           to the best  really worse?",
        "1     Adversarial  0.258  68.3 %",
        "2     Nominal      0.270  62.0 % too narrow  +4.5 %       established (3.4 sd)",
        "3     Trees        0.290  –                  +12.3 %      undecided",
    ]


def test_without_any_converged_fit_there_is_no_table():
    assert terminal.lines(table((1, "Nominal", "asimov", *[np.nan] * 5))) == []

"""Calibration of the score of one network: its isotonic regression on validation events, made strictly ascending."""

from typing import NamedTuple

import numpy as np

KEPT = 0.01
"""Part of the score itself in a calibrated one, which orders the events that the regression makes equal.

A regression ascends in steps, and bins cannot cut a step. What this part adds is 1 % of what the calibration mends.
"""


class Calibration(NamedTuple):
    """Lines between knots: *values*, shape (knots,), stand for *scores*, from 0 to 1; both ascend strictly."""

    scores: np.ndarray
    values: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return the calibrated *scores*, of any shape."""
        return np.asarray(np.interp(scores, self.scores, self.values))

    def undone(self, values: np.ndarray) -> np.ndarray:
        """Return the scores that calibrated *values* stand for."""
        return np.asarray(np.interp(values, self.values, self.scores))


def measured(scores: np.ndarray, signal: np.ndarray, weights: np.ndarray) -> Calibration:
    """Return the calibration of the *scores* of events, each of shape (events,); *signal*: 1 or 0, *weights* from 0 on.

    The share of signal by isotonic regression (Zadrozny and Elkan, doi:10.1145/775047.775151) with lines between its
    steps. Events of equal score count as one; beyond all events the regression is constant.
    """
    knots, place = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    total = np.bincount(place, weights)
    filled = total > 0
    knots, total, shares = knots[filled], total[filled], np.bincount(place, weights * signal)[filled]
    steps = regression(shares / total, total)
    turns = np.flatnonzero(np.diff(steps, prepend=-1.0) + np.diff(steps, append=2.0))  # the two ends of every step
    knots, steps = knots[turns], steps[turns]
    ends = np.concatenate([[0.0], knots[(knots > 0) & (knots < 1)], [1.0]])
    return Calibration(ends, (1 - KEPT) * np.interp(ends, knots, steps) + KEPT * ends)


def regression(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the ascending values with the least weighted squares to *values*, in their order."""
    from scipy import optimize

    return np.asarray(optimize.isotonic_regression(values, weights=weights).x)

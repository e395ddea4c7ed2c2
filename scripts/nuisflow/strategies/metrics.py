"""Numbers that say how well a classifier separates."""

import numpy as np


def area_under_curve(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the probability that a signal event scores higher than a background event; ties count half.

    Negative weights count as they are; nan without signal or without background.
    """
    labels = np.asarray(labels, dtype=bool)
    _, index = np.unique(scores, return_inverse=True)
    signal = np.bincount(index, weights * labels)
    background = np.bincount(index, weights * ~labels)
    if not (signal.sum() > 0 and background.sum() > 0):
        return np.nan
    return area_of_bins(signal, background)


def area_of_bins(signal: np.ndarray, background: np.ndarray) -> float:
    """Return the area under the ROC curve from the contents of bins of the score; in one bin, all are ties."""
    below = np.cumsum(background) - 0.5 * background
    return float(signal @ below / (signal.sum() * background.sum()))

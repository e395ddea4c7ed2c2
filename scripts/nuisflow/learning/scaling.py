"""Features with mean 0 and deviation 1, as networks like them."""

from typing import NamedTuple

import numpy as np


class Scaling(NamedTuple):
    """Shift and scale of every feature; *missing* is the value that stands for 'undefined' (None: there is none)."""

    mean: np.ndarray
    deviation: np.ndarray
    missing: float | None

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return *features*, shape (events, features), with mean 0 and deviation 1; undefined values become the mean.

        ASSUME: which values are undefined is known to a network from other features, such as the number of jets.
        """
        scaled = (features - self.mean) / self.deviation
        if self.missing is not None:
            scaled[features == np.float32(self.missing)] = 0
        return np.asarray(scaled, dtype=np.float32)


def identity(features: int) -> Scaling:
    """Return the scaling that changes nothing."""
    return Scaling(np.zeros(features, np.float32), np.ones(features, np.float32), None)


def measured(features: np.ndarray, weights: np.ndarray, undefined: float | None) -> Scaling:
    """Return the scaling by the weighted mean and standard deviation of the defined values of every feature.

    A feature that never changes keeps deviation 1, so that it becomes 0.
    """
    mean, deviation = np.zeros(features.shape[1]), np.ones(features.shape[1])
    # One feature at a time: all of them as float64 are twice the memory of the events. Its numbers do not stand side by
    # side, so that products are summed in the same order, to the last bit, as in a matrix of several features.
    values = np.empty((len(features), 2))[:, 0]
    for index in range(features.shape[1]):
        values[:] = features[:, index]
        defined = weights * (values != np.float32(undefined)) if undefined is not None else weights
        if total := defined.sum():
            mean[index] = np.dot(defined, values) / total
            spread = np.sqrt(np.dot(defined, (values - mean[index]) ** 2) / total)
            deviation[index] = spread if spread > 1e-6 * abs(mean[index]) else 1.0
    return Scaling(mean.astype(np.float32), deviation.astype(np.float32), undefined)

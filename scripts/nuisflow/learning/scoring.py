"""How events are scored, whoever scores them: in blocks of equal size, by the network of their fold."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from nuisflow.learning import batches
from nuisflow.slices.training import Scoring

Columns = Mapping[str, np.ndarray]
Ask = Callable[[int, np.ndarray], np.ndarray]
"""What gives the answers of the network of a fold about `BLOCK` events, shape (events, features)."""
BLOCK = 4096


class TrainingError(ValueError):
    """A training that failed, or a model that does not fit the events."""


def check(settings: Scoring, features: Sequence[str], folds: int) -> None:
    """Raise `TrainingError` if a model of these *features* and *folds* was not trained for the events to score."""
    if tuple(settings.features) != tuple(features) or settings.folds != folds:
        raise TrainingError(
            f"the model was trained on {folds} folds and the features {', '.join(features)}, but "
            f"the configuration has {settings.folds} folds and {', '.join(settings.features)}; train again"
        )


def answers(columns: Columns, features: Sequence[str], folds: int, ask: Ask, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Return what *ask* answers about every event of *columns* (the *features* and ``entry``), *shape* per event.

    An event is scored by the network of its fold, which was trained without it. The answer does not depend on the other
    events: all blocks have the same size, the last one is padded.
    """
    found = np.empty((len(columns["entry"]), *shape), dtype=np.float32)
    padded = np.zeros((BLOCK, len(features)), dtype=np.float32)
    for fold, rows in _blocks(columns["entry"], folds):
        for index, name in enumerate(features):
            padded[: len(rows), index] = columns[name][rows]
        padded[len(rows) :] = 0
        found[rows] = ask(fold, padded)[: len(rows)]
    return found


def _blocks(entry: np.ndarray, folds: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of every fold, at most `BLOCK` at once."""
    membership = batches.fold(entry, folds)
    for fold in range(folds):
        rows = np.flatnonzero(membership == fold)
        for start in range(0, len(rows), BLOCK):
            yield fold, rows[start : start + BLOCK]

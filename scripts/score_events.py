"""Give every selected event, of every variation and sample, the score of one trained classifier."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nuisflow.events import parallel
from nuisflow.learning import plain, scoring
from nuisflow.settings import configuration
from nuisflow.slices.training import Scoring
from nuisflow.storage import event_files, logs

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier

Score = Callable[[dict[str, np.ndarray]], np.ndarray]


def score_events(
    model: Path,
    events: list[Path],
    scores: Path,
    *,
    settings: dict[str, Any],
    dask: dict[str, Any],
    device: str = "auto",
) -> None:
    """Score the files *events*, ``<variation>/<sample>.parquet``, in their order and that of their rows."""
    chosen, trained, score = configuration.Dask.model_validate(dask), *load(model, device)
    scoring.check(Scoring.model_validate(settings), trained.features, len(trained.folds))
    pieces = [(path, start) for path in events for start in range(0, event_files.count_rows(path), chosen.chunk_size)]
    work = functools.partial(score_piece, features=trained.features, score=score, size=chosen.chunk_size)
    scored = parallel.ordered_map(work, pieces, chosen)
    variations = list(dict.fromkeys(path.parent.name for path in events))
    samples = list(dict.fromkeys(path.stem for path in events))
    parts = (
        {
            "variation": np.full(len(values), variations.index(path.parent.name), np.int16),
            "sample": np.full(len(values), samples.index(path.stem), np.int16),
            "score": values,
        }
        for (path, _), values in zip(pieces, scored, strict=True)
    )
    event_files.write_event_parts(scores, parts, {"variation": variations, "sample": samples})


def load(model: Path, device: str) -> "tuple[plain.Plain | Classifier, Score]":
    """Return the classifier in *model* and what gives scores: without torch where it can be done without.

    Then a GPU is used only if it is asked for.
    """
    if device != "cuda" and (found := plain.load(model)):
        return found, found.score
    from nuisflow.learning import classifier

    where = classifier.device(device)
    trained = classifier.Classifier.load(model).to(where)
    return trained, functools.partial(score_by_torch, trained=trained, where=where)


def score_by_torch(columns: dict[str, np.ndarray], trained: "Classifier", where: str) -> np.ndarray:
    """Return the scores of *columns*, made by one thread."""
    import torch

    torch.set_num_threads(1)  # jobs and workers run side by side; the setting holds for one thread
    return trained.score(columns, where)


def score_piece(piece: tuple[Path, int], features: Sequence[str], score: Score, size: int) -> np.ndarray:
    """Return the scores of at most *size* rows, reading only the columns that the classifier needs."""
    path, start = piece
    return score(event_files.read_rows(path, [*features, "entry"], start, start + size))


if __name__ == "__main__":
    with logs.job(snakemake):
        score_events(
            Path(snakemake.input.model),
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.output.scores),
            settings=snakemake.params.settings,
            dask=snakemake.config.get("dask", {}),
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )

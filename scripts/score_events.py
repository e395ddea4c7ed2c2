"""Give every selected event, of every variation and sample, the score of one trained classifier."""

import nuisflow  # noqa: F401, I001  first: it says with how many threads numpy multiplies

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.events import parallel
from nuisflow.learning import plain, scoring
from nuisflow.settings import configuration
from nuisflow.slices.training import Scoring
from nuisflow.storage import event_files, logs

Score = Callable[[scoring.Columns], np.ndarray]


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
    chosen, trained, score = configuration.Dask.model_validate(dask), *plain.scorer(model, device)
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

"""Judge what every classifier knows beside the measurement: separation, over-training, calibration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import classifiers
from nuisflow.comparison.trainings import by_run
from nuisflow.learning import plain
from nuisflow.progress import progress
from nuisflow.slices.review import JudgementSettings
from nuisflow.storage import files, logs


def judge_trainings(
    models: Sequence[Path],
    scores: Sequence[Path],
    events: Sequence[Path],
    outputs: dict[str, Path],
    *,
    settings: dict[str, Any],
) -> None:
    """Judge all *models* and their *scores*: write the *outputs* table (networks), curves and importance (runs)."""
    chosen = JudgementSettings.model_validate(settings)
    samples = {path.stem: path for path in events}
    trained = by_run(models)
    rows, found, losses = [], [], []
    for run, path in progress(by_run(scores).items(), "classifiers", len(scores)):
        held, known, before = classifiers.held_out(path, samples, chosen), None, None
        if chosen.learns[run.training]:
            classifier, score = plain.scorer(trained[run], "cpu")
            known = classifiers.seen(score, classifier.features, samples, chosen)
            if any(classifier.calibrations):
                before = classifiers.held_out(path, samples, chosen, classifier.calibrations)
            lost = classifiers.importance(score, classifier.features, samples, chosen)
            losses += [run._asdict() | {"feature": name, "auc_lost": loss} for name, loss in lost.items()]
        own, curve = classifiers.judge(run, held, known, chosen, before)
        rows += own
        found.append(curve)
    files.write_rows(outputs["table"], rows)
    files.write_rows(outputs["importance"], losses or [dict.fromkeys(("training", "seed", "feature", "auc_lost"))])
    files.write_json(outputs["curves"], found)


if __name__ == "__main__":
    with logs.job(snakemake):
        judge_trainings(
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("models", "scores", "events")),
            {name: Path(path) for name, path in snakemake.output.items()},
            settings=snakemake.params.settings,
        )

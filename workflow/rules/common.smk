"""Import the library, check the configuration and name what the rules fan out over."""

import re
from pathlib import Path

from snakemake.exceptions import WorkflowError

import nuisflow.slices.bootstrap
import nuisflow.slices.conditional
import nuisflow.slices.events
import nuisflow.slices.inference
import nuisflow.slices.report
import nuisflow.slices.reweighting
import nuisflow.slices.scenarios
import nuisflow.slices.training
from nuisflow import datasets, slices
from nuisflow.settings import conditional, points, sections, shipped, tuning
from nuisflow.settings.checks import paths, reading
from nuisflow.storage import failures, logs, runs, sources

is_module = not workflow.modifier.is_main_snakefile()
place = ", ".join(str(path) for path in workflow.configfiles) or "configuration"
if is_module:
    place = f"{place}, module {workflow.modifier.namespace}"
for path in shipped.fetch(config, lambda path: workflow.source_path(f"../../{path}")):
    logger.info(f"{path} is copied here from the workflow")
try:
    for path in workflow.configfiles:
        reading.read(path)  # Snakemake itself drops a key that stands twice
    settings = reading.check(config, place)
    user_files = {
        sample: paths.raw_files(settings, sample) for sample in settings.samples
    }
    data_folder = Path(paths.folder(settings))
    missing_files = paths.missing_files(settings)
except reading.ConfigurationError as error:
    raise WorkflowError(f"The configuration cannot be used:\n{error}") from None

seeds = range(1, settings.learning.seeds + 1)
gpus = int(settings.learning.device == "cuda")


wildcard_constraints:
    sample="|".join(settings.samples),
    variation=r"[a-z][a-z0-9_]*",
    training="|".join(settings.trainings),
    seed=r"[0-9]+",
    reweighting=r"[a-z][a-z0-9_]*",
    region="|".join(settings.regions),


def raw_files(sample: str) -> list[str]:
    """Return the raw files of a sample: simulated or converted ones, or the user's."""
    if user_files[sample] and paths.converted(settings, sample):
        return [f"<results>/raw/{sample}.parquet"]
    return user_files[sample] or [f"<results>/raw/{sample}.root"]


def training_files(training: str) -> list[str]:
    """Return the raw files of all samples that a classifier is trained on."""
    return files_of(slices.training.training_samples(settings, training))


def files_of(samples: list[str]) -> list[str]:
    """Return the raw files of *samples*, one after the other."""
    return [path for sample in samples for path in raw_files(sample)]


def ratio_files(samples: list[str]) -> list[str]:
    """Return the files of the ratios that reweight *samples*."""
    return [path for sample in samples for path in settings.samples[sample].ratios]


def tuned_files(training: str, name: str) -> list[str]:
    """Return the file *name* of the trials of a training; none if it is not tuned."""
    return (
        [f"<results>/trainings/{training}/{name}"] if training in settings.tune else []
    )


def event_files(folders=slices.events.shifted_names) -> list[str]:
    """Return the processed events of all samples: nominal and every shift that acts on them, or other folders."""
    pairs = [(v, s) for s in settings.samples for v in folders(settings, s)]
    return [
        f"<results>/events/{variation}/{sample}.parquet" for variation, sample in pairs
    ]


def each_training(name: str, members: int = 1) -> list[str]:
    """Return the file *name* of every seed of every training of at least *members* members."""
    return collect(
        f"<results>/trainings/{{training}}/seed{{seed}}/{name}",
        training=[t for t, s in settings.trainings.items() if s.members >= members],
        seed=seeds,
    )

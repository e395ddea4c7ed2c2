"""Import the library, check the configuration and name what the rules fan out over."""

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

import nuisflow.slices.bootstrap
import nuisflow.slices.conditional
import nuisflow.slices.events
import nuisflow.slices.inference
import nuisflow.slices.inputs
import nuisflow.slices.report
import nuisflow.slices.review
import nuisflow.slices.reweighting
import nuisflow.slices.scenarios
import nuisflow.slices.studies
import nuisflow.slices.training
import nuisflow.slices.unbinned
from nuisflow import datasets, slices
from nuisflow.settings import conditional, points, sections, shipped
from nuisflow.settings import tuning, unbinned
from nuisflow.settings.checks import paths, reading
from nuisflow.storage import failures, logs, runs, sources


def refused(text):
    """Return an error with this text, which Snakemake does not show with --quiet all."""
    if "-n" not in sys.argv and "--dry-run" not in sys.argv:  # where it does
        failures.show(text, workflow.output_settings.quiet)
    return WorkflowError(text)


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
    shared_files = paths.shared(settings, user_files)
    data_folder = Path(paths.folder(settings))
    missing_files = paths.missing_files(settings)
except reading.ConfigurationError as error:
    raise refused(f"The configuration cannot be used:\n{error}") from None

seeds = range(1, settings.learning.seeds + 1)
gpus = int(settings.learning.device == "cuda")


wildcard_constraints:
    sample="|".join(settings.samples),
    variation=r"[a-z][a-z0-9_]*",
    training="|".join(settings.trainings),
    seed=r"[0-9]+",
    reweighting=r"[a-z][a-z0-9_]*",
    region="|".join(settings.regions),


def raw_files(samples: list[str]) -> list[str]:
    """Return the files of *samples*, the user's or simulated ones: jobs depend on them, though one rule reads them."""
    return [p for s in samples for p in user_files[s] or [f"<results>/raw/{s}.root"]]


def ingested_files(samples: list[str]) -> list[str]:
    """Return the columnar files of *samples* with the columns that trainings may use."""
    return [f"<results>/ingested/main/{sample}.arrow" for sample in samples]


def further_files(samples: list[str]) -> list[str]:
    """Return the columnar files of *samples* with columns that no training uses."""
    return [
        f"<results>/ingested/further/{sample}.arrow"
        for sample in samples
        if "further" in slices.events.parts(settings, sample)
    ]


def origins(samples: list[str]) -> dict:
    """Return what the rows of *samples* follow from: their files in order, and how they are read."""
    code = sources.digest("ingest_events")
    return {
        sample: sections.plain(slices.events.origin(settings, sample))
        | {"files": paths.sized(settings, user_files[sample]), "code": code}
        for sample in samples
    }


def learned_samples(training: str) -> list[str]:
    """Return the samples that a classifier is trained on."""
    return slices.training.training_samples(settings, training)


def compared_samples(reweighting: str) -> list[str]:
    """Return the samples that a reweighting compares."""
    return slices.reweighting.reweighted_samples(settings, reweighting)


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


def reviewed_events(rule: str) -> list[str]:
    """Return the processed events of which a rule of the review asks."""
    pairs = slices.review.needed(settings)[rule]
    return [f"<results>/events/{folder}/{sample}.parquet" for folder, sample in pairs]


def epistemic_files(name: str) -> list[str]:
    """Return a file on the members of all trainings; none without any."""
    return [f"<results>/comparison/{name}"] if slices.review.members(settings) else []


def input_figures() -> list[str]:
    """Return the figures of the features of every region."""
    figures = [f"figures/{feature}" for feature in slices.inputs.figures(settings)]
    return collect(
        "<results>/inputs/regions/{region}/{figure}.svg",
        region=settings.regions,
        figure=[*figures, *slices.inputs.TABLES],
    )

"""Where the results are, and one run at a time on them."""

import os
import sys
from pathlib import Path

from nuisflow.settings import expansions
from nuisflow.storage import logs, memory, runs
from snakemake.io import _IOFile
from snakemake.sourcecache import infer_source_file

results_folder = Path(workflow.pathvars.apply("<results>"))
logs_folder = Path(workflow.pathvars.apply("<logs>"))
origin = [Path(path) for path in workflow.configfiles]
settings = expansions.relocated(settings, str(results_folder))
outside_files = [path for paths in user_files.values() for path in paths]
os.environ[logs.PARENT] = str(os.getpid())  # jobs must not outlive this process

if workflow.modifier.path_modifier.replace_prefix("results/a") != "results/a":
    raise refused(
        f"module {workflow.modifier.namespace}: 'prefix' and 'replace_prefix' would also move the files of the user; "
        'write instead where the results shall be: pathvars: results="my/folder"'
    )
if workflow.is_main_process:
    try:
        note = runs.look_after(
            results_folder, outside_files, logs=logs_folder, surely=not is_module
        )
    except runs.RunError as error:
        raise refused(str(error)) from None
    if note and "--unlock" in sys.argv and runs.is_busy(results_folder):
        raise refused(note)
    if outside_files and "--unlock" not in sys.argv:
        from nuisflow.events import preview  # not in every job

        # In another workflow, a rule of it may make files.
        found = [] if is_module else paths.absent(settings, user_files)
        found += preview.problems(
            settings,
            user_files,
            runs.LOCKS / "nuisflow" / f"{settings.analysis}.files.json",
            sources.digest("ingest_events")
            + sources.digest("process_events", *datasets.code(settings.dataset)),
            logger.info,
        )
        if found:
            raise refused("\n".join(["The files of events cannot be used:", *found]))
    for text in filter(None, (note, runs.confused(results_folder, origin))):
        logger.warning(text)


STAGES = {
    "inference": "templates and fits",
    "inputs": "features",
    "report": "comparison and report",
    "run": "",
}


def stages() -> dict[str, str]:
    """Return for all rules what their jobs belong to, in words (the file of the rules)."""
    files = {
        known.name: infer_source_file(known.snakefile).get_filename()
        for known in workflow.rules
    }
    stems = {name: file.removesuffix(".smk") for name, file in files.items()}
    names = {
        name: STAGES.get(stem, stem.replace("_", " ")) for name, stem in stems.items()
    }
    return {name: words for name, words in names.items() if words and name != "all"}


def begin_run() -> None:
    """Hold the results until this process ends, or stop if another one does."""
    if "CODE" in {trigger.name for trigger in workflow.rerun_triggers}:
        logger.warning(
            "Everything runs again after a mere checkout: without the profile of Nuisflow, say "
            "--rerun-triggers mtime params input software-env"
        )
    try:
        batch = workflow.non_local_exec
        runs.begin(results_folder, outside_files, batch=batch, origin=origin)
    except runs.RunError as error:
        raise refused(str(error)) from None
    if not batch:
        # Its timers, one more after every job, have Snakemake look at all jobs a dozen times a second: 80 s of a default
        # run on two cores. The processors are the limit here.
        workflow.scheduler.job_rate_limiter = None
    _IOFile.checksum = memory.hashed_once(_IOFile.checksum)


def also(first, then):
    """Return a handler that calls two, one after the other."""
    return lambda log: (first(log), then())


if is_module:  # whose 'onstart' Snakemake does not call
    workflow._onstart = also(workflow._onstart, begin_run)

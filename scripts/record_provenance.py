"""Record what made the results: the configuration, and an RO-Crate of all jobs, files, checksums and software."""

import logging
from pathlib import Path
from typing import Any

import yaml

from nuisflow.storage import crates, files
from nuisflow.storage.logs import job


def record_provenance(
    report: Path, crate: Path, configuration: Path, logs: Path, *, content: dict[str, Any], title: str
) -> None:
    """Write the configuration *content* and the crate of everything that *report* follows from, by *logs*."""
    files.write_text(configuration, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
    found = crates.gather(crate.parent, str(report), title, logs)
    if lost := crates.without_record(found):
        logging.warning("%d files without a record of what made them: %s", len(lost), ", ".join(lost[:10]))
    files.write_json(crate, crates.describe(found, configuration))


if __name__ == "__main__":
    with job(snakemake):
        record_provenance(
            Path(snakemake.input.report),
            Path(snakemake.output.crate),
            Path(snakemake.output.configuration),
            Path(snakemake.log[0]).parent,
            content=snakemake.config,
            title=snakemake.params.title,
        )

"""Record what made the results: the configuration, and an RO-Crate of all jobs, files, checksums and software."""

import logging
from pathlib import Path
from typing import Any

import yaml

from nuisflow.storage import crates, files, logs


def record_provenance(report: Path, crate: Path, configuration: Path, *, content: dict[str, Any], title: str) -> None:
    """Write the configuration *content* and the crate of everything that *report* follows from."""
    files.write_text(configuration, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
    found = crates.gather(crate.parent, str(report), title)
    if lost := crates.without_record(found):
        logging.warning("%d files without a record of what made them: %s", len(lost), ", ".join(lost[:10]))
    files.write_json(crate, crates.describe(found, configuration))


if __name__ == "__main__":
    with logs.job(snakemake):
        record_provenance(
            Path(snakemake.input.report),
            Path(snakemake.output.crate),
            Path(snakemake.output.configuration),
            content=snakemake.config,
            title=snakemake.params.title,
        )

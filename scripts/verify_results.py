"""Compare all files of an analysis with the checksums in its RO-Crate: python scripts/verify_results.py FOLDER."""

import argparse
import logging
import sys
from pathlib import Path

from nuisflow.progress import progress
from nuisflow.storage import crates, files


def verify_results(folder: Path) -> list[crates.Difference]:
    """Return the files that are not what the crate in *folder* says."""
    described = crates.files_of(folder)
    found = (crates.difference(*one) for one in progress(described, "files", len(described)))
    return [difference for difference in found if difference is not None]


def main() -> int:
    """Say what differs, and how to mend it; return 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="results/<analysis>")
    folder = parser.parse_args().folder
    if not (folder / crates.METADATA).is_file():
        print(f"{folder / crates.METADATA}: no such file; run the analysis to its end first")
        return 1
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        different = verify_results(folder)
    except files.FileError as error:
        print(error)
        return 1
    for difference in different:
        print(f"{difference.path} {difference.reason}")
    if different:
        print(f"{len(different)} files differ: delete them and run the analysis again; what follows is remade")
    else:
        print(f"All {len(crates.files_of(folder))} files are what {folder / crates.METADATA} says")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())

"""Files that are shipped with the workflow and named in a configuration, for runs in other folders than its own."""

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nuisflow.storage import disks

_SHIPPED = re.compile(r"config/(published|examples)/\w+\.(csv|py)")

logger = logging.getLogger(__name__)


def missing(content: Any) -> list[str]:
    """Return the shipped files that a configuration names and that are not in the folder of the run."""
    return sorted({text for text in _texts(content) if _SHIPPED.fullmatch(text) and not Path(text).exists()})


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts(part)


def fetch(content: Any, source: Callable[[str], str]) -> list[str]:
    """Copy the `missing` files into the folder of the run, from where *source* has them; return those that were there.

    They keep their names: what runs again does not depend on where the workflow comes from.
    """
    copied = []
    for path in missing(content):
        try:
            text = Path(source(path)).read_bytes()
        except Exception as error:  # Snakemake's, of many kinds; what checks the configuration names the file
            logger.debug("%s is not shipped: %s", path, error)
            continue
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with disks.replacing(Path(path)) as temporary:
            temporary.write_bytes(text)
        copied.append(path)
    return copied

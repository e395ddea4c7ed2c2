"""What to say about a name that is not known, or that stands twice; and the names of nuisance parameters."""

import difflib
from collections.abc import Collection, Iterator

LUMINOSITY = "lumi"
"""The name that pyhf's schema gives to the luminosity parameter."""


def suggest(name: str, allowed: Collection[str]) -> str:
    """Return 'did you mean …?' for a close name, else the allowed ones."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(allowed) or 'none'}"


def duplicates(names: Collection[str], place: str) -> Iterator[str]:
    """Yield a line for every name that stands at *place* for the second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{place}: {name!r} is there twice; remove one"
        seen.add(name)


def parameter(name: str, kind: str, decorrelate: Collection[str], process: str, region: str) -> str:
    """Return the nuisance parameter of the variation *name* for one process in one region.

    HistFactory fixes the name of the luminosity's; a decorrelated variation has one for every process or region.
    """
    if kind == "luminosity":
        return LUMINOSITY
    parts = {"process": process, "region": region}
    return "_".join([name, *(part for key, part in parts.items() if key in decorrelate)])

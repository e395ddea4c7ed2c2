"""What to say about a name that is not known, or that stands twice."""

import difflib
from collections.abc import Collection, Iterator


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

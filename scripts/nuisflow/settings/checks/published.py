"""Published events: what their files cannot tell, and what a configuration must say about them."""

from collections.abc import Iterator

from nuisflow import datasets, expressions
from nuisflow.settings.configuration import Configuration, FileDataset
from nuisflow.settings.systematics import Shift


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what does not agree, one line each."""
    if isinstance(settings.dataset, FileDataset):
        for name, sample in settings.samples.items():
            if sample.expected is not None and sample.weight is not None:
                yield f"samples.{name}: 'expected' scales the published weights; remove it or 'weight'"
        for name, download in settings.dataset.download.items():
            if download.sha256 and download.md5:
                yield f"dataset.download.{name}: give one checksum, sha256 or md5"
    yield from _fixed(settings)
    yield from _soft_term(settings)


def _fixed(settings: Configuration) -> Iterator[str]:
    """Yield the uses of columns that cannot be computed anew after a shift."""
    shifts = [name for name, variation in settings.variations.items() if isinstance(variation, Shift)]
    fixed = getattr(datasets.MODULES[settings.dataset.kind], "FIXED", ())
    if not shifts or not fixed:
        return
    uses = {f"features.{index}": feature for index, feature in enumerate(settings.features)}
    uses |= {f"derived.{name}": expression for name, expression in settings.derived.items()}
    uses |= {"selection": settings.selection or ""}
    for name, region in settings.regions.items():
        uses |= {f"regions.{name}.selection": region.selection or "", f"regions.{name}.observable": region.observable}
    for place, expression in uses.items():
        for column in sorted(_names(expression).intersection(fixed)):
            yield (
                f"{place}: {column!r} cannot be computed again where the shift {shifts[0]!r} changes an event; leave "
                f"it out, or remove the shifts ({', '.join(shifts)})"
            )


def _names(expression: str) -> set[str]:
    try:
        return set(expressions.names(expression)) if expression else set()
    except expressions.ExpressionError:
        return set()  # said elsewhere


def _soft_term(settings: Configuration) -> Iterator[str]:
    """Yield the shifts of a soft term that the nominal events do not have."""
    for name, variation in settings.variations.items():
        shift = variation.shift if isinstance(variation, Shift) else None
        if shift == "soft_met" and not getattr(settings.dataset, "soft_term", True):
            yield f"variations.{name}: soft_met varies a noise that the events lack; write dataset.soft_term: true"

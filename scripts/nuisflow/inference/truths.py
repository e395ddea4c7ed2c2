"""True points and what one workspace makes of them: pseudo-experiments, and the fit to the expectation itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import ToySettings
from nuisflow.storage import event_files
from nuisflow.templates import displacements
from nuisflow.templates.histograms import Histogram

SIGNAL = 1.0
"""Strength of the signal at displaced points: that of the events."""
WORDS = {"true": "mu_true", "number": "toys", "interval": "mean_width"}


class Truth(NamedTuple):
    """One true point: the values of parameters there, and the expected main data (None: those of the model)."""

    values: dict[str, float]
    number: int
    variation: str | None = None
    point: str | None = None
    z: float = 0.0
    expected: Floats | None = None


def listed(model: Model, histograms: Mapping[str, Histogram], settings: ToySettings) -> list[Truth]:
    """Return the true strengths of the signal, then the displaced points, whose expectation is in *histograms*.

    Rates and the luminosity are exact in every model: they get no pseudo-experiments.
    """
    points = [
        Truth(
            values={settings.poi: SIGNAL} | {name: point.value for name in point.parameters if name in model.names},
            number=settings.toys.displaced_number if point.factor is None else 0,
            variation=point.variation,
            point=name,
            z=point.z,
            expected=displacements.expectation(histograms, name, model.channels),
        )
        for name, point in settings.displaced.items()
    ]
    return [Truth({settings.poi: value}, settings.toys.number) for value in settings.toys.truths] + points


def throw(model: Model, truth: Truth, settings: ToySettings) -> toys.Toys | None:
    """Fit pseudo-experiments at one true point; auxiliary data fluctuate around the true values."""
    if not truth.number:
        return None
    names = ("throw_toys", settings.name, settings.repetition, truth.point or truth.values[settings.poi])
    return toys.run(model, truth.values, truth.number, settings.seed, *names, expectation=truth.expected)


def write(path: Path, found: Sequence[tuple[Truth, toys.Toys]]) -> None:
    """Write one row per pseudo-experiment with the name of its ``point`` (none at nominal), as Parquet."""
    names = list(dict.fromkeys(truth.point for truth, _ in found if truth.point is not None))
    places = [-1 if truth.point is None else names.index(truth.point) for truth, _ in found]
    parts = (
        thrown._asdict() | {"point": np.full(truth.number, place)}
        for (truth, thrown), place in zip(found, places, strict=True)
    )
    event_files.write_event_parts(path, parts, {"point": names})


def summary(model: Model, truth: Truth, thrown: toys.Toys | None) -> dict[str, Any]:
    """Return the coverage at one true point and the fit to its Asimov data, ready for JSON: None where there is none.

    Asimov data have nominal auxiliary data at displaced points too: the calibration says 0, and nature is elsewhere.
    """
    return described(truth, model.poi, thrown) | asimov(model, truth)


def described(truth: Truth, poi: str, thrown: toys.Toys | None) -> dict[str, Any]:
    """Return the place of one true point and the coverage there, ready for JSON: None where there is none."""
    found: dict[str, Any] = dict.fromkeys(toys.Coverage._fields)
    found |= {"true": truth.values[poi]} | dict.fromkeys(("number", "failed", "unbounded", "limited", "pulls"), 0)
    found = found if thrown is None else toys.coverage(thrown)._asdict()
    place = {"variation": truth.variation, "point": truth.point, "z": truth.z}
    return place | {WORDS.get(name, name): _finite(value) for name, value in found.items()}


def asimov(model: Model, truth: Truth) -> dict[str, float | None]:
    """Return best fit and interval of the parameter of interest on the expected data of one true point."""
    data = model.asimov({model.poi: truth.values[model.poi]})
    if truth.expected is not None:
        data[: model.bins] = truth.expected
    result = fits.fit(model, data)
    found = fits.interval(model, data, result=result)
    values = (found.value, found.low, found.high) if result.converged else (None,) * 3
    return {f"asimov_{name}": _finite(value) for name, value in zip(("mu", "low", "high"), values, strict=True)}


def _finite(value: Any) -> Any:
    """Return *value*, or None (null in JSON) for what is no number."""
    return None if value is None or not np.isfinite(value) else value

"""From events to their densities, and to what is common to all: yields, means of the responses, parameters."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nuisflow import names
from nuisflow.events.scored_events import TemplateError
from nuisflow.learning import batches
from nuisflow.settings.points import STANDARD
from nuisflow.settings.systematics import FreeRate, Luminosity, Rate
from nuisflow.settings.unbinned import LEARNED, NOMINAL
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import event_files
from nuisflow.templates import polynomials
from nuisflow.templates.histograms import DATA

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier
    from nuisflow.strategies.unbinned import Unbinned

Columns = dict[str, np.ndarray]
BLOCK = 50_000
"""Events that are evaluated at once."""
WIDEST = 10
"""Bound of the luminosity parameter, in standard deviations, as in workspaces."""
RATE_REACH = 5.0
"""Bounds of the nuisance parameters of rates, as in workspaces."""


class Part(NamedTuple):
    """Some events of one sample in one folder, with the outputs of `Classifier.densities`."""

    folder: str
    sample: str
    fold: np.ndarray
    weight: np.ndarray
    values: np.ndarray


def needed(events: Sequence[Path], settings: UnbinnedFilling) -> list[Path]:
    """Return the files of *events* that are read: nominal ones, and where variations show their effect."""
    paths = {(path.parent.name, path.stem): path for path in events}
    wanted = [(folder, sample) for sample in settings.samples for folder in folders(settings, sample)]
    if missing := [f"{folder}/{sample}" for folder, sample in wanted if (folder, sample) not in paths]:
        raise TemplateError(f"events of {', '.join(missing)} are missing; run process_events for them")
    return [paths[key] for key in wanted]


def folders(settings: UnbinnedFilling, sample: str) -> list[str]:
    """Return the folders of events of *sample*: nominal, shifts at +-1, and all displaced points."""
    process, found = settings.samples[sample], {NOMINAL: None}
    for name, variation in settings.variations.items():
        if variation.kind in LEARNED and process in (variation.processes or ()):
            if variation.kind == "shift":
                found |= dict.fromkeys(f"{name}_{side}" for side in STANDARD)
            sides = [key for key, point in settings.displaced.items() if point.variation == name]
            weighted = [f"{name}_{side}" for side in STANDARD] if variation.kind == "weight" else []
            found |= dict.fromkeys(side for side in sides if side not in weighted)
    return list(found)


class Sums:
    """What is added up over events: yields at all points, and moments of the responses in nominal events."""

    def __init__(self, strategy: "Unbinned", settings: UnbinnedFilling) -> None:
        self.strategy, self.settings = strategy, settings
        self.table = polynomials.powers(len(strategy.variations))
        self.groups = [chosen for chosen, _ in polynomials.groups(self.table)]
        nodes = [polynomials.nodes(chosen, len(strategy.variations)) for chosen in self.groups]
        self.ends = np.cumsum([len(part) for part in nodes])
        self.places = _places(strategy, settings)
        self.z = np.concatenate([*nodes, np.array(list(self.places.values())).reshape(-1, len(strategy.variations))])
        shape = settings.folds, len(strategy.processes)
        self.means = np.zeros((*shape, len(self.z)))
        self.slopes = np.zeros((*shape, strategy.outputs - len(strategy.processes)))
        self.events, self.squares = np.zeros(shape), np.zeros(shape)
        self.shares = np.zeros((settings.folds, len(strategy.processes), len(strategy.processes)))
        self.yields: dict[tuple[str, str], float] = {}

    def add(self, folder: str, process: str, weight: np.ndarray) -> None:
        """Count events of a process in a folder."""
        self.yields[folder, process] = self.yields.get((folder, process), 0.0) + float(weight.sum())

    def nominal(self, process: str, part: Part) -> None:
        """Add up the responses of nominal events at all nodes."""
        index, first = self.strategy.processes.index(process), len(self.strategy.processes)
        columns = first + _columns(self.strategy, process)
        monomials = _values(self.strategy.monomials(process), self.z)
        for fold in range(self.settings.folds):
            inside = part.fold == fold
            weight, values = part.weight[inside].astype(np.float64), part.values[inside].astype(np.float64)
            self.events[fold, index] += weight.sum()
            self.squares[fold, index] += (weight**2).sum()
            self.shares[fold, index] += weight @ np.exp(values[:, :first])
            for start in range(0, len(weight), 5000) if len(columns) else ():
                rows = slice(start, start + 5000)
                self.means[fold, index] += weight[rows] @ np.exp(values[rows][:, columns] @ monomials.T)
            self.slopes[fold, index, columns - first] += weight @ values[:, columns]
        if not len(columns):
            self.means[:, index] = self.events[:, index, None]


def _places(strategy: "Unbinned", settings: UnbinnedFilling) -> dict[str, list[float]]:
    """Return the points of the space of z at which there are events, by their folder."""
    found: dict[str, list[float]] = {}
    for axis, name in enumerate(strategy.variations):
        sides = {f"{name}_{side}": z for side, z in STANDARD.items()}
        sides |= {key: point.z for key, point in settings.displaced.items() if point.variation == name}
        found |= {key: [z if k == axis else 0.0 for k in range(len(strategy.variations))] for key, z in sides.items()}
    return found


def _columns(strategy: "Unbinned", process: str) -> np.ndarray:
    """Return the places of the coefficients of a process among all coefficients."""
    sizes = [len(strategy.monomials(name)) for name in strategy.processes]
    index = strategy.processes.index(process)
    return np.arange(sum(sizes[:index]), sum(sizes[: index + 1]))


def _values(monomials: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the *monomials* (terms, variations) at *z* (points, variations), shape (points, terms)."""
    return np.asarray(np.prod(z[:, None, :] ** monomials, axis=2))


def evaluate(
    paths: Iterable[Path], classifier: "Classifier", settings: UnbinnedFilling, sums: Sums, where: str = "cpu"
) -> Iterator[Part]:
    """Yield the densities of all events that are needed one by one, and add up in *sums* what is common to all."""
    for path in paths:
        folder, sample = path.parent.name, path.stem
        process = settings.samples[sample]
        acting = [
            name for name, variation in settings.variations.items()
            if variation.kind == "weight" and folder == NOMINAL and process in (variation.processes or ())
        ]  # fmt: skip
        factors = {f"{name}_{side}": f"factor_{name}_{side}" for name in acting for side in STANDARD}
        columns = ["entry", "weight", *factors.values(), *settings.features]
        wanted = {name: factor for name, factor in factors.items() if name in settings.thrown}
        for read in event_files.read_event_parts(path, columns, {}, BLOCK):
            for name, factor in factors.items():
                sums.add(name, process, read["weight"] * read[factor])
            sums.add(folder, process, read["weight"])
            if folder not in settings.thrown and process != DATA:
                continue
            values = classifier.densities({name: read[name] for name in ("entry", *settings.features)}, where)
            if not np.isfinite(values).all():
                raise TemplateError(f"{path}: the density of some events is NaN or infinite; train again")
            fold = batches.fold(read["entry"], settings.folds).astype(np.int16)
            part = Part(folder, sample, fold, read["weight"], values)
            if folder == NOMINAL and process != DATA:
                sums.nominal(process, part)
            yield part
            for name, factor in wanted.items():
                yield part._replace(folder=name, weight=(read["weight"] * read[factor]).astype(read["weight"].dtype))


def columns(part: Part, folders: Sequence[str], samples: Sequence[str]) -> Columns:
    """Return *part* as columns of a table."""
    size = len(part.weight)
    return {
        "variation": np.full(size, folders.index(part.folder), np.int16),
        "sample": np.full(size, samples.index(part.sample), np.int16),
        "fold": part.fold,
        "weight": part.weight,
    } | {f"d{index}": np.ascontiguousarray(values) for index, values in enumerate(part.values.T)}


# --- what is common to all events -----------------------------------------------------------------------------------


def describe(strategy: "Unbinned", sums: Sums, settings: UnbinnedFilling) -> dict[str, Any]:
    """Return what the likelihood needs besides events, as plain values."""
    processes = [name for name in strategy.processes if sums.yields.get((NOMINAL, name), 0.0) > 0]
    if missing := [name for name in settings.processes if name not in processes and name != DATA]:
        raise TemplateError(f"no events of {', '.join(missing)} in any region: the likelihood has no density of them")
    variations = strategy.variations
    means = sums.means / sums.events[:, :, None]
    return {
        "poi": settings.fit.poi,
        "signal": settings.signal,
        "processes": list(strategy.processes),
        "parameters": _parameters(strategy, settings),
        "linear": _linear(settings),
        "rates": {
            name: {"processes": list(variation.processes or ()), "up": variation.sides[0], "down": variation.sides[1]}
            for name, variation in settings.variations.items()
            if isinstance(variation, Rate)
        },
        "yields": {process: sums.yields[NOMINAL, process] for process in strategy.processes},
        "learned": list(variations),
        "powers": sums.table.tolist(),
        "yield_terms": [_yield_terms(strategy, process, sums).tolist() for process in strategy.processes],
        "norms": [
            [_norm(means[fold, index], sums).tolist() for index in range(len(strategy.processes))]
            for fold in range(settings.folds)
        ],
        "monomials": np.concatenate([strategy.monomials(process) for process in strategy.processes]).tolist(),
        "owners": [process for process in strategy.processes for _ in strategy.monomials(process)],
        "closure": _closure(strategy, sums, means),
    }


def _parameters(strategy: "Unbinned", settings: UnbinnedFilling) -> list[dict[str, Any]]:
    """Return the parameters, that of interest first, named as in workspaces."""
    low, high = settings.fit.bounds
    rows = [{"name": settings.fit.poi, "kind": "signal", "init": 1.0, "lower": low, "upper": high, "width": 0.0}]
    for name, variation in settings.variations.items():
        match variation:
            case FreeRate(bounds=(lower, upper)):
                row = {"name": name, "kind": "free", "init": 1.0, "lower": lower, "upper": upper, "width": 0.0}
            case Luminosity(size=size):
                reach = WIDEST * size
                row = {"name": names.LUMINOSITY, "kind": "luminosity", "init": 1.0, "lower": max(0.0, 1 - reach)}
                row |= {"upper": 1 + reach, "width": size}
            case Rate():
                row = {"name": name, "kind": "rate", "init": 0.0, "lower": -RATE_REACH, "upper": RATE_REACH}
                row |= {"width": 1.0}
            case _ if name in strategy.variations:
                reach = polynomials.REACH
                row = {"name": name, "kind": "learned", "init": 0.0, "lower": -reach, "upper": reach, "width": 1.0}
            case _:
                continue
        rows.append(row)
    return rows


def _linear(settings: UnbinnedFilling) -> dict[str, list[str]]:
    """Return the parameters that are factors on processes."""
    found = {settings.fit.poi: [settings.signal]}
    for name, variation in settings.variations.items():
        if isinstance(variation, FreeRate | Luminosity):
            known = [process for process in variation.processes or () if process in settings.processes]
            found[name if isinstance(variation, FreeRate) else names.LUMINOSITY] = known
    return found


def _yield_terms(strategy: "Unbinned", process: str, sums: Sums) -> np.ndarray:
    """Return the polynomial of ln of the yield of *process* from the points at which it was counted."""
    nominal, points = sums.yields[NOMINAL, process], {}
    for axis, name in enumerate(strategy.variations):
        if name not in strategy.acting[process]:
            continue
        found = {}
        for folder, place in sums.places.items():
            counted = sums.yields.get((folder, process))
            if place[axis] and counted is not None and counted > 0:
                found[place[axis]] = counted / nominal
        if not found:
            raise TemplateError(f"variation {name!r}: no events of {process} at any z: its yield is not known there")
        points[axis] = found
    return polynomials.yields(sums.table, points)


def _norm(means: np.ndarray, sums: Sums) -> np.ndarray:
    """Return the polynomial of ln of the mean response of one process in one fold, from its values at the nodes."""
    found, first = {}, 0
    for chosen, end in zip(sums.groups, sums.ends, strict=True):
        found[chosen], first = np.log(means[first:end]), int(end)
    return polynomials.fitted(sums.table, found)


def _closure(strategy: "Unbinned", sums: Sums, means: np.ndarray) -> dict[str, Any]:
    """Return how far the surrogate is from what is known, without a fit: each is a number that should be small.

    *ratios*: mean of r_p over the reference, minus 1; *response*: largest deviation of the mean response from the
    counted yield, by point; *norms*: that of the polynomials from the means at all nodes within two deviations.
    """
    size = len(strategy.processes)
    whole = sums.shares.sum(axis=0) / sums.events.sum(axis=0)[:, None]
    joined = (sums.means.sum(axis=0) / sums.events.sum(axis=0)[:, None])[:, sums.ends[-1] :]
    response: dict[str, dict[str, float]] = {}
    for place, folder in enumerate(sums.places):
        for index, process in enumerate(strategy.processes):
            counted = sums.yields.get((folder, process))
            if counted is not None and folder.rsplit("_", 1)[0]:
                ratio = counted / sums.yields[NOMINAL, process]
                response.setdefault(process, {})[folder] = float(joined[index, place] / ratio - 1)
    near = np.flatnonzero((np.abs(sums.z[: sums.ends[-1]]) <= 2).all(axis=1))
    basis = polynomials.values(sums.table, sums.z[near])
    apart = 0.0
    for fold in range(len(means)):
        for index in range(size):
            known = np.log(means[fold, index, near])
            apart = max(apart, float(np.abs(basis @ _norm(means[fold, index], sums) - known).max()))
    return {
        "ratios": {name: float(whole[:, index].sum() - 1) for index, name in enumerate(strategy.processes)},
        "response": response,
        "norms": apart,
        "effective_events": {
            name: float(sums.events[:, index].sum() ** 2 / sums.squares[:, index].sum())
            for index, name in enumerate(strategy.processes)
        },
    }

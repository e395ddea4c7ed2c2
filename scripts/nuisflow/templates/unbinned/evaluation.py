"""From events to their densities, and to what is common to all: yields, means of the responses, parameters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nuisflow import names, seeds
from nuisflow.events import parts, scored_events
from nuisflow.events.scored_events import TemplateError
from nuisflow.learning import batches
from nuisflow.settings.points import STANDARD
from nuisflow.settings.systematics import FreeRate, Luminosity, Rate, kept
from nuisflow.settings.unbinned import NOMINAL
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import event_files
from nuisflow.templates import polynomials, workspaces
from nuisflow.templates.histograms import DATA, Histogram, content
from nuisflow.templates.unbinned import checks, parameters

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier
    from nuisflow.strategies.unbinned import Unbinned

Columns = dict[str, np.ndarray]
BLOCK = 50_000
"""Events that are evaluated at once."""
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
    """Return the files of *events* that are read: nominal ones, and where shifts show their effect."""
    shifts = {name: other.processes or () for name, other in settings.variations.items() if other.kind == "shift"}
    wanted = (
        (folder, sample)
        for sample, process in settings.samples.items()
        for folder in _folders(sample, process, shifts, settings)
    )
    return checks.data_last(scored_events.chosen(events, wanted), settings.samples)


def _folders(
    sample: str, process: str, shifts: Mapping[str, Sequence[str]], settings: UnbinnedFilling
) -> Sequence[str]:
    """Return the folders with features of their own; samples of two-point variations are nominal events of theirs."""
    if sample in settings.alternatives:
        shown = settings.alternatives[sample]
        return [NOMINAL] if shown in settings.thrown or _learned(shown, settings) else []
    return scored_events.moved_folders(process, shifts, settings.displaced)


def _learned(point: str, settings: UnbinnedFilling) -> bool:
    """Return whether a point of a two-point variation has a z, at which the yield is counted."""
    two_point = [name for name, variation in settings.variations.items() if variation.kind == "two_point"]
    return point in {f"{name}_{side}" for name in two_point for side in STANDARD}


class Sums:
    """What is added up over events: yields at all points, and moments of the responses in nominal events.

    *replica*: of a bootstrap of the simulation, in which every event counts as often as in the training.
    """

    def __init__(self, strategy: "Unbinned", settings: UnbinnedFilling, replica: int = 0) -> None:
        self.strategy, self.settings, self.replica = strategy, settings, replica
        self.table = polynomials.powers(len(strategy.variations))
        self.groups = [chosen for chosen, _ in polynomials.groups(self.table)]
        nodes = [polynomials.nodes(chosen, len(strategy.variations)) for chosen in self.groups]
        self.ends = np.cumsum([len(part) for part in nodes])
        self.places = _places(strategy, settings)
        self.z = np.concatenate([*nodes, np.array(list(self.places.values())).reshape(-1, len(strategy.variations))])
        shape = settings.folds, len(strategy.processes)
        self.means = np.zeros((*shape, len(self.z)))
        self.events, self.squares = np.zeros(shape), np.zeros(shape)
        self.shares = np.zeros((settings.folds, len(strategy.processes), len(strategy.processes)))
        self.yields: dict[tuple[str, str], float] = {}
        self.support = checks.Support(settings.features)

    def add(self, folder: str, process: str, weight: np.ndarray) -> None:
        """Count events of a process in a folder."""
        self.yields[folder, process] = self.yields.get((folder, process), 0.0) + float(weight.sum())

    def nominal(self, process: str, part: Part) -> None:
        """Add up the responses of nominal events at all nodes."""
        index, first = self.strategy.processes.index(process), len(self.strategy.processes)
        columns = first + _columns(self.strategy, process)
        monomials = polynomials.values(self.strategy.monomials(process), self.z)
        for fold in range(self.settings.folds):
            inside = part.fold == fold
            weight, values = part.weight[inside].astype(np.float64), part.values[inside].astype(np.float64)
            self.events[fold, index] += weight.sum()
            self.squares[fold, index] += (weight**2).sum()
            self.shares[fold, index] += weight @ np.exp(values[:, :first])
            for start in range(0, len(weight), 5000) if len(columns) else ():
                rows = slice(start, start + 5000)
                self.means[fold, index] += weight[rows] @ np.exp(values[rows][:, columns] @ monomials.T)
        if not len(columns):
            self.means[:, index] = self.events[:, index, None]


def _places(strategy: "Unbinned", settings: UnbinnedFilling) -> dict[str, list[float]]:
    """Return the points of the space of z at which there are events, by their folder."""
    found: dict[str, list[float]] = {}
    for axis, name in enumerate(strategy.variations):
        if name in strategy.sides:
            sides = {f"{name}_{side}": z for side, z in STANDARD.items() if z in strategy.sides[name]}
        else:
            sides = {f"{name}_{side}": z for side, z in STANDARD.items()} | _moved(name, settings)
        found |= {key: [z if k == axis else 0.0 for k in range(len(strategy.variations))] for key, z in sides.items()}
    return found


def _moved(variation: str, settings: UnbinnedFilling) -> dict[str, float]:
    """Return the displaced points at which nominal events are moved or reweighted, not replaced by others."""
    chosen = {key: point for key, point in settings.displaced.items() if point.variation == variation}
    return {key: point.z for key, point in chosen.items() if point.kind != "two_point"}


def _columns(strategy: "Unbinned", process: str) -> np.ndarray:
    """Return the places of the coefficients of a process among all coefficients."""
    sizes = [len(strategy.monomials(name)) for name in strategy.processes]
    index = strategy.processes.index(process)
    return np.arange(sum(sizes[:index]), sum(sizes[: index + 1]))


def evaluate(paths: Iterable[Path], classifier: "Classifier", settings: UnbinnedFilling, sums: Sums) -> Iterator[Part]:
    """Yield the densities of all events that are needed one by one, and add up in *sums* what is common to all."""
    for path in paths:
        sample, start = path.stem, 0
        folder, process = settings.alternatives.get(sample, path.parent.name), settings.samples[sample]
        used, scale = scored_events.used(settings, sample)
        weights = _reweighted(path, settings)
        columns = ["entry", "weight", *(factor for factor in weights.values() if factor), *settings.features]
        for read in event_files.read_event_parts(path, columns, {"region": settings.regions}, BLOCK):
            inside = np.isin(read["region"], [settings.regions.index(name) for name in settings.scored])
            stop, inside = start + len(inside), inside & parts.among(read["entry"], used)
            scored = {name: values[inside] for name, values in read.items()}
            scored["weight"] = scored["weight"] * scale
            found = {folder: scored["weight"]} | {
                name: scored["weight"] * scored[factor]
                if factor
                else scored_events.other_weights(path, name, start, stop)[inside] * scale
                for name, factor in weights.items()
            }
            if path.parent.name == NOMINAL and sample not in settings.alternatives:
                sums.support.add(scored, process)
            start, times = stop, seeds.poisson(scored["entry"], sums.replica, sample)
            for name, weight in found.items():
                sums.add(name, process, times * weight)
            if folder not in settings.thrown and process != DATA:
                continue
            values = classifier.densities({name: scored[name] for name in ("entry", *settings.features)})
            checks.check_values(values, sums.strategy, path)
            fold = batches.fold(scored["entry"], settings.folds).astype(np.int16)
            if folder == NOMINAL and process != DATA:
                sums.nominal(process, Part(folder, sample, fold, times * scored["weight"], values))
            for name in (name for name in found if name in settings.thrown):
                yield Part(name, sample, fold, found[name].astype(scored["weight"].dtype, copy=False), values)


def _reweighted(path: Path, settings: UnbinnedFilling) -> dict[str, str]:
    """Return the points that share the events of a nominal file, each with the column of its factor ('': a file)."""
    if path.parent.name != NOMINAL or path.stem in settings.alternatives:
        return {}
    process = settings.samples[path.stem]
    found: dict[str, str] = {}
    for name, variation in settings.variations.items():
        if variation.kind == "weight" and process in (variation.processes or ()):
            found |= {f"{name}_{side}": f"factor_{name}_{side}" for side in STANDARD}
            found |= {key: "" for key in _moved(name, settings) if key not in found}
    return found


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


def describe(
    strategy: "Unbinned", sums: Sums, templates: Mapping[str, Histogram], settings: UnbinnedFilling
) -> dict[str, Any]:
    """Return what the likelihood needs besides events, as plain values; *templates* are those of regions with bins."""
    nominal = {name: sums.yields.get((NOMINAL, name), 0.0) for name in strategy.processes}
    checks.check_events(strategy, sums, nominal, [name for name in settings.processes if name != DATA])
    variations = strategy.variations
    terms = {process: _yield_terms(strategy, process, sums) for process in strategy.processes}
    means = sums.means / sums.events[:, :, None]
    polynomials.check_means(means, strategy.processes, strategy.variations, sums.z)
    norms = np.array([[_norm(one, sums) for one in of_fold] for of_fold in means])
    rows = _parameters(strategy, settings)
    description = {
        "poi": settings.fit.poi,
        "signal": settings.signal,
        "processes": list(strategy.processes),
        "parameters": rows,
        "correlations": kept(settings.correlations, [row["name"] for row in rows]),
        "linear": _linear(settings),
        "rates": {
            parameter: {"processes": acting, "up": variation.sides[0], "down": variation.sides[1]}
            for name, variation in settings.variations.items()
            if isinstance(variation, Rate)
            for parameter, acting in _named(name, settings).items()
        },
        "yields": nominal,
        "learned": list(variations),
        "powers": sums.table.tolist(),
        "yield_terms": [found.tolist() for found in terms.values()],
        "norms": norms.tolist(),
        "monomials": np.concatenate([strategy.monomials(process) for process in strategy.processes]).tolist(),
        "owners": [process for process in strategy.processes for _ in strategy.monomials(process)],
        "binned": [
            {"region": name} | _binned(strategy, templates[name], sums)
            for name in settings.regions
            if name not in settings.scored
        ],
        "closure": _closure(strategy, sums, means, norms)
        | {"yields": checks.misfits(sums, terms), "support": sums.support.plain()},
    }
    return parameters.decorrelated(description, _axes(strategy, settings))


def _named(name: str, settings: UnbinnedFilling) -> dict[str, list[str]]:
    """Return the nuisance parameters of a variation, each with the processes on which it acts."""
    variation, found = settings.variations[name], dict[str, list[str]]()
    for process in variation.processes or ():
        for region in _terms(settings).values():
            if region in (variation.regions or ()):
                parameter = names.parameter(name, variation.kind, variation.decorrelate, process, region)
                found[parameter] = list(dict.fromkeys([*found.get(parameter, ()), process]))
    return found


def _terms(settings: UnbinnedFilling) -> dict[str, str]:
    """Return the terms of the likelihood, single events ('') and regions with bins, each with its (first) region."""
    return {"": settings.scored[0]} | {name: name for name in settings.regions if name not in settings.scored}


def _axes(strategy: "Unbinned", settings: UnbinnedFilling) -> parameters.Axes:
    """Return the parameter of every term, process and learned variation."""

    def parameter(name: str, process: str, region: str) -> str:
        variation = settings.variations[name]
        acts = process in (variation.processes or ()) and region in (variation.regions or ())
        return names.parameter(name, variation.kind, variation.decorrelate, process, region) if acts else ""

    return {
        term: [[parameter(name, process, region) for name in strategy.variations] for process in strategy.processes]
        for term, region in _terms(settings).items()
    }


def _binned(strategy: "Unbinned", histogram: Histogram, sums: Sums) -> dict[str, Any]:
    """Return a region with bins as if a bin were an event: shares of every process, coefficients of its response.

    The response in a bin is exp(a z + b z^2) through the templates at +1 and -1 (degree 1: through their ratio); its
    mean is the yield of the region at z. ASSUME: a bin in which a template is 0 or negative does not respond.
    """
    size, shares, slopes, yields, norms = len(histogram.axes["score"]), [], [], {}, []
    for process in strategy.processes:
        nominal = np.maximum(content(histogram, process, NOMINAL).values, 0.0)
        yields[process] = total = float(nominal.sum())
        shares.append(nominal / total if total else np.zeros(size))
        found = np.zeros((size, len(strategy.monomials(process))))
        for column, powers in enumerate(strategy.monomials(process)):
            (axis,) = np.flatnonzero(powers)[:1]
            if len(np.flatnonzero(powers)) == 1 and powers[axis] <= 2:
                found[:, column] = _response(histogram, process, strategy.variations[axis], odd=powers[axis] == 1)
        slopes.append(found)
        means = (
            np.exp(found @ polynomials.values(strategy.monomials(process), sums.z).T).T @ shares[-1] if total else 1.0
        )
        norms.append(_norm(np.broadcast_to(means, len(sums.z)), sums).tolist())
    rows = np.concatenate(slopes, axis=1)
    return {"yields": yields, "shares": np.array(shares).T.tolist(), "slopes": rows.tolist(), "norms": norms}


def _response(histogram: Histogram, process: str, variation: str, *, odd: bool) -> np.ndarray:
    """Return the odd or even part in z of ln of the templates at +1 and -1 relative to nominal, per bin.

    Without a template on one side, ln of the other is mirrored.
    """
    nominal = content(histogram, process, NOMINAL).values
    names = {z: f"{variation}_{side}" for side, z in STANDARD.items()}
    known = {z: name for z, name in names.items() if name in histogram.axes["variation"]}
    sides = {z: content(histogram, process, name).values for z, name in known.items()}
    good = np.all([nominal > 0, *(side > 0 for side in sides.values())], axis=0)
    ratios = {z: np.where(good, side, 1.0) / np.where(good, nominal, 1.0) for z, side in sides.items()}
    up, down = (np.log(ratios[z]) if z in ratios else -np.log(ratios[-z]) for z in (1.0, -1.0))
    return np.asarray(0.5 * (up - down) if odd else 0.5 * (up + down))


def _parameters(strategy: "Unbinned", settings: UnbinnedFilling) -> list[dict[str, Any]]:
    """Return the parameters, that of interest first, named as in workspaces."""
    low, high = settings.fit.bounds
    rows = [{"name": settings.fit.poi, "kind": "signal", "init": 1.0, "lower": low, "upper": high, "width": 0.0}]
    for name, variation in settings.variations.items():
        match variation:
            case FreeRate(bounds=(lower, upper)):
                row = {"name": name, "kind": "free", "init": 1.0, "lower": lower, "upper": upper, "width": 0.0}
            case Luminosity(size=size):
                reach = workspaces.WIDEST * size
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
        rows += [row | {"name": parameter} for parameter in _named(name, settings)]
    return rows


def _linear(settings: UnbinnedFilling) -> dict[str, list[str]]:
    """Return the parameters that are factors on processes."""
    found = {settings.fit.poi: [settings.signal]}
    for name, variation in settings.variations.items():
        if isinstance(variation, FreeRate | Luminosity):
            found |= _named(name, settings)
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
            raise TemplateError(
                f"variation {name!r}: no events of process {process} at any z: its yield is not known there; check the "
                "samples of the variation, or leave it out"
            )
        points[axis] = found
    return polynomials.yields(sums.table, points)


def _norm(means: np.ndarray, sums: Sums) -> np.ndarray:
    """Return the polynomial of ln of the mean response of one process in one fold, from its values at the nodes."""
    found, first = {}, 0
    for chosen, end in zip(sums.groups, sums.ends, strict=True):
        found[chosen], first = np.log(means[first:end]), int(end)
    return polynomials.fitted(sums.table, found)


def _closure(strategy: "Unbinned", sums: Sums, means: np.ndarray, norms: np.ndarray) -> dict[str, Any]:
    """Return how far the surrogate is from what is known, without a fit: each is a number that should be small.

    *ratios*: mean of r_p over the reference, minus 1; *response*: largest deviation of the mean response from the
    counted yield, by point; *norms*: that of the polynomials from the means at all nodes within two deviations.
    """
    whole = sums.shares.sum(axis=0) / sums.events.sum(axis=0)[:, None]
    joined = (sums.means.sum(axis=0) / sums.events.sum(axis=0)[:, None])[:, sums.ends[-1] :]
    response: dict[str, dict[str, float]] = {}
    for place, folder in enumerate(sums.places):
        for index, process in enumerate(strategy.processes):
            counted = sums.yields.get((folder, process))
            if counted is not None:
                ratio = counted / sums.yields[NOMINAL, process]
                response.setdefault(process, {})[folder] = float(joined[index, place] / ratio - 1)
    near = np.flatnonzero((np.abs(sums.z[: sums.ends[-1]]) <= 2).all(axis=1))
    apart = np.abs(norms @ polynomials.values(sums.table, sums.z[near]).T - np.log(means[:, :, near])).max()
    return {
        "ratios": {name: float(whole[:, index].sum() - 1) for index, name in enumerate(strategy.processes)},
        "response": response,
        "norms": float(apart),
        "effective_events": {
            name: float(sums.events[:, index].sum() ** 2 / sums.squares[:, index].sum())
            for index, name in enumerate(strategy.processes)
        },
    }

"""Templates and variations to a pyhf workspace: plain JSON that any HistFactory tool reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nuisflow import names
from nuisflow.settings import configuration, points, systematics
from nuisflow.slices.inference import WorkspaceSettings
from nuisflow.templates import smoothing
from nuisflow.templates.histograms import DATA, NOMINAL, Histogram, Note, content, holes, log

MEASUREMENT = "measurement"
NO_EFFECT = 1e-10
"""Relative effects up to this size are rounding."""
WIDEST = 10
"""Bound of the luminosity parameter, in standard deviations."""

Json = dict[str, Any]
Sides = tuple[np.ndarray, np.ndarray]


class WorkspaceError(ValueError):
    """Templates that cannot become a workspace."""


class Built(NamedTuple):
    """A pyhf workspace, and what was filled up, pruned, left out or flagged on the way."""

    workspace: Json
    notes: list[Note]


class _Place(NamedTuple):
    """One process in one region, with its positive nominal template; *part*: what is subtracted in an estimate.

    Of what is subtracted, templates are positive here: only the sample in the workspace is negative.
    """

    region: str
    process: str
    histogram: Histogram
    nominal: np.ndarray
    part: configuration.Part | None = None

    def note(self, kind: str, text: str, variation: str = "", bins: Sequence[int] | np.ndarray = ()) -> Note:
        """Return a note on this place; people know what is subtracted as a part of its estimate."""
        listed = ", ".join(str(index) for index in bins)
        if self.part is not None:
            process, text = self.part.of, f"the {self.part.subtracts} subtracted in it: {text}"
        else:
            process = self.process
        return Note("build_workspace", kind, self.region, process, variation, listed, text)

    @property
    def sign(self) -> float:
        """The sign of its sample in the workspace."""
        return 1.0 if self.part is None else -1.0


def build(histograms: Mapping[str, Histogram], settings: WorkspaceSettings) -> Built:
    """Return the workspace of the templates of every region, valid by pyhf's schema unless constraints are correlated.

    The signal is scaled by ``fit.poi``. A variation of shapes is a normsys (its rate) and a histosys (its shape at
    nominal yield) of one parameter, so that expected events at +1 and -1 are its templates. The observations are the
    collision data if ``fit.unblind`` is set and there are any, else the nominal expectation (Asimov data).
    """
    _check_luminosity(settings)
    notes: list[Note] = []
    channels: list[Json] = [
        {"name": region, "samples": samples}
        for region, histogram in histograms.items()
        if (samples := list(_samples(region, histogram, settings, notes)))
    ]
    used = {modifier["name"]: modifier["type"] for modifier in _modifiers(channels)}
    if settings.fit.poi not in used:
        raise WorkspaceError(f"the signal {settings.signal!r} has no events in any region; nothing can be measured")
    notes += [
        Note("build_workspace", "no_effect", "", "", name, "", "acts nowhere: not in the workspace")
        for name, variation in settings.variations.items()
        if not used.keys() & _parameters(name, variation, settings, histograms)
    ]
    workspace: Json = {
        "channels": channels,
        "observations": [
            {"name": channel["name"], "data": _observed(histograms[channel["name"]], channel, settings)}
            for channel in channels
        ],
        "measurements": [{"name": MEASUREMENT, "config": _measurement(settings, used, histograms)}],
        "version": "1.0.0",
    }
    if found := systematics.kept(settings.correlations, used):
        workspace["extensions"] = {"correlations": found}
        who = ", ".join(name for block in found for name in block["parameters"])
        text = f"the constraints of {who} are correlated: an extension of the workspace, which pyhf refuses"
        notes.append(Note("build_workspace", "extension", "", "", "", "", text))
    log(notes)
    return Built(workspace, notes)


def _check_luminosity(settings: WorkspaceSettings) -> None:
    found = [name for name, variation in settings.variations.items() if variation.kind == "luminosity"]
    if len(found) > 1:
        raise WorkspaceError(
            f"variations {', '.join(found)} are all of kind luminosity, but a workspace has one luminosity parameter; "
            "declare the others as kind rate"
        )


def _parameters(
    name: str, variation: systematics.Variation, settings: WorkspaceSettings, regions: Iterable[str]
) -> dict[str, None]:
    """Return the nuisance parameters that a variation may have."""
    return dict.fromkeys(
        names.parameter(name, variation.kind, variation.decorrelate, _owner(variation, process, settings), region)
        for process in variation.processes or settings.processes
        for region in variation.regions or regions
    )


def _owner(variation: systematics.Variation, process: str, settings: WorkspaceSettings) -> str:
    return points.owner_of(process, settings.parts, variation.processes)


def _modifiers(channels: Sequence[Json]) -> Iterator[Json]:
    for channel in channels:
        for sample in channel["samples"]:
            yield from sample["modifiers"]


def _observed(histogram: Histogram, channel: Json, settings: WorkspaceSettings) -> list[float]:
    if settings.fit.unblind and DATA in histogram.axes["process"]:
        return [float(value) for value in content(histogram, DATA).values]
    return [float(value) for value in np.sum([sample["data"] for sample in channel["samples"]], axis=0)]


def _measurement(settings: WorkspaceSettings, used: Mapping[str, str], regions: Iterable[str]) -> Json:
    """Return the parameter of interest, and start, bounds and constraints of parameters that are not standard."""
    parameters: list[Json] = [{"name": settings.fit.poi, "inits": [1.0], "bounds": [list(settings.fit.bounds)]}]
    for name, variation in settings.variations.items():
        found = [parameter for parameter in _parameters(name, variation, settings, regions) if parameter in used]
        if variation.kind == "free_rate":
            bounds = [list(variation.bounds)]
            parameters += [{"name": parameter, "inits": [1.0], "bounds": bounds} for parameter in found]
        if variation.kind == "luminosity" and found:
            reach = WIDEST * variation.size
            parameters.append(
                {
                    "name": names.LUMINOSITY,
                    "auxdata": [1.0],
                    "sigmas": [variation.size],
                    "inits": [1.0],
                    "bounds": [[max(0.0, 1 - reach), 1 + reach]],
                }
            )
    return {"poi": settings.fit.poi, "parameters": parameters}


def _samples(region: str, histogram: Histogram, settings: WorkspaceSettings, notes: list[Note]) -> Iterator[Json]:
    """Yield the samples of one channel, adding to *notes* what was changed or left out."""
    _check_axes(region, histogram, settings)
    _check_bins(region, histogram, settings)
    for process in settings.processes:
        place = _Place(region, process, histogram, np.zeros(0), settings.parts.get(process))
        values, variances = place.sign * content(histogram, process).values, content(histogram, process).variances
        if not np.any(variances):
            if place.part is None:
                notes.append(place.note("left_out", "has no events in this region: left out of the channel"))
            notes += _unvaried(place, settings)
            continue
        hollow = place.part is not None and values.sum() <= 0
        place = place._replace(nominal=values if hollow else _positive(place, values, notes))
        modifiers = _process_modifiers(place, settings, notes)
        if settings.fit.mc_statistics:
            modifiers.append(_modifier(f"staterror_{region}", "staterror", np.sqrt(variances).tolist()))
        yield {"name": process, "data": (place.sign * place.nominal).tolist(), "modifiers": modifiers}
    notes += _negative_estimates(region, histogram, settings)


def _unvaried(place: _Place, settings: WorkspaceSettings) -> Iterator[Note]:
    """Yield notes of the variations that expect events of a process where there are none at nominal."""
    for name, _ in _acting(place, settings):
        sides = {side: _varied(place, f"{name}_{side}") for side in ("up", "down")}
        events = [
            f"{values.sum():.3g} events {side}" for side, values in sides.items() if values is not None and values.any()
        ]
        if events:
            text = f"{' and '.join(events)}, but no nominal ones that vary to become these: no effect here"
            yield place.note("dropped", text, name)


def _positive(place: _Place, values: np.ndarray, notes: list[Note]) -> np.ndarray:
    """Return the nominal template *values* with its empty and negative bins filled up."""
    tiny = smoothing.floor(values)
    if tiny <= 0:
        raise WorkspaceError(
            f"region {place.region!r}: all-negative process {place.process!r}: its total is "
            f"{place.sign * values.sum():g}; check the weights of its samples, or merge it with another process"
        )
    filled = smoothing.fill_up(values, tiny)
    if len(filled.bins):
        text = f"empty or negative bins (sum {values[filled.bins].sum():.3g}) set to {tiny:.3g}, {filled.text}"
        notes.append(place.note("filled_up", text, bins=filled.bins))
    return filled.values


def _negative_estimates(region: str, histogram: Histogram, settings: WorkspaceSettings) -> Iterator[Note]:
    """Yield notes of bins in which more is subtracted than there are data: only the sum of all must be positive."""
    for estimate in dict.fromkeys(part.of for part in settings.parts.values()):
        own = [estimate, *(name for name, part in settings.parts.items() if part.of == estimate)]
        net = np.sum([content(histogram, process).values for process in own], axis=0)
        if len(bad := np.flatnonzero(net < 0)):
            text = f"more is subtracted than there are data in the sideband ({net[bad].sum():.3g}): kept negative"
            place = _Place(region, estimate, histogram, net)
            yield place.note("negative_estimate", text, bins=bad)


def _check_axes(region: str, histogram: Histogram, settings: WorkspaceSettings) -> None:
    """Check that the templates know the processes and variations of the configuration."""
    kinds = ("shift", "weight", "weight_set", "two_point")
    shaped = [f"{name}_up" for name, chosen in settings.variations.items() if chosen.kind in kinds]
    needed = {"process": settings.processes, "variation": (NOMINAL, *shaped)}
    for axis, wanted in needed.items():
        if missing := [name for name in wanted if name not in histogram.axes[axis]]:
            known = ", ".join(histogram.axes[axis])
            raise WorkspaceError(
                f"region {region!r}: the templates have no {axis} {missing[0]!r} (they have {known}); "
                "run fill_templates again"
            )


def _check_bins(region: str, histogram: Histogram, settings: WorkspaceSettings) -> None:
    """Check that events are expected in every bin but holes without data, unless none are in the whole region."""
    total = np.sum([content(histogram, process).values for process in settings.processes], axis=0)
    observed = settings.fit.unblind and DATA in histogram.axes["process"]
    seen = content(histogram, DATA).values if observed else np.zeros_like(total)
    fine = (total > 0) | (holes(histogram, settings.processes) & (seen == 0))
    if np.any(total) and len(bad := np.flatnonzero(~fine)):
        data = f", but {seen[bad[0]]:g} are in the data" if seen[bad[0]] else ""
        raise WorkspaceError(
            f"region {region!r}, bin {bad[0]}: {total[bad[0]]:g} events are expected in total{data}; "
            "raise binning.minimum_events or use fewer bins"
        )


def _modifier(name: str, kind: str, data: Any) -> Json:
    return {"name": name, "type": kind, "data": data}


def _acting(place: _Place, settings: WorkspaceSettings) -> Iterator[tuple[str, systematics.Variation]]:
    """Yield the variations of a process in a region."""
    for name, variation in settings.variations.items():
        concerned = variation.processes is None or place.process in variation.processes
        if concerned and (variation.regions is None or place.region in variation.regions):
            yield name, variation


def _process_modifiers(place: _Place, settings: WorkspaceSettings, notes: list[Note]) -> list[Json]:
    """Return the modifiers of one process in one region, without MC statistics."""
    modifiers = [_modifier(settings.fit.poi, "normfactor", None)] if place.process == settings.signal else []
    for name, variation in _acting(place, settings):
        owner = _owner(variation, place.process, settings)
        parameter = names.parameter(name, variation.kind, variation.decorrelate, owner, place.region)
        match variation:
            case systematics.Rate():
                up, down = variation.sides
                modifiers.append(_modifier(parameter, "normsys", {"hi": up, "lo": down}))
            case systematics.FreeRate():
                modifiers.append(_modifier(parameter, "normfactor", None))
            case systematics.Luminosity():
                modifiers.append(_modifier(parameter, "lumi", None))
            case _:
                if (sides := _sides(place, name, settings.templates, notes)) is not None:
                    split = _split(place, name, sides, settings.templates.prune, notes)
                    modifiers += [modifier | {"name": parameter} for modifier in split]
    return modifiers


def _sides(place: _Place, name: str, settings: configuration.Templates, notes: list[Note]) -> Sides | None:
    """Return the up and down templates of a variation, symmetrised, smoothed and positive; None if neither is."""
    nominal = place.nominal
    if nominal.sum() <= 0:
        notes.append(place.note("dropped", f"its total here is {nominal.sum():.3g}: its shape does not vary", name))
        return None
    sides = _settled(place, name, _varied(place, f"{name}_up"), _varied(place, f"{name}_down"), notes)
    if sides is None:
        return None
    if (text := smoothing.same_side(nominal, *sides)) is not None:
        notes.append(place.note("same_side", text, name))
    if (how := settings.symmetrise.get(name)) is not None:
        sides = smoothing.symmetrise(nominal, sides[0], sides[1] if how == "two_sided" else None)
    if (smoother := settings.smooth.get(name)) is not None:
        sides = smoothing.smooth(nominal, sides[0], smoother), smoothing.smooth(nominal, sides[1], smoother)
        there = np.max(sides, axis=0) > 2 * smoothing.floor(nominal)
        if len(empty := np.flatnonzero(there & ~smoothing.filled(nominal))):
            text = "bins without nominal events are not smoothed: they have no ratio to nominal"
            notes.append(place.note("not_smoothed", text, name, empty))
    return _settled(place, name, *sides, notes)


def _varied(place: _Place, variation: str) -> np.ndarray | None:
    """Return the bin contents of *variation*, or None if the templates do not have it."""
    if variation not in place.histogram.axes["variation"]:
        return None
    return place.sign * content(place.histogram, place.process, variation).values


def _settled(
    place: _Place, name: str, up: np.ndarray | None, down: np.ndarray | None, notes: list[Note]
) -> Sides | None:
    """Return positive up and down: a missing or all-negative side mirrors the other, and bad bins are filled up."""
    up, down = (side if side is not None and side.sum() > 0 else None for side in (up, down))
    if up is None:
        if down is None:
            notes.append(place.note("dropped", "neither up nor down has a positive total: no effect here", name))
            return None
        up = _mirrored(place, name, "up", down, notes)
    elif down is None:
        down = _mirrored(place, name, "down", up, notes)
    tiny, there = smoothing.floor(place.nominal), smoothing.filled(place.nominal)
    sides = {"up": smoothing.fill_up(up, tiny), "down": smoothing.fill_up(down, tiny)}
    for side, filled in sides.items():
        if bins := [index for index in filled.bins if there[index]]:
            text = f"empty or negative bins of {side} set to {tiny:.3g}, {filled.text}"
            notes.append(place.note("filled_up", text, name, bins))
    return sides["up"].values, sides["down"].values


def _mirrored(place: _Place, name: str, missing: str, given: np.ndarray, notes: list[Note]) -> np.ndarray:
    """Return *given* mirrored at the nominal template: bin by bin, or by the yield if that turns it negative."""
    notes.append(place.note("mirrored", f"{missing} is missing or not positive: the other side mirrored", name))
    mirrored = smoothing.symmetrise(place.nominal, given)[1]
    return mirrored if mirrored.sum() > 0 else place.nominal * (place.nominal.sum() / given.sum())


def _split(place: _Place, name: str, sides: Sides, prune: configuration.Pruning, notes: list[Note]) -> list[Json]:
    """Return the rate and the shape of a variation as modifiers of the same name, without what is pruned."""
    rates = [float(side.sum() / place.nominal.sum()) for side in sides]
    shapes = [side / rate for side, rate in zip(sides, rates, strict=True)]
    rate_size = max(abs(rate - 1) for rate in rates)
    filled = smoothing.filled(place.nominal)
    shape_size = max(float(np.max(np.abs(shape / place.nominal - 1)[filled])) for shape in shapes)
    modifiers = []
    if rate_size > max(prune.rate, NO_EFFECT):
        modifiers.append(_modifier(name, "normsys", {"hi": rates[0], "lo": rates[1]}))
    elif rate_size > NO_EFFECT:
        notes.append(place.note("pruned", f"the rate changes by at most {rate_size:.2g}: dropped", name))
    if shape_size > max(prune.shape, NO_EFFECT):
        data = {"hi_data": (place.sign * shapes[0]).tolist(), "lo_data": (place.sign * shapes[1]).tolist()}
        modifiers.append(_modifier(name, "histosys", data))
    elif shape_size > NO_EFFECT:
        notes.append(place.note("pruned", f"the shape changes by at most {shape_size:.2g}: dropped", name))
    return modifiers

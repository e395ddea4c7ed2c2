"""Read a HistFactory workspace (pyhf JSON): check it, list its parameters and its samples per channel."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.constraints.parameters import CONSTRAINTS, FREE, NORMAL, POISSON, Parameter
from nuisflow.likelihood.constraints.written import items
from nuisflow.likelihood.dialects import extensions
from nuisflow.names import suggest

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# pyhf numbers the parameters by modifier type in this order, then by channel, sample and modifier name.
# Not pyhf's are mcstat and polynomial.
TYPES = ("histosys", "lumi", "mcstat", "normfactor", "normsys", "polynomial", "shapefactor", "shapesys", "staterror")
_LENGTHS = {"histosys": ("lo_data", "hi_data"), "normsys": ("lo", "hi")}


class Cell(NamedTuple):
    """One sample in one channel."""

    channel: str
    sample: str
    first: int
    last: int
    nominal: Floats
    modifiers: dict[tuple[str, str], Any]


class Structure(NamedTuple):
    """What a workspace says: channels with their bins, cells, parameters, and the observed main data."""

    channels: tuple[tuple[str, int, int], ...]
    samples: tuple[str, ...]
    cells: tuple[Cell, ...]
    parameters: tuple[Parameter, ...]
    observed: Floats
    poi: str
    extended: extensions.Extended = extensions.Extended()


class Setting(NamedTuple):
    """What is to be another way for a parameter, or for all those of a modifier; None: as the workspace has it."""

    value: float | None = None
    fixed: bool | None = None
    bounds: tuple[float, float] | None = None


def read(workspace: Mapping[str, Any], measurement: str | None = None, poi: str | None = None) -> Structure:
    """Check *workspace* and return what it says, for the measurement of this name (default: the first).

    *poi*: parameter of interest in place of the measurement's ("": none).

    Raise ValueError, with the channel, sample, bin or parameter in its text, when the workspace is not valid.
    """
    if not isinstance(workspace, Mapping):
        raise ValueError(f"workspace: expected an object, not {workspace!r}")
    for key in ("channels", "observations", "measurements"):
        if not isinstance(workspace.get(key), (list, tuple)) or not workspace[key]:
            raise ValueError(f"workspace: {key!r} must be a list with at least one entry")
    needed = {"channels", "observations", "measurements", "version"}
    _keys(workspace, needed, "workspace", frozenset({extensions.KEY}))
    if workspace["version"] != "1.0.0":
        raise ValueError(f"workspace: 'version' is {workspace['version']!r}, not '1.0.0', the one that is understood")
    cells = _cells(workspace)
    channels = tuple(sorted({(cell.channel, cell.first, cell.last) for cell in cells}))
    config = settings_of(workspace, measurement)
    parameters, extended = extensions.read(workspace.get(extensions.KEY, {}), _parameters(cells, config))
    names = [parameter.name for parameter in parameters]
    poi = config["poi"] if poi is None else poi
    if poi and poi not in names:
        raise ValueError(
            f"measurement: the parameter of interest {poi!r} is not among the parameters: {', '.join(names)}"
        )
    samples = tuple(sorted({cell.sample for cell in cells}))
    return Structure(channels, samples, cells, parameters, _observed(workspace, channels), poi, extended)


def _numbers(values: Any, place: str, length: int | None = None) -> Floats:
    """Return *values* as an array of finite numbers, of this length."""
    plain = isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf"
    if not plain and not all(_is_number(kind) for kind in {*map(type, _list(values, place))}):
        raise ValueError(f"{place}: expected a list of numbers, not {values!r}")
    array = np.array(values, dtype=np.float64)
    if not array.size:
        raise ValueError(f"{place}: expected a list of at least one number")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(f"{place}: bin {bad[0]} is {array[bad[0]]}; every bin needs a finite number")
    if length is not None and len(array) != length:
        raise ValueError(f"{place}: {len(array)} bins where the channel has {length}")
    return array


def _is_number(kind: type) -> bool:
    return issubclass(kind, Real) and not issubclass(kind, bool)


def _list(values: Any, place: str) -> Sequence[Any]:
    """Return *values*, which must be a list (or tuple, or array)."""
    return list(values) if isinstance(values, np.ndarray) and values.ndim else items(values, place)


def _cells(workspace: Mapping[str, Any]) -> tuple[Cell, ...]:
    channels: dict[str, Any] = {}
    for channel in workspace["channels"]:
        _keys(channel, {"name", "samples"}, "channel")
        if channel["name"] in channels:
            raise ValueError(f"channel {channel['name']}: listed twice")
        if not _list(channel["samples"], f"channel {channel['name']}: 'samples'"):
            raise ValueError(f"channel {channel['name']}: needs at least one sample")
        channels[channel["name"]] = channel["samples"]
    cells, first = [], 0
    for name in sorted(channels):
        rows = [_cell(name, sample) for sample in channels[name]]
        if len({row.sample for row in rows}) != len(rows):
            raise ValueError(f"channel {name}: two samples of the same name")
        bins = len(rows[0].nominal)
        for row in sorted(rows, key=lambda row: row.sample):
            if len(row.nominal) != bins:
                raise ValueError(f"channel {name}, sample {row.sample}: {len(row.nominal)} bins, sample "
                                 f"{rows[0].sample} has {bins}")  # fmt: skip
            cells.append(row._replace(first=first, last=first + bins))
        first += bins
    return tuple(cells)


def _keys(entry: Any, allowed: set[str], place: str, optional: frozenset[str] = frozenset()) -> None:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{place}: expected an object, not {entry!r}")
    place = f"{place} {entry.get('name', '')}".strip()
    for key in sorted(allowed - set(entry)):
        raise ValueError(f"{place}: {key!r} is missing")
    for key in sorted(set(entry) - allowed - optional, key=str):
        raise ValueError(f"{place}: unknown entry {key!r}; allowed: {', '.join(sorted(allowed | optional))}")
    for key in sorted({"name", "poi", "type"} & allowed):
        if not isinstance(entry[key], str):
            raise ValueError(f"{place}: {key!r} must be text, not {entry[key]!r}")


def _cell(channel: str, sample: Any) -> Cell:
    _keys(sample, {"name", "data", "modifiers"}, f"channel {channel}, sample")
    place = f"channel {channel}, sample {sample['name']}"
    nominal = _numbers(sample["data"], place)
    modifiers = {}
    for modifier in _list(sample["modifiers"], f"{place}: 'modifiers'"):
        _keys(modifier, {"name", "type", "data"}, f"{place}, modifier")
        data = _modifier(modifier, nominal, place)
        for name in data.parameters if isinstance(data, extensions.Terms) else (modifier["name"],):
            if (modifier["type"], name) in modifiers:
                raise ValueError(f"{place}, {modifier['type']} {name}: listed twice")
            modifiers[modifier["type"], name] = data
    return Cell(channel, sample["name"], 0, 0, nominal, modifiers)


def _modifier(modifier: Mapping[str, Any], nominal: Floats, place: str) -> Any:
    """Return the data of a modifier as arrays, checked."""
    kind, data, place = modifier["type"], modifier["data"], f"{place}, {modifier['type']} {modifier['name']}"
    if kind not in TYPES:
        raise ValueError(f"{place}: no modifier type {kind!r}; choose one of {', '.join(TYPES)}")
    if kind in ("lumi", "normfactor", "shapefactor"):
        if data is not None or (kind == "lumi" and modifier["name"] != "lumi"):
            raise ValueError(f"{place}: takes no data (null), and a lumi modifier is named 'lumi'")
        return None
    if kind == "polynomial":
        several = isinstance(data, Mapping)
        return extensions.terms(data, place) if several else extensions.coefficients(_numbers(data, place), place)
    if kind in ("mcstat", "shapesys", "staterror"):
        return _numbers(data, place, len(nominal))
    _keys(data, set(_LENGTHS[kind]), place)
    if kind == "histosys":
        return tuple(_numbers(data[key], f"{place}, {key}", len(nominal)) for key in _LENGTHS[kind])
    factors = _numbers([data["lo"], data["hi"]], place)
    if (factors <= 0).any():
        raise ValueError(f"{place}: the factors {data['lo']} and {data['hi']} must be positive")
    return factors


def changed(structure: Structure, settings: Mapping[str, Setting], poi: str | None = None) -> Structure:
    """Return *structure* with other *settings* of parameters (or of all of a modifier) and parameter of interest.

    Raise ValueError where a name is not known, bounds are not in order, or a value is outside of them.
    """
    known = {row.name for row in structure.parameters} | {row.group for row in structure.parameters}
    for name in [*settings, *([poi] if poi else [])]:
        if name not in known:
            raise ValueError(f"no parameter {name!r}; {suggest(name, sorted(known))}")
    rows = []
    for row in structure.parameters:
        for name in dict.fromkeys((row.group, row.name)):
            row = _reset(row, settings.get(name, Setting()))
        rows.append(row)
    return structure._replace(parameters=tuple(rows), poi=structure.poi if poi is None else poi)


def _reset(row: Parameter, setting: Setting) -> Parameter:
    """Return a parameter with another setting, checked."""
    lower, upper = (row.lower, row.upper) if setting.bounds is None else setting.bounds
    init = row.init if setting.value is None else setting.value
    fixed = row.fixed if setting.fixed is None else setting.fixed
    if not lower <= upper:
        raise ValueError(f"parameter {row.name}: the bounds {lower:g}, {upper:g} are not in order")
    if not lower <= init <= upper:
        raise ValueError(f"parameter {row.name}: the value {init:g} is outside its bounds [{lower:g}, {upper:g}]; set "
                         f"another one")  # fmt: skip
    if setting.fixed is False and lower == upper:
        raise ValueError(f"parameter {row.name}: cannot be free, since its bounds are equal; give it others")
    return row._replace(init=init, lower=lower, upper=upper, fixed=fixed or lower == upper)


def settings_of(workspace: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """Return the configuration of a measurement (default: the first): its parameter of interest and settings."""
    measurements: dict[str, Mapping[str, Any]] = {}
    for entry in workspace["measurements"]:
        _keys(entry, {"name", "config"}, "measurement")
        _keys(entry["config"], {"poi", "parameters"}, f"measurement {entry['name']}: config")
        measurements.setdefault(entry["name"], entry["config"])
    if name is None:
        name = next(iter(measurements))
    if name not in measurements:
        raise ValueError(f"no measurement {name!r} in the workspace; there are {', '.join(measurements)}")
    return measurements[name]


def _observed(workspace: Mapping[str, Any], channels: tuple[tuple[str, int, int], ...]) -> Floats:
    data = {}
    for entry in workspace["observations"]:
        _keys(entry, {"name", "data"}, "observation")
        if entry["name"] in data:
            raise ValueError(f"observation {entry['name']}: listed twice")
        data[entry["name"]] = entry["data"]
    for name, _, _ in channels:
        if name not in data:
            raise ValueError(f"observations: none for channel {name}")
    observed = [_numbers(data[name], f"observation {name}", last - first) for name, first, last in channels]
    for (name, _, _), values in zip(channels, observed, strict=True):
        if (values < 0).any():
            raise ValueError(f"observation {name}: bin {np.argmax(values < 0)} is negative")
    return np.concatenate(observed)


def _parameters(cells: tuple[Cell, ...], config: Mapping[str, Any]) -> tuple[Parameter, ...]:
    settings: dict[str, Mapping[str, Any]] = {}
    optional = frozenset({"inits", "bounds", "auxdata", "factors", "sigmas", "fixed"})
    for entry in _list(config["parameters"], "measurement: 'parameters'"):
        _keys(entry, {"name"}, "parameter", optional)
        if entry["name"] in settings:
            raise ValueError(f"parameter {entry['name']}: configured twice")
        settings[entry["name"]] = entry
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for kind, name, cell in _walk(cells):
        default = _default(kind, name, cell, cells)
        if name in found and kind != found[name][0] and default != found[name][1]:
            raise ValueError(f"parameter {name}: {kind} and {found[name][0]} cannot share a name (other constraints)")
        found.setdefault(name, (kind, default))
    rows = (_expand(name, kind, default, settings.get(name, {})) for name, (kind, default) in found.items())
    return tuple(parameter for row in rows for parameter in row)


def _walk(cells: tuple[Cell, ...]) -> Iterator[tuple[str, str, Cell]]:
    """Yield (type, name, first cell) of every modifier in pyhf's order of parameters."""
    for kind in TYPES:
        seen: dict[str, Cell] = {}
        for cell in cells:
            for modifier in sorted(name for type_, name in cell.modifiers if type_ == kind):
                used = modifier in seen and (kind == "shapesys" or cell.channel != seen[modifier].channel)
                if used and kind in ("mcstat", "shapesys"):
                    raise ValueError(f"channel {cell.channel}, sample {cell.sample}, {kind} {modifier}: the name is "
                                     f"used already; a {kind} cannot be shared")  # fmt: skip
                if kind == "shapefactor" and modifier in seen and len(cell.nominal) != len(seen[modifier].nominal):
                    raise ValueError(f"channel {cell.channel}, shapefactor {modifier}: shared by channels with "
                                     f"different numbers of bins")  # fmt: skip
                seen.setdefault(modifier, cell)
        for name in sorted(seen) if kind == "staterror" else seen:
            yield kind, name, seen[name]


def _default(kind: str, name: str, cell: Cell, cells: tuple[Cell, ...]) -> dict[str, Any]:
    """Return pyhf's default settings of the parameters of one modifier."""
    if kind in ("histosys", "normsys"):
        return {"inits": [0.0], "bounds": [[-5.0, 5.0]], "fixed": False, "auxdata": [0.0], "constraint": NORMAL}
    if kind == "lumi":
        return {"inits": [], "bounds": [], "fixed": False, "auxdata": [], "sigmas": [], "constraint": NORMAL}
    if kind in ("normfactor", "polynomial"):
        return {"inits": [1.0], "bounds": [[0.0, 10.0]], "fixed": False, "constraint": FREE}
    bins, widths = len(cell.nominal), dict[str, Any]()
    if kind == "shapefactor":
        return {"inits": [1.0] * bins, "bounds": [[0.0, 10.0]] * bins, "fixed": False, "constraint": FREE}
    if kind == "mcstat":
        total = sum(row.modifiers[kind, name] ** 2 for row in cells if (kind, name) in row.modifiers)
        widths = {"auxdata": [0.0] * bins, "sigmas": [1.0] * bins, "constraint": NORMAL}
        return {"inits": [0.0] * bins, "bounds": [[-7.0, 7.0]] * bins, "fixed": (total <= 0).tolist(), **widths}
    if kind == "shapesys":
        errors = cell.modifiers[kind, name]
        valid = (cell.nominal > 0) & (errors > 0)
        factors = np.where(valid, cell.nominal, 1.0) ** 2 / np.where(valid, errors, 1.0) ** 2
        widths = {"auxdata": factors.tolist(), "factors": factors.tolist(), "constraint": POISSON}
    else:
        sigmas = _staterror(name, cells)
        valid = sigmas > 0
        bins = len(sigmas)
        widths = {"auxdata": [1.0] * bins, "sigmas": np.where(valid, sigmas, 1.0).tolist(), "constraint": NORMAL}
    return {"inits": [1.0] * bins, "bounds": [[1e-10, 10.0]] * bins, "fixed": (~valid).tolist(), **widths}


def _staterror(name: str, cells: tuple[Cell, ...]) -> Floats:
    """Return the relative MC-statistics errors of the summed samples, in the bins that the modifier covers."""
    channels: dict[int, list[Cell]] = {}
    for cell in cells:
        if ("staterror", name) in cell.modifiers:
            channels.setdefault(cell.first, []).append(cell)
    counts = {tuple(cell.sample for cell in group) for group in channels.values()}
    if len(counts) > 1:
        raise ValueError(f"staterror {name}: covers different samples in different channels; use one name per channel")
    sigmas = []
    for group in channels.values():
        total = np.sum([cell.nominal for cell in group], axis=0)
        variance = np.sum([cell.modifiers["staterror", name] ** 2 for cell in group], axis=0)
        sigmas.append(np.sqrt(variance) / np.where(total > 0, total, 1.0) * (total > 0))
    return np.concatenate(sigmas)


def _setting(name: str, key: str, value: Any) -> Any:
    """Return one setting of a parameter, checked: numbers, bounds, or whether it is fixed."""
    place = f"parameter {name}: {key!r}"
    if key == "fixed":
        if not all(isinstance(row, (bool, np.bool_)) for row in (value if isinstance(value, list) else [value])):
            raise ValueError(f"{place} must be true or false, not {value!r}")
        return value
    if key != "bounds":
        return _numbers(value, place).tolist()
    bounds = [_numbers(pair, place).tolist() for pair in _list(value, place)]
    if not bounds or any(len(pair) != 2 for pair in bounds):
        raise ValueError(f"{place}: expected pairs of a lower and an upper bound, not {value!r}")
    return bounds


def _expand(name: str, kind: str, default: dict[str, Any], setting: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters of one modifier, with the measurement's settings in place of the defaults."""
    merged = dict(default)
    for key in sorted(set(setting) - {"name"}):
        if key not in default:
            raise ValueError(f"parameter {name}: a {kind} does not use {key!r}")
        merged[key] = _setting(name, key, setting[key])
        if key != "fixed" and default[key] and len(merged[key]) != len(default[key]):
            raise ValueError(
                f"parameter {name}: {len(merged[key])} values for {key!r} where {len(default[key])} are needed"
            )
    if not merged["inits"] or not merged["bounds"] or merged.get("auxdata") == [] or merged.get("sigmas") == []:
        raise ValueError(f"parameter {name}: set inits, bounds, auxdata and sigmas in the measurement's parameters")
    size = len(merged["inits"])
    for key in sorted({"inits", "bounds", "auxdata", "sigmas", "factors", "fixed"} & set(merged)):
        if isinstance(merged[key], list) and len(merged[key]) != size:
            raise ValueError(f"parameter {name}: {len(merged[key])} values for {key!r}, {size} for 'inits'")
    fixed = merged["fixed"] if isinstance(merged["fixed"], list) else [merged["fixed"]] * size
    absent = 1.0 if merged["constraint"] == NORMAL else np.inf
    width = merged.get("factors" if merged["constraint"] == POISSON else "sigmas", [absent] * size)
    aux = merged.get("auxdata", [np.nan] * size)
    many = kind in ("mcstat", "shapefactor", "shapesys", "staterror")
    rows = []
    for i, (lower, upper) in enumerate(merged["bounds"]):
        title = f"{name}[{i}]" if many else name
        if not lower <= merged["inits"][i] <= upper:
            raise ValueError(f"parameter {title}: the initial value {merged['inits'][i]} is outside [{lower}, {upper}]")
        if not width[i] > 0:
            raise ValueError(f"parameter {title}: the width {width[i]} of its constraint must be positive")
        held = bool(fixed[i] or lower == upper)
        rows.append(Parameter(title, name, kind, float(merged["inits"][i]), float(lower), float(upper), held,
                              CONSTRAINTS[merged["constraint"]], float(width[i]), float(aux[i])))  # fmt: skip
    return rows

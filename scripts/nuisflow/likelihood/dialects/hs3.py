"""Read HS3 (the HEP statistics serialisation standard): JSON with distributions of type histfactory_dist.

Sources: the standard, ROOT's RooFitHS3 (which writes interpolation codes as numbers, 5 and 4 for codes 4 and 4p, and
the vals of a shapesys relative to the sample) and pyhs3 (codes by name, vals absolute). Anything else is refused.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nuisflow.names import suggest

_CODES = {
    "normsys": {None: "code4", 1: "code1", 4: "code4", 5: "code4", "code1": "code1", "code4": "code4"},
    "histosys": {None: "code4p", 0: "code0", 2: "code2", 4: "code4p", "code0": "code0", "code4p": "code4p"},
}
_SINGLE = ("normfactor", "normsys", "histosys")
_PER_BIN = ("shapefactor", "shapesys", "staterror")


def looks_like(content: Mapping[str, Any]) -> bool:
    """Tell whether a JSON object is HS3."""
    return "distributions" in content and "channels" not in content


def read(path: Path, content: Mapping[str, Any], analysis: str | None = None) -> dict[str, Any]:
    """Return the workspace of an analysis (default: the only one that is not of Asimov data)."""
    try:
        return _Reader(path, content, analysis).workspace()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path}: not complete HS3: {type(error).__name__}: {error}") from None


def _by_name(entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {entry["name"]: entry for entry in entries}


class _Reader:
    """What is known of an HS3 file."""

    def __init__(self, path: Path, content: Mapping[str, Any], analysis: str | None) -> None:
        self.path = path
        self.distributions, self.data = _by_name(content["distributions"]), _by_name(content.get("data", []))
        self.relative = any(row.get("name") == "ROOT" for row in content.get("metadata", {}).get("packages", []))
        self.analysis = self._analysis(_by_name(content["analyses"]), analysis)
        self.likelihood = _by_name(content["likelihoods"])[self.analysis["likelihood"]]
        points = content.get("parameter_points", [])
        chosen = next((row for row in points if row["name"] == "default_values"), points[0] if points else None)
        self.values = _by_name(chosen["parameters"]) if chosen else {}
        known, self.ranges = _by_name(content.get("domains", [])), dict[str, list[float]]()
        for name in ["default_domain", *self.analysis.get("domains", [])]:
            for axis in known.get(name, {}).get("axes", []):
                if "min" in axis and "max" in axis:
                    self.ranges[axis["name"]] = [axis["min"], axis["max"]]
        self.codes: dict[str, str] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.constraints: dict[str, dict[str, Any]] = {}

    def refuse(self, text: str) -> ValueError:
        """Return an error with the file."""
        return ValueError(f"{self.path}: {text}")

    def _analysis(self, known: Mapping[str, Mapping[str, Any]], name: str | None) -> Mapping[str, Any]:
        observed = [key for key in known if "asimov" not in key.lower()] or list(known)
        if name is None and len(observed) != 1:
            raise self.refuse(f"there are the analyses {', '.join(observed)}: choose one with --measurement")
        if name is not None and name not in known:
            raise self.refuse(f"no analysis {name!r}; {suggest(name, list(known))}")
        return known[name or observed[0]]

    def workspace(self) -> dict[str, Any]:
        """Return the workspace."""
        channels, observations = [], []
        for name, data in zip(self.likelihood["distributions"], self.likelihood["data"], strict=True):
            distribution = self.distributions[name]
            if distribution["type"] != "histfactory_dist":
                raise self.refuse(
                    f"distribution {name}: type {distribution['type']!r} is not supported, only histfactory_dist"
                )
            if self.data[data]["type"] != "binned":
                raise self.refuse(f"data {data}: type {self.data[data]['type']!r} is not supported, only binned")
            channel = name.removeprefix("model_")
            samples = [self._sample(channel, sample) for sample in distribution["samples"]]
            channels.append({"name": channel, "samples": samples})
            observations.append({"name": channel, "data": list(self.data[data]["contents"])})
        pois = self.analysis.get("parameters_of_interest", [])
        config = {"poi": pois[0] if pois else "", "parameters": list(self.settings.values())}
        found = {"channels": channels, "observations": observations, "version": "1.0.0",
                 "measurements": [{"name": self.analysis["name"], "config": config}]}  # fmt: skip
        extended: dict[str, Any] = {"interpolation": self.codes} if self.codes not in ({}, _DEFAULTS) else {}
        if set(self.codes.items()) <= set(_DEFAULTS.items()):
            extended = {}
        if self.constraints:
            extended["constraints"] = self.constraints
        return found | ({"extensions": extended} if extended else {})

    def _sample(self, channel: str, sample: Mapping[str, Any]) -> dict[str, Any]:
        place, data = f"{channel}: sample {sample['name']}", sample["data"]
        found = []
        for modifier in sample.get("modifiers", []):
            kind = modifier["type"]
            if kind in _SINGLE:
                found.append(self._single(modifier, place))
            elif kind in _PER_BIN:
                found.append(self._per_bin(modifier, data, place))
            else:
                known = ", ".join((*_SINGLE, *_PER_BIN))
                raise self.refuse(f"{place}: modifier {modifier['name']}: no type {kind!r}; choose one of {known}")
        return {"name": sample["name"], "data": list(data["contents"]), "modifiers": found}

    def _single(self, modifier: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Return a modifier of one parameter, under the name of the parameter."""
        kind, name, data = modifier["type"], modifier.get("parameter", modifier["name"]), modifier.get("data") or {}
        centre, width = self._constraint(modifier, name, place)
        setting = {"name": name} | ({"bounds": [self.ranges[name]]} if name in self.ranges else {})
        point = self.values.get(name, {})
        if "value" in point:
            setting["inits"] = [point["value"]]
        if point.get("const"):
            setting["fixed"] = True
        if kind == "normfactor" and width and name.lower() == "lumi":
            bounds = {"bounds": [[centre - 5.0 * width, centre + 5.0 * width]]}
            self.settings["lumi"] = bounds | setting | {"name": "lumi", "auxdata": [centre], "sigmas": [width]}
            return {"name": "lumi", "type": "lumi", "data": None}
        self.settings[name] = setting
        if (kind == "normfactor" and width) or (kind != "normfactor" and (centre, width) != (0.0, 1.0)):
            self.constraints[name] = {"type": "normal", "auxdata": centre, "sigma": width}
        if kind == "normfactor":
            return {"name": name, "type": kind, "data": None}
        written = data.get("interpolation", modifier.get("interpolation"))
        if written not in _CODES[kind]:
            raise self.refuse(f"{place}: {kind} {name}: interpolation {written!r} is not supported")
        if self.codes.setdefault(kind, _CODES[kind][written]) != _CODES[kind][written]:
            raise self.refuse(f"{place}: {kind} {name}: all {kind} need the same interpolation")
        if kind == "normsys":
            return {"name": name, "type": kind, "data": {"hi": data["hi"], "lo": data["lo"]}}
        ends = {f"{side}_data": list(data[side]["contents"]) for side in ("hi", "lo")}
        return {"name": name, "type": kind, "data": ends}

    def _constraint(self, modifier: Mapping[str, Any], name: str, place: str) -> tuple[float, float]:
        """Return centre and width of the constraint of a parameter; (0, 0): it has none."""
        if "constraint_name" in modifier:
            found = self.distributions[modifier["constraint_name"]]
            if found["type"] != "gaussian_dist" or name not in (found["x"], found["mean"]):
                raise self.refuse(
                    f"{place}: {name}: a constraint {found['type']!r} is not supported, only gaussian_dist"
                )
            centre = found["mean"] if found["x"] == name else found["x"]
            return self._value(centre), self._value(found["sigma"])
        if modifier["type"] == "normfactor":
            return 0.0, 0.0
        kind = modifier.get("constraint_type", modifier.get("constraint", "Gauss"))
        if kind not in ("Gauss", "Gaussian"):
            raise self.refuse(f"{place}: {name}: a constraint {kind!r} is not supported, only Gauss")
        return 0.0, 1.0

    def _value(self, written: Any) -> float:
        return float(self.values[written]["value"] if isinstance(written, str) else written)

    def _per_bin(self, modifier: Mapping[str, Any], data: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Return a modifier with a parameter in each bin, under the common beginning of the parameters' names."""
        kind, parameters, nominal = modifier["type"], modifier["parameters"], data["contents"]
        name = common(parameters) if len(parameters) > 1 else modifier["name"]
        held = [bool(self.values.get(parameter, {}).get("const")) for parameter in parameters]
        if kind == "shapefactor":
            self.settings[name] = {"name": name} | self._factors(parameters, held)
            return {"name": name, "type": kind, "data": None}
        if kind == "staterror":
            if modifier.get("data"):
                raise self.refuse(f"{place}: a staterror for each sample (Barlow-Beeston in full) is not supported")
            if "errors" not in data:
                raise self.refuse(f"{place}: a staterror, but no errors")
            errors = list(data["errors"])
        else:
            vals = modifier["data"]["vals"]
            errors = [val * (size if self.relative else 1.0) for val, size in zip(vals, nominal, strict=True)]
        default = {"staterror": "Gauss", "shapesys": "Poisson"}[kind]
        wanted = modifier.get("constraint_type", modifier.get("constraint", default))
        if wanted != default:
            raise self.refuse(f"{place}: {kind} {name}: a constraint {wanted!r} is not supported, only {default}")
        errors = [0.0 if fixed else error for fixed, error in zip(held, errors, strict=True)]
        values = [self._value(parameter) if fixed else 1.0 for fixed, parameter in zip(held, parameters, strict=True)]
        if any(value != 1.0 for value in values):
            self.settings[name] = {"name": name, "inits": values}
        return {"name": name, "type": kind, "data": errors}

    def _factors(self, parameters: Sequence[str], held: Sequence[bool]) -> dict[str, Any]:
        """Return where the free factors of bins start, and in which bounds; they are fixed all or none."""
        if any(held) and not all(held):
            raise self.refuse(f"{parameters[held.index(True)]} is constant, others of the same shapefactor are not")
        found: dict[str, Any] = {"fixed": True} if any(held) else {}
        points = [self.values.get(name, {}).get("value") for name in parameters]
        ends = [self.ranges.get(name) for name in parameters]
        found |= {"inits": points} if None not in points else {}
        return found | ({"bounds": ends} if None not in ends else {})


_DEFAULTS = {"normsys": "code4", "histosys": "code4p"}


def common(names: Sequence[str]) -> str:
    """Return what names of bins begin with, without the number."""
    same = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same).rstrip("0123456789").removesuffix("_bin_").rstrip("_") or names[0]

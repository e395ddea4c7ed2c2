"""Read HistFactory's XML with its ROOT files, as pyhf does, and refuse what pyhf would leave out.

What ROOT's hist2workspace does and pyhf does not is done here: MC statistics below RelErrorThreshold are left out, and
their constraints are Poisson, those of a ShapeSys normal, where nothing else is written.
"""

import logging
import xml.parsers.expat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow.names import suggest

_ALLOWED = {
    "Combination": {"OutputFilePrefix", "Mode"},
    "Input": set[str](),
    "Measurement": {"Name", "Lumi", "LumiRelErr", "BinLow", "BinHigh", "Mode", "ExportOnly"},
    "POI": set[str](),
    "ParamSetting": {"Const", "Val"},
    "Asimov": {"Name", "FixParams"},
    "Channel": {"Name", "InputFile", "HistoPath", "HistoName"},
    "Data": {"InputFile", "HistoPath", "HistoName"},
    "StatErrorConfig": {"RelErrorThreshold", "ConstraintType"},
    "Sample": {"Name", "InputFile", "HistoPath", "HistoName", "NormalizeByTheory"},
    "NormFactor": {"Name", "Val", "Low", "High", "Const"},
    "OverallSys": {"Name", "Low", "High"},
    "HistoSys": {"Name", "HistoNameLow", "HistoNameHigh", "HistoPathLow", "HistoPathHigh", "HistoFileLow",
                 "HistoFileHigh"},
    "StatError": {"Activate", "InputFile", "HistoFile", "HistoPath", "HistoName"},
    "ShapeSys": {"Name", "InputFile", "HistoPath", "HistoName", "ConstraintType"},
    "ShapeFactor": {"Name"},
}  # fmt: skip
log = logging.getLogger(__name__)
_THRESHOLD = 0.05  # that of ROOT, where a channel says nothing


class _Setting(NamedTuple):
    """What a ParamSetting says of one parameter."""

    measurement: str
    line: int
    name: str
    attributes: dict[str, str]


class _Scan:
    """What the elements of one XML file say that pyhf's reader leaves out."""

    def __init__(self, path: Path) -> None:
        self.path, self.inputs, self.threshold, self.channel, self._text = path, list[str](), _THRESHOLD, "", ""
        self.constraints, self.written = {"StatErrorConfig": "Poisson"}, False
        self.measurement, self.setting, self.settings = "", dict[str, str](), list[_Setting]()
        self.parser = xml.parsers.expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._read
        try:
            self.parser.Parse(path.read_bytes(), True)
        except xml.parsers.expat.ExpatError as error:
            raise ValueError(f"{path}: line {error.lineno}: not XML ({error})") from None

    def _refuse(self, text: str) -> None:
        raise ValueError(f"{self.path}: line {self.parser.CurrentLineNumber}: {text}")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._text = ""
        if tag not in _ALLOWED:
            self._refuse(f"<{tag}> is not supported; {suggest(tag, list(_ALLOWED))}")
        for name in attributes:
            if name not in _ALLOWED[tag]:
                self._refuse(f"<{tag}>: {name} is not supported; {suggest(name, sorted(_ALLOWED[tag]))}")
        kind = {"Gauss": "Gaussian"}.get(attributes.get("ConstraintType", ""), attributes.get("ConstraintType"))
        if kind not in (None, "Gaussian", "Poisson"):
            self._refuse(f"<{tag}>: ConstraintType {kind} is not supported, only Gaussian and Poisson")
        if tag in ("StatErrorConfig", "ShapeSys"):
            default = "Poisson" if tag == "StatErrorConfig" else "Gaussian"
            self.constraints[attributes.get("Name", tag)] = kind or default
            self.written |= tag == "StatErrorConfig" and kind is not None
        if tag == "Measurement":
            self.measurement = attributes.get("Name", "")
        elif tag == "ParamSetting":
            self.setting = attributes
        elif tag == "StatErrorConfig":
            self.threshold = float(attributes.get("RelErrorThreshold", _THRESHOLD))
        elif tag == "Channel":
            self.channel = attributes.get("Name", "")

    def _read(self, text: str) -> None:
        self._text += text

    def _end(self, tag: str) -> None:
        if tag == "Input":
            self.inputs.append(self._text.strip())
        elif tag == "ParamSetting":
            self.settings += [_Setting(self.measurement, self.parser.CurrentLineNumber, name, self.setting)
                              for name in self._text.split()]  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    """Return the workspace of a top-level XML file; its inputs are looked for here, and beside and above the file."""
    top = _Scan(path)
    folders = [Path(), path.parent, path.parent.parent]
    root = next((folder for folder in folders if all((folder / name).exists() for name in top.inputs)), None)
    if not top.inputs or root is None:
        raise ValueError(
            f"{path}: its <Input> files {', '.join(top.inputs)} are not in this folder, nor beside the file"
        )
    channels = {scan.channel: scan for scan in (_Scan(root / name) for name in top.inputs)}
    try:
        from pyhf import readxml
    except ImportError:
        raise ValueError(f"{path}: HistFactory XML is read by pyhf with uproot, which are not installed: "
                         f'pip install "pyhf[xmlio]"') from None  # fmt: skip
    readxml.clear_filecache()
    try:
        found: dict[str, Any] = readxml.parse(str(path), str(root), track_progress=False)
    except Exception as error:
        raise ValueError(f"{path}: {' '.join(str(error.args[0] if error.args else error).split())}") from None
    finally:
        readxml.clear_filecache()
    _set(found, top)
    constraints: dict[str, Any] = {}
    for channel in found["channels"]:
        scan = channels[channel["name"]]
        sigmas = _leave_out(channel, scan.threshold)
        if sigmas.any() and not scan.written:
            log.warning("WARNING: %s: channel %s: no ConstraintType of StatErrorConfig: Poisson, as in ROOT 6.40 (old "
                        "ROOT and pyhf: Gaussian)", scan.path, scan.channel)  # fmt: skip
        if scan.constraints["StatErrorConfig"] == "Poisson":
            for b in np.flatnonzero(sigmas):
                count = float(sigmas[b] ** -2)
                constraint = {"type": "poisson", "auxdata": count, "factor": count}
                constraints[f"staterror_{channel['name']}[{b}]"] = constraint
        constraints |= _normal(channel, scan)
    return found | ({"extensions": {"constraints": constraints}} if constraints else {})


def _set(found: dict[str, Any], top: _Scan) -> None:
    """Set parameters as the measurements ask for: pyhf takes names apart at blanks only, not at ends of lines."""
    known = {
        row["name"] for channel in found["channels"] for sample in channel["samples"] for row in sample["modifiers"]
    }
    for measurement in found["measurements"]:
        config = measurement["config"]
        rows = {row["name"]: row for row in config["parameters"] if row["name"] in known}
        for setting in (row for row in top.settings if row.measurement == measurement["name"]):
            name = "lumi" if setting.name == "Lumi" else setting.name.removeprefix("alpha_")
            if name not in known and name == "lumi":  # no sample has it
                continue
            if name not in known:
                log.warning("WARNING: %s: line %d: ParamSetting: no parameter %s; %s", top.path, setting.line,
                            setting.name, suggest(name, sorted(known)))  # fmt: skip
                continue
            row = rows.setdefault(name, {"name": name})
            if "Const" in setting.attributes:
                row["fixed"] = setting.attributes["Const"].lower() in ("true", "1")
            if "Val" in setting.attributes:
                row["inits"] = [float(setting.attributes["Val"])]
        config["parameters"] = list(rows.values())


def _normal(channel: dict[str, Any], scan: _Scan) -> dict[str, Any]:
    """Return the constraints of the shapesys modifiers that are normal."""
    found = {}
    for sample in channel["samples"]:
        for modifier in sample["modifiers"]:
            if modifier["type"] == "shapesys" and scan.constraints[modifier["name"]] == "Gaussian":
                for b, (error, rate) in enumerate(zip(modifier["data"], sample["data"], strict=True)):
                    if error > 0.0 and rate > 0.0:
                        normal = {"type": "normal", "auxdata": 1.0, "sigma": error / rate}
                        found[f"{modifier['name']}[{b}]"] = normal
    return found


def _leave_out(channel: dict[str, Any], threshold: float) -> Any:
    """Set the errors of MC statistics to 0 where they are relatively below the threshold; return the relative ones."""
    rows = [(sample, modifier) for sample in channel["samples"] for modifier in sample["modifiers"]
            if modifier["type"] == "staterror"]  # fmt: skip
    if not rows:
        return np.zeros(0)
    total = np.sum([sample["data"] for sample, _ in rows], axis=0)
    error = np.sqrt(np.sum([np.square(modifier["data"]) for _, modifier in rows], axis=0))
    keep = error >= threshold * total
    for _, modifier in rows:
        modifier["data"] = np.where(keep, modifier["data"], 0.0).tolist()
    return np.where(keep, error / np.where(total > 0.0, total, 1.0), 0.0)

"""Read the text of a Combine datacard: bins, processes, rates, where shapes lie, and what each line of nuisances says.

Source: HiggsAnalysis-CombinedLimit, python/DatacardParser.py and its manual. Every line that is not understood is
refused with its number.
"""

import fnmatch
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from nuisflow.names import suggest

EFFECTS = ("lnN", "lnU", "gmN", "shape", "shape?", "shapeU")
OTHERS = ("param", "rateParam", "flatParam", "group", "autoMCStats")
_REFUSED = {
    "edit": "nuisance edits: write the nuisance as it is after the edit",
    "constr": "constraint terms of formulas",
    "extArg": "parameters of another workspace",
    "discrete": "discrete parameters",
    "gmM": "gamma distributions with a width",
    "trG": "truncated Gaussians",
    "unif": "uniform changes of a yield",
    "dFD": "flat distributions with soft ends",
    "dFD2": "flat distributions with soft ends",
    "shapeN": "interpolation of the logarithm of a shape",
    "shapeN2": "interpolation of the logarithm of a shape",
    "shapeL": "piecewise linear interpolation of a shape",
}

_NEARLY_NOTHING = 1e-6
"""Rate that Combine gives a process without events in the sideband of its gmN, lest it is left out."""

Column = tuple[str, str]
"""A bin and a process."""


class Nuisance(NamedTuple):
    """A line of nuisances: *numbers* by column, without those that have no effect; *events*: the N of a gmN."""

    line: int
    name: str
    kind: str
    numbers: dict[Column, tuple[float, ...]]
    events: int = 0


class Rate(NamedTuple):
    """A rateParam: the columns that it scales, its value, and its range if it has one."""

    line: int
    name: str
    columns: tuple[Column, ...]
    value: float
    bounds: tuple[float, float] | None


class Shape(NamedTuple):
    """Where the histograms of a process (or ``*``) in a bin (or ``*``) lie."""

    line: int
    process: str
    bin: str
    file: str
    nominal: str
    varied: str


class Card(NamedTuple):
    """A datacard; *columns* with their rates (-1: that of the histogram), *signals*: processes scaled by r.

    *statistics*: line, threshold and whether the signal counts, by bin; *constraints*: mean and width of a param.
    """

    path: Path
    columns: dict[Column, float]
    signals: frozenset[str]
    observations: dict[str, float]
    shapes: tuple[Shape, ...]
    nuisances: tuple[Nuisance, ...]
    rates: tuple[Rate, ...]
    constraints: dict[str, tuple[float, float]]
    statistics: dict[str, tuple[int, float, bool]]
    groups: dict[str, tuple[str, ...]]


def looks_like(text: str) -> bool:
    """Tell whether a text is a datacard."""
    return bool(re.search(r"^imax\s", text, flags=re.MULTILINE) and re.search(r"^rate\s", text, flags=re.MULTILINE))


class _Reader:
    """What is known of a card while its lines are read."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.header: dict[str, list[tuple[int, list[str]]]] = {}
        self.nuisances: list[Nuisance] = []
        self.rates: list[Rate] = []
        self.constraints: dict[str, tuple[float, float]] = {}
        self.statistics: dict[str, tuple[int, float, bool]] = {}
        self.groups: dict[str, tuple[str, ...]] = {}
        self.counted = 0
        rows = list(_words(text))
        end = next((i for i, (_, words) in enumerate(rows) if words[0] == "rate"), None)
        start = next((i for i, (_, words) in enumerate(rows) if words[0] == "imax"), 0)
        if end is None:
            raise ValueError(f"{path}: no line 'rate': not a datacard")
        for line, words in rows[start : end + 1]:
            if words[0] not in ("imax", "jmax", "kmax", "shapes", "bin", "observation", "process", "rate"):
                self.refuse(line, f"{words[0]!r} is not known before the line 'rate'")
            self.header.setdefault(words[0], []).append((line, words[1:]))
        self.columns, self.signals = self._columns()
        for line, words in rows[end + 1 :]:
            self._nuisance(line, words)

    def refuse(self, line: int, text: str) -> NoReturn:
        """Say what is wrong with a line."""
        raise ValueError(f"{self.path}: line {line}: {text}")

    def number(self, line: int, text: str, what: str) -> float:
        """Return a finite number of a line."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.refuse(line, f"{what}: {text!r} is not a finite number")
        return value

    def _only(self, key: str, which: int = 0) -> tuple[int, list[str]]:
        """Return the words of a line that must be there."""
        rows = self.header.get(key, [])
        if len(rows) <= which:
            raise ValueError(f"{self.path}: {'a second' if which else 'no'} line {key!r} is missing")
        return rows[which]

    def _agree(self, key: str, found: int, what: str) -> None:
        """Make sure that imax, jmax or kmax is what was found, or ``*``."""
        line, words = self._only(key)
        if not words or not (words[0] == "*" or words[0].isdecimal()):
            self.refuse(line, f"{key}: write the number of {what}, or *")
        if words[0] != "*" and int(words[0]) != found:
            self.refuse(line, f"{key} {words[0]}, but there are {found} {what}")

    def _columns(self) -> tuple[dict[Column, float], frozenset[str]]:
        """Return bins and processes with their rates, and which processes are signals."""
        line, bins = self._only("bin", len(self.header.get("bin", [])) - 1)
        (_, names), (second, ids) = self._only("process"), self._only("process", 1)
        if not all(re.fullmatch(r"[-+]?\d+", word) for word in ids):
            names, ids = ids, names
        last, rates = self._only("rate")
        for what, words in (("names of processes", names), ("numbers of processes", ids), ("rates", rates)):
            if len(words) != len(bins):
                self.refuse(
                    last if what == "rates" else second, f"{len(words)} {what} for {len(bins)} bins of line {line}"
                )
        columns: dict[Column, float] = {}
        signal: dict[str, bool] = {}
        for bin_, name, number, rate in zip(bins, names, ids, rates, strict=True):
            if (bin_, name) in columns:
                self.refuse(line, f"process {name} stands twice in bin {bin_}")
            if signal.setdefault(name, int(number) <= 0) != (int(number) <= 0):
                self.refuse(second, f"process {name} is a signal in one bin and none in another")
            columns[bin_, name] = self.number(last, rate, f"rate of {name} in {bin_}")
        for key, found, what in (
            ("imax", len(dict.fromkeys(bins)), "bins"),
            ("jmax", len(signal) - 1, "processes - 1"),
        ):
            self._agree(key, found, what)
        return columns, frozenset(name for name, own in signal.items() if own)

    def card(self) -> Card:
        """Return the card, checked as a whole."""
        bins, observations = list(dict.fromkeys(bin_ for bin_, _ in self.columns)), dict[str, float]()
        if "observation" in self.header:
            line, words = self._only("observation")
            names = self._only("bin")[1] if len(self.header["bin"]) > 1 else bins
            if len(words) != len(names) or set(names) != set(bins):
                self.refuse(line, f"{len(words)} observations for the bins {', '.join(bins)}")
            observations = {name: self.number(line, word, name) for name, word in zip(names, words, strict=True)}
        self._agree("kmax", self.counted, "nuisance parameters")
        known = {row.name for row in self.nuisances} | {row.name for row in self.rates} | set(self.constraints)
        for group, members in self.groups.items():
            for member in members:
                if member not in known:
                    raise ValueError(
                        f"{self.path}: group {group}: no nuisance {member!r}; {suggest(member, sorted(known))}"
                    )
        return Card(self.path, self.columns, self.signals, observations, tuple(self._shapes()), tuple(self.nuisances),
                    tuple(self.rates), self.constraints, self.statistics, self.groups)  # fmt: skip

    def _shapes(self) -> Iterator[Shape]:
        for line, words in self.header.get("shapes", []):
            if len(words) == 3 and words[2] == "FAKE":
                yield Shape(line, words[0], words[1], "FAKE", "", "")
            elif len(words) not in (4, 5):
                self.refuse(line, "shapes: write 'shapes PROCESS BIN FILE HISTOGRAM [HISTOGRAM_WITH_SYSTEMATIC]'")
            else:
                if any(":" in word for word in words[3:]):
                    self.refuse(line, f"shapes: {words[3]} is in a RooWorkspace; only histograms are read")
                process, bin_, file, nominal = words[:4]
                yield Shape(line, process, bin_, file, nominal, words[4] if len(words) == 5 else "")

    def _nuisance(self, line: int, words: list[str]) -> None:
        """Read a line behind the rates."""
        if len(words) < 2:
            self.refuse(line, f"{words[0]!r} stands alone")
        name, kind = words[0], words[1]
        if kind in _REFUSED or re.match(r"shape[NL\d]", kind):
            self.refuse(line, f"{name}: {kind} is not supported ({_REFUSED.get(kind, 'another interpolation')})")
        if name.endswith("[nofloat]"):
            self.refuse(line, f"{name}: [nofloat] is not supported")
        readers: dict[str, Callable[[int, str, list[str]], None]] = {
            "param": self._param, "rateParam": self._rate, "group": self._group, "autoMCStats": self._statistics,
            "flatParam": lambda *_: None,
        }  # fmt: skip
        if kind in readers:
            return readers[kind](line, name, words[2:])
        if kind not in EFFECTS:
            self.refuse(line, f"{name}: no kind {kind!r}; {suggest(kind, [*EFFECTS, *OTHERS])}")
        self._effects(line, f"theta{name}" if name[0].isdecimal() else name, kind, words[2:])
        return None

    def _effects(self, line: int, name: str, kind: str, words: list[str]) -> None:
        self.counted += 1
        events = 0
        if kind == "gmN":
            if not words or not words[0].isdecimal():
                self.refuse(line, f"{name}: gmN needs the number of events, a whole number")
            events, words = int(words[0]), words[1:]
        words, rest = words[: len(self.columns)], words[len(self.columns) :]
        if len(words) < len(self.columns) or (rest and _is_effect(rest[0])):  # words behind the last column are free
            self.refuse(line, f"{name}: {len(words) + len(rest)} entries for {len(self.columns)} columns")
        for row in self.nuisances:
            if row.name == name:
                self.refuse(line, f"{name} stands in line {row.line} already")
        found = {}
        for column, word in zip(self.columns, words, strict=True):
            if re.fullmatch(r"-+", word):
                continue
            numbers = tuple(self.number(line, part, name) for part in word.split("/"))
            asymmetric = len(numbers) == 2 and kind in ("lnN", "lnU", "shape?") and min(numbers) > 0.0
            if (len(numbers) > 1 and not asymmetric) or min(numbers) < 0.0:
                self.refuse(line, f"{name}: {word!r} is no effect of a {kind} ({column[1]} in {column[0]})")
            if numbers != (0.0,) and not (kind == "lnN" and numbers == (1.0,)):
                found[column] = numbers
                if kind == "gmN" and self.columns[column] == 0.0:
                    self.columns[column] = _NEARLY_NOTHING
        self.nuisances.append(Nuisance(line, name, kind, found, events))

    def _param(self, line: int, name: str, words: list[str]) -> None:
        self.counted += 1
        if len(words) not in (2, 3) or "/" in words[1]:
            self.refuse(line, f"{name}: param needs a mean and one width (other widths up and down are not supported)")
        mean, width = (self.number(line, word, name) for word in words[:2])
        if not width > 0.0:
            self.refuse(line, f"{name}: the width of a param must be positive")
        self.constraints[name] = (mean, width)

    def _rate(self, line: int, name: str, words: list[str]) -> None:
        if len(words) not in (3, 4) or (len(words) == 4 and not words[3].startswith("[")):
            self.refuse(line, f"{name}: only 'rateParam BIN PROCESS VALUE [LOW,HIGH]' is supported, no formula")
        columns = tuple(column for column in self.columns
                        if all(map(fnmatch.fnmatch, column, words[:2])))  # fmt: skip
        if not columns:
            self.refuse(line, f"{name}: no process {words[1]!r} in a bin {words[0]!r}")
        ends = [self.number(line, word, name) for word in words[3].strip("[]").split(",")] if len(words) == 4 else []
        if words[3:] and (len(ends) != 2 or not ends[0] < ends[1]):
            self.refuse(line, f"{name}: {words[3]} is no range")
        rate = Rate(line, name, columns, self.number(line, words[2], name), (ends[0], ends[1]) if ends else None)
        for row in (row for row in self.rates if row.name == name):
            if (row.value, row.bounds) != (rate.value, rate.bounds):
                self.refuse(line, f"{name} has another value or range in line {row.line}")
            if twice := [column for column in columns if column in row.columns]:
                self.refuse(line, f"{name} scales {twice[0][1]} in {twice[0][0]} in line {row.line} already")
        low, high = rate.bounds or (rate.value, rate.value)
        if not low <= rate.value <= high:
            self.refuse(line, f"{name}: the value {words[2]} is outside its range {words[3]}")
        self.rates.append(rate)

    def _group(self, line: int, name: str, words: list[str]) -> None:
        if len(words) < 2 or words[0] not in ("=", "+=") or (words[0] == "=") == (name in self.groups):
            self.refuse(line, f"group {name}: write 'NAME group = A B', then 'NAME group += C'")
        self.groups[name] = tuple(dict.fromkeys([*self.groups.get(name, ()), *words[1:]]))

    def _statistics(self, line: int, name: str, words: list[str]) -> None:
        bins = [bin_ for bin_ in dict.fromkeys(bin_ for bin_, _ in self.columns) if fnmatch.fnmatch(bin_, name)]
        if not 1 <= len(words) <= 3 or not bins:
            self.refuse(line, f"{name}: write 'BIN autoMCStats THRESHOLD [SIGNAL]' with a bin of the card")
        if len(words) == 3 and words[2] != "1":
            self.refuse(line, f"{name}: autoMCStats with hist-mode {words[2]} is not supported, only 1")
        threshold = self.number(line, words[0], name)
        if threshold < 0.0:
            self.refuse(line, f"{name}: the threshold {words[0]} of autoMCStats must not be negative")
        for bin_ in bins:
            self.statistics[bin_] = (line, threshold, len(words) > 1 and words[1] != "0")


def _is_effect(word: str) -> bool:
    """Tell whether a word looks like an entry of a column."""
    return bool(re.fullmatch(r"-+|[-+.\deE]+(/[-+.\deE]+)?", word))


def _words(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that say something, with their numbers."""
    for number, line in enumerate(text.splitlines(), 1):
        words: Sequence[str] = re.sub(r"(^|\s)#.*", "", line).split()
        if words and not words[0].startswith("--"):
            yield number, list(words)


def read(path: Path, text: str) -> Card:
    """Read a datacard; raise ValueError with the line where something is wrong or not supported."""
    return _Reader(path, text).card()

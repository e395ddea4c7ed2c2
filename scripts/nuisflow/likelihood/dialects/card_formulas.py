"""The likelihood of a Combine datacard, once more: from the text of the card, number by number, for proofs.

Nothing here is shared with `datacards`, `histograms` and `combine`, which make a workspace of a card, or with the
likelihood of workspaces: what both agree on was read twice. Sources: HiggsAnalysis-CombinedLimit, CombineMathFuncs.h
(`Functions`), ProcessNormalization, FastVerticalInterpHistPdf2, CMSHistErrorPropagator, ShapeTools.py.
"""

import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Column = tuple[str, str]
Words = list[str]
Values = Mapping[str, float]
_SHAPES, _LOGS = ("shape", "shape?", "shapeU"), ("lnN", "lnU", "shape?")
_NORMAL = ("lnN", "shape", "shape?")
_FLOOR, _FLAT = 1e-9, 1e-3


def smooth_step(x: float, region: float) -> float:
    """Return the quintic from -1 to 1 within *region*."""
    if abs(x) >= region:
        return math.copysign(1.0, x)
    t = x / region
    return 0.125 * t * (t * t * (3.0 * t * t - 10.0) + 15.0)


def log_kappa(x: float, low: float, high: float) -> float:
    """Return the logarithm of kappa at *x* of an asymmetric log-normal with the logarithms *low* and *high*."""
    if abs(x) >= 0.5:
        return high if x >= 0.0 else -low
    return 0.5 * (high - low) + 0.5 * (high + low) * smooth_step(2.0 * x, 1.0)


class Functions(NamedTuple):
    """The two functions that are Combine's own, in case Combine itself is there to be asked."""

    smooth_step: Callable[[float, float], float] = smooth_step
    log_kappa: Callable[[float, float, float], float] = log_kappa


class _Card:
    """The words of a card and its histograms."""

    def __init__(self, path: Path, text: str, mass: str | None) -> None:
        self.folder, self.mass = path.parent, mass or ""
        rows = [_uncommented(line.split()) for line in text.splitlines()]
        rows = [words for words in rows if words and not words[0].startswith("--")]
        end = next(i for i, words in enumerate(rows) if words[0] == "rate")
        head, self.lines = rows[: end + 1], rows[end + 1 :]
        bins = [words[1:] for words in head if words[0] == "bin"]
        names, ids = (words[1:] for words in head if words[0] == "process")
        if not all(_whole(word) for word in ids):
            names, ids = ids, names
        columns = list(zip(bins[-1], names, strict=True))
        self.width, rates = len(columns), [float(word) for word in rows[end][1:]]
        self.signal = {name for name, number in zip(names, ids, strict=True) if int(number) <= 0}
        seen = next((words[1:] for words in head if words[0] == "observation"), [])
        labels = bins[0] if len(bins) > 1 else list(dict.fromkeys(bins[0]))
        self.seen = dict(zip(labels, map(float, seen), strict=bool(seen))) if seen else {}
        self.shapes = [words[1:] for words in head if words[0] == "shapes"]
        self.all = columns
        counted = {c for _, _, words, _ in self.effects(("gmN",)) for c in columns if _acts(words[c])}
        self.rate = dict(zip(columns, rates, strict=True))
        self.columns = [c for c in columns if self.rate[c] != 0.0 or c in counted]
        self.files: dict[str, Any] = {}
        self.read: dict[tuple[str, ...], tuple[Floats, Floats] | None] = {}

    def histogram(self, channel: str, process: str, systematic: str = "") -> tuple[Floats, Floats] | None:
        """Return contents and errors, or None: lines of the bin itself are asked first, then those of all bins."""
        key = channel, process, systematic
        if key not in self.read:
            rows = {(row[0], row[1]): row for row in reversed(self.shapes)}
            asked = [(process, channel), ("*", channel), (process, "*"), ("*", "*")]
            row = next((rows[pair] for pair in asked if pair in rows), None)
            self.read[key] = None if row is None or row[2] == "FAKE" else self._content(row, key)
        return self.read[key]

    def _content(self, row: Words, key: tuple[str, str, str]) -> tuple[Floats, Floats] | None:
        import uproot

        if len(row) <= 3 + bool(key[2]):
            return None
        marks = dict(zip(("$CHANNEL", "$PROCESS", "$SYSTEMATIC", "$MASS"), (*key, self.mass), strict=True))
        place, name = row[2], row[4 if key[2] else 3]
        for mark, word in marks.items():
            place, name = place.replace(mark, word), name.replace(mark, word)
        if place not in self.files:
            self.files[place] = uproot.open(self.folder / place)
        try:
            found = self.files[place][name]
        except KeyError:
            return None
        return np.array(found.values(), dtype=np.float64), np.array(found.errors(), dtype=np.float64)

    def effects(self, kinds: Sequence[str]) -> Iterator[tuple[str, str, dict[Column, str], Words]]:
        """Yield name, kind and the words by column, of lines of these kinds, and the line."""
        for words in self.lines:
            if words[1] in kinds:
                first = 3 if words[1] == "gmN" else 2
                name = f"theta{words[0]}" if words[0][0].isdigit() else words[0]
                yield name, words[1], dict(zip(self.all, words[first : first + self.width], strict=True)), words


def _uncommented(words: Words) -> Words:
    at = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
    return words[:at]


def _whole(word: str) -> bool:
    return word.lstrip("+-").isdigit()


def _acts(word: str) -> bool:
    return bool(word.strip("-")) and word.strip("-") not in {"0", "0.0"}


class _Parts(NamedTuple):
    """Processes of a channel: their norms at a point and at the start, and their morphed templates."""

    columns: list[Column]
    norms: list[float]
    start: list[float]
    shapes: list[Floats]


class Formulas:
    """-2 ln L of a card at values by the names of its parameters, up to a constant."""

    def __init__(self, path: Path, text: str, mass: str | None = None, functions: Functions | None = None) -> None:
        self.card, self.functions = _Card(path, text, mass), functions or Functions()
        card = self.card
        self.channels = list(dict.fromkeys(bin_ for bin_, _ in card.columns))
        self.statistics: dict[str, tuple[float, bool]] = {}
        for words in card.lines:
            if words[1] == "autoMCStats":
                chosen = [name for name in self.channels if fnmatch.fnmatch(name, words[0])]
                self.statistics |= dict.fromkeys(chosen, (float(words[2]), len(words) > 3 and words[3] != "0"))
        self.start: dict[str, float] = {"r": 1.0}
        self.start |= {words[0]: float(words[4]) for words in card.lines if words[1] == "rateParam"}
        self.start |= {name: float(words[2]) + 1.0 for name, _, _, words in card.effects(("gmN",))}
        self.shaped = {column: self._shaped(column) for column in card.columns}

    def twice_nll(self, values: Values) -> float:
        """Return -2 ln L, up to a constant."""
        card, total = self.card, 0.0
        for channel in self.channels:
            rates, more = self._expected(channel, values)
            data = card.histogram(channel, "data_obs")
            total += more + _counts(np.array([card.seen[channel]]) if data is None else data[0], rates)
        for name, _, _, _ in card.effects(_NORMAL):
            total += values.get(name, 0.0) ** 2
        for name, _, _, words in card.effects(("gmN",)):
            total += _counts(np.array([float(words[2])]), np.array([values[name]])) if name in values else 0.0
        for words in card.lines:
            if words[1] == "param" and words[0] in values:
                total += ((values[words[0]] - float(words[2])) / float(words[3])) ** 2
        return total

    def _shaped(self, column: Column) -> list[tuple[str, float, Floats, Floats]]:
        """Return the shapes of a process: parameter, effect, up and down."""
        found = []
        for name, kind, words, _ in self.card.effects(_SHAPES):
            if _acts(words[column]):
                up, down = (self.card.histogram(*column, name + side) for side in ("Up", "Down"))
                if up is not None and down is not None:
                    found.append((name, float(words[column]), up[0], down[0]))
                elif kind != "shape?":
                    raise ValueError(f"{name}: no histograms for {column[1]} in {column[0]}")
        return found

    def _power(self, x: float, low: float, high: float) -> float:
        return math.exp(x * self.functions.log_kappa(x, math.log(low), math.log(high)))

    def _norm(self, column: Column, v: Values) -> float:
        """Return ProcessNormalization, times the effects of shapes on the integral (getExtraNorm)."""
        card, counts = self.card, column[0] in self.statistics
        nominal = card.histogram(*column)
        rate = card.rate[column] if card.rate[column] >= 0.0 or nominal is None else float(nominal[0].sum())
        result, logs = 1.0 if counts else rate, 0.0
        shaped = {name for name, *_ in self.shaped[column]}
        for name, _, words, line in card.effects(("gmN",)):
            if _acts(words[column]):
                result = v[name] * (1.0 / max(int(line[2]), 1) if counts else float(words[column]))
        for name, _, words, _ in card.effects(_LOGS):
            if _acts(words[column]) and name not in shaped:
                low, _, high = words[column].rpartition("/")
                if low:
                    logs += v[name] * self.functions.log_kappa(v[name], math.log(float(low)), math.log(float(high)))
                elif float(high) != 1.0:
                    logs += v[name] * math.log(float(high))
        for row in card.lines:
            if row[1] == "rateParam" and all(map(fnmatch.fnmatch, column, row[2:4])):
                result *= v[row[0]]
        result *= v["r"] if column[1] in card.signal else 1.0
        for name, scale, up, down in self.shaped[column]:
            kappas = [float(side.sum() / nominal[0].sum()) for side in (down, up)] if nominal is not None else []
            if any(abs(kappa - 1.0) >= _FLAT for kappa in kappas):
                low_, high_ = (kappa**scale for kappa in kappas)
                result *= self._power(v[name], low_, high_)
        return result * math.exp(logs)

    def _shape(self, column: Column, v: Values) -> Floats:
        """Return the morphed template; without autoMCStats of integral 1 and above 0 (FastVerticalInterpHistPdf2)."""
        nominal = self.card.histogram(*column)
        if nominal is None:
            return np.ones(1)
        region, result = min([1.0, *(scale for _, scale, _, _ in self.shaped[column])]), nominal[0].copy()
        for name, scale, *sides in self.shaped[column]:
            up, down = (side * (nominal[0].sum() / side.sum()) for side in sides)
            x = scale * v[name]
            odd, even = up - down, up + down - 2.0 * nominal[0]
            result += 0.5 * x * (odd + self.functions.smooth_step(x, region) * even)
        if column[0] in self.statistics:
            return np.asarray(result)
        result = np.maximum(result, _FLOOR)
        return np.asarray(result / result.sum())

    def _expected(self, channel: str, v: Values) -> tuple[Floats, float]:
        """Return the expected events, with CMSHistErrorPropagator's errors, and -2 ln of their constraints."""
        columns = [column for column in self.card.columns if column[0] == channel]
        norms, shapes = [self._norm(column, v) for column in columns], [self._shape(column, v) for column in columns]
        rates = np.sum([norm * shape for norm, shape in zip(norms, shapes, strict=True)], axis=0)
        total = 0.0
        if channel in self.statistics:
            zero = dict.fromkeys(v, 0.0) | self.start
            parts = _Parts(columns, norms, [self._norm(column, zero) for column in columns], shapes)
            for b in range(len(rates)):
                change, more = self._bin(b, v, parts)
                rates[b], total = rates[b] + change, total + more
        return rates, total

    def _bin(self, b: int, v: Values, parts: "_Parts") -> tuple[float, float]:
        """Return by how much the statistics of the simulation change a bin, and -2 ln of their constraints."""
        columns, norms, start, shapes = parts
        channel = columns[0][0]
        threshold, with_signal = self.statistics[channel]
        found = [self.card.histogram(*column) or (np.zeros(b + 1),) * 2 for column in columns]
        nominal = [(float(values[b]), float(errors[b])) for values, errors in found]
        counted = [i for i, column in enumerate(columns) if with_signal or column[1] not in self.card.signal]
        events = sum(nominal[i][0] * start[i] for i in counted)
        variance = sum((nominal[i][1] * start[i]) ** 2 for i in counted)
        if variance <= 0.0:
            return 0.0, 0.0
        if int(0.5 + events**2 / variance) > threshold:
            x = v[f"prop_bin{channel}[{b}]"]
            return x * math.sqrt(sum((n * h[1]) ** 2 for n, h in zip(norms, nominal, strict=True))), x * x
        rate, total = 0.0, 0.0
        for column, norm, (own, error), shape in zip(columns, norms, nominal, shapes, strict=True):
            if error <= 0.0 or own < 0.0:
                continue
            number = int(0.5 + own**2 / error**2)
            if own > 0.0 and own >= error * 0.999 and number <= threshold:
                x = v[f"prop_bin{channel}_{column[1]}[{b}]"]
                rate += (x - 1.0) * float(shape[b]) * norm
                total += _counts(np.array([float(number)]), np.array([x * number]))
            else:
                x = v[f"prop_bin{channel}_bin{b}_{column[1]}"]
                rate += x * error * norm
                total += x * x
        return rate, total


def _counts(seen: Floats, expected: Floats) -> float:
    """Return -2 ln of the Poisson probability of what was *seen*, up to a constant; infinite where it is impossible."""
    if ((expected <= 0.0) & (seen > 0.0)).any() or (expected < 0.0).any():
        return math.inf
    logs = np.log(np.where(seen > 0.0, expected, 1.0))
    return float(2.0 * (expected - seen * logs).sum())

"""The likelihood of a Combine datacard by Combine's own functions, at points that ours was evaluated at.

Combine is no package, but what it computes with is one header, interface/CombineMathFuncs.h of
HiggsAnalysis-CombinedLimit, which ROOT compiles. This script reads a card and its histograms with ROOT, by code that
shares nothing with ours, and evaluates -2 ln L with the functions of that header, in the way in which
ShapeTools.py and CMSHistErrorPropagator.cc call them.

    python tests/studies/combine_referee.py ours CARD POINTS.json          (where Nuisflow is installed)
    python tests/studies/combine_referee.py theirs CARD POINTS.json HEADER (where ROOT is installed)

The second prints how far differences of -2 ln L are from ours at most. Not of Combine: rates in double precision (its
templates are TH1F), and factors of integrals with all digits (it writes them with six).
"""

import fnmatch
import json
import math
import sys
from pathlib import Path

NUMBER = 100


def ours(card, points):
    """Write values of all parameters and our -2 ln L at random points, two standard deviations around the start."""
    import numpy as np

    from nuisflow.likelihood.dialects import combine
    from nuisflow.likelihood.model import Model

    model = Model(combine.read(Path(card), Path(card).read_text()))
    reach = [
        2.0 * (row.width if row.constraint == "normal" else 0.25 * max(row.init, 1e-3)) for row in model.parameters
    ]
    noise = np.random.default_rng(1).uniform(-1, 1, (NUMBER, len(model.names)))
    at = np.clip(model.inits + np.where(model.fixed, 0.0, reach) * noise, model.lower, model.upper)
    rows = [dict(zip(model.names, row.tolist(), strict=True)) for row in at]
    fixed = [name for name, held in zip(model.names, model.fixed, strict=True) if held]
    Path(points).write_text(json.dumps({"points": rows, "twice_nll": model.twice_nll(at).tolist(), "fixed": fixed}))


class Card:
    """What the referee understands of a card: words of lines, histograms by ROOT."""

    def __init__(self, path):
        import ROOT

        self.root, self.folder, self.open = ROOT, Path(path).parent, {}
        lines = [line.partition("#")[0].split() for line in Path(path).read_text().splitlines()]
        lines = [words for words in lines if words and not words[0].startswith("--")]
        end = next(i for i, words in enumerate(lines) if words[0] == "rate")
        head = [words for words in lines[:end] if words[0] in ("bin", "process", "observation", "shapes")]
        bins = [words[1:] for words in head if words[0] == "bin"]
        names, ids = (words[1:] for words in head if words[0] == "process")
        self.columns = list(zip(bins[-1], names, strict=True))
        self.signal = {name for name, number in zip(names, ids, strict=True) if int(number) <= 0}
        self.rate = dict(zip(self.columns, map(float, lines[end][1:]), strict=True))
        seen = next(words[1:] for words in head if words[0] == "observation")
        self.seen = dict(zip(bins[0], map(float, seen), strict=True))
        self.shapes = [words[1:] for words in head if words[0] == "shapes"]
        self.lines = lines[end + 1 :]

    def histogram(self, channel, process, systematic=""):
        """Return contents and errors, or None."""
        for one, two in ((process, channel), ("*", channel), (process, "*"), ("*", "*")):
            for row in self.shapes:
                if row[:2] == [one, two]:
                    return self._read(row, channel, process, systematic)
        return None

    def _read(self, row, channel, process, systematic):
        if row[2] == "FAKE":
            return None
        name = (row[4] if systematic else row[3]).replace("$CHANNEL", channel).replace("$PROCESS", process)
        file = self.open.setdefault(row[2], self.root.TFile.Open(str(self.folder / row[2])))
        found = file.Get(name.replace("$SYSTEMATIC", systematic))
        if not found:
            return None
        size = range(1, found.GetNbinsX() + 1)
        return [found.GetBinContent(b) for b in size], [found.GetBinError(b) for b in size]

    def effects(self, kinds):
        """Yield name, kind and the words of all columns, of lines of these kinds."""
        for words in self.lines:
            if words[1] in kinds:
                first = 3 if words[1] == "gmN" else 2
                name = f"theta{words[0]}" if words[0][0].isdigit() else words[0]
                yield name, words[1], dict(zip(self.columns, words[first:], strict=True)), words


class Referee:
    """-2 ln L of a card at values by name, in the names of our parameters."""

    def __init__(self, path, header):
        self.card = Card(path)
        self.card.root.gInterpreter.Declare(f'#include "{Path(header).resolve()}"')
        self.math = self.card.root.RooFit.Detail.MathFuncs
        card = self.card
        self.statistics = {}
        for words in card.lines:
            if words[1] == "autoMCStats":
                chosen = {bin_ for bin_, _ in card.columns if fnmatch.fnmatch(bin_, words[0])}
                self.statistics |= dict.fromkeys(chosen, (float(words[2]), len(words) > 3 and words[3] != "0"))
        self.start = {"r": 1.0}
        self.start |= {words[0]: float(words[4]) for words in card.lines if words[1] == "rateParam"}
        self.start |= {name: float(words[2]) + 1 for name, _, _, words in card.effects(("gmN",))}

    def _shaped(self, column):
        """Return the shapes of a process: parameter, effect, up and down."""
        found = []
        for name, kind, words, _ in self.card.effects(("shape", "shape?", "shapeU")):
            if words[column].strip("-"):
                up, down = (self.card.histogram(*column, name + side) for side in ("Up", "Down"))
                if up is not None or not kind.endswith("?"):
                    found.append((name, float(words[column]), up[0], down[0]))
        return found

    def norm(self, column, v):
        """Return ProcessNormalization times the effects of shapes on the integral (getExtraNorm)."""
        card, logs = self.card, 0.0
        result = 1.0 if column[0] in self.statistics else card.rate[column]
        nominal = card.histogram(*column)
        if result < 0:
            result = sum(nominal[0])
        shaped = {name for name, *_ in self._shaped(column)}
        for name, kind, words, line in card.effects(("lnN", "lnU", "shape?", "gmN")):
            word = words[column]
            if not word.strip("-") or name in shaped:
                continue
            if kind == "gmN":
                result *= v[name] / max(int(line[2]), 1) if column[0] in self.statistics else v[name] * float(word)
                result /= 1.0 if column[0] in self.statistics else card.rate[column]
                continue
            low, _, high = word.rpartition("/")
            if low:
                logs += v[name] * self.math.logKappaForX(v[name], math.log(float(low)), math.log(float(high)))
            else:
                logs += v[name] * math.log(float(high))
        for words in card.lines:
            if words[1] == "rateParam" and all(map(fnmatch.fnmatch, column, words[2:4])):
                result *= v[words[0]]
        result *= v["r"] if column[1] in card.signal else 1.0
        for name, scale, up, down in self._shaped(column):
            kappas = [sum(side) / sum(nominal[0]) for side in (down, up)]
            if any(abs(kappa - 1) >= 1e-3 for kappa in kappas):
                result *= self.math.asymPow(v[name], *(kappa**scale for kappa in kappas))
        return result * math.exp(logs)

    def shape(self, column, v):
        """Return the morphed template: of one integral without autoMCStats, as FastVerticalInterpHistPdf2; else as it is."""
        nominal, shaped = self.card.histogram(*column)[0], self._shaped(column)
        region, result = min([1.0, *(scale for _, scale, _, _ in shaped)]), list(nominal)
        for name, scale, *sides in shaped:
            up, down = ([value * sum(nominal) / sum(side) for value in side] for side in sides)
            x = scale * v[name]
            step = self.math.smoothStepFunc(x, region)
            for b, value in enumerate(nominal):
                result[b] += 0.5 * x * ((up[b] - down[b]) + step * (up[b] + down[b] - 2 * value))
        if column[0] in self.statistics:
            return result
        result = [max(1e-9, value) for value in result]
        return [value / sum(result) for value in result]

    def expected(self, channel, v):
        """Return the expected events, with CMSHistErrorPropagator's errors, and -2 ln of their constraints."""
        columns = [column for column in self.card.columns if column[0] == channel]
        if self.card.histogram(*columns[0]) is None:
            return [sum(self.norm(column, v) for column in columns)], 0.0
        norms = [self.norm(column, v) for column in columns]
        shapes = [self.shape(column, v) for column in columns]
        rates = [sum(n * s[b] for n, s in zip(norms, shapes, strict=True)) for b in range(len(shapes[0]))]
        if channel not in self.statistics:
            return rates, 0.0
        start = [self.norm(column, dict.fromkeys(v, 0.0) | self.start) for column in columns]
        total = 0.0
        for b in range(len(rates)):
            rates[b], more = self._statistics(channel, b, v, columns, norms, start, shapes, rates[b])
            total += more
        return rates, total

    def _statistics(self, channel, b, v, columns, norms, start, shapes, rate):
        threshold, with_signal = self.statistics[channel]
        nominal = [self.card.histogram(*column) for column in columns]
        counted = [i for i, column in enumerate(columns) if with_signal or column[1] not in self.card.signal]
        events = sum(nominal[i][0][b] * start[i] for i in counted)
        error = math.sqrt(sum((nominal[i][1][b] * start[i]) ** 2 for i in counted))
        if error <= 0:
            return rate, 0.0
        if int(0.5 + events**2 / error**2) > threshold:
            x = v[f"prop_bin{channel}[{b}]"]
            return rate + x * math.sqrt(sum((n * h[1][b]) ** 2 for n, h in zip(norms, nominal, strict=True))), x * x
        total = 0.0
        for column, norm, (values, errors), shape in zip(columns, norms, nominal, shapes, strict=True):
            own, err = values[b], errors[b]
            if err <= 0 or own < 0:
                continue
            number = int(0.5 + own**2 / err**2)
            if own > 0 and own >= err * 0.999 and number <= threshold:
                x = v[f"prop_bin{channel}_{column[1]}[{b}]"]
                rate += (x - 1) * shape[b] * norm
                total -= 2 * math.log(self.card.root.Math.poisson_pdf(number, x * number))
            else:
                x = v[f"prop_bin{channel}_bin{b}_{column[1]}"]
                rate += x * err * norm
                total += x * x
        return rate, total

    def twice_nll(self, v):
        """Return -2 ln L, up to a constant."""
        card, total = self.card, 0.0
        for channel in dict.fromkeys(bin_ for bin_, _ in card.columns):
            rates, more = self.expected(channel, v)
            data = card.histogram(channel, "data_obs")
            seen = [card.seen[channel]] if data is None else data[0]
            total += more - 2 * sum(
                math.log(card.root.Math.poisson_pdf(int(n), r)) for n, r in zip(seen, rates, strict=True)
            )
        for name, _, _, _ in card.effects(("lnN", "shape", "shape?")):
            total += v[name] ** 2
        for name, _, _, words in card.effects(("gmN",)):
            total -= 2 * math.log(card.root.Math.poisson_pdf(int(words[2]), v[name]))
        for words in card.lines:
            if words[1] == "param":
                total += ((v[words[0]] - float(words[2])) / float(words[3])) ** 2
        return total


def theirs(card, points, header):
    """Print the largest difference of -2 Δ ln L, relative to the first point."""
    found = json.loads(Path(points).read_text())
    referee = Referee(card, header)
    values = [referee.twice_nll(point) for point in found["points"]]
    differences = [
        (a - values[0]) - (b - found["twice_nll"][0]) for a, b in zip(values, found["twice_nll"], strict=True)
    ]
    worst = max(map(abs, differences))
    sizes = max(abs(value - values[0]) for value in values)
    print(f"{len(values)} points, -2 Δ ln L up to {sizes:.4g}: the largest difference is {worst:.3g}")


if __name__ == "__main__":
    {"ours": ours, "theirs": theirs}[sys.argv[1]](*sys.argv[2:])

"""A datacard with most of what Combine has, its histograms, and Combine's formulas written out for it."""

import math

import numpy as np
from plain_likelihood import asymmetric, smooth_step
from scipy import stats

CARD = """\
# a comment, and text before imax
Combination of nothing
imax 3 number of bins
jmax * number of backgrounds
kmax 9
----------------------------------------
shapes *        *    shapes.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC
shapes data_obs high shapes.root high/data
shapes *        count FAKE
bin          low high count
observation  -1  -1   12
----------------------------------------
bin      low  low  low  high high count count
process  sig  ttH  wjet sig  wjet sig   wjet
process  0    1    2    0    2    0     2
rate     -1   -1   -1   -1   -1   3.0   10.0
----------------------------------------
lumi   lnN     1.02 1.02      -    1.02      -   1.02 -     # symmetric
scale  lnN     -    0.93/1.14 -    -         -   -    1.1/1.05
free   lnU     -    -         1.5  -         1.5 -    -
jes    shape   1    1         1    1         1   -    -
tilt   shape?  -    1         -    -         1   -    1.2
range  shapeU  -    -         -    0.5       -   -    -
side   gmN 5   -    -         -    -         -   -    2.0
wnorm  param   1.1  0.2
1named lnN     -    -         1.3  -         1.3 -    -
wscale rateParam *    wjet 1.1 [0.1,5]
tscale rateParam low  ttH  0.9
energy group = jes tilt
energy group += scale
low    autoMCStats 10
"""
CARD = CARD.replace("wnorm  param   1.1  0.2", "wscale param   1.1  0.2")
SIZES = {"low": 6, "high": 4}
PROCESSES = {"low": ("sig", "ttH", "wjet"), "high": ("sig", "wjet")}
SHIFTED = {("low", "sig"): ("jes",), ("low", "ttH"): ("jes", "tilt"), ("low", "wjet"): ("jes",),
           ("high", "sig"): ("range",), ("high", "wjet"): ("jes", "tilt")}  # fmt: skip
CARD = CARD.replace(
    "jes    shape   1    1         1    1         1 ", "jes    shape   1    1         1    -         1 "
)


def histograms(seed=2):
    """Return values and errors by name; some bins have few simulated events."""
    rng, found = np.random.default_rng(seed), {}
    for channel, size in SIZES.items():
        for process in PROCESSES[channel]:
            weight = np.where(np.arange(size) % 3 == 2, 1.5, 0.2) * (3.0 if process == "wjet" else 1.0)
            events = rng.integers(20, 60, size)
            events[-1] = 3
            nominal = events * weight
            found[f"{channel}/{process}"] = (nominal, np.sqrt(events) * weight)
            for name in SHIFTED[channel, process]:
                for side, size_ in (("Up", 0.08), ("Down", -0.06)):
                    change = 1.0 + size_ * rng.uniform(0.2, 2.0, len(nominal))
                    found[f"{channel}/{process}_{name}{side}"] = (nominal * change, np.sqrt(nominal))
        observed = rng.poisson(120.0, size).astype(float)
        found[f"{channel}/{'data' if channel == 'high' else 'data_obs'}"] = (observed, np.sqrt(observed))
    return found


def write(folder, card=CARD, found=None):
    """Write the card and its histograms; return the card's path."""
    import hist
    import uproot

    with uproot.recreate(folder / "shapes.root") as file:
        for name, (values, errors) in (found or histograms()).items():
            book = hist.Hist(hist.axis.Regular(len(values), 0.0, 1.0), storage=hist.storage.Weight())
            book.view(flow=False)[:] = np.stack([values, errors**2], axis=-1).view(book.view().dtype)[:, 0]
            file[name] = book
    path = folder / "card.txt"
    path.write_text(card)
    return path


def _morphed(found, channel, process, values):
    """Return the shape of a process with its nominal integral, and the log-normal of the integrals."""
    nominal, factor = found[f"{channel}/{process}"][0], 1.0
    shape = list(nominal)
    for name in SHIFTED[channel, process]:
        up, down = (found[f"{channel}/{process}_{name}{side}"][0] for side in ("Up", "Down"))
        scale = 0.5 if name == "range" else 1.0
        x = scale * values[name]
        for b in range(len(nominal)):
            high, low = up[b] * nominal.sum() / up.sum(), down[b] * nominal.sum() / down.sum()
            step = smooth_step(x / scale)  # Combine's smooth region: the smallest of 1 and the effects
            shape[b] += 0.5 * x * ((high - low) + step * (high + low - 2 * nominal[b]))
        factor *= asymmetric(values[name], (down.sum() / nominal.sum()) ** scale, (up.sum() / nominal.sum()) ** scale)
    return np.array(shape), factor


def _norm(channel, process, v):
    """Return the product of the log-normals and free factors of the card above, column by column."""
    factor = 1.02 ** v["lumi"] if process in ("sig", "ttH") else 1.0
    if process == "sig":
        factor *= v["r"]
    if process == "wjet":
        factor *= v["wscale"]
        factor *= 1.5 ** v["free"] * 1.3 ** v["theta1named"] if channel != "count" else 1.0
    if process == "ttH":
        factor *= v["tscale"] * asymmetric(v["scale"], 0.93, 1.14)
    if (channel, process) == ("count", "wjet"):
        factor *= asymmetric(v["scale"], 1.1, 1.05) * 1.2 ** v["tilt"]
    return factor


def _low(found, v, threshold):
    """Return the expected events of the bin low, with the statistics of its simulation."""
    parts = {p: _morphed(found, "low", p, v) for p in PROCESSES["low"]}
    start = {"sig": 1.0, "ttH": 0.9, "wjet": 1.1}
    rates = []
    for b in range(SIZES["low"]):
        nominal = {p: (start[p] * found[f"low/{p}"][0][b], start[p] * found[f"low/{p}"][1][b]) for p in parts}
        events = sum(nominal[p][0] for p in ("ttH", "wjet")) ** 2 / sum(nominal[p][1] ** 2 for p in ("ttH", "wjet"))
        total, square = 0.0, 0.0
        for p, (shape, factor) in parts.items():
            size = factor * _norm("low", p, v)
            rate, error = size * shape[b], size * found[f"low/{p}"][1][b]
            if int(0.5 + events) <= threshold:
                own = int(0.5 + (nominal[p][0] / nominal[p][1]) ** 2)
                if own <= threshold:
                    rate *= v[f"prop_binlow_{p}[{b}]"]
                else:  # the error of the nominal template, added whatever the shapes do
                    rate += v[f"prop_binlow_bin{b}_{p}"] * error
            total, square = total + rate, square + error**2
        if int(0.5 + events) > threshold:
            total += v[f"prop_binlow[{b}]"] * math.sqrt(square)
        rates.append(total)
    return rates


def twice_nll(found, values, threshold=10):
    """Return -2 ln L of the card up to a constant, from Combine's formulas; *values* by name."""
    v = dict(values)
    expected = _low(found, v, threshold)
    parts = {p: _morphed(found, "high", p, v) for p in PROCESSES["high"]}
    expected += list(sum(factor * _norm("high", p, v) * shape for p, (shape, factor) in parts.items()))
    expected.append(3.0 * _norm("count", "sig", v) + 2.0 * v["side"] * _norm("count", "wjet", v))
    observed = [*found["low/data_obs"][0], *found["high/data"][0], 12.0]
    total = -2.0 * stats.poisson.logpmf(observed, expected).sum() - 2.0 * stats.poisson.logpmf(5, v["side"])
    total += ((v["wscale"] - 1.1) / 0.2) ** 2
    total += sum(v[name] ** 2 for name in ("lumi", "scale", "jes", "tilt", "theta1named"))
    for name, x in v.items():
        if name.startswith(("prop_binlow[", "prop_binlow_bin")):
            total += x**2
        elif name.startswith("prop_binlow_"):
            process, b = name.removeprefix("prop_binlow_").removesuffix("]").split("[")
            rate, error = (row[int(b)] for row in found[f"low/{process}"])
            total -= 2.0 * stats.poisson.logpmf(round((rate / error) ** 2), x * round((rate / error) ** 2))
    return total

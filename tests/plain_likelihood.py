"""-2 ln L of a workspace with extensions, number by number and from the formulas: the referee of the compiled one."""

import math

import numpy as np
from scipy import stats


def smooth_step(t):
    """Return the quintic that goes from -1 to 1 (Combine's documentation)."""
    return math.copysign(1.0, t) if abs(t) >= 1 else (3 * t**5 - 10 * t**3 + 15 * t) / 8


def asymmetric(x, down, up):
    """Return Combine's asymmetric log-normal factor."""
    mean, half = 0.5 * (math.log(up) - math.log(down)), 0.5 * (math.log(up) + math.log(down))
    return math.exp(x * (mean + half * smooth_step(2 * x)))


def shape(code, x, down, nominal, up):
    """Return the change of a bin by a histosys."""
    odd, even = 0.5 * (up - down), up + down - 2 * nominal
    if code == "code0":
        return x * (up - nominal) if x > 0 else x * (nominal - down)
    if code == "code2":
        return odd * x + 0.5 * even * (x * x if abs(x) <= 1 else 2 * abs(x) - 1)
    return odd * x + 0.5 * x * smooth_step(x) * even


def rates(workspace, values, *, combined=True):
    """Return the expected main data by channel, in the order of their names."""
    codes = workspace.get("extensions", {}).get("interpolation", {})
    found = []
    for channel in sorted(workspace["channels"], key=lambda row: row["name"]):
        total, spread, name = 0.0, 0.0, ""
        for sample in channel["samples"]:
            nominal, factor = np.array(sample["data"], dtype=float), 1.0
            rate, error = nominal.copy(), np.zeros_like(nominal)
            for row in sample["modifiers"]:
                x, data = values.get(row["name"]), row["data"]
                if row["type"] == "normfactor":
                    factor *= x
                elif row["type"] == "polynomial":
                    factor *= sum(c * x**power for power, c in enumerate(data))
                elif row["type"] == "normsys":
                    assert codes["normsys"] == "combine"
                    factor *= asymmetric(x, data["lo"], data["hi"])
                elif row["type"] == "histosys":
                    both = zip(data["lo_data"], nominal, data["hi_data"], strict=True)
                    rate += [shape(codes.get("histosys", "code4p"), x, *each) for each in both]
                elif row["type"] == "mcstat":
                    error, name = np.array(data, dtype=float), row["name"]
                else:
                    raise NotImplementedError(row["type"])
            total, spread = total + factor * rate, spread + (factor * error) ** 2
        if name:
            total = total + np.array([values[f"{name}[{b}]"] for b in range(len(total))]) * np.sqrt(spread)
        found.append(total)
    return np.concatenate(found)


def twice_nll(workspace, model, point):
    """Return -2 ln L at a point, whose order (and constraints without correlation) are those of the model."""
    values = dict(zip(model.names, map(float, point), strict=True))
    expected, correlated, total = rates(workspace, values), set(), 0.0
    for block in workspace.get("extensions", {}).get("correlations", []):
        names = block["parameters"]
        correlated |= set(names)
        centre = [model.parameters[model.index(name)].auxiliary for name in names]
        widths = np.array([model.parameters[model.index(name)].width for name in names])
        matrix = block.get("covariance") or np.array(block["correlation"]) * np.outer(widths, widths)
        total -= 2.0 * stats.multivariate_normal.logpdf([values[name] for name in names], centre, matrix)
    for row in model.parameters:
        if row.constraint == "normal" and row.name not in correlated:
            total -= 2.0 * stats.norm.logpdf(values[row.name], row.auxiliary, row.width)
        elif row.constraint == "poisson":
            total -= 2.0 * stats.poisson.logpmf(row.auxiliary, row.width * values[row.name])
    return total - 2.0 * stats.poisson.logpmf(model.data[: model.bins], expected).sum()

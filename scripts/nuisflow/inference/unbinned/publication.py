"""The likelihood of single events in a form that others can evaluate: numbers and arrays, without our code or networks.

`config/examples/published_likelihood.py` reads it in a page of numpy.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.inference.unbinned.events import parts
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood import interpolation
from nuisflow.likelihood.constraints import correlations
from nuisflow.likelihood.histfactory import Floats
from nuisflow.settings.unbinned import NOMINAL
from nuisflow.storage import files

Json = dict[str, Any]
FORMULAS = {
    "statistic": "-2 ln L = -2 sum_i w_i ln(lambda(x_i)) + 2 sum_{regions g, processes p} kappa_p N_gp exp(Y_gp(z))"
    " + sum_kl (theta_k - auxiliary_k) precision_kl (theta_l - auxiliary_l), with the inverse covariance of the"
    " constraints: 1 / width_k^2 on the diagonal, and 0 beside it, but for correlated ones",
    "density": "lambda(x_i) = sum_p kappa_p N_gp r_ip exp(Y_gp(z) - M_tp(z) + sum_c D_ic m_c(z)) with the term t of the"
    " event, its region g, and the coefficients c whose owner is p",
    "rates": "kappa_p = prod_k theta_k over linear parameters that act on p * prod_k f_k(theta_k) over rates that act"
    " on p; f(x) = up^x for x >= 1, down^-x for x <= -1, and 1 + sum_j polynomial[j] x^(j+1) in between",
    "polynomials": "Y_gp(z) = sum_j yield_terms[g][p][j] prod_l z_l^powers[j][l], M_tp(z) alike with norms,"
    " m_c(z) = prod_l z_l^monomials[c][l]; z_l is the value of the parameter learned[l]",
    "events": "r_ip = exp(log_ratio[i][p]) is the density of process p relative to a reference common to all processes,"
    " D_ic = slopes[i][c]; the reference is not known and cancels in differences of -2 ln L",
    "bins": "a bin of a region with bins is an event: r_ip is its share of the process, w_i the number of events in it",
}
UNITS = "Weights and yields: events. Learned parameters and rates: prior standard deviations. Linear ones: factors."


def described(model: UnbinnedModel, kinds: Sequence[str]) -> Json:
    """Return everything but events, as plain values; *kinds* of data are published."""
    s, known = model.structure, model.description
    regions = ["events", *(region["region"] for region in known["binned"])]
    places = zip(regions, s.number.tolist(), s.yields.tolist(), strict=True)
    return {
        "format": "likelihood of single events, 2",
        "units": UNITS,
        "formulas": FORMULAS,
        "data": list(kinds),
        "parameters": [
            row._asdict() | {"auxiliary": row.init if row.width else None, "width": row.width or None}
            for row in model.parameters
        ],
        "precision": s.precision.tolist(),
        "processes": list(model.processes),
        "signal": known["signal"],
        "linear": known["linear"],
        "rates": {
            name: rate | {"polynomial": interpolation.code4(np.array([rate["down"], rate["up"]]))[:6].tolist()}
            for name, rate in known["rates"].items()
        },
        "learned": known["learned"],
        "powers": s.powers.tolist(),
        "regions": [{"name": name, "yields": number, "yield_terms": terms} for name, number, terms in places],
        "terms": [
            {"region": int(region), "norms": norms} for region, norms in zip(s.region, s.norms.tolist(), strict=True)
        ],
        "monomials": s.monomials.tolist(),
        "owners": np.repeat(np.arange(len(model.processes)), np.diff(s.first)).tolist(),
    }


def record(model: UnbinnedModel, values: str, more: Sequence[tuple[str, str]] = ()) -> np.dtype[Any]:
    """Return the type of one row of an array of events; *values*: that of its numbers."""
    sizes = {"log_ratio": len(model.processes), "slopes": len(model.columns)}
    return np.dtype([("term", "<i4"), *more, *((name, values, (size,)) for name, size in sizes.items())])


def rows(model: UnbinnedModel, path: Path, samples: Mapping[str, str], kind: str) -> Iterator[np.ndarray]:
    """Yield the nominal events of a file of densities, of ``simulation`` or ``data``, as rows with weight and process.

    *samples*: the process of every sample; that of data is -1.
    """
    size, dtype = len(model.processes), record(model, "<f4", [("process", "<i4"), ("weight", "<f8")])
    for part in parts(path, model, samples, NOMINAL):
        chosen = (part.process == size) == (kind == "data")
        found, values = np.empty(int(chosen.sum()), dtype), model.widened(part.values[chosen])
        found["term"], found["weight"] = part.fold[chosen], part.weight[chosen]
        found["process"] = -1 if kind == "data" else part.process[chosen]
        found["log_ratio"], found["slopes"] = values[:, :size], values[:, size:]
        yield found


def bins(model: UnbinnedModel, counts: Mapping[str, Floats]) -> np.ndarray:
    """Return all bins of regions with bins, with their *counts* by kind of data, (bins,)."""
    found = np.empty(len(model.bins), record(model, "<f8", [(kind, "<f8") for kind in counts]))
    size = len(model.processes)
    found["term"] = model.bin_terms
    found["log_ratio"], found["slopes"] = model.bins[:, :size], model.bins[:, size:]
    for kind, values in counts.items():
        found[kind] = values
    return found


def workspace(whole: Json, channels: Sequence[str]) -> Json:
    """Return the *channels* of a workspace, without what describes the finite simulation, which -2 ln L has not."""
    kept = [channel for channel in whole["channels"] if channel["name"] in channels]
    chosen = [
        channel
        | {
            "samples": [
                sample | {"modifiers": [row for row in sample["modifiers"] if row["type"] not in _SIMULATION]}
                for sample in channel["samples"]
            ]
        }
        for channel in kept
    ]
    acting = {row["name"] for channel in chosen for sample in channel["samples"] for row in sample["modifiers"]}
    measurements = []
    for one in whole["measurements"]:
        rows = [row for row in one["config"]["parameters"] if row["name"] in acting]
        poi = one["config"]["poi"] if one["config"]["poi"] in acting else ""
        measurements.append(one | {"config": one["config"] | {"parameters": rows, "poi": poi}})
    seen = [row for row in whole["observations"] if row["name"] in channels]
    found = whole | {"channels": chosen, "measurements": measurements, "observations": seen}
    written = found.pop("extensions", {}).get("correlations", [])
    rest = correlations.kept(written, acting)
    return found | ({"extensions": {"correlations": rest}} if rest else {})


_SIMULATION = ("staterror", "shapesys")


def write(
    folder: Path, model: UnbinnedModel, arrays: Mapping[str, Iterator[np.ndarray]], counts: Mapping[str, Floats]
) -> None:
    """Write description, rows of events by kind of data, bins with their *counts*, and a page that explains them."""
    files.write_json(folder / "likelihood.json", described(model, list(arrays)))
    for kind, blocks in arrays.items():
        files.write_array(folder / f"{kind}.npy", blocks)
    files.write_array(folder / "bins.npy", iter([bins(model, counts)]))
    files.write_text(folder / "README.md", page(model, list(arrays)))


def page(model: UnbinnedModel, kinds: Sequence[str]) -> str:
    """Return what the files are, for people."""
    formulas = "\n".join(f"- {name}: {text}" for name, text in FORMULAS.items())
    blinded = "" if "data" in kinds else " The data are blinded: they are not in this folder."
    regions = [region["region"] for region in model.description["binned"]]
    binned = (
        f"- `binned.json`: the regions with bins ({', '.join(regions)}) as a pyhf workspace, for tools that need one. "
        "Its templates are the same at 0 and at +1 and -1 of every parameter; in between and beyond, and where weak "
        "variations were pruned, it differs.\n"
        if regions
        else ""
    )
    return f"""# A likelihood of single events

Processes: {", ".join(model.processes)}. Parameters: {", ".join(model.names)}. {UNITS}{blinded}

- `likelihood.json`: parameters with bounds and constraints, yields, rates, polynomials; the formulas below.
- {", ".join(f"`{kind}.npy`" for kind in kinds)}: one row per event (NumPy arrays of records): term, process (-1: not
  known), weight w, log_ratio, slopes. `simulation` with its weights is the expected data.
- `bins.npy`: one row per bin of regions with bins, with the number of events of every kind of data.
{binned}
{formulas}

A reader of sixty lines of numpy is `config/examples/published_likelihood.py` of Nuisflow:
`python published_likelihood.py FOLDER {model.poi}=1.2`.
"""

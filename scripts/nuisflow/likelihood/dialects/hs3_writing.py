"""Write a workspace as HS3, such that ROOT (RooJSONFactoryWSTool) and pyhs3 read it."""

import re
from typing import Any

import nuisflow
from nuisflow.likelihood.constraints.parameters import Parameter
from nuisflow.likelihood.histfactory import Cell, Structure

_NUMBERS = {"code0": 0, "code1": 1, "code2": 2}


def write(structure: Structure, name: str = "measurement") -> dict[str, Any]:
    """Return HS3 of a workspace; raise ValueError for what HS3 cannot say."""
    extended = structure.extended
    kinds = sorted({kind for cell in structure.cells for kind, _ in cell.modifiers} & {"mcstat", "polynomial"})
    other = [row.name for row in structure.parameters if row.kind != "lumi" and row.constraint != _constraint(row.kind)]
    for what in (*kinds, *(["Combine's interpolation"] if extended.normsys == "combine" else []),
                 *(["correlated constraints"] if extended.correlations else []),
                 *(f"the constraint of {row}" for row in other)):  # fmt: skip
        raise ValueError(f"HS3 cannot say this: {what}")
    parts = [_channel(structure, channel) for channel in structure.channels]
    pois = [structure.poi] if structure.poi else []
    own = [row for row in structure.parameters if row.name == row.group or row.kind == "shapefactor"]
    axes = [{"name": _written(row.name), "min": row.lower, "max": row.upper} for row in own]
    points = [{"name": _written(row.name), "value": row.init} | ({"const": True} if row.fixed else {})
              for row in structure.parameters if row in own or row.fixed]  # fmt: skip
    named = [row for row in structure.parameters if _named(row)]
    constraints = [{"name": f"{row.name}_constraint", "type": "gaussian_dist", "x": row.name, "mean": f"nom_{row.name}",
                    "sigma": row.width} for row in named]  # fmt: skip
    points += [{"name": f"nom_{row.name}", "value": row.auxiliary, "const": True} for row in named]
    likelihood = {"name": "likelihood", "distributions": [part["name"] for part, _ in parts],
                  "data": [data["name"] for _, data in parts]}  # fmt: skip
    return {
        "metadata": {"hs3_version": "0.2", "packages": [{"name": "ROOT", "version": "as written by nuisflow"},
                                                         {"name": "nuisflow", "version": nuisflow.__version__}]},
        "distributions": [*(part for part, _ in parts), *constraints], "data": [data for _, data in parts],
        "likelihoods": [likelihood], "domains": [{"name": "default_domain", "type": "product_domain", "axes": axes}],
        "parameter_points": [{"name": "default_values", "parameters": points}],
        "analyses": [{"name": name, "likelihood": "likelihood", "parameters_of_interest": pois,
                      "domains": ["default_domain"]}],
    }  # fmt: skip


def _written(name: str) -> str:
    """Return the name of a parameter as ROOT writes it: those of single bins end in their number."""
    return re.sub(r"\[(\d+)\]$", r"_bin_\1", name)


def _constraint(kind: str) -> str:
    """Return the constraint that HS3 gives the parameters of a modifier."""
    return {"normfactor": "none", "shapefactor": "none", "shapesys": "poisson"}.get(kind, "normal")


def _named(row: Parameter) -> bool:
    """Tell whether the constraint of a parameter is to be a distribution of its own."""
    usual = row.kind in ("normsys", "histosys") and (row.auxiliary, row.width) == (0.0, 1.0)
    return row.kind in ("lumi", "normsys", "histosys") and not usual


def _channel(structure: Structure, channel: tuple[str, int, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    name, first, last = channel
    axes = [{"name": f"obs_x_{name}", "min": 0.0, "max": float(last - first), "nbins": last - first}]
    samples = [_sample(structure, cell) for cell in structure.cells if cell.channel == name]
    data = {"name": f"observed_{name}", "type": "binned", "axes": axes,
            "contents": structure.observed[first:last].tolist()}  # fmt: skip
    found: dict[str, Any] = {"name": f"model_{name}", "type": "histfactory_dist", "axes": axes, "samples": samples}
    if any(row["type"] == "staterror" for sample in samples for row in sample["modifiers"]):
        found["staterror"] = {"relThreshold": 0.0, "constraint_type": "Gauss"}  # where ROOT looks for it
        found["barlow_beeston_method"] = "lite"  # pyhs3
    return found, data


def _sample(structure: Structure, cell: Cell) -> dict[str, Any]:
    nominal, modifiers, errors = cell.nominal, [], [0.0] * len(cell.nominal)
    for (kind, name), data in cell.modifiers.items():
        row: dict[str, Any] = {"name": name, "type": kind}
        if kind == "lumi":
            row |= {"type": "normfactor", "parameter": name, "constraint_name": f"{name}_constraint"}
        elif kind == "normfactor":
            row |= {"parameter": name}
        elif kind in ("normsys", "histosys"):
            code = structure.extended.normsys if kind == "normsys" else structure.extended.histosys
            low, high = (float(end) if kind == "normsys" else {"contents": end.tolist()} for end in data)
            own = next(parameter for parameter in structure.parameters if parameter.name == name)
            constraint = {"constraint_name": f"{name}_constraint"} if _named(own) else {"constraint_type": "Gauss"}
            row |= {"parameter": name, "data": {"hi": high, "lo": low}} | constraint
            row |= {"interpolation": _NUMBERS[code]} if code in _NUMBERS else {}
        else:
            first = _before(structure, cell.channel, name) if kind == "staterror" else 0
            row |= {"parameters": [f"{name}_bin_{first + b}" for b in range(len(nominal))]}
            if kind == "staterror":
                errors, row = data.tolist(), row | {"constraint_type": "Gauss"}
            elif kind == "shapesys":
                ratios = [float(e / n) if n > 0.0 else 0.0 for e, n in zip(data, nominal, strict=True)]
                row |= {"constraint_type": "Poisson", "data": {"vals": ratios}}
        modifiers.append(row)
    content = {"contents": nominal.tolist()} | ({"errors": errors} if any(errors) else {})
    return {"name": cell.sample, "data": content, "modifiers": modifiers}


def _before(structure: Structure, channel: str, name: str) -> int:
    """Return how many bins a staterror has in the channels before this one."""
    ends = {cell.channel: cell.last - cell.first for cell in structure.cells if ("staterror", name) in cell.modifiers}
    return sum(bins for other, bins in ends.items() if other < channel)

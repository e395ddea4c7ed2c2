"""What the kernels need of a likelihood of single events, from its description."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nuisflow.likelihood import interpolation
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.likelihood.kernels import densities

Json = Mapping[str, Any]


class Parameter(NamedTuple):
    """A parameter: *kind* signal, free, luminosity, rate or learned; *width* of its constraint, 0 without one."""

    name: str
    kind: str
    init: float
    lower: float
    upper: float
    width: float

    @property
    def group(self) -> str:
        """What it belongs to: itself."""
        return self.name

    @property
    def constraint(self) -> str:
        """Whether it has one, as parameters of workspaces say it."""
        return "normal" if self.width else "none"


def read(description: Json, parameters: Sequence[Parameter], precision: Floats) -> densities.Structure:
    """Return what the kernels need."""
    processes, names = list(description["processes"]), [row.name for row in parameters]
    shape = len(parameters), len(processes)
    linear, rates = np.zeros(shape, dtype=np.bool_), np.zeros((*shape, 8))
    for name, acts_on in description["linear"].items():
        linear[names.index(name), [processes.index(process) for process in acts_on]] = True
    for name, rate in description["rates"].items():
        where = [processes.index(process) for process in rate["processes"]]
        rates[names.index(name), where] = interpolation.code4(np.array([rate["down"], rate["up"]]))
    owners, binned = [processes.index(process) for process in description["owners"]], description["binned"]
    regions = [description["yields"], *(region["yields"] for region in binned)]
    number = np.array([[region[process] for process in processes] for region in regions])
    signal = number[:, linear[0]].sum()
    folds = len(description["norms"])
    norms = [*description["norms"], *(region["norms"] for region in binned)]
    yields = [description["yield_terms"], *(region["norms"] for region in binned)]
    widest = max(1.0, np.sqrt(number.sum()) / signal) if signal > 0 else 1.0
    scale = np.array([widest if k == 0 else row.width or 1.0 for k, row in enumerate(parameters)])
    size = len(description["learned"])
    return densities.Structure(
        number=number,
        region=np.array([0] * folds + list(range(1, 1 + len(binned))), dtype=np.int64),
        linear=linear,
        rates=rates,
        learned=np.array([names.index(name) for name in description["learned"]], dtype=np.int64),
        powers=np.array(description["powers"], dtype=np.int64).reshape(-1, size),
        yields=np.array(yields).reshape(len(regions), len(processes), -1),
        norms=np.array(norms).reshape(len(norms), len(processes), -1),
        monomials=np.array(description["monomials"], dtype=np.int64).reshape(-1, size),
        first=np.searchsorted(owners, np.arange(len(processes) + 1)).astype(np.int64),
        precision=precision,
        lower=np.array([row.lower for row in parameters]),
        upper=np.array([row.upper for row in parameters]),
        scale=scale,
    )


def bins(description: Json, outputs: int) -> tuple[Floats, Integers]:
    """Return the bins of all regions with bins as if they were events, (bins, outputs), and their terms."""
    values, terms = [np.zeros((0, outputs))], [np.zeros(0, dtype=np.int64)]
    for index, region in enumerate(description["binned"]):
        shares = np.array(region["shares"])
        with np.errstate(divide="ignore"):
            values.append(np.concatenate([np.log(shares), np.array(region["slopes"]).reshape(len(shares), -1)], axis=1))
        terms.append(np.full(len(shares), len(description["norms"]) + index))
    return np.concatenate(values), np.concatenate(terms)

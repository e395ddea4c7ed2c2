"""Evaluate a published likelihood of single events: published_likelihood.py FOLDER [data] [parameter=value ...]."""

import json
import sys
from pathlib import Path

import numpy as np


class Likelihood:
    """-2 ln L of one kind of data ("simulation": expected, "data": observed) that a folder holds; needs numpy only."""

    def __init__(self, folder, kind="simulation"):
        self.known = known = json.loads((Path(folder) / "likelihood.json").read_text(encoding="utf-8"))
        events, bins = (np.load(Path(folder) / f"{name}.npy") for name in (kind, "bins"))
        self.nominal = {row["name"]: row["init"] for row in known["parameters"]}
        self.weight = np.concatenate([events["weight"], bins[kind]])
        self.term, self.log_ratio, self.slopes = (
            np.concatenate([events[name].astype(bins.dtype[name].base), bins[name]])
            for name in ("term", "log_ratio", "slopes")
        )

    def rates(self, values):
        """Return kappa, the factor on every process."""
        processes = self.known["processes"]
        kappa = np.ones(len(processes))
        for name, acting in self.known["linear"].items():
            kappa[[processes.index(process) for process in acting]] *= values[name]
        for name, rate in self.known["rates"].items():
            x, within = values[name], 1 + sum(c * values[name] ** j for j, c in enumerate(rate["polynomial"], 1))
            factor = within if abs(x) < 1 else (rate["up"] if x > 0 else rate["down"]) ** abs(x)
            kappa[[processes.index(process) for process in rate["processes"]]] *= factor
        return kappa

    def __call__(self, **given):
        """Return -2 ln L, up to a constant, at nominal but for the parameters that are *given*."""
        if unknown := set(given) - set(self.nominal):
            raise ValueError(f"no parameters {', '.join(sorted(unknown))}; there are: {', '.join(self.nominal)}")
        known, values = self.known, self.nominal | given
        z = np.array([values[name] for name in known["learned"]])
        powers, monomials = (np.array(known[k], dtype=int).reshape(-1, len(z)) for k in ("powers", "monomials"))
        terms, m = np.prod(z**powers, axis=1), np.prod(z**monomials, axis=1)
        number = np.array([region["yields"] for region in known["regions"]]) * self.rates(values)
        yields = np.array([region["yield_terms"] for region in known["regions"]]) @ terms
        norms = np.array([term["norms"] for term in known["terms"]]) @ terms
        region = np.array([term["region"] for term in known["terms"]])
        intensity = (number[region] * np.exp(yields[region] - norms))[self.term] * np.exp(self.log_ratio)
        for p in range(len(known["processes"])):
            own = np.array(known["owners"]) == p
            intensity[:, p] *= np.exp(self.slopes[:, own] @ m[own])
        seen = self.weight != 0
        total = -2 * self.weight[seen] @ np.log(intensity[seen].sum(axis=1)) + 2 * (number * np.exp(yields)).sum()
        pulls = np.array([values[k["name"]] - (k["auxiliary"] or 0) for k in known["parameters"]])
        return total + pulls @ np.array(known["precision"]) @ pulls


if __name__ == "__main__":
    kind = "data" if "data" in sys.argv[2:] else "simulation"
    chosen = dict(argument.split("=") for argument in sys.argv[2:] if "=" in argument)
    print(Likelihood(sys.argv[1], kind)(**{name: float(value) for name, value in chosen.items()}))

"""Time a fit of single events against the same likelihood in jax with Minuit: python tests/benchmarks/benchmark_unbinned.py.

15,000 events of 4 processes, 4 rates and 6 shifts. jax compiles value and gradient in double precision; from these
Minuit finds the minimum and the errors (MIGRAD and HESSE), or as fast as it can the minimum alone (strategy 0). Ours
is the minimum with errors in both rows. Both run on one core, in turn; CPU seconds, medians of the fits after the
first, in which jax compiles. Their minima must agree.
"""

import importlib.util
import itertools
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import benchmark_fits
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.templates import polynomials

EVENTS, PROCESSES, SHIFTS = 15_000, ("signal", "one", "two", "three"), 6
SLOPE = 0.1
"""Size of the coefficients."""
AGREEMENT = 1e-3
"""Largest difference of -2 ln L at the minimum."""
REPEATS = 5
Row = benchmark_fits.Row


def model(degree: int) -> UnbinnedModel:
    """Return the likelihood: responses of *degree* in every shift, a rate per process, yields and means that move."""
    random, names = np.random.default_rng(1), [f"shift{k}" for k in range(SHIFTS)]
    powers = polynomials.powers(SHIFTS)
    own = [row.tolist() for row in powers if (row > 0).sum() == 1 and row.sum() <= degree]
    numbers = dict(zip(PROCESSES, (0.02 * EVENTS, 0.5 * EVENTS, 0.3 * EVENTS, 0.18 * EVENTS), strict=True))

    yields = 0.03 * random.normal(size=(len(PROCESSES), len(powers))) * (powers.sum(axis=1) == 1)
    # Coefficients are Gaussian noise: the mean of exp(SLOPE n z^k) is exp(SLOPE^2 z^2k / 2).
    squares = [k for k in (2, 4) if k <= 2 * degree]
    norm = 0.5 * SLOPE**2 * (((powers > 0).sum(axis=1) == 1) & np.isin(powers.sum(axis=1), squares))
    norms = [[norm.tolist()] * len(PROCESSES)] * 2
    parameter = {"init": 0.0, "lower": -5.0, "upper": 5.0, "width": 1.0}
    return UnbinnedModel({
        "signal": "signal", "processes": list(PROCESSES), "linear": {"mu": ["signal"]}, "binned": [],
        "parameters": [
            {"name": "mu", "kind": "signal", "init": 1.0, "lower": -10.0, "upper": 20.0, "width": 0.0},
            *(parameter | {"name": name, "kind": "learned"} for name in names),
            *(parameter | {"name": f"rate_{name}", "kind": "rate"} for name in PROCESSES),
        ],
        "rates": {f"rate_{name}": {"processes": [name], "up": 1.05, "down": 1 / 1.05} for name in PROCESSES},
        "yields": numbers, "learned": names, "powers": powers.tolist(), "yield_terms": yields.tolist(),
        "norms": norms, "monomials": own * len(PROCESSES),
        "owners": [name for name in PROCESSES for _ in own],
    })  # fmt: skip


def events(known: UnbinnedModel, seed: int) -> Data:
    """Return events: every process is a Gaussian in one feature, the coefficients of responses are noise."""
    random, numbers = np.random.default_rng(seed), known.structure.number[0]
    process = np.repeat(np.arange(len(PROCESSES)), random.poisson(numbers))
    x = random.normal(1.0 * process, 1.0)
    densities = -0.5 * (x[:, None] - np.arange(len(PROCESSES))) ** 2
    shares = densities - np.log(np.exp(densities).sum(axis=1, keepdims=True))
    slopes = SLOPE * random.normal(size=(len(x), len(known.columns)))
    fold = random.integers(0, 2, len(x))
    centre = np.where(known.constrained, random.normal(size=len(known.names)), 0.0)
    return known.data(np.ones(len(x)), np.concatenate([shares, slopes], axis=1), fold, centre)


def peer(known: UnbinnedModel, *, errors: bool) -> Callable[[Data], float]:
    """Return a fit by jax and Minuit: from data to -2 ln L at the minimum, with or without errors."""
    import iminuit
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    s, size = known.structure, len(PROCESSES)
    owner = np.repeat(np.arange(size), np.diff(s.first))
    kept = ((s.yields != 0) | (s.norms != 0).any(axis=0)).any(axis=(0, 1))  # no work for terms that are 0
    powers, yields, norms = s.powers[kept], s.yields[0][:, kept], s.norms[:, :, kept]

    def twice_nll(theta: Any, ratio: Any, slope: Any, term: Any, weight: Any, centre: Any) -> Any:
        z = theta[s.learned]
        x = theta[:, None]
        within = 1 + (s.rates[..., :6] * x[..., None] ** np.arange(1, 7)).sum(axis=-1)
        beyond = jnp.exp(jnp.where(x > 0, s.rates[..., 6], -s.rates[..., 7]) * x)
        factors = jnp.where(s.linear, x, jnp.where(jnp.abs(x) < 1, within, beyond))
        kappa = jnp.prod(factors, axis=0)
        terms = jnp.prod(z**powers, axis=1)
        expected = kappa * jnp.exp(yields @ terms)
        common = (expected * jnp.exp(-(norms @ terms)))[term]
        products = slope * jnp.prod(z**s.monomials, axis=1)[:, None]
        responses = jnp.stack([products[owner == p].sum(axis=0) for p in range(size)])
        density = (common.T * ratio * jnp.exp(responses)).sum(axis=0)
        pulls = theta - centre
        return -2 * weight @ jnp.log(density) + 2 * (s.number[0] * expected).sum() + pulls @ s.precision @ pulls

    both = jax.jit(jax.value_and_grad(twice_nll))
    value = jax.jit(twice_nll)

    def fit(data: Data) -> float:
        term = np.repeat(np.arange(known.folds), np.diff(data.start))
        given = [jnp.asarray(part) for part in (data.ratio, data.slope, term, data.weight, data.centre)]
        found = iminuit.Minuit(
            lambda theta: float(value(theta, *given)), known.inits, name=known.names,
            grad=lambda theta: np.asarray(both(theta, *given)[1]),
        )  # fmt: skip
        found.errordef, found.limits = 1.0, list(zip(*known.bounds, strict=True))
        found.strategy = 1 if errors else 0
        found.migrad()
        if errors:
            found.hesse()
        if not found.valid:
            raise SystemExit(f"Minuit did not converge: {found.fmin}")
        return float(found.fval)

    return fit


def benchmark(*, quick: bool) -> Iterator[Row]:
    """Time fits with responses of degree 1 and 2; *quick*: of degree 1, once."""
    if not importlib.util.find_spec("jax"):
        print("skipped: fits of single events with jax (not installed)", file=sys.stderr)
        return
    with benchmark_fits.one_core():
        for degree, errors in [(1, True)] if quick else itertools.product((1, 2), (True, False)):
            known = model(degree)
            theirs, rows = peer(known, errors=errors), []
            theirs(events(known, 0))  # compiles
            for repeat in range(1 if quick else REPEATS):
                data = events(known, repeat)
                mine, best = benchmark_fits.seconds(lambda data=data, known=known: known.best(data))  # type: ignore[misc]
                other, lowest = benchmark_fits.seconds(lambda data=data, theirs=theirs: theirs(data))  # type: ignore[misc]
                if abs(best.twice_nll - lowest) > AGREEMENT:
                    raise SystemExit(f"the minima differ by {lowest - best.twice_nll:.2g}")
                rows.append((mine, other))
            what = f"fit of single events, degree {degree}"
            yield (
                what,
                f"jax + minuit{'' if errors else ', no errors'}",
                *map(statistics.median, zip(*rows, strict=True)),
            )


if __name__ == "__main__":
    for name, other, ours, theirs in benchmark(quick=False):
        print(f"{name:44} {other:14} ours {ours:.3g} s, peer {theirs:.3g} s: {theirs / ours:,.0f} x")

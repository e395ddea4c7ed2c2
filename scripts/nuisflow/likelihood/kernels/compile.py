"""Compile the likelihood once (a minute): ``python -m nuisflow.likelihood.kernels.compile``."""

import concurrent.futures
from typing import Any

import numpy as np

from nuisflow.likelihood import measurements, toys
from nuisflow.likelihood.kernels import compilation, densities, density_fits, norms
from nuisflow.likelihood.model import FEW, Model


def counting_experiment() -> dict[str, Any]:
    """Return the smallest workspace with a signal, a background and a nuisance parameter."""
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    samples = [
        {"name": "signal", "data": [5.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "background", "data": [50.0], "modifiers": [rate]},
    ]
    return {
        "channels": [{"name": "bin", "samples": samples}],
        "observations": [{"name": "bin", "data": [55.0]}],
        "measurements": [{"name": "measurement", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def compile_side_by_side() -> None:
    """Compile fits and intervals of many data sets."""
    model, data = Model(counting_experiment()), [[55.0]] * FEW
    minima = model.minimise(data)
    model.errors(minima, data)
    model.intervals(minima, model.poi, data)


def compile_one_by_one() -> None:
    """Compile the fits of one data set, intervals and derivatives."""
    model = Model(counting_experiment())
    model.intervals(model.minimise(), model.poi)
    plan = model.plan
    factors, totals, gradient = (np.ones((number, 1)) for number in (len(plan.norms), 2, len(plan.dense)))
    norms.factors(plan, gradient, totals, factors, factors)
    norms.pulls(plan, factors, totals, gradient)


def compile_events() -> None:
    """Compile the likelihood of single events, for one event."""
    one, place = np.ones(1), np.zeros((1, 1), dtype=np.int64)
    none, zero = np.zeros((1, 1), dtype=np.bool_), np.zeros((1, 1))
    structure = densities.Structure(
        *(
            zero + 1,
            np.zeros(1, dtype=np.int64),
            ~none,
            np.zeros((1, 1, 8)),
            np.zeros(0, dtype=np.int64),
            place[:, :0],
            np.zeros((1, 1, 1)),
            np.zeros((1, 1, 1)),
            place[:0, :0],
        ),
        *(np.zeros(2, dtype=np.int64), zero + 1, -one, 10 * one, one),
    )
    data = densities.Data(one, np.ones((1, 1)), np.zeros((0, 1)), np.array([0, 1]), np.zeros(1))
    density_fits.experiment(structure, data, one, none[0], 0, 1e-3)
    density_fits.minimise(structure, data, one, none[0], 1e-3)
    density_fits.crossing(structure, data, one, 1.0, 1.0, one, none[0], 0, 1.0, 1e-3)
    densities.evaluate(structure, data, one)


def compile_everything() -> None:
    """Compile whatever the scripts call, in two processes side by side."""
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for job in [pool.submit(one) for one in (compile_side_by_side, compile_one_by_one, compile_events)]:
            job.result()
    model = Model(counting_experiment())
    measurements.measure(model, "observed", {}, {"bin": [0.0, 1.0]})
    measurements.impact_rows(model, model.asimov(), "asimov")
    measurements.scan_rows(model, model.asimov(), "asimov")
    toys.run(model, None, 2 * FEW, 1)


def compile_likelihood() -> None:
    """Compile everything, in a process that `compilation.ready` starts for it; nothing if that was done before."""
    if compilation.in_progress():
        compile_everything()
        compilation.mark()
    else:
        compilation.ready()


if __name__ == "__main__":
    compile_likelihood()

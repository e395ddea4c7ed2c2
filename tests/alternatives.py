"""Two Gaussian classes, one with alternative samples of it, and the likelihood that an unbinned training makes of them.

All densities are known: ln of the response to the alternative is z (ln GROWTH + MOVE x) - (MOVE z)^2 / 2.
"""

import math

import gaussians
import numpy as np

from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning import batches
from nuisflow.slices.training import TrainingSamples
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.templates.unbinned import evaluation

UNBINNED = {"strategy": "unbinned", "variations": ["weight", "generator"], "hidden": [32, 32], "batch_size": 1024}
GROWTH, MOVE = 1.2, 0.5
"""Yield of the alternative background relative to nominal, and how far its x is moved."""
WEIGHT = {"kind": "weight", "up": "exp(0.2 * x)", "processes": ["signal"], "regions": ["all"]}
GENERATOR = {"kind": "two_point", "up": ["other0"], "processes": ["background"], "regions": ["all"]}
RATE = {"kind": "rate", "size": 0.1, "processes": ["background"], "regions": ["all"]}


def pool(sides=(1.0,), number=20_000, weight=1.0, training=None, seed=0, **learning):
    """Return N(0, 1) events of the background and of alternatives of it, whose x moves with the side; *seed*: theirs."""
    plain = gaussians.settings({"strategy": "nominal"}, **learning).model_dump()
    names = {f"other{index}": ("generator", side) for index, side in enumerate(sides)}
    samples = {
        "signal": gaussians.columns(number, (1.0, 1.0), 10 * seed + 1, 0.1 * weight),
        "background": gaussians.columns(number, (0, 0), 10 * seed + 2, weight),
    }
    for own, (name, (_, side)) in enumerate(names.items(), 10 * seed + 3):
        samples[name] = gaussians.columns(number, (side * MOVE, 0), own, weight * GROWTH**side)
    acting = {"background": ("generator",), "signal": ("weight",)}
    filled = {"acting": acting, "signal": "signal", "sides": {"generator": sides}}
    plain["samples"] |= {name: {"process": "background", "weight": "w"} for name in names}
    changes = {"variations": {"weight": WEIGHT, "generator": GENERATOR}, "alternatives": names}
    settings = TrainingSamples.model_validate(plain | changes | {"training": UNBINNED | filled | (training or {})})
    return batches.Pool(samples, settings)


def likelihood(events, densities):
    """Return the likelihood of the samples of a *pool* with a rate of the background, and its nominal events.

    *densities*: function of sample and columns, the outputs of the strategy for its events.
    """
    settings = events.settings
    strategy, sides = settings.training, {1.0: "generator_up", -1.0: "generator_down"}
    chosen = UnbinnedFilling(
        features=settings.events.features,
        folds=2,
        processes=("signal", "background"),
        signal="signal",
        samples={name: sample.process for name, sample in settings.samples.items()},
        regions=("all",),
        scored=("all",),
        variations={"weight": WEIGHT, "generator": GENERATOR, "rate": RATE},
        alternatives={name: sides[side] for name, (_, side) in settings.alternatives.items()},
        displaced={},
        thrown=("nominal",),
        fit={},
    )
    sums, parts = evaluation.Sums(strategy, chosen), []
    for name, columns in events.samples.items():
        process, weight = settings.samples[name].process, columns["w"].astype(float)
        if name in chosen.alternatives:
            sums.add(chosen.alternatives[name], process, weight)
            continue
        fold = (columns["entry"] % 2).astype(np.int64)
        part = evaluation.Part("nominal", name, fold, weight, densities(name, columns))
        sums.add("nominal", process, weight)
        sums.nominal(process, part)
        if process == "signal":
            for side, sign in (("up", 1), ("down", -1)):
                sums.add(f"weight_{side}", process, weight * np.exp(sign * 0.2 * columns["x"]))
        parts.append((weight, np.full(len(weight), strategy.processes.index(process)), fold, part.values))
    model = UnbinnedModel(evaluation.describe(strategy, sums, {}, chosen))
    joined = [np.concatenate(values) for values in zip(*parts, strict=True)]
    return model, Events(*joined, np.zeros((0, len(model.processes))))


def exact(sides):
    """Return the true densities, as a function of sample and columns."""

    def densities(_, columns):
        x, y = columns["x"].astype(float), columns["y"].astype(float)
        ratio = x + y - 1  # ln of signal over background
        shares = np.stack([-np.logaddexp(0, ratio), -np.logaddexp(0, -ratio)], axis=1)
        linear, bend = math.log(GROWTH) + MOVE * x, np.full(len(x), -(MOVE**2) / 2)
        response = [linear + bend] if len(sides) == 1 else [linear, bend]
        return np.stack([*shares.T, *response, 0.2 * x, np.zeros(len(x))], axis=1)

    return densities


def exact_errors(signal, background):
    """Return the errors of mu, weight, generator and rate from the Fisher information of the densities, on a grid.

    The density of the background at z is N(MOVE z, 1) in x with the yield GROWTH^z, that of the signal tilted by
    exp(0.2 z x); all four have priors of width 1 but mu.
    """
    line = np.linspace(-7, 8, 601)
    x, y = np.meshgrid(line, line, indexing="ij")
    cell = (line[1] - line[0]) ** 2 / (2 * np.pi)
    s = signal * cell * np.exp(-0.5 * ((x - 1) ** 2 + (y - 1) ** 2))
    b = background * cell * np.exp(-0.5 * (x**2 + y**2))
    slopes = np.stack([s, 0.2 * x * s, (math.log(GROWTH) + MOVE * x) * b, math.log(1.1) * b]).reshape(4, -1)
    information = (slopes / (s + b).ravel()) @ slopes.T + np.diag([0.0, 1.0, 1.0, 1.0])
    return np.sqrt(np.diagonal(np.linalg.inv(information)))

"""Random workspaces of any size, always the same for a seed: channels, samples, shapes, rates and MC statistics."""

from typing import Any

import numpy as np


def workspace(
    seed: int, *, parameters: int, bins: int, channels: int = 20, samples: int = 10, share: float = 0.2,
    staterror: bool = True, mirrored: float = 0.9,
) -> dict[str, Any]:  # fmt: skip
    """Return a workspace of *channels* with *bins* in all, whose nuisance *parameters* act in a *share* of them each.

    Three of five parameters are shapes, the others rates; each acts on all samples of its channels. Down is the
    opposite of up within the *mirrored* part of an effect. The data are a pseudo-experiment with signal.
    """
    rng = np.random.default_rng([seed, 17])
    acting = [rng.choice(channels, max(1, round(share * channels)), replace=False) for _ in range(parameters)]
    shaped, sizes = rng.random(parameters) < 0.6, np.diff(np.linspace(0, bins, channels + 1).astype(int))
    truth, books, observations = np.clip(rng.standard_normal(parameters), -2.0, 2.0), [], []
    for channel, size in enumerate(sizes):
        local = [p for p in range(parameters) if channel in acting[p]]
        parts = [_sample(rng, s, int(size), local, shaped, mirrored) for s in range(samples)]
        rates = sum(_rates(part, truth) for part in parts)
        if staterror:
            for part in parts:
                error = 0.1 * np.sqrt(part["data"])
                part["modifiers"].append({"name": f"mc{channel}", "type": "staterror", "data": error})
        books.append({"name": f"c{channel:02d}", "samples": parts})
        observations.append({"name": f"c{channel:02d}", "data": rng.poisson(np.maximum(rates, 0.1)).astype(float)})
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[0.0, 10.0]], "inits": [1.0]}]}
    measurements = [{"name": "m", "config": config}]
    return {"channels": books, "observations": observations, "measurements": measurements, "version": "1.0.0"}


def _sample(rng: np.random.Generator, number: int, bins: int, local: list[int], shaped: np.ndarray, mirrored: float,
            ) -> dict[str, Any]:  # fmt: skip
    """Return a sample, the first of which is the signal, with an effect of about 2 % of every parameter of *local*."""
    place = np.linspace(0.0, 1.0, bins)
    nominal = rng.uniform(20.0, 60.0) * np.exp(-rng.uniform(0.0, 3.0) * (place[::-1] if number == 0 else place))
    nominal = nominal * (0.3 if number == 0 else 1.0) + 0.1
    modifiers: list[dict[str, Any]] = [{"name": "mu", "type": "normfactor", "data": None}] if number == 0 else []
    for p in local:
        size, odd = 0.02 * rng.standard_normal(2), 1.0 + (1.0 - mirrored) * rng.standard_normal()
        if shaped[p]:
            up = nominal * (size[0] + size[1] * (2.0 * place - 1.0))
            data: dict[str, Any] = {"hi_data": nominal + up, "lo_data": nominal - odd * up}
            modifiers.append({"name": f"shape{p:04d}", "type": "histosys", "data": data})
        else:
            data = {"hi": float(np.exp(size[0])), "lo": float(np.exp(-odd * size[0]))}
            modifiers.append({"name": f"rate{p:04d}", "type": "normsys", "data": data})
    return {"name": f"s{number:02d}", "data": nominal, "modifiers": modifiers}


def _rates(sample: dict[str, Any], truth: np.ndarray) -> np.ndarray:
    """Return about what a sample expects at the true values: effects are added."""
    total = np.array(sample["data"])
    for modifier in sample["modifiers"]:
        if modifier["type"] == "histosys":
            total = total + truth[int(modifier["name"][5:])] * (modifier["data"]["hi_data"] - sample["data"])
        elif modifier["type"] == "normsys":
            total = total + truth[int(modifier["name"][4:])] * np.log(modifier["data"]["hi"]) * sample["data"]
    return total


def plain(value: Any) -> Any:
    """Return a workspace with lists in place of arrays, as JSON has them."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | np.ndarray):
        return [plain(part) for part in value]
    return float(value) if isinstance(value, np.floating) else value

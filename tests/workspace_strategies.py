"""Random HistFactory workspaces for hypothesis: every modifier type, shared names, settings of the measurement."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

KINDS = ("normfactor", "normsys", "histosys", "lumi", "staterror", "shapesys", "shapefactor")


@st.composite
def workspaces(draw: st.DrawFn, scale: st.SearchStrategy[float] | None = None) -> dict[str, Any]:
    """Draw a workspace; numbers come from a generator with a drawn seed, the structure from hypothesis."""
    return build(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        channels=draw(st.integers(1, 3)), samples=draw(st.integers(1, 4)),
        scale=draw(scale or st.sampled_from([1.0, 0.02, 100.0])),
        kinds=tuple(draw(st.lists(st.sampled_from(KINDS), unique=True, max_size=len(KINDS)))),
    )  # fmt: skip


def build(rng: np.random.Generator, channels: int, samples: int, kinds: tuple[str, ...], scale: float = 1.0,
          bins: int | None = None, wild: bool = True) -> dict[str, Any]:  # fmt: skip
    """Return a workspace with a signal "s0" of strength mu and modifiers of these *kinds* on random samples.

    *wild*: up and down variations have nothing to do with each other; else they nearly mirror each other, as in life
    (and the likelihood has one minimum).
    """
    regions, observations = [], []
    covered = [sample for sample in range(samples) if rng.random() < 0.7] or [0]  # of staterror: also mixed channels
    for channel in range(channels):
        count, total, rows = bins or int(rng.integers(1, 6)), 0.0, []
        for sample in range(samples):
            nominal = scale * rng.uniform(2.0, 8.0 if sample == 0 else 60.0, count)
            total = total + nominal
            name = f"s{sample}"
            modifiers = _modifiers(rng, kinds, channel, sample, nominal, sample in covered, wild)
            rows.append({"name": name, "data": nominal.tolist(), "modifiers": modifiers})
        regions.append({"name": f"c{channel}", "samples": rows})
        data = rng.poisson(total).astype(float).tolist()
        observations.append({"name": f"c{channel}", "data": data})
    config = {"poi": "mu", "parameters": _settings(rng, regions)}
    return {"channels": regions, "observations": observations, "version": "1.0.0",
            "measurements": [{"name": "measurement", "config": config}]}  # fmt: skip


def _modifiers(rng: np.random.Generator, kinds: tuple[str, ...], channel: int, sample: int, nominal: np.ndarray,
               covered: bool, wild: bool) -> list[dict[str, Any]]:  # fmt: skip
    rows: list[dict[str, Any]] = []
    if sample == 0:
        rows.append({"name": "mu", "type": "normfactor", "data": None})
    if "normfactor" in kinds and rng.random() < 0.6:
        rows.append({"name": f"k{rng.integers(2)}", "type": "normfactor", "data": None})
    if "lumi" in kinds and rng.random() < 0.8:
        rows.append({"name": "lumi", "type": "lumi", "data": None})
    for number in range(3):  # names are shared by samples, channels, and by rates and shapes
        size = rng.uniform(0.02, 0.3)
        if "normsys" in kinds and rng.random() < 0.5:
            data = {"hi": 1 + size * rng.choice([-1, 1]), "lo": 0.0}
            data["lo"] = 1 - size * rng.uniform(-0.5, 1.2) if wild else 1 / data["hi"]
            rows.append({"name": f"a{number}", "type": "normsys", "data": data})
        if "histosys" in kinds and rng.random() < 0.5:
            up, down = size * rng.uniform(-1, 1, nominal.size), size * rng.uniform(-1, 1, nominal.size)
            high, low = nominal * (1 + up), nominal * (1 + (down if wild else -up * rng.uniform(0.8, 1.2)))
            data = {"hi_data": high.tolist(), "lo_data": low.tolist()}
            rows.append({"name": f"a{number}", "type": "histosys", "data": data})
    if "staterror" in kinds and covered:
        errors = nominal * rng.uniform(0.01, 0.3, nominal.size) * (rng.random(nominal.size) < 0.9)
        rows.append({"name": f"stat_c{channel}", "type": "staterror", "data": errors.tolist()})
    if "shapesys" in kinds and rng.random() < 0.5:
        errors = nominal * rng.uniform(0.02, 0.4, nominal.size) * (rng.random(nominal.size) < 0.9)
        rows.append({"name": f"shape_c{channel}_s{sample}", "type": "shapesys", "data": errors.tolist()})
    if "shapefactor" in kinds and sample == 1 and channel == 0:
        rows.append({"name": "free_shape", "type": "shapefactor", "data": None})
    return rows


def _settings(rng: np.random.Generator, regions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return settings of the measurement: always lumi's, sometimes bounds, auxiliary data, and fixed parameters."""
    used = {
        (row["name"], row["type"]) for region in regions for sample in region["samples"] for row in sample["modifiers"]
    }
    rows: list[dict[str, Any]] = [
        {"name": "mu", "bounds": [[[0.0, 10.0], [-5.0, 20.0]][rng.integers(2)]], "inits": [1.0]}
    ]
    if ("lumi", "lumi") in used:
        rows.append({"name": "lumi", "inits": [1.0], "bounds": [[0.5, 1.5]], "auxdata": [1.02], "sigmas": [0.03]})
    names = {name for name, kind in used if kind in ("normsys", "histosys")}
    if "a0" in names and rng.random() < 0.3:
        rows.append({"name": "a0", "auxdata": [0.3], "inits": [0.1], "bounds": [[-4.0, 3.0]]})
    if "a1" in names and rng.random() < 0.2:
        rows.append({"name": "a1", "fixed": True, "inits": [0.2]})
    return rows


def point(rng: np.random.Generator, parameters: Any) -> np.ndarray:
    """Return a random point within the bounds."""
    values = np.array([row.init for row in parameters]) + rng.normal(0, 0.4, len(parameters))
    lower, upper = (np.array([getattr(row, side) for row in parameters]) for side in ("lower", "upper"))
    return np.clip(values, np.maximum(lower, -2.5) + 0.05, np.minimum(upper, 2.5))

"""Compile the likelihood once, so that the first jobs of a run need not do it side by side."""

from typing import Any

from nuisflow import likelihood, measurements, toys


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


if __name__ == "__main__":
    model = likelihood.Model(counting_experiment())
    measurements.measure(model, "observed", {}, {"bin": [0.0, 1.0]})
    measurements.impact_rows(model, "asimov")
    measurements.scan_rows(model, "asimov")
    toys.run(model, None, 10, 1)

"""Figures of a workspace that was fitted from the command line: those of the report, without its configuration."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from nuisflow.likelihood.commands.answer import Answer, Asked
from nuisflow.report.plots import fits, style, templates
from nuisflow.settings import configuration
from nuisflow.slices.report import PlotSettings

_FORMATS = (".pdf", ".svg")


def draw(answer: Answer, asked: Asked, folder: Path) -> list[Path]:
    """Draw what an answer shows into *folder* and return the files, two of each figure."""
    makers = _makers(answer.shown, asked)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}{suffix}" for name in makers for suffix in _FORMATS]
    style.draw(makers, paths)
    return paths


def _makers(shown: Mapping[str, Any], asked: Asked) -> dict[str, Callable[[], Figure]]:
    """Return how every figure is made, by its name."""
    kind = "observed" if asked.data == "observed" else "asimov"
    words = settings(shown, asked)
    fit = {kind: shown}
    makers: dict[str, Callable[[], Figure]] = {}
    if "parameters" in shown:
        makers["pulls"] = lambda: fits.pulls(fit, words)
    if "correlation" in shown:
        makers["correlations"] = lambda: fits.correlations(fit, words)
    if "scan" in shown:
        makers["scan"] = lambda: fits.scan(pd.DataFrame(shown["scan"]), words)
    if "contours" in shown:
        makers["contours"] = lambda: fits.contours(shown["contours"], words)
    for name in shown:
        if name.startswith("impacts"):
            poi = name.removeprefix("impacts").removeprefix("_") or words.poi
            own = words.model_copy(update={"poi": poi})
            makers[name.replace("impacts", "ranking")] = partial(fits.ranking, pd.DataFrame(shown[name]), own)
    for region in shown.get("yields", {}).get("prefit", {}):
        makers[f"yields_{region}"] = partial(templates.stacked, {"asimov": None} | fit, region, words)
    return makers


def settings(shown: Mapping[str, Any], asked: Asked) -> PlotSettings:
    """Return the words of the figures: names of the workspace, and its file as the title."""
    channels = shown.get("yields", {}).get("prefit", {})
    samples = dict.fromkeys(sample for channel in channels.values() for sample in channel["samples"])
    roles = {True: "signal", False: "background"}
    return PlotSettings(
        processes={name: configuration.Process.model_validate({"role": roles[name in shown.get("signals", ())]})
                   for name in samples},
        regions={name: (name, "bin") for name in channels},
        variations={},
        trainings={},
        plots=configuration.Plots(title=Path(asked.workspace).stem),
        poi=asked.pois[0] if asked.pois else "",
        blinded=False,
    )  # fmt: skip

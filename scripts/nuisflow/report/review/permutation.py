"""What features are worth to the measurement, in words: the change of σ(mu) by permuting them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nuisflow.report.findings import number, percent
from nuisflow.report.review.classifiers import moved
from nuisflow.slices.report import PlotSettings

_MOST = 25
_PARTS = ("sigma", "syst")


def section(table: pd.DataFrame | None, contents: Mapping[str, Any], settings: PlotSettings) -> dict[str, Any] | None:
    """Return the relative change of σ(mu), and of its systematic part, by training and feature: the worst first.

    *contents*: `comparison.inputs` by region; beside it stands which variation moves the feature most.
    """
    if table is None or table["sigma"].isna().all():
        return None
    table = table.assign(feature=table["feature"].fillna(""))
    names = [name for name in settings.trainings if name in set(table["training"])]
    sigma, syst = (table.pivot_table(key, "feature", "training", "mean", dropna=False)[names] for key in _PARTS)
    whole, parts = sigma.loc[[""]].iloc[0], syst.loc[[""]].iloc[0]
    change, moves = sigma / whole - 1, syst - parts
    order = change.drop(index="").max(axis=1).sort_values(ascending=False, kind="stable").index
    rows = []
    for feature in map(str, order[:_MOST]):
        own, part = change.loc[[feature]].iloc[0], moves.loc[[feature]].iloc[0]
        cells = [f"{percent(own[name], 0)} ({_signed(part[name])})" for name in names]
        rows.append({"feature": feature, "cells": cells, "moved": moved(feature, contents, settings)})
    return {
        "names": [settings.trainings[name] for name in names],
        "whole": [f"{number(whole[name], 3)} ({number(parts[name], 3)})" for name in names],
        "rows": rows,
        "left": max(len(order) - _MOST, 0),
    }


def _signed(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+.3f}".replace("-", "−")

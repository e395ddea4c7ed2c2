"""Tests of short entries: what an estimate from data stands for."""

import copy

import numpy as np
import pandas as pd
import pytest
from analyses import changed

from nuisflow.events import selection
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Dask
from nuisflow.slices.events import processing

CONTENT = {
    "analysis": "pairs",
    "dataset": {"kind": "flat", "columns": ["mass", "sign", "w"]},
    "processes": {
        "higgs": {"role": "signal"},
        "z": {},
        "qcd": {
            "label": "QCD",
            "estimate": {
                "sideband": "sign > 0",
                "in_place_of": "sign < 0",
                "transfer": 1.5,
                "size": 0.2,
                "group": "rates",
            },
        },
    },
    "samples": {
        "data": {"process": "data", "files": ["data.parquet"]},
        "higgs": {"process": "higgs", "files": ["h.parquet"], "weight": "w"},
        "z_low": {"process": "z", "files": ["z.parquet"], "weight": "2 * w", "selection": "mass < 50"},
        "z_high": {"process": "z", "files": ["z.parquet"], "weight": "2 * w", "selection": "mass >= 50"},
    },
    "regions": {"all": {}},
    "features": ["mass"],
    "trainings": {"nominal": {"strategy": "nominal"}},
}


def check(*changes):
    return reading.check(changed(CONTENT, *copy.deepcopy(changes)))


def test_an_estimate_is_data_of_the_sideband_minus_simulation_there_without_signal():
    settings = check()
    made = {name: sample for name, sample in settings.samples.items() if sample.process == "qcd"}
    assert {name: (sample.weight, sample.train) for name, sample in made.items()} == {
        "qcd_data": ("1.5", True),
        "qcd_minus_z_low": ("-1.5 * (2 * w)", False),
        "qcd_minus_z_high": ("-1.5 * (2 * w)", False),
    }
    assert made["qcd_minus_z_low"].selection == "(mass < 50) & (sign > 0)"
    assert settings.samples["z_low"].selection == "(mass < 50) & (sign < 0)"
    assert settings.samples["data"].selection == "(sign < 0)"


def test_the_transfer_factor_has_an_uncertainty_of_its_own_or_none():
    transfer = check().variations["qcd_transfer"]
    assert (transfer.kind, transfer.size, transfer.processes, transfer.group) == ("rate", 0.2, ("qcd",), "rates")
    assert not check(("processes.qcd.estimate.size", None)).variations


def test_the_expected_events_are_those_of_the_subtraction(tmp_path):
    random, tables = np.random.default_rng(3), {}
    for name, size in (("data", 4000), ("z", 3000)):
        columns = {"mass": random.uniform(0, 100, size), "sign": random.choice([-1.0, 1.0], size)}
        tables[name] = pd.DataFrame(columns | {"w": random.uniform(0.1, 0.3, size)})
        tables[name].to_parquet(tmp_path / f"{name}.parquet")
    settings, total = check(), 0.0
    for name in (name for name, sample in settings.samples.items() if sample.process == "qcd"):
        path = tmp_path / ("data.parquet" if name == "qcd_data" else "z.parquet")
        parts = selection.process([path], processing(settings, name, "nominal"), Dask())
        total += sum(part["weight"].sum() for part in parts)
    beside = {name: table[table["sign"] > 0] for name, table in tables.items()}
    assert total == pytest.approx(1.5 * (len(beside["data"]) - 2 * beside["z"]["w"].sum()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("samples.data", None)], r"processes.qcd.estimate: needs collision data"),
        ([("processes.qcd.role", "signal"), ("processes.higgs.role", "background")], r"the signal cannot be estimated"),
        (
            [("samples.extra", {"process": "qcd", "files": ["q.parquet"], "weight": "w"})],
            r"its events come from the sideband; remove samples.extra",
        ),
        (
            [("samples.qcd_data", {"process": "z", "files": ["q.parquet"], "weight": "w"})],
            r"makes an entry 'qcd_data', but there is one already",
        ),
        ([("processes.qcd.estimate.sideband", "sgn > 0")], r"'sgn', which is no column; did you mean 'sign'"),
        ([("samples.z_low.ratios", ["a.parquet"])], r"samples.z_low.ratios: is made by a two_point variation"),
    ],
)
def test_a_wrong_estimate_is_named_with_a_remedy(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        check(*changes)

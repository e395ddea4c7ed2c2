"""Tests of short entries: what an estimate from data stands for."""

import copy

import ingesting
import numpy as np
import pandas as pd
import pytest
from analyses import changed, shipped

from nuisflow.events import selection
from nuisflow.settings import points
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Dask, Part
from nuisflow.slices import reweighting, studies
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
    made = {name: sample for name, sample in settings.samples.items() if name.startswith("qcd")}
    assert {name: (sample.process, sample.weight, sample.train) for name, sample in made.items()} == {
        "qcd_data": ("qcd", "1.5", True),
        "qcd_minus_z_low": ("qcd_minus_z", "-1.5 * (2 * w)", False),
        "qcd_minus_z_high": ("qcd_minus_z", "-1.5 * (2 * w)", False),
    }
    assert list(settings.processes) == ["higgs", "z", "qcd", "qcd_minus_z"]
    assert points.parts(settings) == {"qcd_minus_z": Part(of="qcd", subtracts="z")}
    assert made["qcd_minus_z_low"].selection == "(mass < 50) & (sign > 0)"
    assert settings.samples["z_low"].selection == "(mass < 50) & (sign < 0)"
    assert settings.samples["data"].selection == "(sign < 0)"


def test_the_transfer_factor_has_an_uncertainty_of_its_own_or_none():
    transfer = check().variations["qcd_transfer"]
    assert (transfer.kind, transfer.size, transfer.group) == ("rate", 0.2, "rates")
    assert transfer.processes == ("qcd", "qcd_minus_z")
    assert check(("processes.qcd.estimate.size", [0.3, -0.2])).variations["qcd_transfer"].sides == (1.3, 0.8)
    assert not check(("processes.qcd.estimate.size", None)).variations


VARIATIONS = {
    "everything": {"kind": "weight", "up": "1 + 0.01 * mass"},
    "of_z": {"kind": "rate", "size": 0.1, "processes": ["z"]},
    "of_higgs": {"kind": "rate", "size": 0.1, "processes": ["higgs"]},
    "of_qcd": {"kind": "shift", "columns": {"mass": "mass * (1 + 0.1 * z)"}, "processes": ["qcd"]},
    "generator": {"kind": "two_point", "up": ["z_other"], "held_out": ["z_third"]},
    "other_higgs": {"kind": "two_point", "up": ["higgs_other"]},
}
OTHERS = [("z_other", "z"), ("z_third", "z"), ("higgs_other", "higgs")]
ALTERNATIVES = [(f"samples.{n}", {"process": p, "files": [f"{n}.parquet"], "weight": "w"}) for n, p in OTHERS]


def test_variations_leave_the_data_of_an_estimate_alone_unless_they_name_it():
    found = check(("variations", VARIATIONS), *ALTERNATIVES).variations
    assert {name: found[name].processes for name in ("everything", "of_z", "of_higgs", "of_qcd")} == {
        "everything": ("higgs", "z", "qcd_minus_z"),
        "of_z": ("z", "qcd_minus_z"),
        "of_higgs": ("higgs",),
        "of_qcd": ("qcd", "qcd_minus_z"),
    }


def test_alternative_samples_are_alternatives_in_the_sideband_too_but_not_those_of_the_signal():
    settings = check(("variations", VARIATIONS), *ALTERNATIVES)
    assert settings.variations["generator"].up == ("z_other", "qcd_minus_z_other")
    assert settings.variations["generator"].held_out == ("z_third", "qcd_minus_z_third")
    assert settings.variations["other_higgs"].up == ("higgs_other",)
    assert settings.samples["qcd_minus_z_other"].selection == "(sign > 0)"
    assert settings.samples["z_other"].selection == "(sign < 0)"
    assert points.affected(settings, "generator") == ("z", "qcd_minus_z")


def test_reweighted_events_have_their_ratios_in_the_sideband_too_which_no_classifier_learns_from():
    reweighted = {"generator": VARIATIONS["generator"] | {"reweight": True}}
    settings = check(("variations", reweighted), *ALTERNATIVES[:2])
    assert settings.variations["generator"].processes == ("z", "qcd_minus_z")
    assert settings.samples["qcd_minus_z_low"].ratios == settings.samples["z_low"].ratios
    assert reweighting.reweighted_samples(settings, "generator") == ["z_low", "z_high", "z_other"]


def test_samples_of_two_processes_are_not_reweighted_by_one_network():
    """20 % more of one process and 20 % less of another are nothing to a network that sees both together."""
    both = {"generator": {"kind": "two_point", "up": ["z_other", "higgs_other"], "reweight": True}}
    with pytest.raises(
        ConfigurationError, match=r"generator.up: one network .* of higgs and z together .* per process"
    ):
        check(("variations", both), *(ALTERNATIVES[index] for index in (0, 2)))


def test_the_free_rate_of_the_shipped_analysis_of_collision_data_moves_what_is_subtracted():
    found = reading.check(shipped("cms_htautau")).variations
    assert found["w_rate"].processes == ("wjets", "qcd_minus_wjets")
    assert found["jes"].processes[-4:] == tuple(f"qcd_minus_{name}" for name in ("ztautau", "zll", "wjets", "ttbar"))
    assert "qcd" not in found["luminosity"].processes


def test_the_data_of_an_estimate_are_read_as_data():
    settings = check()
    assert [name for name, sample in settings.samples.items() if sample.is_data] == ["data", "qcd_data"]


def test_without_estimates_variations_stay_as_they_are_written():
    assert (
        check(("variations", {"everything": VARIATIONS["everything"]}), ("processes.qcd", None))
        .variations["everything"]
        .processes
        is None
    )


def test_the_expected_events_are_those_of_the_subtraction(tmp_path):
    random, tables = np.random.default_rng(3), {}
    for name, size in (("data", 4000), ("z", 3000)):
        columns = {"mass": random.uniform(0, 100, size), "sign": random.choice([-1.0, 1.0], size)}
        tables[name] = pd.DataFrame(columns | {"w": random.uniform(0.1, 0.3, size)})
        ingesting.of_table(tmp_path / f"{name}.arrow", tables[name])
    settings, total = check(), 0.0
    for name in (name for name in settings.samples if name.startswith("qcd")):
        path = tmp_path / ("data.arrow" if name == "qcd_data" else "z.arrow")
        parts = selection.process(path, processing(settings, name, "nominal"), Dask())
        total += sum(part["weight"].sum() for part in parts)
    beside = {name: table[table["sign"] > 0] for name, table in tables.items()}
    assert total == pytest.approx(1.5 * (len(beside["data"]) - 2 * beside["z"]["w"].sum()))


def test_a_training_with_a_part_of_the_simulation_has_the_data_of_an_estimate_as_they_are():
    settings = check(("studies", {"training_events": [0.1]}))
    events = studies.training(settings, "nominal", 1, "0.1").events
    columns = {"entry": np.arange(2), "w": np.array([0.5, 2.0])}
    expected = {"qcd_data": [1.5, 1.5], "z_low": [10.0, 40.0]}
    for name, weights in expected.items():
        np.testing.assert_allclose(selection.weights(columns, events, settings.samples[name]), weights)


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
        ([("samples.z_low.recorded", True)], r"samples.z_low.recorded: is made by an estimate"),
        ([("processes.z.part", {"of": "z", "subtracts": "z"})], r"processes.z.part: is made by an estimate"),
        ([("processes.higgs.role", "background")], r"processes: exactly one has role signal; here: none"),
        ([("processes.qcd_minus_z", {})], r"makes an entry 'qcd_minus_z', but there is one already"),
        ([("toys", {"bootstrap": {}})], r"qcd.estimate: toys.bootstrap draws events, .* negative weights; remove one"),
        (
            [("variations", {"r": {"kind": "rate", "size": 0.1, "processes": ["z", "qcd"]}})],
            r"variations.r.processes: names 'qcd' and 'z', whose simulation is subtracted .* leave 'qcd' out",
        ),
        (
            [("variations", {"flip": {"kind": "shift", "columns": {"sign": "sign + 0.1 * z", "mass": "mass + z"}}})],
            r"variations.flip.columns.sign: processes.qcd.estimate.sideband uses 'sign', but events do not move into",
        ),
    ],
)
def test_a_wrong_estimate_is_named_with_a_remedy(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        check(*changes)

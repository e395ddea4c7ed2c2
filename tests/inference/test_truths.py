"""Tests of pseudo-experiments at displaced true points: they test the interpolation between templates."""

import hist
import numpy as np
import pytest

from nuisflow.inference import truths
from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.model import Model
from nuisflow.settings import configuration, sections, systematics
from nuisflow.settings.points import Point
from nuisflow.settings.toys import Toys
from nuisflow.slices.inference import ToySettings, WorkspaceSettings
from nuisflow.storage import files
from nuisflow.templates import workspaces
from throw_toys import throw_toys

NOMINAL = {
    "signal": np.array([4.0, 10.0, 30.0, 60.0, 70.0, 40.0]),
    "background": np.array([900.0, 700.0, 500.0, 300.0, 200.0, 100.0]),
    "other": np.array([100.0, 150.0, 150.0, 100.0, 50.0, 20.0]),
}
TILT = 0.02 * np.array([-1.0, -0.5, 0.0, 1.0, 2.0, 3.0])
"""Relative change of the background by a shift at z = 1."""


def straight(z):
    return 1 + z * TILT


def curved(z):
    """The same at 0 and +-1, but far off elsewhere: the interpolation cannot know."""
    return 1 + np.sign(z) * abs(z) ** 3 * TILT


VARIATIONS = {
    "shift": systematics.Shift(kind="shift", shift="tes", size=0.01, processes=("background",)),
    "rate": systematics.Rate(kind="rate", size=0.1, processes=("other",)),
    "luminosity": systematics.Luminosity(kind="luminosity", size=0.05),
}
DISPLACEMENTS = {"down2": -2.0, "up": 1.0, "up2": 2.0}


def histogram(names, content):
    """Return a histogram whose *content* is a function of process and variation."""
    processes = list(NOMINAL)
    made = hist.Hist(
        hist.axis.StrCategory(processes, name="process"),
        hist.axis.StrCategory(names, name="variation"),
        hist.axis.Regular(6, 0, 1, name="score"),
        storage=hist.storage.Weight(),
    )
    for row, process in enumerate(processes):
        for column, name in enumerate(names):
            made.view()["value"][row, column] = content(process, name)
            made.view()["variance"][row, column] = 1e-4 * content(process, name)
    return made


def workspace(effect):
    templates = histogram(
        ["nominal", "shift_up", "shift_down"],
        lambda process, name: (
            NOMINAL[process]
            * (effect({"up": 1.0, "down": -1.0}[name[6:]]) if process == "background" and name != "nominal" else 1)
        ),
    )
    chosen = WorkspaceSettings(
        processes=tuple(NOMINAL),
        signal="signal",
        variations=VARIATIONS,
        templates=configuration.Templates(),
        fit=configuration.Fit(bounds=(-20, 20)),
    )
    return workspaces.build({"signal": templates}, chosen).workspace


def model(effect):
    return Model(workspace(effect))


def points():
    found = {}
    for name, variation in VARIATIONS.items():
        for side, z in DISPLACEMENTS.items():
            factor = {"shift": None, "rate": 1.1**z, "luminosity": 1 + 0.05 * z}[name]
            found[f"{name}_{side}"] = Point(
                variation=name,
                kind=variation.kind,
                z=z,
                parameters=("lumi" if name == "luminosity" else name,),
                value=factor if name == "luminosity" else z,
                processes=variation.processes or tuple(NOMINAL),
                regions=("signal",),
                factor=factor,
            )
    return found


def displaced(effect):
    """Return what fill_displaced makes if nature is like *effect*."""

    def content(process, name):
        chosen = points()[name]
        if process not in chosen.processes:
            return NOMINAL[process]
        return NOMINAL[process] * (effect(chosen.z) if chosen.factor is None else chosen.factor)

    return {"signal": histogram(list(points()), content)}


def settings(number=400):
    return ToySettings(
        poi="mu",
        toys=Toys(number=number, displacements=DISPLACEMENTS, displaced_number=number),
        displaced=points(),
        name="nominal",
        repetition=1,
        seed=3,
    )


def listed(effect, chosen=None):
    return {t.point: t for t in truths.listed(model(effect), displaced(effect), chosen or settings())}


def test_the_list_has_the_true_strengths_and_every_displaced_point():
    found = listed(straight)
    assert list(found) == [None, *points()]
    assert found[None].expected is None
    assert found["shift_up2"].values == {"mu": 1.0, "shift": 2.0}
    assert found["luminosity_down2"].values == {"mu": 1.0, "lumi": pytest.approx(0.9)}
    assert {name: truth.number for name, truth in found.items() if name} == {
        name: 400 if name.startswith("shift") else 0 for name in points()
    }


@pytest.mark.parametrize("name", [name for name in points() if not name.startswith("shift")])
def test_displaced_yields_are_those_of_the_model_exactly(name):
    chosen, truth = model(straight), listed(straight)[name]
    np.testing.assert_allclose(truth.expected, chosen.expected(truth.values), rtol=1e-9)
    data = chosen.asimov(truth.values)
    data[: chosen.bins] = truth.expected
    fitted = fits.fit(chosen, data)
    assert fitted.values[chosen.index("mu")] == pytest.approx(1, abs=1e-6)
    assert fitted.values[chosen.index(points()[name].parameters[0])] == pytest.approx(
        truth.values[points()[name].parameters[0]], abs=1e-6
    )


def test_pseudo_experiments_at_a_displaced_yield_cover():
    chosen, truth = model(straight), listed(straight)["rate_up2"]._replace(number=3000)
    found = toys.coverage(truths.throw(chosen, truth, settings()))
    assert found.coverage == pytest.approx(toys.LEVEL, abs=4 * found.coverage_error)
    assert abs(found.bias) < 4 * found.bias_error


def test_asimov_data_of_a_displaced_point_have_nominal_auxiliary_data():
    chosen, truth = model(straight), listed(straight)["rate_up2"]
    found = truths.asimov(chosen, truth)
    data = chosen.asimov()
    data[: chosen.bins] = chosen.expected({"rate": 2.0})
    expected = fits.interval(chosen, data)
    assert found == {
        "asimov_mu": pytest.approx(expected.value),
        "asimov_low": pytest.approx(expected.low),
        "asimov_high": pytest.approx(expected.high),
    }
    assert abs(found["asimov_mu"] - 1) > 0.005  # the calibration says 0: some of the displacement is taken for signal
    ordinary = truths.asimov(chosen, listed(straight)[None])
    assert ordinary["asimov_mu"] == pytest.approx(1, abs=1e-6)


def test_a_template_model_that_is_right_covers_far_from_nominal():
    truth = listed(straight)["shift_up2"]._replace(number=3000)
    found = toys.coverage(truths.throw(model(straight), truth, settings()))
    assert found.coverage == pytest.approx(toys.LEVEL, abs=4 * found.coverage_error)
    assert abs(found.bias) < 4 * found.bias_error


def test_a_template_model_that_is_wrong_away_from_nominal_is_seen_with_events_and_not_with_templates():
    chosen, truth = model(curved), listed(curved)["shift_up2"]._replace(number=2000)
    from_events = toys.coverage(truths.throw(chosen, truth, settings()))
    from_templates = toys.coverage(truths.throw(chosen, truth._replace(expected=None), settings()))
    assert from_templates.coverage == pytest.approx(toys.LEVEL, abs=4 * from_templates.coverage_error)
    assert from_events.coverage < toys.LEVEL - 0.1
    assert abs(from_events.bias) > 10 * from_events.bias_error
    at_one = toys.coverage(truths.throw(chosen, listed(curved)["shift_up"]._replace(number=2000), settings()))
    assert at_one.coverage == pytest.approx(toys.LEVEL, abs=4 * at_one.coverage_error)


@pytest.fixture(scope="module")
def thrown(tmp_path_factory):
    """Return the files of the script throw_toys."""
    folder = tmp_path_factory.mktemp("toys")
    files.write_json(folder / "workspace.json", workspace(straight))
    files.write_histograms(folder / "displaced.json", displaced(straight))
    run(folder, folder / "displaced.json")
    return folder


def run(folder, histograms, chosen=None, name="toys"):
    chosen = chosen or settings(50)
    paths = folder / "workspace.json", histograms, folder / f"{name}.parquet", folder / f"{name}.json"
    throw_toys(*paths, settings=sections.plain(chosen))
    return paths[2:]


def test_every_point_has_an_entry_and_rates_have_no_pseudo_experiments(thrown):
    entries = {entry["point"]: entry for entry in files.read_json(thrown / "toys.json")}
    assert list(entries) == [None, *points()]
    assert entries[None] | {"variation": None, "z": 0.0, "toys": 50} == entries[None]
    assert entries["shift_up2"] | {"variation": "shift", "z": 2.0, "toys": 50, "mu_true": 1.0} == entries["shift_up2"]
    assert entries["rate_up2"] | {"toys": 0, "failed": 0, "coverage": None} == entries["rate_up2"]
    assert all(entry["asimov_low"] < entry["asimov_mu"] < entry["asimov_high"] for entry in entries.values())
    table = files.read_table(thrown / "toys.parquet")
    numbers = table.groupby("point", dropna=False, sort=False).size()
    assert numbers.tolist() == [50, 50, 50, 50]
    assert table["point"].isna().sum() == 50


def test_the_same_toys_come_out_every_time_and_do_not_depend_on_other_points(thrown, tmp_path):
    again, _ = run(thrown, thrown / "displaced.json", name="again")
    assert again.read_bytes() == (thrown / "toys.parquet").read_bytes()
    fewer = settings(50)
    fewer = fewer.model_copy(update={"displaced": {"shift_up2": points()["shift_up2"]}})
    alone, _ = run(thrown, thrown / "displaced.json", fewer, name="alone")
    first, second = files.read_table(thrown / "toys.parquet"), files.read_table(alone)
    same = first["point"] == "shift_up2"
    assert first.loc[same.fillna(False), "value"].tolist() == second["value"].tolist()[50:]


def test_without_displacements_no_histograms_are_needed(thrown):
    none = settings(50).model_copy(update={"displaced": {}})
    toys_file, coverage = run(thrown, None, none, name="none")
    assert [entry["point"] for entry in files.read_json(coverage)] == [None]
    assert len(files.read_table(toys_file)) == 50


def test_a_variation_without_a_parameter_is_displaced_all_the_same():
    weaker = model(lambda z: 1 + 0 * z)
    assert "shift" not in weaker.names
    truth = {t.point: t for t in truths.listed(weaker, displaced(straight), settings())}["shift_up2"]
    assert truth.values == {"mu": 1.0}
    assert truths.asimov(weaker, truth)["asimov_mu"] > 1.1

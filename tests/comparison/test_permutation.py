"""Tests of what features are worth to the measurement: partners that stay, refilled templates, and σ(mu)."""

import numpy as np
import pyhf
import pytest
from analyses import FLAT, changed

from nuisflow.comparison.review import permutation
from nuisflow.comparison.review.permutation import Asked, Drawn, Exchange
from nuisflow.settings.checks import reading
from nuisflow.slices import inference, review
from nuisflow.storage import event_files
from nuisflow.templates import filling
from nuisflow.templates.histograms import content

CONTENT = changed(
    FLAT,
    ("dataset.columns", ["x", "y", "same", "w"]),
    ("features", ["x", "y", "same"]),
    ("variations", {
        "scale": {"kind": "shift", "columns": {"x": "x + 0.1 * z"}},
        "tilt": {"kind": "weight", "factor": "1 + 0.1 * z", "processes": ["b"]},
    }),
    ("templates", {"binning": {"rule": "uniform", "number": 6, "low": 0, "high": 1}}),
    ("review", {"permuted_events": 100_000}),
)  # fmt: skip
SETTINGS = reading.check(CONTENT, "test")
FILLING = inference.filling(SETTINGS, "nominal")
FOLDERS = ("nominal", "scale_up", "scale_down")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Write events of both classes: x separates, y does not; a few are selected in some folders only."""
    folder, found = tmp_path_factory.mktemp("events"), {}
    for sample, shift, weight in (("s", 0.25, 0.05), ("b", -0.25, 0.2)):
        rng = np.random.default_rng(len(found))
        x, y = rng.normal(shift, 0.5, 4000), rng.normal(0, 1, 4000)
        for name, z in zip(FOLDERS, (0, 1, -1), strict=True):
            moved = x + 0.1 * z
            kept = moved > -1
            columns = {"entry": np.arange(4000), "region": np.zeros(4000, int), "weight": np.full(4000, weight)}
            columns |= {"x": moved.astype(np.float32), "y": y.astype(np.float32), "same": np.full(4000, 2, np.float32)}
            if sample == "b" and name == "nominal":
                columns |= {"factor_tilt_up": np.full(4000, 1.1), "factor_tilt_down": np.full(4000, 0.9)}
            found[name, sample] = folder / name / f"{sample}.parquet"
            event_files.write_event_parts(found[name, sample], iter([{key: values[kept] for key, values in columns.items()}]), {"region": ["signal"]})  # fmt: skip
    return found


def score(columns):
    return (1 / (1 + np.exp(-3 * columns["x"]))).astype(np.float32)


@pytest.fixture(scope="module")
def events(paths):
    return permutation.draw(paths, SETTINGS.features, FILLING, 100_000)


@pytest.fixture(scope="module")
def asked(events):
    empty = {"signal": filling.empty(np.linspace(0, 1, 7), FILLING)}
    made = permutation.filled(score(events.columns), events, empty, FILLING)
    return Asked(made, FILLING, review.permutation(SETTINGS).workspaces["nominal"])


def test_templates_of_all_events_are_their_histograms(paths, asked):
    for (folder, sample), path in paths.items():
        rows = event_files.read_rows(path, ["x", "weight"], 0, 10_000)
        expected, _ = np.histogram(score(rows), np.linspace(0, 1, 7), weights=rows["weight"])
        squares, _ = np.histogram(score(rows), np.linspace(0, 1, 7), weights=rows["weight"] ** 2)
        found = content(asked.templates["signal"], sample, folder)
        assert found.values == pytest.approx(expected)
        assert found.variances == pytest.approx(squares)
    nominal = content(asked.templates["signal"], "b").values
    assert content(asked.templates["signal"], "b", "tilt_up").values == pytest.approx(1.1 * nominal)
    assert np.array_equal(content(asked.templates["signal"], "s", "tilt_up").values, content(asked.templates["signal"], "s").values)  # fmt: skip


def test_some_events_stand_for_all_with_the_statistics_of_all_and_are_the_same_in_every_folder(paths, asked):
    few = permutation.draw(paths, SETTINGS.features, FILLING, 2000)
    assert 1600 < len(few.key) / 3 < 2400
    made = permutation.filled(score(few.columns), few, asked.templates, FILLING)["signal"]
    for sample in ("s", "b"):
        found, every = content(made, sample), content(asked.templates["signal"], sample)
        assert found.values.sum() == pytest.approx(every.values.sum(), rel=0.1)
        assert found.variances.sum() == pytest.approx(every.variances.sum(), rel=0.1)
    nominal, up = (set(few.event[np.isin(few.key, [few.keys.index((name, s)) for s in "sb"])]) for name in ("nominal", "scale_up"))  # fmt: skip
    assert nominal < up


def test_a_partner_is_the_same_event_in_every_folder_and_every_event_is_a_partner_once(events):
    exchange = Exchange(events, FILLING)
    partners = exchange.partners(np.random.default_rng(3))
    folders = np.array([FOLDERS.index(folder) for folder, _ in events.keys])[events.key]
    chosen = dict(zip(events.event.tolist(), events.event[partners].tolist(), strict=True))
    assert all(chosen[own] == other for own, other in zip(events.event.tolist(), events.event[partners].tolist(), strict=True))  # fmt: skip
    assert sorted(chosen) == sorted(chosen.values())
    there = set(zip(events.event.tolist(), folders.tolist(), strict=True))
    assert all(
        (folders[partner] == folder) == ((events.event[partner], folder) in there)
        for folder, partner in zip(folders, partners, strict=True)
    )
    own = folders[partners] == folders
    assert own.mean() > 0.95  # few are not selected there


def test_alternative_samples_exchange_values_among_themselves():
    keys = [("nominal", "b"), ("nominal", "other")]
    events = Drawn(keys, np.repeat([0, 1], 50), np.arange(100), np.zeros(100, int), np.ones(100), {})
    settings = FILLING.model_copy(update={"alternatives": {"other": "generator_up"}})
    partners = Exchange(events, settings).partners(np.random.default_rng(1))
    assert np.array_equal(partners >= 50, np.arange(100) >= 50)


def test_what_separates_is_worth_something_and_what_does_not_is_worth_nothing(events, asked):
    chosen = review.permutation(SETTINGS)
    found = dict(permutation.uncertainties(score, events, Exchange(events, FILLING), asked, chosen))
    assert list(found) == ["", "x", "y", "same"]
    assert found["y"] == found["same"] == found[""]
    assert found["x"].sigma > 1.1 * found[""].sigma


def test_sigma_is_that_of_pyhf(events, asked):
    found = permutation.measured(score(events.columns), events, asked)
    workspace = pyhf.Workspace(permutation.workspaces.build(asked.templates, asked.workspace).workspace)
    model = workspace.model(modifier_settings={"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}})  # fmt: skip
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4))
    data = model.expected_data(model.config.suggested_init())
    index = model.config.poi_index
    best, least = pyhf.infer.mle.fit(data, model, return_fitted_val=True)

    def distance(mu):
        held = pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)[1]
        return float(held - least)

    assert distance(best[index] + found.sigma) == pytest.approx(1, abs=0.15)
    assert distance(best[index] - found.sigma) == pytest.approx(1, abs=0.15)


def test_events_that_sum_up_to_less_than_nothing_in_a_bin_have_no_uncertainty_instead_of_an_error(events, asked):
    scores = score(events.columns)
    weight = np.where(scores < 1 / 6, -events.columns["weight"], events.columns["weight"])
    signed = events._replace(columns=events.columns | {"weight": weight})
    assert np.isnan(permutation.measured(scores, signed, asked)).all()


def test_features_are_permuted_only_where_it_is_asked_for():
    assert review.permuted(SETTINGS) == ["nominal"]
    assert review.permuted(reading.check(changed(CONTENT, ("review", {})), "test")) == []

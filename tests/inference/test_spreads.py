"""What the members of a classifier say of the same data."""

import gaussians
import numpy as np
import pandas as pd
import pytest
import torch

from nuisflow.comparison import trainings
from nuisflow.inference import spreads
from nuisflow.learning import loop
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood import fits
from nuisflow.likelihood.model import Model
from nuisflow.settings import sections
from nuisflow.slices.inference import Filling, WorkspaceSettings
from nuisflow.storage import event_files, files
from nuisflow.templates import workspaces
from nuisflow.templates.filling import fill
from score_events import score_events
from spread_members import spread_members

REGIONS = ("signal", "control")
PROCESSES = ("signal", "background")


def filling():
    return Filling.model_validate(
        {
            "processes": PROCESSES,
            "signal": "signal",
            "samples": {name: name for name in PROCESSES} | {"collisions": "data"},
            "regions": {
                "signal": {"rule": "uniform", "number": 8},
                "control": {"rule": "uniform", "number": 2, "low": -9, "high": 9},
            },
            "scored": ("signal",),
            "variations": {},
            "weights": {},
        }
    )


def written(folder, number=6000):
    """Write nominal events of two processes, and of collisions that nobody looks at."""
    paths = []
    for seed, (name, mean, expected) in enumerate(
        [("signal", 1, 400.0), ("background", 0, 4000.0), ("collisions", 0, 9.0)]
    ):
        columns = gaussians.columns(number, (mean, mean), seed + 20)
        columns["region"] = (np.random.default_rng(seed).random(number) < 0.2).astype(int)
        columns["weight"] = np.full(number, expected / number)
        columns["observable"] = np.where(columns["region"] == 1, columns["x"], np.nan).astype(np.float32)
        paths.append(folder / "nominal" / f"{name}.parquet")
        event_files.write_event_parts(paths[-1], iter([columns]), {"region": REGIONS})
    return paths


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with events, and for several strategies the model, templates and workspace."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("members")
    events = written(folder)
    for name, options in {
        "nominal": {},
        "ensemble": {"size": 6, "budget": "each"},
        "dropout": {"samples": 8, "rate": 0.05},
    }.items():
        place = folder / "trainings" / name
        place.mkdir(parents=True)
        pool = gaussians.pool({"strategy": name} | options, number=3000, events_seen=40_000)
        loop.train(pool, pool.settings.training, "cpu")[0].save(place / "model.pt")
        score_events(
            place / "model.pt", events, place / "scores.parquet", settings={"features": ["x", "y"], "folds": 2},
            dask={"scheduler": "synchronous"}, device="cpu",
        )  # fmt: skip
        histograms = fill(events, place / "scores.parquet", filling()).histograms
        files.write_histograms(place / "templates.json", histograms)
        rate = {"rate": {"kind": "rate", "size": 0.1, "processes": ["background"]}}
        chosen = {"processes": PROCESSES, "signal": "signal", "variations": rate, "templates": {}, "fit": {}}
        workspace = workspaces.build(histograms, WorkspaceSettings.model_validate(chosen)).workspace
        files.write_json(place / "workspace.json", workspace)
    return folder


def run(made, name, output=None):
    place = made / "trainings" / name
    events = [made / "nominal" / f"{process}.parquet" for process in PROCESSES]
    output = output or place / "members.csv"
    spread_members(
        place / "model.pt", events, place / "templates.json", place / "workspace.json", output,
        settings=sections.plain(filling()), device="cpu",
    )  # fmt: skip
    return pd.read_csv(output)


def everything(made, name):
    place = made / "trainings" / name
    classifier = Classifier.load(place / "model.pt")
    histograms = files.read_histograms(place / "templates.json")
    events = [made / "nominal" / f"{process}.parquet" for process in PROCESSES]
    model = Model(files.read_json(place / "workspace.json"))
    return classifier, model, spreads.score(classifier, events, filling()), histograms


def slots(model):
    return {name: (first, last) for name, first, last in model.channels}


def test_a_classifier_of_one_member_finds_what_went_into_the_templates(made):
    table = run(made, "nominal")
    assert list(table.columns) == ["member", "mu", "low", "high", "converged", "variance", "covariance"]
    assert len(table) == 1
    assert table["mu"][0] == pytest.approx(1, abs=1e-5)
    assert table["low"][0] < 1 < table["high"][0]
    assert trainings.spread(table) == 0


@pytest.mark.parametrize(("name", "members"), [("ensemble", 6), ("dropout", 8)])
def test_the_answers_of_members_scatter_by_less_than_the_statistical_uncertainty(made, name, members):
    table = run(made, name)
    assert list(table["member"]) == list(range(members))
    assert table["converged"].all()
    assert 0 < trainings.spread(table) < 0.7 * np.sqrt(table["variance"].mean())


def test_the_step_of_a_bin_is_what_one_more_event_there_does_to_the_fit(made):
    model = everything(made, "nominal")[1]
    steps, data = spreads.influence(model), model.asimov()
    for index in range(model.bins):
        up, down = (fits.fit(model, data + step * np.eye(len(data))[index]) for step in (0.1, -0.1))
        slope = (up.values[model.index("mu")] - down.values[model.index("mu")]) / 0.2
        assert steps[index] == pytest.approx(slope, rel=1e-2, abs=1e-6)


def test_members_have_bins_that_hold_the_same_events_as_those_of_the_mean():
    generator = np.random.default_rng(1)
    scores, weights = generator.random((5000, 3)) ** [1, 2, 5], generator.uniform(0.5, 1.5, 5000)
    edges = np.array([0.2, 0.35, 0.7])
    bins = spreads.matched(scores, weights, edges)
    expected = np.histogram(scores.mean(axis=1), [0, *edges, 1], weights=weights)[0]
    for member in range(3):
        assert np.bincount(bins[:, member], weights, 4) == pytest.approx(expected, abs=1.5)
        assert np.all(np.diff(bins[np.argsort(scores[:, member]), member]) >= 0)
    same = spreads.matched(np.repeat(scores[:, :1], 3, axis=1), weights, edges)
    assert np.mean(same == np.digitize(scores[:, :1], edges)) > 0.999


def test_identical_members_agree_and_unrelated_ones_scatter_as_if_each_had_data_of_its_own(made):
    _, model, events, histograms = everything(made, "nominal")
    same = events._replace(scores=np.repeat(events.scores, 5, axis=1))
    assert trainings.spread(spreads.table(model, same, histograms, filling())) < 1e-6
    random = np.random.default_rng(1).random((len(events.region), 5)).astype(np.float32)
    found = spreads.table(model, events._replace(scores=random), histograms, filling())
    first, last = slots(model)["signal"]
    steps, edges, inside = (
        spreads.influence(model)[first:last],
        histograms["signal"].axes["score"].edges,
        events.region == 0,
    )
    content = np.histogram(random.mean(axis=1)[inside], edges, weights=events.weight[inside])[0]
    alone = content @ steps**2 - (content @ steps) ** 2 / content.sum()  # all members see the same number of events
    assert trainings.spread(found) == pytest.approx(np.sqrt(alone), rel=0.02)


def test_the_covariance_is_that_of_fits_to_the_same_pseudo_data_with_templates_of_every_member(made):
    """Throw events, histogram them for every member, and fit them with templates of this member alone."""
    _, model, events, histograms = everything(made, "dropout")
    chosen = events._replace(scores=events.scores[:, :4])
    expected = spreads.answers(model, chosen, histograms, filling())
    edges, generator = histograms["signal"].axes["score"].edges, np.random.default_rng(1)
    thrown = [generator.poisson(events.weight) for _ in range(400)]
    signal = np.repeat([True, False], len(events.weight) // 2)
    found = []
    for values in chosen.scores.T:
        bins = np.where(events.region == 0, np.digitize(values, edges[1:-1]), len(edges) - 1)
        bins[(events.region == 1) & (thrown_x(made) >= 0)] = len(edges)
        contents = [np.bincount(bins[rows], events.weight[rows], len(edges) + 1) for rows in (signal, ~signal)]
        own = Model(simple(*contents))
        data = np.array([np.bincount(bins, counts, len(edges) + 1) for counts in thrown])
        found.append([fits.fit(own, counts).values[own.index("mu")] for counts in data])
    covariance = np.cov(found)
    scatter = [np.mean(np.diag(one)) - np.mean(one[~np.eye(4, dtype=bool)]) for one in (covariance, expected)]
    assert np.diag(covariance) == pytest.approx(np.diag(expected), rel=0.25)
    assert np.sqrt(scatter[0]) == pytest.approx(np.sqrt(scatter[1]), rel=0.15)


def thrown_x(made):
    return np.concatenate([pd.read_parquet(made / "nominal" / f"{process}.parquet")["x"] for process in PROCESSES])


def simple(signal, background):
    """Return a workspace of one channel, with a rate uncertainty on the background and without MC statistics."""
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 1 / 1.1}}
    samples = [
        {"name": "s", "data": signal.tolist(), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": background.tolist(), "modifiers": [rate]},
    ]
    return {
        "channels": [{"name": "all", "samples": samples}],
        "observations": [{"name": "all", "data": (signal + background).tolist()}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def test_data_of_a_member_are_the_histogram_of_its_scores(made):
    _, model, events, histograms = everything(made, "ensemble")
    edges = histograms["signal"].axes["score"].edges
    inside = events.region == 0
    data = model.asimov()
    first, last = slots(model)["signal"]
    data[first:last] = np.histogram(events.scores[inside, 2], edges, weights=events.weight[inside])[0]
    table = spreads.fit(model, events, histograms, filling())
    assert table["mu"][2] == pytest.approx(fits.fit(model, data).values[model.index("mu")], abs=1e-4)


def test_of_many_events_some_are_taken_with_more_weight(made, monkeypatch):
    classifier, _, events, _ = everything(made, "dropout")
    monkeypatch.setattr(spreads, "SCORES", 30_000)
    paths = [made / "nominal" / f"{process}.parquet" for process in PROCESSES]
    fewer = spreads.score(classifier, paths, filling())
    assert len(fewer.weight) < 30_000 / 8 + 2
    assert fewer.weight.sum() == pytest.approx(events.weight.sum(), rel=1e-9)
    assert fewer.scores.mean() == pytest.approx(events.scores.mean(), abs=0.01)


def test_the_same_members_twice_are_the_same_bytes(made, tmp_path):
    for name in "ab":
        run(made, "dropout", tmp_path / f"{name}.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()

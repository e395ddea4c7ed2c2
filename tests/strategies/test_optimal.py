"""The strategy `optimal`: an ordinary training without any, and as good as the known densities allow."""

import numpy as np
import pytest
import torch
from analyses import changed, shipped

from nuisflow import datasets
from nuisflow.learning import batches, loop
from nuisflow.learning.classifier import Classifier
from nuisflow.settings.checks import reading
from nuisflow.slices.training import training
from nuisflow.strategies import metrics

CASES = {"gaussian": 0.9783, "inferno": 0.9215, "pivot": None}


def pool(kind, events=20_000, **options):
    content = changed(shipped(kind), ("trainings", {"optimal": {"strategy": "optimal", "density": kind} | options}))
    settings = reading.check(content)
    module = datasets.MODULES[kind]
    samples = {}
    for name, sample in settings.samples.items():
        samples[name] = module.simulate(name, events, np.random.default_rng(len(name)))
        samples[name] |= {"weight": np.full(events, sample.expected / events), "entry": np.arange(events)}
    return batches.Pool(samples, training(settings, "optimal", 1))


def scored(kind, **options):
    made = pool(kind, **options)
    classifier, history = loop.train(made, made.settings.training, "cpu")
    scores = [classifier.score(made.samples[name]) for name in ("signal", "background")]
    return made, classifier, history, scores


@pytest.mark.parametrize("kind", CASES)
def test_the_score_is_the_exact_likelihood_ratio(kind):
    made, _, _, scores = scored(kind)
    module = datasets.MODULES[kind]
    for name, score in zip(("signal", "background"), scores, strict=True):
        s, b = (np.exp(module.log_density(process, made.samples[name], {})) for process in module.PROCESSES)
        assert score == pytest.approx(s / (s + b), abs=1e-5)


@pytest.mark.parametrize("kind", CASES)
def test_it_separates_as_published_and_costs_nothing(kind):
    _, _, history, scores = scored(kind)
    labels = np.repeat([1, 0], [len(part) for part in scores])
    found = metrics.area_under_curve(np.concatenate(scores), labels, np.ones(len(labels)))
    if CASES[kind] is not None:
        assert found == pytest.approx(CASES[kind], abs=0.004)
    assert [row["events_seen"] for row in history] == [0, 0]
    assert all(row["auc"] == pytest.approx(found, abs=0.01) and row["kept"] == 1 for row in history)


def test_its_model_is_saved_and_read_like_any_other(tmp_path):
    made, classifier, _, scores = scored("gaussian")
    classifier.save(tmp_path / "model.pt")
    again = Classifier.load(tmp_path / "model.pt")
    assert np.array_equal(again.score(made.samples["signal"]), scores[0])
    assert not torch.load(tmp_path / "model.pt", weights_only=True)["folds"][0]["networks"]


def test_it_can_be_optimal_elsewhere():
    turned = {"shifts": {"rotation": np.pi / 4}}
    made, classifier, _, scores = scored("gaussian", **turned)
    u = made.samples["signal"]["y"]  # at the angle pi/2 only y matters
    assert scores[0] == pytest.approx(1 / (1 + np.exp(-2 * u / 0.49)), abs=1e-5)
    moved = [
        datasets.gaussian.shift(made.samples[name], {"rotation": (np.pi / 4, 1.0)})
        | {"entry": made.samples[name]["entry"]}
        for name in ("signal", "background")
    ]
    found = {}
    for name, events in (("nominal", made.samples.values()), ("turned", moved)):
        values = np.concatenate([classifier.score(columns) for columns in events])
        found[name] = metrics.area_under_curve(values, np.repeat([1, 0], 20_000), np.ones(40_000))
    assert found["turned"] == pytest.approx(0.9783, abs=0.003)
    assert found["nominal"] == pytest.approx(0.9234, abs=0.005)


def test_a_change_of_the_learning_does_not_make_it_again():
    one, two = (reading.check(changed(shipped("inferno"), ("learning.batch_size", size))) for size in (64, 128))
    assert training(one, "optimal", 1) == training(two, "optimal", 1)
    assert training(one, "nominal", 1) != training(two, "nominal", 1)

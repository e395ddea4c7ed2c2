"""Classifiers that are told z: where they are scored, several z as one binning, and options that need no training."""

import itertools

import gaussians
import numpy as np
import pydantic
import pytest
import torch

from nuisflow import strategies
from nuisflow.learning import batches, loop
from nuisflow.learning.classifier import Classifier

OPTIONS = {"strategy": "parametrised", "variations": ("shift",)}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def trained(**options):
    pool = gaussians.pool(OPTIONS | options)
    return loop.train(pool, pool.settings.training, "cpu")[0]


def columns(number=3000, mean=(0.5, 0.5)):
    return gaussians.columns(number, mean, 5)


def at(classifier, z):
    """Return the scores at *z* of a classifier, whatever its options say."""
    fresh = Classifier(
        classifier.strategy.model_copy(update={"at": {"shift": z}, "scan": ()}),
        classifier.features,
        classifier.architecture,
        classifier.folds,
    )
    return fresh.score(columns())


@pytest.fixture(scope="module")
def plain():
    torch.set_num_threads(1)
    return trained()


@pytest.fixture(scope="module")
def scanning():
    torch.set_num_threads(1)
    return trained(scan=(-1.0, 1.0), parts=3)


def test_events_are_scored_at_the_given_z_by_the_same_networks(plain):
    other = trained(at={"shift": 1.5})
    assert other.score(columns()).tolist() == at(plain, 1.5).tolist()
    assert np.abs(other.score(columns()) - plain.score(columns())).max() > 0.01


def test_zero_is_where_events_are_scored_by_default(plain):
    assert plain.score(columns()).tolist() == at(plain, 0.0).tolist()


def test_scores_at_several_z_make_cells_that_follow_from_the_single_scores(plain, scanning):
    cells = np.floor(scanning.score(columns()) * scanning.strategy.classes * 2).astype(int)
    assert scanning.strategy.classes == 9
    fold, index = cells % 2, cells // 2  # the cells of the folds lie side by side
    assert fold.tolist() == batches.fold(columns()["entry"], 2).tolist()
    for number, z in ((0, -1.0), (1, 1.0)):
        digit, score = index // 3 ** (1 - number) % 3, at(plain, z)
        for one in (0, 1):
            parts = [score[(fold == one) & (digit == part)] for part in range(3)]
            assert all(low.max() <= high.min() for low, high in itertools.pairwise(parts))


def test_every_score_is_cut_into_equal_shares_of_signal_and_background(scanning):
    pool = gaussians.pool(OPTIONS)
    events = batches.fold_events(pool, 0).train()
    features, z = torch.from_numpy(events.features), torch.zeros((len(events.labels), 1))
    cells = (scanning.strategy.score(scanning.folds[0].networks, features, z) * 9).floor().numpy()
    for digit in (cells // 3, cells % 3):
        shares = np.bincount(digit.astype(int), events.weights) / events.weights.sum()
        assert shares == pytest.approx(1 / 3, abs=0.01)


def test_the_cuts_are_saved_with_the_model(scanning, tmp_path):
    scanning.save(tmp_path / "model.pt")
    loaded = Classifier.load(tmp_path / "model.pt")
    assert loaded.score(columns()).tolist() == scanning.score(columns()).tolist()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"at": {"tilt": 1}}, "at.tilt: not among the variations"),
        ({"scan": (1.0,)}, "two or more different z"),
        ({"scan": (1.0, 1.0)}, "two or more different z"),
        ({"scan": (-1.0, 1.0), "at": {"shift": 1}}, "no 'at'"),
        ({"scan": (-1.0, 1.0), "variations": ("shift", "rate")}, "exactly one variation"),
        ({"scan": (-1.0, 0.0, 1.0), "parts": 10}, "make 1000 bins"),
        ({"strategy": "conditional", "variations": ("shift", "rate")}, "exactly one"),
        ({"strategy": "conditional", "at": {"shift": 1}}, "scores at every z"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, text):
    with pytest.raises(pydantic.ValidationError, match=text):
        strategies.read(OPTIONS | options)


def test_what_only_the_fit_uses_does_not_train_again():
    one, other = (
        strategies.read({"strategy": "conditional", "variations": ("shift",), "rebinned": how, "label": str(how)})
        for how in (False, True)
    )
    assert one != other
    assert one.model_copy(update=one.ignored()) == other.model_copy(update=other.ignored())


def test_a_conditional_classifier_is_trained_as_a_parametrised_one_of_the_same_width(plain):
    pool = gaussians.pool({"strategy": "conditional", "variations": ("shift",), "width": 1.0})
    conditional, _ = loop.train(pool, pool.settings.training, "cpu")
    assert conditional.score(columns()).tolist() == plain.score(columns()).tolist()


@pytest.mark.parametrize(("width", "strategy"), [(0.0, "nominal"), (1.0, "augmentation")])
def test_a_network_that_is_not_told_z_scores_alike_at_every_z_and_is_an_ordinary_one(width, strategy):
    options = {"strategy": "conditional", "variations": ("shift",), "told": False, "width": width}
    pool = gaussians.pool(options)
    untold, _ = loop.train(pool, pool.settings.training, "cpu")
    assert at(untold, 2.0).tolist() == at(untold, 0.0).tolist()
    pool = gaussians.pool({"strategy": strategy} | ({"variations": ("shift",)} if width else {}))
    ordinary, _ = loop.train(pool, pool.settings.training, "cpu")
    assert untold.score(columns()).tolist() == ordinary.score(columns()).tolist()

"""Options chosen by trials: what may be tried, what is compared, and that a fold's own events take no part."""

import json
from pathlib import Path

import gaussians
import numpy as np
import pytest
import torch
import yaml

from nuisflow.learning import batches, loop, trials
from nuisflow.learning.classifier import Classifier
from nuisflow.learning.trials import TuningError
from nuisflow.report import tables
from nuisflow.settings import configuration, tuning
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError

TRAINING = {"strategy": "augmentation", "variations": ("shift",)}
VARIATIONS = {"shift": gaussians.SHIFT, "rate": gaussians.RATE}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def study(options, **more):
    return tuning.Study.model_validate(
        {"tuning": {"options": options, **more}, "variations": VARIATIONS, "bins": 8},
    )


def toy(**changes):
    content = yaml.safe_load((Path(__file__).parents[1] / "toy" / "config.yaml").read_text())
    return content | changes


def searched(options, pool=None, **more):
    return trials.search(pool or gaussians.pool(TRAINING), study(options, **more), "cpu")


def test_the_best_trial_of_every_network_is_chosen():
    chosen, rows = searched({"width": {"low": 0.0, "high": 3.0}}, trials=4, events_seen=4000)
    assert len(chosen) == 2
    assert len(rows) == 8
    for fold, options in enumerate(chosen):
        own = [row for row in rows if row["fold"] == fold]
        best = min(own, key=lambda row: row["expected_uncertainty"])
        assert options == json.loads(best["options"])
        assert [row["chosen"] for row in own] == [int(row is best) for row in own]
        assert json.loads(own[0]["options"]) == {"width": 1.0}  # as configured


def test_the_same_trials_again_choose_the_same_options():
    options = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "width": [0.5, 1.0, 2.0]}
    one, two = (searched(options, trials=3, events_seen=2000) for _ in range(2))
    assert one[0] == two[0]
    strip = [{key: value for key, value in row.items() if key != "seconds"} for row in one[1]]
    assert strip == [{key: value for key, value in row.items() if key != "seconds"} for row in two[1]]


def test_events_that_a_network_scores_do_not_change_its_options():
    options = {"width": {"low": 0.0, "high": 3.0}}
    before = searched(options, trials=3, events_seen=2000)
    pool = gaussians.pool(TRAINING)
    for columns in pool.samples.values():
        scored = batches.fold(columns["entry"], 2) == 0
        columns["x"] = np.where(scored, columns["x"] ** 2, columns["x"]).astype(np.float32)
    after = searched(options, pool, trials=3, events_seen=2000)
    kept = [[row["expected_uncertainty"] for row in rows if row["fold"] == 0] for _, rows in (before, after)]
    assert kept[0] == kept[1]  # fold 0 is scored by network 0
    moved = [[row["expected_uncertainty"] for row in rows if row["fold"] == 1] for _, rows in (before, after)]
    assert moved[0] != moved[1]


def test_a_useless_budget_is_seen_to_measure_worse():
    _, rows = searched({"learning_rate": [1e-7, 1e-2]}, trials=6, events_seen=20_000)
    rates = {rate: [row["expected_uncertainty"] for row in rows if f"{rate}" in row["options"]] for rate in ("1e-07",)}
    good = [row["expected_uncertainty"] for row in rows if "0.01" in row["options"]]
    assert min(rates["1e-07"]) > max(good)


def test_the_expected_uncertainty_is_that_of_the_counts():
    """One bin, and a background with a rate uncertainty: the standard deviation of mu is known."""
    pool = gaussians.pool({"strategy": "nominal"})
    model, _ = loop.train_fold(pool, pool.settings.training, 0, "cpu", {"events_seen": 500})
    one = tuning.Study.model_validate(
        {"tuning": {"options": {"width": [1.0]}}, "variations": {"rate": gaussians.RATE}, "bins": 1}
    )
    events = trials._validation(pool, one, 0, scales=True)
    found = trials.expected_uncertainty(model.networks, pool.settings.training, events, one)
    signal, background = 4000.0, 12_000.0
    slope = background * (1.1 - 1 / 1.1) / 2
    assert found == pytest.approx(np.sqrt(signal + background + slope**2) / signal, rel=1e-4)


def test_a_training_with_options_of_every_network_is_saved_with_them(tmp_path):
    pool = gaussians.pool({"strategy": "parametrised", "variations": ("shift",)}, number=500, events_seen=2000)
    classifier, _ = loop.train(
        pool, pool.settings.training, "cpu", [{"width": 0.5}, {"width": 2.0, "learning_rate": 0.01}]
    )
    classifier.save(tmp_path / "model.pt")
    read = Classifier.load(tmp_path / "model.pt")
    assert [model.options for model in read.folds] == [{"width": 0.5}, {"width": 2.0, "learning_rate": 0.01}]
    events = gaussians.columns(200, (0.0, 0.0), 3)
    assert read.score(events).tolist() == classifier.score(events).tolist()
    usual, _ = loop.train(pool, pool.settings.training, "cpu")
    assert usual.score(events).tolist() != classifier.score(events).tolist()


def test_trials_that_diverge_are_counted_and_the_others_go_on():
    # A batch of 8 events whose loss is measured as a whole experiment has no signal now and then.
    pool = gaussians.pool({"strategy": "inferno", "variations": ("shift",), "bins": 4}, number=500)
    _, rows = searched({"batch_size": [2, 500]}, pool, trials=6, events_seen=3000)
    failed = [row for row in rows if not np.isfinite(row["expected_uncertainty"])]
    assert 0 < len(failed) < len(rows)
    assert all("raise batch_size" in row["message"] for row in failed)
    with pytest.raises(TuningError, match="all 2 trials of fold 0 failed.*raise batch_size"):
        searched({"batch_size": [2]}, pool, trials=2, events_seen=3000)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"augmentaton": {"options": {"width": [1]}}}, "tune.augmentaton: no training .* did you mean 'augmentation'"),
        ({"augmentation": {"options": {"widht": [1]}}}, "tune.augmentation.options.widht: .* did you mean 'width'"),
        ({"augmentation": {"options": {"hidden": [1]}}}, "tune.augmentation.options.hidden: no option"),
        ({"augmentation": {"options": {"width": [-1]}}}, "options.width: -1: Input should be greater than or equal"),
        ({"augmentation": {"options": {"width": {"low": 1, "high": 20}}}}, "options.width: 20.0: .*less than or equal"),
        ({"augmentation": {"options": {"width": {"low": 2, "high": 1}}}}, r"low \(2\) must be below high \(1\)"),
        ({"augmentation": {"options": {"width": {"low": 0, "high": 1, "log": True}}}}, "log needs low above 0"),
        ({"augmentation": {"options": {"width": [[1], 2]}}}, r"options.width.0: must be .* or text \(got \[1\]\)$"),
        ({"augmentation": {"options": {}}}, "tune.augmentation.options"),
        ({"augmentation": {"options": {"width": [1]}, "trials": 0}}, "tune.augmentation.trials"),
    ],
)
def test_a_mistake_is_named(section, message):
    with pytest.raises(ConfigurationError, match=message):
        reading.check(toy(tune=section), "config.yaml")


def test_the_number_of_bins_is_not_to_be_tuned():
    trainings = {"inferno": {"strategy": "inferno", "variations": ["tes"]}}
    section = {"inferno": {"options": {"bins": {"low": 4, "high": 20}}}}
    with pytest.raises(ConfigurationError, match="all networks must share"):
        reading.check(toy(trainings=trainings, tune=section), "config.yaml")


def test_whole_numbers_stay_whole():
    strategy = reading.check(toy(), "config.yaml").trainings["boosted_trees"]
    choice = configuration.Range(low=2, high=6)
    assert tuning.whole(strategy, "depth", choice)
    assert not tuning.whole(strategy, "shrinkage", choice)
    chosen, _ = searched({"depth": {"low": 2, "high": 6}}, gaussians.pool({"strategy": "boosted_trees"}), trials=2)
    assert all(isinstance(options["depth"], int) for options in chosen)


def test_trials_leave_out_what_acts_only_where_the_observable_is_no_score():
    content = toy(tune={"augmentation": {"options": {"width": [1, 2]}}})
    scored = [name for name, one in content["regions"].items() if one.get("observable", "score") == "score"]
    others = [name for name in content["regions"] if name not in scored]
    rate = {"kind": "rate", "size": 0.3, "processes": ["ttbar"]}
    content["variations"] |= {"there": rate | {"regions": others}, "here": rate | {"regions": scored}, "all": rate}
    found = tuning.study(reading.check(content, "config.yaml"), "augmentation").variations
    assert set(content["variations"]) - set(found) == {"there"}


def test_labels_do_not_rerun_trials():
    content = toy(tune={"augmentation": {"options": {"width": [1.0, 2.0]}}})
    renamed = content | {"variations": content["variations"] | {"tes": content["variations"]["tes"] | {"label": "x"}}}
    one, two = (tuning.study(reading.check(part, "config.yaml"), "augmentation") for part in (content, renamed))
    assert one == two
    assert one.bins == 5


def test_the_report_lists_what_was_chosen():
    _, rows = searched({"width": {"low": 0.0, "high": 3.0}}, trials=2, events_seen=2000)
    settings = type("Settings", (), {"trainings": {"augmentation": "Augmentation"}})
    (row,) = tables.trial_rows({"augmentation": tables.pd.DataFrame(rows)}, settings)
    assert row["trials"] == "4"
    assert row["options"].startswith("network 1: width ")
    assert float(row["after"]) <= float(row["before"])

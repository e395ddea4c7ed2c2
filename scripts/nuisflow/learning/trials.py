"""Trials that choose the options of a training, on the validation events of every network."""

import json
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nuisflow import seeds
from nuisflow.learning import batches, loop
from nuisflow.settings import configuration, systematics, tuning
from nuisflow.strategies import information
from nuisflow.strategies.strategy import Events, Networks, Strategy

Options = dict[str, Any]
Row = dict[str, Any]

DELTA = 1.0
"""Derivatives of the histogram are taken between z = -DELTA and +DELTA, in prior standard deviations."""
FREE_RATE = systematics.Rate(kind="rate", size=0.1)
"""Stands for a free rate, whose derivative is all that counts."""


class TuningError(ValueError):
    """Trials that found nothing."""


def search(pool: batches.Pool, study: tuning.Study, where: str) -> tuple[list[Options], list[Row]]:
    """Return the best options of every fold, and one row per trial.

    A trial trains the network of one fold on its training events; what counts is the uncertainty of the signal
    strength expected from its validation events. No event that the network will score takes part. The first trial has
    the options of the configuration, so that what is chosen is at least as good on these events; the others follow
    the tree-structured Parzen estimator (Bergstra et al., NIPS 2011) of Optuna (arXiv:1907.10902).
    """
    chosen, rows = [], []
    for number in range(pool.settings.learning.folds):
        found = _search_fold(pool, study, number, where)
        good = [row for row in found if math.isfinite(row["expected_uncertainty"])]
        if not good:
            raise TuningError(
                f"tune.{pool.settings.name}: all {len(found)} trials of fold {number} failed, the last one with: "
                f"{found[-1]['message']}; narrow the ranges of the options"
            )
        best = min(good, key=lambda row: row["expected_uncertainty"])
        best["chosen"] = 1
        chosen.append(json.loads(best["options"]))
        rows += found
    return chosen, rows


def _search_fold(pool: batches.Pool, study: tuning.Study, number: int, where: str) -> list[Row]:
    """Return one row per trial of one fold."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings, strategy = pool.settings, pool.settings.training
    spaces = {name: _distribution(strategy, name, choice) for name, choice in study.tuning.options.items()}
    seed = seeds.number(settings.seed, "tuning", settings.name, number) % 2**32
    trials = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed))
    usual = _configured(strategy, settings.learning, spaces)
    if all(_allows(choice, usual[name]) for name, choice in study.tuning.options.items()):
        trials.enqueue_trial(usual)
    events = _validation(pool, study, number, scales=strategy.scales)
    budget = {} if study.tuning.events_seen is None else {"events_seen": study.tuning.events_seen}
    rows: list[Row] = []
    for index in range(study.tuning.trials):
        trial, began = trials.ask(spaces), time.monotonic()
        value, message = math.nan, ""
        try:
            model, _ = loop.train_fold(pool, strategy, number, where, trial.params | budget)
            value = expected_uncertainty(model.networks, tuning.tried(strategy, trial.params), events, study)
        except ValueError as error:
            message = str(error)
        failed = not math.isfinite(value)
        trials.tell(trial, None if failed else value, state=optuna.trial.TrialState.FAIL if failed else None)
        logging.getLogger(__name__).info(
            "tuning %s, fold %d, trial %d of %d: expected uncertainty %.5f with %s%s",
            *(settings.name, number, index + 1, study.tuning.trials, value, trial.params, message and f" ({message})"),
        )
        row = {"fold": number, "trial": index, "expected_uncertainty": value, "seconds": time.monotonic() - began}
        rows.append(row | {"chosen": 0, "options": json.dumps(trial.params), "message": message})
    return rows


def _distribution(strategy: Strategy, name: str, choice: "configuration.Range | tuple[Any, ...]") -> Any:
    """Return where Optuna looks for an option."""
    from optuna import distributions

    if not isinstance(choice, configuration.Range):
        return distributions.CategoricalDistribution(choice)
    if tuning.whole(strategy, name, choice):
        return distributions.IntDistribution(int(choice.low), int(choice.high), log=choice.log)
    return distributions.FloatDistribution(choice.low, choice.high, log=choice.log)


def _allows(choice: "configuration.Range | tuple[Any, ...]", value: Any) -> bool:
    """Return whether *value* is among those to try."""
    return choice.low <= value <= choice.high if isinstance(choice, configuration.Range) else value in choice


def _configured(strategy: Strategy, learning: configuration.Learning, names: Mapping[str, Any]) -> Options:
    """Return the options as the configuration has them; those left out are those of the section learning."""
    values = {name: getattr(strategy, name) for name in names}
    return {name: getattr(learning, name) if value is None else value for name, value in values.items()}


def _validation(pool: batches.Pool, study: tuning.Study, number: int, *, scales: bool) -> "Events[torch.Tensor]":
    """Return the validation events of one fold at z = 0, and at +-DELTA of every variation of the analysis."""
    known = {
        name: FREE_RATE.model_copy(update={"processes": variation.processes})
        if isinstance(variation, systematics.FreeRate)
        else variation
        for name, variation in study.variations.items()
    }
    everything = batches.Pool(pool.samples, pool.settings.model_copy(update={"variations": known}))
    points = information.points(len(known), DELTA)
    together = loop.together(pool.settings.learning)
    events = batches.fold_events(everything, number, scales=scales, points=points, together=together)
    return loop.to_device(events.validation(), "cpu")


@torch.inference_mode()
def expected_uncertainty(
    networks: Networks, strategy: Strategy, events: "Events[torch.Tensor]", study: tuning.Study
) -> float:
    """Return the uncertainty of the signal strength that is expected from a histogram of the score of *events*.

    The bins are the classes of the strategy, or else cut the mixture of signal and background into equal shares. All
    variations are nuisance parameters; the events stand for the whole experiment, without an uncertainty of their own.
    Their fluctuations look like information, so that the result is too low by some percent, for all trials alike:
    subtracting the noise (`information.uncertainty`) would add far more of it than the trials differ by.
    """
    rows = information.Rows(events)
    z = torch.zeros((len(rows.features), len(strategy.variations)))
    scores = strategy.score(networks, rows.features, z).double()
    if strategy.classes is None:
        index = torch.bucketize(scores, _edges(scores[: len(events.labels)], events.weights, study.bins))
        bins = study.bins
    else:
        bins = strategy.classes
        index = (scores * bins).floor().clamp(0, bins - 1).long()
    memberships = torch.nn.functional.one_hot(index, bins).to(torch.float32)
    free = [isinstance(variation, systematics.FreeRate) for variation in study.variations.values()]
    return float(information.uncertainty(rows.templates(memberships, DELTA), free))


def _edges(scores: torch.Tensor, weights: torch.Tensor, bins: int) -> torch.Tensor:
    """Return the inner edges of *bins* with equal shares of *weights*."""
    order = np.argsort(scores.numpy(), kind="stable")
    shares = np.cumsum(weights.numpy()[order].astype(float))
    places = np.searchsorted(shares, np.arange(1, bins) / bins * shares[-1])
    return scores[torch.from_numpy(order[np.minimum(places, len(order) - 1)])].contiguous()

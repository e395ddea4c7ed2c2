"""How much the answer depends on the randomness of a training: what the members of a classifier say of the same data.

Any fixed function of the event is a valid observable: with templates of the same function the fit is right, only more
or less precise, so that no uncertainty of the score has to be added to that of the fit. But had another member scored
the events, the same data would have given another answer. `answers` computes how far these answers scatter: the
standard deviation of the signal strength over single members, each with templates of its own, on average over data.
It is thus the epistemic spread of the score carried to the result, for one network; the mean of n independent members,
which is what is used, depends on chance less, by about the square root of n.

`fit` answers another question: what comes out if a member scores the data while the templates stay those of the mean?
Members and mean are not calibrated alike, so that these signal strengths are biased and scatter by more than any
analysis would see; they show how far a member is from the mean.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nuisflow.events import scored_events
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood import covariances, fits
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import Filling
from nuisflow.storage import event_files
from nuisflow.templates.histograms import DATA, Histogram, content

SCORES = 40_000_000
"""Scores held in memory; of more events than this allows, every second, third, … is taken, with its weight scaled."""


class Scored(NamedTuple):
    """Nominal events: index of the region, weight, and the score of every member, shape (events, members)."""

    region: np.ndarray
    weight: np.ndarray
    scores: np.ndarray


def score(classifier: Classifier, events: Iterable[Path], settings: Filling) -> Scored:
    """Return the nominal *events* of all simulated samples with the scores of all members."""
    paths, members = list(events), classifier.strategy.members
    step = 1 + sum(map(event_files.count_rows, paths)) * members // SCORES
    columns, names = [*classifier.features, "entry", "weight"], {"region": list(settings.regions)}
    parts = []
    for path in paths:
        for rows in event_files.read_event_parts(path, columns, names):
            taken = {name: values[::step] for name, values in rows.items()}
            factor = len(rows["weight"]) / max(len(taken["weight"]), 1)
            parts.append(Scored(taken["region"], factor * taken["weight"], classifier.member_scores(taken)))
    return Scored(*(np.concatenate(values) for values in zip(*parts, strict=True)))


# --- answers with templates of one's own ----------------------------------------------------------------------------


def answers(model: Model, events: Scored, histograms: Mapping[str, Histogram], settings: Filling) -> np.ndarray:
    """Return the covariance of the signal strengths that the members find in the same data, shape (members, members).

    An event in bin b moves the answer by d mu / d n_b of the fit. With n_i ~ Poisson(w_i) of each kind of event, the
    covariance of two members is the sum over events of w_i times the product of these steps in their bins. Members have
    bins of their own, which hold the same expected events as those of the mean score. ASSUME: they then have the same
    steps d mu / d n_b too, so that only the bins of single events differ. Auxiliary measurements do not fluctuate.
    """
    steps = influence(model)
    total = np.zeros((events.scores.shape[1], events.scores.shape[1]))
    for name, start, stop in model.channels:
        inside = events.region == list(settings.regions).index(name)
        if name not in settings.scored:
            total += nominal(histograms[name]) @ steps[start:stop] ** 2
            continue
        edges = np.asarray(histograms[name].axes["score"].edges)[1:-1]
        moved = steps[start:stop][matched(events.scores[inside], events.weight[inside], edges)]
        total += moved.T @ (events.weight[inside, np.newaxis] * moved)
    return total


def influence(model: Model) -> np.ndarray:
    """Return how far one more event in a bin moves the signal strength fitted to Asimov data, shape (bins,).

    At the minimum the gradient of -ln L stays 0: d theta / d n_b is the inverse Hessian times d ln nu_b / d theta.
    """
    result = fits.fit(model, model.asimov())
    rates, slopes = covariances.totals(model, result.values)
    return np.asarray(result.covariance[model.index(model.poi)] @ slopes.T / rates)


def matched(scores: np.ndarray, weights: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bins of every event for every member, shape (events, members); *edges* (inner ones) are of the mean.

    The edges of a member are those quantiles of its scores that the edges of the mean are of the mean scores.
    """
    size = np.abs(weights)
    below = np.array([size[scores.mean(axis=1) < edge].sum() for edge in edges])
    bins = np.empty(scores.shape, dtype=np.int64)
    for member, values in enumerate(scores.T):
        order = np.argsort(values, kind="stable")
        bins[order, member] = np.searchsorted(below, np.cumsum(size[order]) - 0.5 * size[order], side="right")
    return bins


# --- data of one member in the templates of the mean ----------------------------------------------------------------


def fit(model: Model, events: Scored, histograms: Mapping[str, Histogram], settings: Filling) -> pd.DataFrame:
    """Return the signal strength in the expected events as every member scores them, with the ends of its interval."""
    data = np.zeros((events.scores.shape[1], model.bins))
    for name, start, stop in model.channels:
        inside = events.region == list(settings.regions).index(name)
        data[:, start:stop] = nominal(histograms[name])
        if name in settings.scored:
            edges = np.asarray(histograms[name].axes["score"].edges)
            for member, values in enumerate(events.scores[inside].T):
                chosen = scored_events.clipped(values.astype(np.float64), edges)
                data[member, start:stop] = np.histogram(chosen, edges, weights=events.weight[inside])[0]
    rows = []
    for member, seen in enumerate(np.maximum(data, 0.0)):
        result = fits.fit(model, seen)
        found = fits.interval(model, seen, result=result)
        rows.append((member, found.value, found.low, found.high, result.converged))
    return pd.DataFrame(rows, columns=["member", "mu", "low", "high", "converged"])


def nominal(histogram: Histogram) -> np.ndarray:
    """Return the nominal content of all simulated processes together, shape (bins,)."""
    names = [name for name in histogram.axes["process"] if name != DATA]
    return np.asarray(np.sum([content(histogram, name).values for name in names], axis=0))


# --- the table ------------------------------------------------------------------------------------------------------


def table(model: Model, events: Scored, histograms: Mapping[str, Histogram], settings: Filling) -> pd.DataFrame:
    """Return one row per member: what `fit` says, and its variance and mean covariance with the others by `answers`."""
    covariance = answers(model, events, histograms, settings)
    variance, members = np.diag(covariance), len(covariance)
    others = (covariance.sum(axis=1) - variance) / (members - 1) if members > 1 else variance
    return fit(model, events, histograms, settings).assign(variance=variance, covariance=others)

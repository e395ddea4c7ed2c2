"""Pseudo-experiments: coverage, bias, pulls and scores of the fit, and limits without the asymptotic formulae."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.likelihood import fits, limits, starts
from nuisflow.likelihood.constraints import auxiliary
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.model import FLAT, NEGATIVE, Minima, Model, Values
from nuisflow.likelihood.valleys.ends import AT_LOWER, AT_UPPER, DEEPER, NOT_FOUND, intervals

LEVEL = math.erf(math.sqrt(0.5))  # 68.27 %: one standard deviation
BLOCK = 500
AT_BOUND = AT_LOWER | AT_UPPER  # flags of model.Intervals
_LARGEST = 1e300
EQUAL = 1e-6  # statistics that differ by less, relative to 1 + their size, are equal: outcomes of few events repeat


class Toys(NamedTuple):
    """One row per pseudo-experiment: best fit, profile interval and Hessian error of one parameter.

    *fitted*: the fit converged; *bounded*: both ends were found, at a crossing or a bound; *limited*: an end is at a
    bound or at the edge of the physical region. Failed fits stay, with NaN.
    """

    true: Floats
    value: Floats
    low: Floats
    high: Floats
    error: Floats
    twice_nll: Floats
    fitted: Booleans
    bounded: Booleans
    limited: Booleans = np.zeros(0, dtype=np.bool_)


class Coverage(NamedTuple):
    """What pseudo-experiments say about the intervals at one true value.

    *failed* fits did not converge; *unbounded* ones did, but an end of their interval was not found; *limited* ones
    have an end at a bound or at the edge of the physical region. *coverage* counts the first two as not covered, with
    Clopper-Pearson limits (68.27 %) and their half-width. Bias is over all fits that converged, pulls over those of
    them with a Hessian error (*pulls*), widths over those with an interval. *interval_score*, *rmse*, *mae*: Fair
    Universe (arXiv:2410.02867).
    """

    true: float
    number: int
    failed: int
    unbounded: int
    limited: int
    coverage: float
    coverage_low: float
    coverage_high: float
    coverage_error: float
    bias: float
    bias_error: float
    pulls: int
    pull_mean: float
    pull_width: float
    interval: float
    interval_score: float
    rmse: float
    mae: float


class ToyGoodness(NamedTuple):
    """Goodness of fit from pseudo-experiments: the share of them that fit worse than the data.

    *p_low*, *p_high*: Clopper-Pearson limits (68.27 %), wide enough for the *failed* fits to lie on either side. NaN
    where the fit to the data did not converge (then all count as failed).
    """

    p_value: float
    p_low: float
    p_high: float
    number: int
    failed: int


def throw(model: Model, values: Mapping[str, float] | Values | None, number: int, seed: int, *names: object,
          expectation: Values | None = None, block: int = BLOCK) -> Iterator[Floats]:  # fmt: skip
    """Yield blocks of pseudo-data (experiments, main and auxiliary data) for the true parameter *values*.

    Main and auxiliary data fluctuate. *expectation* (bins): expected main data made elsewhere, from events at the
    true values, in place of the model's own. Block k depends on seed, names and k only.
    """
    truth = model.asimov(values)
    if expectation is not None:
        truth[: model.bins] = _expectation(model, expectation)
    if (truth[: model.bins] < 0).any():
        worst = int(np.argmin(truth[: model.bins]))
        raise ValueError(
            f"pseudo-data: {model.place(worst)} expects {truth[worst]:.4g} events; a rate cannot be negative"
        )
    for k, first in enumerate(range(0, number, block)):
        # The whole block is drawn in any case: the last, shorter one begins as a full one would.
        random = seeds.generator(seed, *map(str, names), k)
        yield fluctuated(model, np.broadcast_to(truth, (block, len(truth))), random)[: min(block, number - first)]


def fluctuated(model: Model, truth: Floats, random: np.random.Generator) -> Floats:
    """Return pseudo-data around the expected data *truth* (sets, main and auxiliary data), which fluctuate too."""
    rows, blocks = [model.parameters[i] for i in model.constrained], model.structure.extended.correlations
    main = random.poisson(truth[:, : model.bins])
    return np.hstack([main, auxiliary.fluctuated(rows, blocks, truth[:, model.bins :], random)])


def _expectation(model: Model, expectation: Values) -> Floats:
    rates = np.array(expectation, dtype=np.float64)
    if rates.shape != (model.bins,) or not np.isfinite(rates).all():
        channels = ", ".join(row[0] for row in model.channels)
        raise ValueError(
            f"expectation: {model.bins} finite rates are needed (channels in the order {channels}), "
            f"not an array of shape {rates.shape}"
        )
    return rates


def run(model: Model, values: Mapping[str, float] | Values | None, number: int, seed: int, *names: object,
        parameter: str | None = None, expectation: Values | None = None, workers: int | None = None,
        block: int = BLOCK) -> Toys:  # fmt: skip
    """Fit *number* pseudo-experiments at the true *values*; return fit and interval of *parameter* (default: the POI).

    Memory holds one block of data; the number of workers (threads) changes nothing in the result.
    """
    name, truth = parameter or model.poi, model.point(values)
    blocks = throw(model, truth, number, seed, *names, expectation=expectation, block=block)
    return joined([fitted(model, data, truth, name, workers) for data in blocks])


def fitted(model: Model, data: Floats, truth: Floats, name: str, workers: int | None = None) -> Toys:
    """Return fits and intervals of the parameter *name* of data sets thrown at *truth* (parameters; or one per set)."""
    index = model.index(name)
    minima = starts.deepest(model, data, truth, workers=workers)
    found = intervals(model, minima, name, data, workers=workers)
    columns = np.array([minima.values[:, index], found.low, found.high, found.error, minima.twice_nll])
    good = minima.status == 0
    flags = np.where(good, found.flags, NOT_FOUND)
    for i in np.flatnonzero((flags & (NOT_FOUND | DEEPER) != 0) & (minima.status != FLAT)):
        columns[:, i], good[i], flags[i] = _alone(model, data[i], name)
    bounded = good & (flags & NOT_FOUND == 0)
    return block_of(truth[..., index], list(columns), good, bounded, bounded & (flags & AT_BOUND != 0))


def _alone(model: Model, data: Floats, name: str) -> tuple[tuple[float, ...], bool, int]:
    """Fit one experiment with the care that observed data get: many starts, deeper minima are adopted, Minuit."""
    best = fits.fit(model, data)
    found = fits.interval(model, data, name, result=best)
    ends, index = np.isfinite([found.low, found.high]), model.index(name)
    bound = found.low == model.lower[index] or found.high == model.upper[index] or "bound" in found.message
    row = (found.value, found.low, found.high, found.error, best.twice_nll)
    return row, best.converged, (0 if ends.all() else NOT_FOUND) | (AT_BOUND if bound else 0)


def block_of(true: float | Floats, columns: Sequence[Floats], fitted: Booleans, bounded: Booleans,
             limited: Booleans | None = None) -> Toys:  # fmt: skip
    """Return pseudo-experiments from *columns* (value, low, high, error, twice_nll), with NaN where they failed."""
    masks = (fitted, bounded, bounded, fitted, fitted)
    value, low, high, error, twice_nll = (
        np.where(mask, part, np.nan) for mask, part in zip(masks, columns, strict=True)
    )
    ends = np.zeros(len(fitted), dtype=np.bool_) if limited is None else limited
    true_values = np.array(np.broadcast_to(true, len(fitted)))
    return Toys(true_values, value, low, high, error, twice_nll, fitted, bounded, ends)


def joined(blocks: Sequence[Toys]) -> Toys:
    """Return the pseudo-experiments of all blocks."""
    return Toys(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def coverage(toys: Toys, level: float = LEVEL) -> Coverage:
    """Summarise pseudo-experiments thrown at one true value; *level*: the intervals' intended coverage."""
    good = toys.fitted & toys.bounded
    number, true = len(good), float(toys.true[0])
    inside = good & (toys.low <= true) & (true <= toys.high)
    low, high = clopper_pearson(int(inside.sum()), number)
    counts = (int((~toys.fitted).sum()), int((toys.fitted & ~toys.bounded).sum()), int((good & toys.limited).sum())
              if len(toys.limited) else 0)  # fmt: skip
    head = (true, number, *counts, float(inside.mean()), low, high, 0.5 * (high - low))
    if good.sum() < 2:
        return Coverage(*head, math.nan, math.nan, 0, *[math.nan] * 6)
    difference, error = (toys.value - true)[toys.fitted], toys.error[toys.fitted]
    pull = difference[error > 0] / error[error > 0]
    half, apart = 0.5 * (toys.high - toys.low)[good], (toys.value - true)[good]
    score = interval_score(toys.low[good], toys.high[good], true, level, int(number))
    deviation = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    pulls = (float(pull.mean()), float(pull.std(ddof=1))) if len(pull) > 1 else (math.nan, math.nan)
    return Coverage(*head, float(difference.mean()), deviation, len(pull), *pulls, float(2.0 * half.mean()), score,
                    *_distances(apart, half))  # fmt: skip


def _distances(difference: Floats, half: Floats) -> tuple[float, float]:
    """Return RMSE and MAE of Fair Universe: of the value, plus of its claimed uncertainty, averaged."""
    squares = math.sqrt(np.mean(difference**2) + np.mean((difference**2 - half**2) ** 2))
    return squares, float(np.mean(np.abs(difference)) + np.mean(np.abs(np.abs(difference) - half)))


def goodness_of_fit_by_toys(model: Model, data: Values | None, number: int, seed: int, *names: object,
                            workers: int | None = None) -> ToyGoodness:  # fmt: skip
    """Compare the saturated statistic of the best fit to *data* with *number* pseudo-experiments thrown there.

    Unlike the chi-squared p value of limits.goodness_of_fit, this needs no large numbers of events.
    """
    best = fits.fit(model, data)
    if not best.converged:
        return ToyGoodness(math.nan, math.nan, math.nan, number, number)
    observed, found = best.twice_nll - float(model.constants(data)[0]), []
    for block in throw(model, best.values, number, seed, "goodness of fit", *names):
        minima = starts.deepest(model, block, best.values, workers=workers)
        found.append(np.where(minima.status == 0, minima.twice_nll - model.constants(block), np.nan))
    return tallied(observed, np.concatenate(found), number)


def tallied(observed: float, statistics: Floats, number: int) -> ToyGoodness:
    """Return how many of *number* pseudo-experiments fit worse than the data, from their *statistics* (NaN: failed)."""
    worse, failed = int(as_bad(statistics, observed).sum()), int(np.isnan(statistics).sum())
    low, _ = clopper_pearson(worse, number)
    _, high = clopper_pearson(worse + failed, number)
    return ToyGoodness(worse / (number - failed) if failed < number else math.nan, low, high, number, failed)


def as_bad(statistics: Floats, observed: float) -> Booleans:
    """Return which *statistics* are as large as the *observed* one, or larger; NaN are not.

    ASSUME: equal ones count, to the precision of fits: those of the same few events, or of a model that fits all data.
    """
    least = observed - EQUAL * (1.0 + abs(observed)) if math.isfinite(observed) else observed
    return np.asarray(statistics >= least)


class Tested(NamedTuple):
    """Test statistics of one signal strength: of the data, and of pseudo-experiments with signal and without."""

    value: float
    observed: float
    signal: Floats
    background: Floats


def statistics_at(model: Model, data: Values | None, value: float, number: int, seed: int, *, poi: str | None = None,
           workers: int | None = None) -> Tested:  # fmt: skip
    """Return the test statistics of a signal strength for *number* pseudo-experiments of each hypothesis.

    Nuisance parameters are generated at their best fit to the data for each hypothesis (arXiv:1007.1727: q-tilde).
    Pseudo-experiments with failed fits are left out; that of the data is NaN where its fit failed. A strength
    that is impossible, whatever the nuisance parameters are, agrees with no data but its own, which nature cannot make.
    """
    name = poi or model.poi
    model = limits.reaching(model, name, [value])
    signal, background = (fits.fit(model, data, fixed={name: strength}) for strength in (value, 0.0))
    if fits.impossible(signal):
        return Tested(value, math.inf, np.zeros(number), np.full(number, math.inf))
    observed = float(_statistic(model, np.atleast_2d(model.data if data is None else data), name, value, workers)[0])
    samples = []
    for label, truth in (("signal", signal), ("background", background)):
        blocks = throw(model, truth.values, number, seed, "cls", label, repr(float(value)))
        statistics = np.concatenate([_statistic(model, block, name, value, workers) for block in blocks])
        samples.append(statistics[~np.isnan(statistics)])
    return Tested(value, observed, *samples)


def cls(model: Model, data: Values | None, value: float, number: int, seed: int, *, poi: str | None = None,
        workers: int | None = None) -> limits.Cls:  # fmt: skip
    """Return the CLs of a signal strength from *number* pseudo-experiments of each hypothesis; NaN if fits failed."""
    return cls_of(statistics_at(model, data, value, number, seed, poi=poi, workers=workers))


def cls_of(row: Tested) -> limits.Cls:
    """Return the CLs that test statistics give."""
    if np.isnan(row.observed) or not (len(row.signal) and len(row.background)):
        return limits.Cls(row.value, math.nan, (math.nan,) * len(limits.BANDS))
    finite = np.minimum(row.background, _LARGEST)  # between infinite ones no quantile is a number
    bands = np.quantile(finite, [0.5 * math.erfc(band / math.sqrt(2.0)) for band in limits.BANDS])
    ratios = [_tail(row.signal, q) / _tail(row.background, q) for q in (row.observed, *bands)]
    return limits.Cls(row.value, ratios[0], tuple(ratios[1:]))


def _tail(sample: Floats, value: float) -> float:
    """Return the fraction at or above *value*, at least one half of one experiment (so that a ratio exists)."""
    return max(float(as_bad(sample, value).mean()), 0.5 / len(sample))


def resampled(rows: Sequence[Tested], seed: int, number: int = 100) -> list[list[Tested]]:
    """Return *number* bootstrap replicas of test statistics, for the statistical error of what follows from them."""
    random = seeds.generator(seed, "cls", "bootstrap")
    return [
        [row._replace(signal=random.choice(row.signal, len(row.signal)),
                      background=random.choice(row.background, len(row.background)))
         if len(row.signal) and len(row.background) else row for row in rows]
        for _ in range(number)
    ]  # fmt: skip


def _statistic(model: Model, data: Floats, poi: str, value: float, workers: int | None) -> Floats:
    """Return q-tilde of every data set; NaN where a fit failed, infinite where *value* is not physical."""
    index = model.index(poi)
    free = starts.deepest(model, data, workers=workers)
    held = model.fixed.copy()
    held[index] = True

    def conditional(strength: float) -> Minima:
        start = free.values.copy()
        start[:, index] = strength
        return starts.deepest(model, data, start, held, workers=workers)

    at_value, at_zero = conditional(value), conditional(0.0)
    negative = free.values[:, index] < 0
    lowest = np.where(negative, at_zero.twice_nll, free.twice_nll)
    q = np.where(free.values[:, index] >= value, 0.0, np.maximum(at_value.twice_nll - lowest, 0.0))
    impossible = at_value.status == NEGATIVE
    good = (free.status == 0) & ((at_value.status == 0) | impossible) & (~negative | (at_zero.status == 0))
    return np.where(good, np.where(impossible, np.inf, q), np.nan)


def limit(model: Model, data: Values | None, points: Values, number: int, seed: int, *, level: float = 0.95,
          poi: str | None = None, workers: int | None = None) -> limits.Limits:  # fmt: skip
    """Return CLs upper limits from pseudo-experiments, interpolated between signal strengths *points*.

    NaN where the points do not reach the level; the asymptotic limits tell where to put them.
    """
    strengths = np.sort(np.asarray(points, dtype=np.float64))
    return limit_of(
        [statistics_at(model, data, float(x), number, seed, poi=poi, workers=workers) for x in strengths], level
    )


def limit_of(rows: Sequence[Tested], level: float = 0.95) -> limits.Limits:
    """Return the CLs upper limits that test statistics of several signal strengths, in their order, give."""
    table = np.array([(found.observed, *found.expected) for found in map(cls_of, rows)])
    strengths = np.array([row.value for row in rows])
    found = [_crossing(strengths, column, 1.0 - level) for column in table.T]
    return limits.Limits(found[0], tuple(found[1:]), level)


def _crossing(points: Floats, values: Floats, target: float) -> float:
    """Return where *values* first fall to *target*; NaN where they do not, or are not numbers before.

    Between two points half-normal tails are about linear, as in `limits`: CLs itself falls too steeply for few points.
    """
    from scipy import special

    below = np.flatnonzero(values <= target)
    if not len(below) or below[0] == 0 or np.isnan(values[: below[0]]).any():
        return math.nan
    i = int(below[0])
    before, after, wanted = special.ndtri(0.5 * np.minimum([values[i - 1], values[i], target], 1.0))
    return float(points[i - 1] + (before - wanted) / (before - after) * (points[i] - points[i - 1]))


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a binomial probability (Biometrika 26 (1934) 404)."""
    from scipy import special

    tail = 0.5 * (1.0 - level)
    low = special.betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = special.betaincinv(successes + 1, trials - successes, 1.0 - tail) if successes < trials else 1.0
    return float(low), float(high)


def interval_score(low: Values, high: Values, true: Values, level: float = LEVEL, number: int | None = None) -> float:
    """Return the Fair Universe score -ln((w + 0.001) f), higher is better (arXiv:2410.02867, equation 6).

    w: mean width; f penalises a coverage outside level +- 2 sigma of a binomial with *number* (default: all) trials.
    """
    lows, highs, trues = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (low, high, true)))
    covered = float(np.mean((lows <= trues) & (trues <= highs)))
    return -math.log(
        (float(np.mean(np.abs(highs - lows))) + 1e-3) * coverage_penalty(covered, number or lows.size, level)
    )


def coverage_penalty(covered: float, number: int, level: float = 0.6827) -> float:
    """Return the factor f of the interval score: 1 within two binomial standard deviations of *level*."""
    sigma = math.sqrt(level * (1.0 - level) / number)
    below, above = (level - 2.0 * sigma - covered) / sigma, (covered - level - 2.0 * sigma) / sigma
    return 1.0 + max(below, 0.0) ** 4 + max(above, 0.0) ** 3

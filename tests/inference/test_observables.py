"""Which score data are binned in: against Minuit with exact templates, and by the coverage of data that move with z.

The background is a normal distribution whose mean is 0.4 z; signal and background are binned in |x + z'/2|, an observable
that follows a hypothesised z'.
"""

import numpy as np
import pytest
from iminuit import Minuit
from scipy.stats import norm

from nuisflow.inference.conditional.likelihood import GridLikelihood
from nuisflow.inference.conditional.observables import Observables
from nuisflow.likelihood.model import Model

SIGNAL, BACKGROUND, RATE = 60.0, 300.0, 1.05
EDGES = np.array([0.0, 0.4, 0.8, 1.3, 1.9, np.inf])
Z = np.linspace(-3, 3, 7)


def shares(mean, width, score):
    """Return what of a normal distribution is in the bins of the observable at z' = *score*."""
    right, left = (norm.cdf((sign * EDGES - score / 2 - mean) / width) for sign in (1, -1))
    return np.diff(right) - np.diff(left)


def templates(score, z):
    return SIGNAL * shares(0.0, 0.6, score), BACKGROUND * shares(0.4 * z, 2.0, score)


def workspace(score, z, error=0.0):
    signal, background = (part.tolist() for part in templates(score, z))
    rate = [{"name": "rate", "type": "normsys", "data": {"hi": RATE, "lo": 1 / RATE}}]
    errors = [error * content for content in background]
    known = [{"name": "staterror_r", "type": "staterror", "data": errors}] if error else []
    poi = [{"name": "mu", "type": "normfactor", "data": None}]
    samples = [
        {"name": "background", "data": background, "modifiers": rate + known},
        {"name": "signal", "data": signal, "modifiers": poi},
    ]
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-10.0, 10.0]]}]}
    return {
        "channels": [{"name": "r", "samples": samples}],
        "observations": [{"name": "r", "data": (np.array(signal) + background).tolist()}],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


def likelihood(score):
    """Return the likelihood of the observable at z' = *score*, or of the one that is another at every z."""
    return GridLikelihood([Model(workspace(z if score is None else score, z)) for z in Z], Z, "shift")


@pytest.fixture(scope="module")
def observables():
    return Observables(likelihood, Z)


@pytest.fixture(scope="module")
def rebinned():
    return Observables(likelihood, Z, rebinned=True)


def thrown(model, number, truth, seed):
    """Return experiments of single events at mu = 1 and z = *truth*, binned at every z'."""
    random = np.random.default_rng(seed)
    main = np.empty((number, len(Z), len(EDGES) - 1))
    for row in main:
        signal = 0.6 * random.standard_normal(random.poisson(SIGNAL))
        background = 0.4 * truth + 2 * random.standard_normal(random.poisson(BACKGROUND))
        events = np.concatenate([signal, background])
        row[:] = [np.histogram(np.abs(events + score / 2), EDGES)[0] for score in Z]
    auxiliary = np.tile(model.auxiliary, (number, 1, 1)) + random.standard_normal((number, 1, 1))
    return model.data(main, auxiliary, truth + random.standard_normal(number))


def minuit(counts, score, rate, centre):
    """Return mu, its interval and z of one experiment by Minuit, with exact templates of this observable at any z."""

    def twice_nll(mu, z, theta):
        signal, background = templates(score, z)
        rates = mu * signal + RATE**theta * background
        if rates.min() <= 0:
            return 1e9
        return 2 * (rates - counts * np.log(rates)).sum() + (theta - rate) ** 2 + (z - centre) ** 2

    found = Minuit(twice_nll, mu=1.0, z=0.0, theta=0.0)
    found.errordef, found.tol = 1.0, 0.001
    found.migrad()
    found.minos("mu")
    mu, sides = found.values["mu"], found.merrors["mu"]
    return mu, mu + sides.lower, mu + sides.upper, found.values["z"]


@pytest.mark.parametrize("truth", [0.0, -2.0])
def test_fits_are_those_of_minuit_to_the_score_at_the_z_nearest_to_the_best(observables, truth):
    data, scores = thrown(observables.nominal, 15, truth, 3), []
    for rows, score, model, one in observables.each(data):
        best = model.fit(one)
        ends = model.ends(one, best)
        scores += [score] * len(rows)
        for place, row in enumerate(rows):
            given = data.auxiliary[row, 0, 0], data.centre[row]
            mu, low, high, z = minuit(data.main[row, list(Z).index(score)], score, *given)
            found = [best.values[place, model.index], ends.low[place], ends.high[place]]
            assert found == pytest.approx([mu, low, high], abs=0.002 * (high - low))
            nearest = Z[np.abs(Z - z).argmin()]
            if nearest != score:  # where this one leads back
                z = minuit(data.main[row, list(Z).index(nearest)], nearest, *given)[-1]
            assert abs(z - score) < 0.51
    assert len(set(scores)) > 1
    assert np.mean(scores) == pytest.approx(truth, abs=0.5)


def covered(observables, number, truth=0.0):
    data, found = thrown(observables.nominal, number, truth, 5), np.zeros(number, dtype=bool)
    for rows, _, model, one in observables.each(data):
        ends = model.ends(one, model.fit(one))
        found[rows] = (ends.low <= 1) & (ends.high >= 1)
    return found.mean()


@pytest.mark.parametrize("truth", [0.0, 1.5])
def test_intervals_contain_the_truth_as_often_as_they_should_though_the_score_follows_z(observables, truth):
    assert covered(observables, 1500, truth) == pytest.approx(0.6827, abs=0.036)  # three standard deviations


def test_data_that_are_binned_anew_at_every_z_make_intervals_too_narrow(rebinned):
    assert covered(rebinned, 1500) < 0.6


def test_every_set_of_data_is_asked_once_and_as_if_it_were_alone(observables):
    data = thrown(observables.nominal, 40, 0.5, 7)
    together = {row: score for rows, score, _, _ in observables.each(data) for row in rows}
    alone = [next(observables.each(data.take([row]))).score for row in range(40)]
    assert [together[row] for row in range(40)] == alone
    assert len(set(alone)) > 1


def test_expected_data_have_the_score_at_their_true_z(observables):
    for place, z in enumerate(Z):
        main = np.array([np.sum(templates(score, z), axis=0) for score in Z])
        (scored,) = observables.each(observables.nominal.data(main, centre=z))
        assert scored.score == z
        assert scored.data.main[0].tolist() == np.repeat(main[place : place + 1], len(Z), axis=0).tolist()


def test_auxiliary_measurements_are_as_many_of_their_widths_off_in_every_score():
    def build(score):
        return GridLikelihood([Model(workspace(score, z, error=0.02 + 0.01 * abs(score))) for z in Z], Z, "shift")

    found = Observables(build, Z)
    data = found.nominal.data(np.ones((1, len(Z), 5)))
    data = data._replace(auxiliary=data.auxiliary + 1.5 * found.nominal.widths)
    place = next(
        i for i, name in enumerate(np.array(found.nominal.names)[found.nominal.nominal.constrained]) if "stat" in name
    )
    assert data.auxiliary[0, 0, place] == pytest.approx(1 + 1.5 * 0.02)
    assert found.binned(data, 2.0).auxiliary[0, :, place] == pytest.approx(1 + 1.5 * 0.04)


def test_scores_whose_models_have_other_parameters_are_refused_with_the_remedy():
    def build(score):
        return GridLikelihood([Model(workspace(score, z, error=0.1 * abs(score))) for z in Z], Z, "shift")

    found = Observables(build, Z)
    with pytest.raises(ValueError, match=r"scores at shift = 0 and 1 differ in staterror_r.*fewer bins"):
        found.binned(found.nominal.data(np.ones((1, len(Z), 5))), 1.0)

"""Events scored at every hypothesised z: histograms, patterns, workspaces and pseudo-data made of them."""

import numpy as np
import pandas as pd
import pytest

from nuisflow.events import parts
from nuisflow.events.scored_events import TemplateError
from nuisflow.inference.conditional import hypotheses
from nuisflow.likelihood.model import Model
from nuisflow.settings import conditional as conditioning
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.conditional import NOMINAL, ends, grid
from nuisflow.slices import conditional, inference
from nuisflow.storage import event_files
from nuisflow.templates.conditional import _patterns, fill, fill_files, move, needed, whole

SIZE = 400
BINS = {"main": np.array([0.0, 0.3, 0.6, 1.0]), "side": np.array([-1.0, 0.0, 1.0])}


def configured(**changes):
    content = {
        "analysis": "toy",
        "dataset": {"kind": "gaussian"},
        "processes": {"signal": {"role": "signal"}, "background": {}},
        "samples": {
            "signal": {"process": "signal", "events": SIZE, "expected": 40},
            "background": {"process": "background", "events": SIZE, "expected": 100},
        },
        "features": ["x", "y"],
        "regions": {"main": {"selection": "x > 0"}, "side": {"selection": "x <= 0", "observable": "y"}},
        "variations": {
            "rotation": {"kind": "shift", "shift": "rotation", "size": 0.5},
            "tilt": {"kind": "weight", "factor": "1 + 0.1 * z * y", "processes": ["background"]},
            "rate": {"kind": "rate", "size": 0.1, "processes": ["background"]},
        },
        "trainings": {"aware": {"strategy": "conditional", "variations": ["rotation"]}},
        "toys": {"displacements": {"down2": -2, "up2": 2}, "number": 100},
    }
    return reading.check(content | changes, "toy.yaml")


def event_columns(sample, folder, settings):
    """Return the events of one file; the same random numbers in every folder, and more for higher z."""
    random = np.random.default_rng(len(sample))
    z = {"rotation_up": 1.0, "rotation_down": -1.0, "rotation_up2": 2.0, "rotation_down2": -2.0}.get(folder, 0.0)
    x, y = random.normal(size=(2, SIZE))
    x = np.clip(x + 0.1 * z, -0.99, 0.99).astype(np.float32)
    weight = np.full(SIZE, settings.samples[sample].expected / SIZE) * (1 + 0.01 * z)
    columns = {
        "entry": np.arange(SIZE),
        "region": np.where(x > 0, 0, 1),
        "weight": weight,
        "observable": np.where(x > 0, np.nan, np.clip(y, -0.99, 0.99)).astype(np.float32),
        "x": x,
        "y": y.astype(np.float32),
    }
    if folder == NOMINAL and sample == "background":
        columns |= {
            f"factor_tilt_{side}": (1 + sign * 0.1 * y).astype(np.float32) for side, sign in (("up", 1), ("down", -1))
        }
    if folder.startswith("tilt"):
        columns["weight"] = weight * (1 + 0.1 * float(folder[-1]) * (1 if "up" in folder else -1) * y)
    return columns


def score(columns):
    """Return a score (events, z) that depends on the hypothesised z, from -2 to 2."""
    return np.clip(np.abs(columns["x"][:, None] + 0.05 * np.arange(-2, 3) * columns["y"][:, None]), 0, 0.999)


@pytest.fixture(scope="module")
def settings():
    return configured()


@pytest.fixture(scope="module")
def events(settings, tmp_path_factory):
    folder, paths = tmp_path_factory.mktemp("events"), []
    names = [NOMINAL, "rotation_up", "rotation_down", "rotation_up2", "rotation_down2", "tilt_up2", "tilt_down2"]
    for name in names:
        for sample in ("signal", "background") if name.startswith(("nom", "rot")) else ("background",):
            path = folder / name / f"{sample}.parquet"
            event_files.write_event_parts(
                path, iter([event_columns(sample, name, settings)]), {"region": ["main", "side"]}
            )
            paths.append(path)
    return paths


@pytest.fixture(scope="module")
def rules(settings):
    return conditional.rescoring(settings, "aware")


@pytest.fixture(scope="module")
def filled(events, rules):
    moving = (part for path in needed(events, rules) for part in move(path, rules, BINS, score))
    return fill(moving, BINS, rules)


def content(filled, region, **place):
    return filled.histograms[region][place].values()


def test_the_grid_is_nominal_and_the_displaced_points_of_the_one_variation(settings):
    found = grid(settings, "aware")
    assert found.variation == "rotation"
    assert found.points == {
        "rotation_down2": -2, "rotation_down": -1, "nominal": 0, "rotation_up": 1, "rotation_up2": 2
    }  # fmt: skip


def test_pseudo_experiments_are_not_thrown_at_the_ends_of_the_grid_nor_for_rates(settings):
    thrown = conditioning.thrown(settings, "aware")
    assert set(thrown) == {NOMINAL, "tilt_down2", "tilt_up2"}
    assert ends(settings) == ("rotation_down2", "rotation_up2")


def test_a_grid_that_ends_at_one_standard_deviation_is_refused_with_the_remedy():
    with pytest.raises(ConfigurationError, match=r"down2: -2 and up2: 2"):
        configured(toys={"displacements": {"down": -1, "up": 1}})


def test_a_variation_that_does_not_move_events_is_refused():
    with pytest.raises(ConfigurationError, match="needs a shift"):
        configured(trainings={"aware": {"strategy": "conditional", "variations": ["tilt"]}})


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("folder", ["nominal", "rotation_up", "rotation_down2"])
def test_histograms_hold_the_events_of_a_folder_scored_at_every_z(filled, settings, folder, at):
    names = list(grid(settings, "aware").points)
    for sample in ("signal", "background"):
        columns = event_columns(sample, folder, settings)
        main = columns["x"] > 0
        expected = np.histogram(score(columns)[main, at], BINS["main"], weights=columns["weight"][main])[0]
        found = content(filled, "main", process=sample, variation=folder, at=names[at])
        assert found == pytest.approx(expected)
        side = np.histogram(columns["observable"][~main], BINS["side"], weights=columns["weight"][~main])[0]
        assert content(filled, "side", process=sample, variation=folder, at=names[at]) == pytest.approx(side)


def test_weights_and_rates_act_on_the_nominal_events_and_on_their_processes_only(filled, settings):
    columns = event_columns("background", NOMINAL, settings)
    main = columns["x"] > 0
    for folder, z in (("tilt_up", 1), ("tilt_down", -1), ("tilt_up2", 2), ("tilt_down2", -2)):
        weights = columns["weight"] * (1 + 0.1 * z * columns["y"])
        expected = np.histogram(score(columns)[main, 3], BINS["main"], weights=weights[main])[0]
        found = content(filled, "main", process="background", variation=folder, at="rotation_up")
        assert found == pytest.approx(expected, rel=1e-5)
        untouched = [
            content(filled, "main", process="signal", variation=name, at="rotation_up") for name in (folder, NOMINAL)
        ]
        assert untouched[0].tolist() == untouched[1].tolist()
    nominal, up = (
        content(filled, "main", process="background", variation=name, at="nominal") for name in (NOMINAL, "rate_up2")
    )
    assert up == pytest.approx(nominal * 1.1**2)


def test_patterns_are_the_events_of_the_histograms(filled, settings):
    names = list(grid(settings, "aware").points)
    for point in conditioning.thrown(settings, "aware"):
        rows = filled.patterns[filled.patterns["point"] == point]
        for number, at in enumerate(names):
            found = np.bincount(rows[f"b{number}"], rows["weight"], minlength=5)
            expected = [
                sum(content(filled, region, process=name, variation=point, at=at) for name in ("signal", "background"))
                for region in BINS
            ]
            assert found == pytest.approx(np.concatenate(expected))
    nominal = filled.patterns[filled.patterns["point"] == NOMINAL]
    assert nominal["events"].sum() == 2 * SIZE


def test_patterns_are_the_same_where_their_code_does_not_fit_a_number():
    bins = np.random.default_rng(1).integers(0, 3, (500, 4)).astype(np.int32)
    weights = np.random.default_rng(2).random(500)
    short = _patterns(bins, weights, 3)
    long = _patterns(bins, weights, 2**40)
    columns = [f"b{number}" for number in range(4)]
    assert short.sort_values(columns).to_numpy() == pytest.approx(long.sort_values(columns).to_numpy())


def test_a_part_is_its_events_alone_with_weights_that_make_up_for_the_rest(events, rules, filled, tmp_path):
    """The whole has the nominal events of all rows, in the same bins at every z."""
    chosen, alone = parts.inside(0, SIZE, (0.2, 0.5)), []
    for path in events:
        table = pd.read_parquet(path)
        table = table[chosen[table["entry"]]]
        alone.append(tmp_path / path.parent.name / path.name)
        alone[-1].parent.mkdir(exist_ok=True)
        table.assign(weight=2.5 * table["weight"]).to_parquet(alone[-1])
    part = rules.model_copy(update={"used": dict.fromkeys(rules.samples, (0.2, 0.5)), "factor": 2.5})
    found, known = fill_files(events, part, BINS, score), fill_files(alone, rules, BINS, score)
    everything = fill_files(events, whole(part), BINS, score)
    assert found.patterns["events"].sum() < 0.5 * filled.patterns["events"].sum()
    pd.testing.assert_frame_equal(found.patterns, known.patterns)
    for region in BINS:
        for kind in ("values", "variances"):
            one, two = (getattr(filling.histograms[region], kind)() for filling in (found, known))
            assert one == pytest.approx(two, rel=1e-12)
        for at in rules.grid.points:
            place = {"process": "background", "variation": NOMINAL, "at": at}
            assert content(everything, region, **place) == pytest.approx(content(filled, region, **place), rel=1e-12)


def test_a_missing_file_is_named(events, rules):
    with pytest.raises(TemplateError, match="rotation_up2/background"):
        needed([path for path in events if path.parent.name != "rotation_up2"], rules)


def test_a_score_that_is_no_number_names_the_file(events, rules):
    with pytest.raises(TemplateError, match=r"signal.parquet: the score"):
        list(move(events[0], rules, BINS, lambda columns: score(columns) * np.nan))


# --- the models -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def observables(filled, settings):
    return hypotheses.observables(filled.histograms, grid(settings, "aware"), inference.workspace(settings, "aware"))


@pytest.fixture(scope="module")
def model(observables):
    return observables.nominal


@pytest.fixture(scope="module")
def expected(filled, model):
    return hypotheses.Expected(filled.histograms, model.nominal.channels, "signal")


@pytest.mark.parametrize("score", [-2.0, 0.0, 1.0])
def test_the_models_of_a_score_expect_the_events_at_every_z(filled, expected, settings, score):
    points = grid(settings, "aware").points
    place = list(points.values()).index(score)
    chosen = inference.workspace(settings, "aware")
    spaces = hypotheses.build(filled.histograms, grid(settings, "aware"), chosen, score)
    for space, folder in zip(spaces, points, strict=True):
        assert Model(space).expected() == pytest.approx(expected.at(folder)[place])


def test_data_that_are_binned_anew_have_models_of_the_score_at_the_z_of_the_model(filled, expected, settings):
    rebinned = grid(settings, "aware").model_copy(update={"rebinned": True})
    model = hypotheses.observables(filled.histograms, rebinned, inference.workspace(settings, "aware")).nominal
    for number, folder in enumerate(rebinned.points):
        assert model.models[number].expected() == pytest.approx(expected.at(folder)[number])


def test_the_likelihood_knows_the_other_variations_and_z_last(model):
    assert {"mu", "tilt", "rate"} < set(model.names)
    assert model.names[-1] == "rotation"


def test_other_variations_have_the_relative_effect_of_z_0_in_every_score(filled, settings, model):
    folders = {name: {"process": "background", "variation": name, "at": "rotation_up"} for name in (NOMINAL, "tilt_up")}
    base, up = (content(filled, "main", **place) for place in folders.values())
    own, signal = (
        content(filled, "main", process=process, variation="rotation_up2", at="rotation_up")
        for process in ("background", "signal")
    )
    chosen = inference.workspace(settings, "aware")
    space = hypotheses.build(filled.histograms, grid(settings, "aware"), chosen, 1.0)[4]
    first, last = next((low, high) for name, low, high in model.nominal.channels if name == "main")
    assert Model(space).expected({"tilt": 1.0})[first:last] == pytest.approx(own * up / base + signal)


def test_expected_data_fit_best_at_their_own_mu_and_z(observables, model, expected):
    ((_, _, likelihood, data),) = observables.each(model.data(expected.at(NOMINAL, 1.5)))
    best = likelihood.fit(data)
    assert best.values[0, [model.index, -1]] == pytest.approx([1.5, 0.0], abs=0.01)


def test_pseudo_data_fluctuate_as_poisson_numbers_that_move_between_bins_with_z(model, expected, filled):
    pool = hypotheses.pool(filled.patterns, NOMINAL, "signal", expected.places())
    blocks = list(hypotheses.throw(model, pool, {"mu": 2.0}, 4000, "test", seed=1))
    main = np.concatenate([block.main for block in blocks])
    truth = expected.at(NOMINAL, 2.0)
    assert main.shape == (4000, 5, model.bins)
    assert main.mean(axis=0) == pytest.approx(truth, abs=5 * np.sqrt(truth.max() / 4000))
    assert main.var(axis=0) == pytest.approx(truth, rel=0.15)
    # Every event is in one bin at every z.
    assert np.ptp(main.sum(axis=2), axis=1).max() == 0
    # The differences between two z are as large as the events that move: fewer than if they were independent.
    rates = 2 * pool.signal + pool.background
    moved = pool.bins[:, 0] != pool.bins[:, 4]
    entering = np.bincount(pool.bins[moved, 4], rates[moved], minlength=model.bins)
    leaving = np.bincount(pool.bins[moved, 0], rates[moved], minlength=model.bins)
    assert (main[:, 4] - main[:, 0]).var(axis=0) == pytest.approx(entering + leaving, rel=0.15, abs=0.05)


def test_patterns_of_negative_sums_leave_every_bin_what_it_expects(model, expected, filled):
    pool = hypotheses.pool(filled.patterns, NOMINAL, "signal", expected.places())
    third = np.arange(len(pool.signal)) % 3 == 0
    signed = pool._replace(background=np.where(third, -pool.signal - 1.0, pool.background + 1.5))
    blocks = list(hypotheses.throw(model, signed, {"mu": 1.0}, 4000, "signs", seed=1))
    middle = list(model.z).index(0.0)
    found = np.concatenate([block.main for block in blocks])[:, middle].mean(axis=0)
    inside = signed.bins[:, middle] >= 0
    rates = (signed.signal + signed.background)[inside]
    truth = np.bincount(signed.bins[inside, middle], rates, model.bins)
    assert np.bincount(signed.bins[inside, middle], np.maximum(rates, 0), model.bins).sum() > 1.05 * truth.sum()
    assert found == pytest.approx(np.maximum(truth, 0), abs=5 * np.sqrt(truth.max() / 4000))


def test_auxiliary_data_fluctuate_about_the_true_values_together_at_all_z(model, expected, filled):
    pool = hypotheses.pool(filled.patterns, NOMINAL, "signal", expected.places())
    blocks = list(hypotheses.throw(model, pool, {"mu": 1.0, "tilt": 2.0, "rotation": -1.0}, 4000, "test", seed=1))
    centre = np.concatenate([block.centre for block in blocks])
    assert [centre.mean(), centre.std()] == pytest.approx([-1.0, 1.0], abs=0.06)
    auxiliary = np.concatenate([block.auxiliary for block in blocks])
    place = list(model.nominal.constrained).index(model.nominal.index("tilt"))
    assert [auxiliary[:, 0, place].mean(), auxiliary[:, 0, place].std()] == pytest.approx([2.0, 1.0], abs=0.06)
    assert np.ptp(auxiliary[:, :, place], axis=1).max() == 0
    pulls = (auxiliary - model.auxiliary) / model.widths
    assert np.ptp(np.delete(pulls, place, axis=2), axis=1).max() == pytest.approx(0.0, abs=1e-9)


def test_more_pseudo_data_begin_with_the_same_ones(model, expected, filled):
    pool = hypotheses.pool(filled.patterns, NOMINAL, "signal", expected.places())
    few, many = (next(hypotheses.throw(model, pool, {"mu": 1.0}, number, "a", seed=3)) for number in (70, 200))
    assert few.main.tolist() == many.main[:70].tolist()
    assert few.centre.tolist() == many.centre[:70].tolist()

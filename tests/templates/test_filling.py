"""Tests of templates and of their binning."""

import functools
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nuisflow import seeds
from nuisflow.events import parts
from nuisflow.settings.configuration import Binning
from nuisflow.slices.inference import Filling
from nuisflow.storage import event_files, files
from nuisflow.templates import binning, smoothing
from nuisflow.templates import histograms as templates
from nuisflow.templates.binning import Content
from nuisflow.templates.filling import TemplateError, expected, fill

steady = hypothesis.settings(deadline=None, max_examples=50)

REGIONS = ("signal", "control")
SAMPLES = {"higgs": "higgs", "z": "z", "tt_a": "tt", "tt_b": "tt", "collisions": "data"}
SIZES = {"higgs": 900, "z": 1500, "tt_a": 700, "tt_b": 400, "collisions": 300}
SHIFTS = {"tes": ("higgs", "z")}
WEIGHTS = {"pileup": ("z",)}
FOLDERS = ["nominal", "tes_up", "tes_down"]


def filling(**changes):
    """Return settings of two regions, one with a score and one with another observable."""
    content = {
        "processes": ("higgs", "z", "tt"),
        "signal": "higgs",
        "samples": SAMPLES,
        "regions": {
            "signal": {"rule": "quantile", "number": 6, "minimum_events": 5},
            "control": {"rule": "uniform", "number": 4, "low": 0.0, "high": 100.0},
        },
        "scored": ("signal",),
        "variations": SHIFTS,
        "weights": WEIGHTS,
    }
    return Filling.model_validate(content | changes)


def event_columns(variation: str, sample: str) -> dict[str, np.ndarray]:
    """Return the events of one file, with their score; some observables are out of range."""
    rng = seeds.generator(3, variation, sample)
    size = SIZES[sample]
    weight = np.ones(size) if sample == "collisions" else rng.normal(0.5, 0.3, size)
    region = rng.integers(0, 2, size)
    observable = np.where(region == 1, rng.exponential(60.0, size) - 5, np.nan)
    columns = {
        "entry": np.arange(size),
        "region": region,
        "weight": weight,
        "observable": observable.astype(np.float32),
        "score": rng.beta(3 if sample == "higgs" else 1, 2, size).astype(np.float32),
    }
    if variation == "nominal" and sample == "z":
        factors = {f"factor_pileup_{side}": rng.normal(1, 0.1, size).astype(np.float32) for side in ("up", "down")}
        columns |= factors
    return columns


def all_events() -> dict[tuple[str, str], dict[str, np.ndarray]]:
    return {
        (variation, sample): event_columns(variation, sample)
        for variation in FOLDERS
        for sample, process in SAMPLES.items()
        if variation == "nominal" or process in SHIFTS["tes"]
    }


def write(folder: Path, events=None, step: int = 10_000) -> tuple[list[Path], Path]:
    """Write events and scores as the earlier rules do, in parts of *step* rows."""
    events = all_events() if events is None else events
    paths, scored = [], []
    for (variation, sample), columns in events.items():
        path = folder / "events" / variation / f"{sample}.parquet"
        size = len(columns["entry"])
        pieces = [
            {name: values[start : start + step] for name, values in columns.items()} for start in range(0, size, step)
        ]
        unscored = [{name: values for name, values in piece.items() if name != "score"} for piece in pieces]
        event_files.write_event_parts(path, iter(unscored), {"region": REGIONS})
        paths.append(path)
        for piece in pieces:
            rows = len(piece["score"])
            scored.append(
                {
                    "variation": np.full(rows, FOLDERS.index(variation)),
                    "sample": np.full(rows, list(SAMPLES).index(sample)),
                    "score": piece["score"],
                }
            )
    scores = folder / "scores.parquet"
    event_files.write_event_parts(scores, iter(scored), {"variation": FOLDERS, "sample": list(SAMPLES)})
    return paths, scores


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return fill(*write(tmp_path_factory.mktemp("filled")), filling())


def selected(events, keys, region):
    """Return the columns of the events of *region* in the files *keys*, joined."""
    chosen = [
        {name: values[events[key]["region"] == REGIONS.index(region)] for name, values in events[key].items()}
        for key in keys
    ]
    common = set.intersection(*map(set, chosen))
    return {name: np.concatenate([columns[name] for columns in chosen]) for name in common}


# --- binning


def histogram_of(values, weights, edges):
    return Content(
        np.histogram(values, edges, weights=weights)[0], np.histogram(values, edges, weights=np.square(weights))[0]
    )


def test_quantiles_of_uniform_scores_are_equidistant():
    edges = binning.candidates(Binning(number=10), 0, 1)
    flat = Content(np.ones(len(edges) - 1), np.ones(len(edges) - 1))
    bins = binning.choose(Binning(number=10), edges, flat, flat)
    assert bins.remarks == ()
    np.testing.assert_allclose(bins.edges, np.linspace(0, 1, 11), atol=1e-5)


@pytest.mark.parametrize("number", [1, 2, 7, 30])
def test_quantile_bins_have_equal_shares_of_signal_and_background(number):
    rng = seeds.generator(1, "shares")
    signal, background = rng.beta(5, 1, 20_000), rng.beta(1, 4, 50_000)
    edges = binning.candidates(Binning(number=number), 0, 1)
    contents = (histogram_of(x, w, edges) for x, w in ((signal, np.full(20_000, 0.01)), (background, np.ones(50_000))))
    bins = binning.choose(Binning(number=number, minimum_events=0), edges, *contents)
    shares = (np.histogram(signal, bins.edges)[0] / 20_000 + np.histogram(background, bins.edges)[0] / 50_000) / 2
    assert len(shares) == number
    np.testing.assert_allclose(shares, 1 / number, atol=2e-4)


positive_contents = arrays(np.float64, 40, elements=st.floats(0.01, 10))


@steady
@hypothesis.given(positive_contents, positive_contents, st.integers(-5, 5), st.integers(-5, 5))
def test_quantiles_depend_on_the_shapes_of_signal_and_background_only(signal, background, first, second):
    scaled = binning.quantiles(signal * 2.0**first, background * 2.0**second, 8)
    np.testing.assert_array_equal(scaled, binning.quantiles(signal, background, 8))


def test_integers_are_separated_half_way():
    jets = np.repeat([0.0, 1.0, 2.0], [30, 40, 30])
    edges = binning.candidates(Binning(number=3), 0, 2)
    content = histogram_of(jets, np.ones(100), edges)
    bins = binning.choose(Binning(number=3), edges, content, content)
    np.testing.assert_allclose(bins.edges, [0, 0.5, 1.5, 2], atol=1e-5)
    many = binning.choose(Binning(number=8), edges, content, content)
    np.testing.assert_allclose(many.edges, [0, 0.5, 1.5, 2], atol=1e-5)
    assert many.remarks == ((-1, "3 bins instead of 8: too few different values"),)


def test_one_value_only_gives_one_bin():
    edges = binning.candidates(Binning(), 7.0, 7.0)
    content = histogram_of(np.full(50, 7.0), np.ones(50), edges)
    np.testing.assert_array_equal(binning.choose(Binning(), edges, content, content).edges, [6.5, 7.5])


def test_quantiles_without_signal_are_those_of_the_background():
    background = np.ones(100)
    np.testing.assert_array_equal(binning.quantiles(np.zeros(100), background, 4), [0, 25, 50, 75, 100])


@steady
@hypothesis.given(
    arrays(np.float64, 12, elements=st.floats(-1, 20)),
    arrays(np.float64, 12, elements=st.floats(0.01, 20)),
    st.floats(0, 15),
)
def test_merged_bins_have_enough_background(values, variances, minimum):
    signal = Content(np.zeros(12), np.zeros(12))
    kept = binning.merge(signal, Content(values, variances), minimum)
    assert (kept[0], kept[-1]) == (0, 12)
    assert np.all(np.diff(kept) > 0)
    sums = np.add.reduceat(values, kept[:-1]), np.add.reduceat(variances, kept[:-1])
    enough = (sums[0] > 0) & (sums[0] ** 2 / sums[1] >= minimum * (1 - 1e-12))
    assert np.all(enough) or len(kept) == 2


@pytest.mark.parametrize(
    ("values", "variances", "merged"),
    [
        ([-3, 5, 40, 40], [3, 5, 40, 40], [0, 2, 3, 4]),  # half an effective event, which is enough
        ([20, 12, 30, 40], [400, 12, 30, 40], [0, 4]),  # one event of weight 20
        ([-6, 5, 40, 40], [6, 5, 40, 40], [0, 3, 4]),
    ],
)
def test_events_at_the_lowest_end_that_spoil_the_bin_above_join_further_bins(values, variances, merged):
    background = Content(np.array(values, float), np.array(variances, float))
    minimum = 10 if variances[0] == 400 else 0.5
    kept = binning.merge(Content(np.zeros(4), np.zeros(4)), background, minimum)
    assert kept.tolist() == merged


@steady
@hypothesis.given(st.lists(st.integers(0, 40), min_size=2, max_size=12), st.integers(1, 20))
def test_unweighted_bins_merge_until_each_has_the_minimum(counts, minimum):
    background = Content(np.array(counts, float), np.array(counts, float))
    kept = binning.merge(Content(np.zeros(len(counts)), np.zeros(len(counts))), background, minimum)
    populations = np.add.reduceat(background.values, kept[:-1])
    assert populations.sum() == sum(counts)
    assert np.all((populations >= minimum) | (populations == 0)) or len(populations) == 1
    holes = np.flatnonzero(populations == 0) if background.values.any() else []
    assert all(min(populations[hole - 1], populations[hole + 1]) >= 10 for hole in holes)
    if min(counts) >= minimum:
        assert len(kept) == len(counts) + 1


def test_merging_is_reported_with_the_edges():
    edges = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    signal, background = (
        Content(np.ones(4), np.ones(4)),
        Content(np.array([50.0, 40, 3, 2]), np.array([50.0, 40, 3, 2])),
    )
    chosen = Binning(rule="edges", edges=tuple(edges), minimum_events=10)
    bins = binning.choose(chosen, binning.candidates(chosen, 0, 1), signal, background)
    np.testing.assert_array_equal(bins.edges, [0, 0.25, 1])
    assert bins.remarks == ((1, "joins bins with edges 0.25, 0.5, 0.75, 1: < 10 effective background events"),)


def test_a_bin_without_any_events_is_merged_even_if_no_minimum_is_asked_for():
    content = Content(np.array([1.0, 0, 2]), np.array([1.0, 0, 2]))
    np.testing.assert_array_equal(binning.merge(content, content, 0), [0, 2, 3])


def test_a_hole_of_the_selection_is_no_part_of_the_bins_beside_it():
    """A window from 100 to 130 is left out: events between 80 and 100 were drawn as if they were from 80 to 130."""
    edges = np.array([60.0, 80, 100, 110, 120, 130, 160, 200])
    counts = Content(*2 * [np.array([90.0, 50, 0, 0, 0, 40, 4])])
    signal = Content(np.zeros(7), np.zeros(7))
    bins = binning.choose(Binning(rule="edges", edges=tuple(edges), minimum_events=5), edges, signal, counts)
    np.testing.assert_array_equal(bins.edges, [60, 80, 100, 130, 200])
    assert bins.holes == (2,)


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_quantiles_do_not_reach_across_a_hole_of_the_selection(number):
    """A mass window from 115 to 130 is left out of an exponential spectrum; the last bin below it ended above."""
    mass = seeds.generator(1, "window").exponential(40, 20_000) + 60
    mass = mass[((mass < 115) | (mass > 130)) & (mass < 300)]
    chosen = Binning(rule="quantile", number=number)
    edges = binning.candidates(chosen, mass.min(), mass.max())
    background = histogram_of(mass, np.ones(len(mass)), edges)
    none = Content(np.zeros(len(edges) - 1), np.zeros(len(edges) - 1))
    bins = binning.choose(chosen, edges, none, background, gaps=True)
    (hole,) = bins.holes
    assert bins.edges[hole : hole + 2] == pytest.approx([115, 130], abs=0.1)
    shares = np.delete(np.histogram(mass, bins.edges)[0], hole) / len(mass)
    assert len(shares) in (number, number + 1)
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    if len(shares) == number:  # two neighbours of the hole share what is not equal
        assert np.sort(shares)[[0, -1]] == pytest.approx(1 / number, abs=0.5 / number)


@pytest.mark.parametrize("values", ["integers", "rounded", "smooth", "few"])
def test_values_without_a_hole_have_the_same_quantiles_with_gaps(values):
    rng = seeds.generator(1, values)
    sampled = {
        "integers": rng.poisson(3, 5000).astype(float),
        "rounded": np.round(rng.exponential(30, 5000)),
        "smooth": rng.exponential(30, 200_000),
        "few": rng.normal(size=40),
    }[values]
    edges = binning.candidates(Binning(), sampled.min(), sampled.max())
    content = histogram_of(sampled, np.ones(len(sampled)), edges).values
    expected = binning.quantiles(content, content, 8)
    np.testing.assert_array_equal(binning.quantiles(content, content, 8, gaps=True), expected)


@pytest.mark.parametrize(("low", "high"), [(1e15, 1e15), (1e15, 1e15 + 4), (1e300, 1e300)])
def test_edges_of_large_numbers_increase(low, high):
    edges = binning.candidates(Binning(rule="quantile"), low, high)
    assert len(edges) >= 2
    assert np.all(np.diff(edges) > 0)
    assert edges[0] <= low <= high <= edges[-1]


@pytest.mark.parametrize(
    "counts", [[90.0, 50, 0, 9, 40], [90.0, 9, 0, 50, 40], [90.0, 50, 0, 0, 0], [0.0, 0, 50, 40, 9]]
)
def test_empty_bins_at_an_end_or_beside_few_events_join_their_neighbour_as_all_small_bins_do(counts):
    content = Content(*2 * [np.array(counts)])
    kept = binning.merge(content, content, 10)
    assert np.all(np.add.reduceat(content.values, kept[:-1]) >= 10)


def test_a_region_with_too_little_background_keeps_one_bin_and_says_so():
    edges = np.linspace(0, 1, 4)
    content = Content(np.ones(3), np.ones(3))
    bins = binning.choose(Binning(rule="uniform", number=3), edges, content, content)
    np.testing.assert_array_equal(bins.edges, [0, 1])
    assert bins.remarks[-1] == (0, "the only bin has 3 effective background events: fewer than asked for")


def test_effective_events_of_equal_weights_are_their_number():
    weights = np.full(17, 0.3)
    content = Content(np.array([weights.sum(), -1.0, 0]), np.array([np.square(weights).sum(), 1.0, 0]))
    np.testing.assert_allclose(binning.effective_events(content), [17, 0, 0])


# --- post-processing

contents = arrays(np.float64, st.integers(3, 15), elements=st.floats(0.5, 100))


@st.composite
def triples(draw):
    size = draw(st.integers(3, 12))
    return tuple(draw(arrays(np.float64, size, elements=st.floats(0.5, 100))) for _ in range(3))


@steady
@hypothesis.given(triples())
def test_symmetrised_variations_lie_at_equal_distances_and_keep_their_difference(given):
    nominal, up, down = given
    symmetric = smoothing.symmetrise(nominal, up, down)
    np.testing.assert_allclose((symmetric[0] + symmetric[1]) / 2, nominal)
    np.testing.assert_allclose(symmetric[0] - symmetric[1], up - down, atol=1e-12)
    np.testing.assert_allclose(smoothing.symmetrise(nominal, *symmetric), symmetric)


def test_a_single_side_is_mirrored():
    up, down = smoothing.symmetrise(np.array([10.0, 20]), np.array([11.0, 18]))
    np.testing.assert_array_equal(up, [11, 18])
    np.testing.assert_array_equal(down, [9, 22])


@steady
@hypothesis.given(arrays(np.float64, st.integers(3, 25), elements=st.floats(-5, 5)))
def test_353qh_equals_the_transcription_of_root_in_cabinetry(values):
    from cabinetry import smooth

    np.testing.assert_allclose(smoothing.smooth_353qh(values), smooth.smooth_353qh_twice(values), atol=1e-12)


def test_353qh_interpolates_the_flat_top_of_a_peak():
    """The only part of the algorithm that random numbers hardly ever reach; worked out by hand for one pass."""
    peak = np.array([0.0, 1, 2, 2, 2, 1, 0])
    smoothed = smoothing._smooth_353qh_once(peak)
    # medians leave it as it is; quadratic: bin 3 = -1/2 + 2/0.75 + 1/6, bin 4 = 2; Hanning means follow
    curved = np.array([0, 1, 2, -0.5 + 2 / 0.75 + 1 / 6, 2, 1, 0])
    expected = np.concatenate([[0], curved[:-2] / 4 + curved[1:-1] / 2 + curved[2:] / 4, [0]])
    np.testing.assert_allclose(smoothed, expected)


@steady
@hypothesis.given(arrays(np.float64, st.integers(3, 15), elements=st.floats(-5, 5, width=16)), st.integers(-4, 4))
def test_353qh_commutes_with_scaling(values, power):
    """Powers of two only: others change roundings, on which the comparison for flat parts depends."""
    hypothesis.assume(values.min() < 0 < values.max())  # else it is cut at zero, and nothing commutes
    smoothed = smoothing.smooth_353qh(values)
    np.testing.assert_array_equal(smoothing.smooth_353qh(-values * 2.0**power), -smoothed * 2.0**power)


def test_353qh_keeps_straight_lines_and_removes_spikes():
    line = 3 + 0.25 * np.arange(12)
    np.testing.assert_allclose(smoothing.smooth_353qh(line), line)
    spiked = line.copy()
    spiked[6] += 40
    np.testing.assert_allclose(smoothing.smooth_353qh(spiked), line, atol=0.3)


@steady
@hypothesis.given(triples())
def test_smoothing_keeps_the_yield(given):
    nominal, varied, _ = given
    assert smoothing.smooth(nominal, varied).sum() == pytest.approx(varied.sum())


@steady
@hypothesis.given(contents, st.floats(0.5, 2))
def test_smoothing_keeps_a_pure_rate(nominal, rate):
    np.testing.assert_allclose(smoothing.smooth(nominal, rate * nominal), rate * nominal)


def test_two_bins_are_not_smoothed():
    np.testing.assert_array_equal(smoothing.smooth(np.array([1.0, 2]), np.array([3.0, 1])), [3, 1])


@pytest.mark.parametrize("how", ["353qh", "kernel"])
def test_bins_without_nominal_events_do_not_take_part_in_smoothing(how):
    """Filled up with a millionth, their ratio to nominal is a fluctuation of any size: nearly all moved into one bin."""
    nominal, varied = np.array([50.0, 40, 30, 20, 10, 5, 0, 0]), np.array([52.0, 41, 30, 21, 10, 6, 0.5, 0])
    tiny = smoothing.floor(nominal)
    found = smoothing.smooth(smoothing.fill_up(nominal, tiny).values, smoothing.fill_up(varied, tiny).values, how)
    alone = smoothing.smooth(nominal[:6], varied[:6], how)
    np.testing.assert_allclose(found[:6], alone, rtol=1e-5)
    assert found[6:] == pytest.approx([0.5, tiny], rel=1e-4)
    assert np.abs(found[:6] / nominal[:6] - 1).max() < 0.25


@pytest.mark.parametrize("how", ["353qh", "kernel"])
def test_a_gap_in_the_nominal_template_is_no_gap_in_its_ratio(how):
    nominal = np.array([50.0, 40, 0, 0, 30, 20, 10])
    nominal = smoothing.fill_up(nominal, smoothing.floor(nominal)).values
    np.testing.assert_allclose(smoothing.smooth(nominal, 1.1 * nominal, how), 1.1 * nominal, rtol=1e-9)


@steady
@hypothesis.given(arrays(np.float64, st.integers(1, 15), elements=st.floats(-1, 50)))
def test_filled_up_bins_are_positive_at_the_same_total(values):
    hypothesis.assume(values.sum() > 0.1)
    filled, bins, _ = smoothing.fill_up(values, smoothing.floor(values))
    assert np.all(filled > 0)
    assert filled.sum() == pytest.approx(values.sum())
    np.testing.assert_array_equal(bins, np.flatnonzero(values <= 0))


def test_positive_bins_are_left_alone():
    values = np.array([1.0, 1e-9, 3.0])
    filled, bins, _ = smoothing.fill_up(values, smoothing.floor(values))
    np.testing.assert_array_equal(filled, values)
    assert len(bins) == 0


@pytest.mark.parametrize(
    ("values", "text"),
    [([10.0, -2.0, 4.0], "the others times 0.8571 for the same total"), ([10.0, 0.0, 4.0], "at the same total")],
)
def test_what_filling_up_does_to_the_good_bins_is_said(values, text):
    filled = smoothing.fill_up(np.array(values), smoothing.floor(np.array(values)))
    assert filled.text == text
    assert filled.values[0] == pytest.approx(10 * filled.scale)


def test_up_and_down_on_the_same_side_are_found():
    nominal = np.array([100.0, 100, 100, 100])
    tilt = np.array([-2.0, -1, 1, 2])
    assert smoothing.same_side(nominal, nominal * 1.05, nominal * 0.95) is None
    assert smoothing.same_side(nominal, nominal + tilt, nominal - tilt) is None
    assert smoothing.same_side(nominal, nominal, nominal + tilt) is None
    assert "yield in the same direction (+5.00% and +2.00%)" in smoothing.same_side(
        nominal, 1.05 * nominal, 1.02 * nominal
    )
    assert "shape in the same direction (cosine +1.00)" in smoothing.same_side(
        nominal, nominal + tilt, nominal + tilt / 2
    )


def test_bins_without_nominal_events_do_not_decide_whether_up_and_down_are_on_the_same_side():
    nominal, tilt = np.array([100.0, 100, 100, 100, 1e-6]), np.array([-2.0, -1, 1, 2, 0.3])
    mirrored = nominal - np.append(tilt[:4], -0.3)  # opposite, but for the last bin
    assert smoothing.same_side(nominal, nominal + tilt, mirrored) is None


# --- filling


def test_templates_sum_to_the_selected_weights(filled):
    events = all_events()
    for region in REGIONS:
        for process in ("higgs", "z", "tt", "data"):
            keys = [("nominal", sample) for sample, name in SAMPLES.items() if name == process]
            columns = selected(events, keys, region)
            content = templates.content(filled.histograms[region], process)
            assert content.values.sum() == pytest.approx(columns["weight"].sum(), rel=1e-12)
            assert content.variances.sum() == pytest.approx(np.square(columns["weight"]).sum(), rel=1e-12)


def control_region(folder, values, edges, collisions=()):
    """Return filled templates whose second region has *edges*, and these *values* in every simulated sample."""
    events = {}
    for sample in SAMPLES:
        value = np.append(collisions if sample == "collisions" else values, 0).astype(np.float32)
        size = len(value)
        region = np.append(np.ones(size - 1, int), 0)  # one event in the other region
        columns = {"entry": np.arange(size), "region": region, "weight": np.ones(size), "observable": value}
        events["nominal", sample] = columns | {"score": np.zeros(size, np.float32)}
    rules = {"signal": {"rule": "uniform", "number": 1}, "control": {"rule": "edges", "edges": edges}}
    rules = {name: rule | {"minimum_events": 0} for name, rule in rules.items()}
    return fill(*write(folder, events), filling(variations={}, weights={}, scored=(), regions=rules))


def test_a_value_equal_to_an_edge_is_in_the_bin_above_although_observables_are_float32(tmp_path):
    edges = tuple(np.linspace(0, 1, 11))  # 0.7 and 0.9 are smaller in float32, others larger
    values = np.repeat(np.asarray(edges[:-1]), 3)
    found = control_region(tmp_path, values, edges).histograms["control"]
    np.testing.assert_array_equal(templates.content(found, "z").values, np.full(10, 3.0))


def test_a_hole_has_no_events_and_data_there_are_an_error(tmp_path):
    values, edges = np.repeat([70.0, 90, 140], 12), (60.0, 80.0, 100.0, 130.0, 160.0)
    found = control_region(tmp_path, values, edges, collisions=[70.0, 140.0])
    np.testing.assert_array_equal(templates.content(found.histograms["control"], "z").values, [12, 12, 0, 12])
    assert [(note.kind, note.region, note.bin) for note in found.notes if note.kind == "hole"] == [
        ("hole", "control", "2")
    ]
    with pytest.raises(TemplateError, match=r"bin 2 \(100 to 130\): 1 events in data, but none was simulated there"):
        control_region(tmp_path / "seen", values, edges, collisions=[70.0, 110.0])


@pytest.mark.parametrize("variation", ["nominal", "tes_up", "tes_down"])
def test_templates_equal_numpy_histograms(filled, variation):
    events = all_events()
    for region, value in (("signal", "score"), ("control", "observable")):
        columns = selected(events, [(variation, "z")], region)
        edges = filled.histograms[region].axes["score"].edges
        inside = np.clip(columns[value].astype(float), edges[0], edges[-1])
        expected = np.histogram(inside, edges, weights=columns["weight"])[0]
        np.testing.assert_allclose(templates.content(filled.histograms[region], "z", variation).values, expected)


def test_weight_variations_are_nominal_events_with_another_weight(filled):
    columns = selected(all_events(), [("nominal", "z")], "signal")
    histogram = filled.histograms["signal"]
    edges = histogram.axes["score"].edges
    for side in ("up", "down"):
        weight = columns["weight"] * columns[f"factor_pileup_{side}"]
        expected = histogram_of(columns["score"].astype(float), weight, edges)
        content = templates.content(histogram, "z", f"pileup_{side}")
        np.testing.assert_allclose(content.values, expected.values)
        np.testing.assert_allclose(content.variances, expected.variances)


def test_processes_keep_their_nominal_template_where_a_variation_does_not_act(filled):
    for histogram in filled.histograms.values():
        nominal = {process: templates.content(histogram, process) for process in histogram.axes["process"]}
        for process, variation in [
            ("tt", "tes_up"),
            ("data", "tes_down"),
            ("higgs", "pileup_up"),
            ("tt", "pileup_down"),
        ]:
            np.testing.assert_array_equal(templates.content(histogram, process, variation), nominal[process])
        assert not np.array_equal(templates.content(histogram, "z", "pileup_up"), nominal["z"])
        assert not np.array_equal(templates.content(histogram, "z", "tes_up"), nominal["z"])


def test_bins_are_quantiles_of_the_nominal_mixture(filled):
    events = all_events()
    edges = filled.histograms["signal"].axes["score"].edges
    assert (edges[0], edges[-1]) == (0, 1)
    shares = []
    for names in (["higgs"], ["z", "tt_a", "tt_b"]):
        columns = selected(events, [("nominal", name) for name in names], "signal")
        shares.append(np.histogram(columns["score"], edges, weights=columns["weight"])[0] / columns["weight"].sum())
    np.testing.assert_allclose(np.mean(shares, axis=0), 1 / 6, atol=5e-3)  # one event is up to 0.5 % of the signal


def test_events_out_of_range_are_in_the_edge_bins_and_reported(filled):
    columns = selected(all_events(), [("nominal", sample) for sample in SAMPLES], "control")
    outside = np.count_nonzero((columns["observable"] < 0) | (columns["observable"] > 100))
    assert outside > 100
    notes = [note for note in filled.notes if note.kind == "out_of_range"]
    assert [note.region for note in notes] == ["control"]
    assert notes[0].text == f"{outside} nominal events out of range are in the first or the last bin"
    flow = filled.histograms["control"].view(flow=True)
    assert flow["value"][..., -1].sum() == flow["value"][..., 0].sum() == 0


@pytest.mark.parametrize(("step", "rows"), [(10_000, 211), (99, 200_000), (640, 93)])
def test_chunking_changes_not_a_bit(filled, tmp_path, monkeypatch, step, rows):
    monkeypatch.setattr(event_files, "read_event_parts", functools.partial(event_files.read_event_parts, rows=rows))
    again = fill(*write(tmp_path, step=step), filling())
    assert again.notes == filled.notes
    for region, histogram in filled.histograms.items():
        assert again.histograms[region].axes == histogram.axes
        np.testing.assert_array_equal(again.histograms[region].view(flow=True), histogram.view(flow=True))


def test_the_order_of_the_files_does_not_matter(filled, tmp_path):
    paths, scores = write(tmp_path)
    again = fill(paths[::-1], scores, filling())
    assert all(again.histograms[region] == filled.histograms[region] for region in REGIONS)


def test_quantiles_of_another_observable_span_its_nominal_range(tmp_path):
    settings = filling(regions={region: {"number": 5} for region in REGIONS})
    histograms = fill(*write(tmp_path), settings).histograms
    simulated = [("nominal", sample) for sample in SAMPLES if sample != "collisions"]
    values = selected(all_events(), simulated, "control")["observable"]
    edges = histograms["control"].axes["score"].edges
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    assert len(edges) == 6


def test_without_scored_regions_the_scores_are_not_read(tmp_path):
    events = all_events()
    for columns in events.values():
        columns["observable"] = np.nan_to_num(columns["observable"], nan=1.0)
    paths, scores = write(tmp_path, events)
    scores.unlink()
    histograms = fill(paths, scores, filling(scored=())).histograms
    assert set(histograms) == set(REGIONS)


# --- bad input


def test_missing_events_are_named(tmp_path):
    paths, scores = write(tmp_path)
    kept = [path for path in paths if path.parts[-2:] != ("tes_up", "z.parquet")]
    with pytest.raises(TemplateError, match="events of tes_up/z are missing; run process_events"):
        fill(kept, scores, filling())


def test_scores_of_other_length_are_an_error_that_names_both_files(tmp_path):
    paths, _ = write(tmp_path / "long")
    events = all_events()
    events["tes_up", "z"] = {name: values[:-1] for name, values in events["tes_up", "z"].items()}
    _, scores = write(tmp_path / "short", events)
    with pytest.raises(TemplateError, match=r"scores.parquet: 1499 scores of tes_up/z, but .*z.parquet has 1500"):
        fill(paths, scores, filling())


def test_scores_that_lack_a_sample_are_an_error(tmp_path):
    paths, _ = write(tmp_path / "all")
    events = all_events()
    del events["tes_down", "higgs"]
    _, scores = write(tmp_path / "fewer", events)
    with pytest.raises(TemplateError, match=r"scores.parquet: 0 scores of tes_down/higgs"):
        fill(paths, scores, filling())


def test_scores_in_another_order_are_an_error(tmp_path):
    paths, scores = write(tmp_path)
    table = files.read_table(scores)
    files.write_table(scores, table.iloc[np.r_[100 : len(table), 0:100]])
    with pytest.raises(TemplateError, match=r"rows of nominal/higgs do not stand together \(again in row"):
        fill(paths, scores, filling())


@pytest.mark.parametrize(
    ("key", "column", "value", "message"),
    [
        (
            ("nominal", "z"),
            "weight",
            np.nan,
            r"z.parquet: weight is NaN or infinite in 1 events of nominal/z in region",
        ),
        (("nominal", "z"), "factor_pileup_up", np.inf, r"z.parquet: factor_pileup_up is NaN or infinite in 1 events"),
        (
            ("tes_up", "z"),
            "score",
            np.nan,
            r"scores.parquet: score or observable is NaN .* tes_up/z in region 'signal'",
        ),
        (("nominal", "tt_a"), "observable", np.nan, r"tt_a.parquet: score or observable is NaN .* in region 'control'"),
        (("nominal", "tt_a"), "score", 1.5, r"scores.parquet: the score 1.5 is outside \[0, 1\]"),
    ],
)
def test_values_that_cannot_be_filled_are_named(tmp_path, key, column, value, message):
    events = all_events()
    row = np.flatnonzero(events[key]["region"] == (1 if column == "observable" else 0))[5]
    events[key][column][row] = value
    with pytest.raises(TemplateError, match=message):
        fill(*write(tmp_path, events), filling())


def test_a_missing_weight_factor_names_the_file(tmp_path):
    events = all_events()
    del events["nominal", "z"]["factor_pileup_down"]
    with pytest.raises(files.FileError, match=r"z.parquet: no column 'factor_pileup_down'; did you mean"):
        fill(*write(tmp_path, events), filling())


def test_a_region_without_simulated_events_is_an_error(tmp_path):
    events = all_events()
    for (_, sample), columns in events.items():
        if sample != "collisions":
            columns["region"][:] = 0
    with pytest.raises(TemplateError, match="region 'control': no simulated event is in it"):
        fill(*write(tmp_path, events), filling())


def test_templates_of_a_part_are_those_of_its_events_alone_with_weights_that_make_up_for_the_rest(tmp_path):
    """Collision data stay whole."""
    part = (0.2, 0.5)
    reduced = {}
    for (variation, sample), columns in all_events().items():
        kept = np.ones(SIZES[sample], bool) if sample == "collisions" else parts.inside(0, SIZES[sample], part)
        reduced[variation, sample] = {name: values[kept] for name, values in columns.items()}
        if sample != "collisions":
            reduced[variation, sample]["weight"] = reduced[variation, sample]["weight"] * 2.5
    alone = fill(*write(tmp_path / "alone", reduced), filling())
    simulated = {sample: part for sample in SAMPLES if sample != "collisions"}
    found = fill(*write(tmp_path / "all"), filling(used=simulated, factor=2.5))
    for region in REGIONS:
        assert np.array_equal(found.histograms[region].view(flow=True), alone.histograms[region].view(flow=True))


def test_what_the_whole_expects_is_the_sum_of_all_nominal_templates_in_any_bins(tmp_path, filled):
    paths, scores = write(tmp_path)
    found = expected(paths, scores, filled.histograms, filling(used={"z": (0.0, 0.1)}, factor=10))
    for region, histogram in filled.histograms.items():
        simulated = sum(templates.content(histogram, process).values for process in ("higgs", "z", "tt"))
        assert found[region] == pytest.approx(simulated, rel=1e-12)

"""Tests of the bins and histograms of features before any training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nuisflow.slices.inputs import InputBinning, InputFilling
from nuisflow.storage import event_files
from nuisflow.templates import inputs

UNDEFINED = -99.9  # which single precision rounds
FEATURES = ("pt", "jets", "jet_pt", "flat")
REGIONS = ("signal", "control")


def columns(seed, size=3000):
    """Return events in two regions: a continuous feature, a whole one, one that may be undefined, and a constant."""
    rng = np.random.default_rng(seed)
    jets = rng.integers(0, 4, size)
    return {
        "entry": np.arange(size),
        "region": rng.integers(0, 2, size),
        "weight": rng.normal(1, 0.5, size),
        "pt": rng.exponential(40, size).astype(np.float32),
        "jets": jets.astype(np.float32),
        "jet_pt": np.where(jets > 0, 30 + rng.exponential(20, size), UNDEFINED).astype(np.float32),
        "flat": np.full(size, 3, dtype=np.float32),
    }


@pytest.fixture
def folder(tmp_path):
    """Events of two samples: nominal, and one shift of the first, which also has weights."""
    for seed, (variation, sample) in enumerate([("nominal", "higgs"), ("tes_up", "higgs"), ("nominal", "z")]):
        found = columns(seed)
        if (variation, sample) == ("nominal", "higgs"):
            found["factor_tilt_up"] = np.linspace(0.5, 1.5, len(found["pt"])).astype(np.float32)
            found["factor_tilt_down"] = (2 - found["factor_tilt_up"]).astype(np.float32)
        (tmp_path / variation).mkdir(exist_ok=True)
        pieces = [
            {name: values[start : start + 700] for name, values in found.items()} for start in range(0, 3000, 700)
        ]
        event_files.write_event_parts(tmp_path / variation / f"{sample}.parquet", iter(pieces), {"region": REGIONS})
    return tmp_path


def axes(folder):
    settings = InputBinning(
        features=FEATURES,
        regions=(*REGIONS, "empty"),
        samples={"higgs": "h", "z": "z"},
        signal="h",
        undefined=UNDEFINED,
    )
    return inputs.axes({name: folder / "nominal" / f"{name}.parquet" for name in ("higgs", "z")}, settings)


def filled(folder, shown=REGIONS):
    settings = InputFilling(
        features=FEATURES, regions=REGIONS, shown=shown, weights=("tilt",), sets={}, undefined=UNDEFINED
    )
    paths = [folder / variation / "higgs.parquet" for variation in ("nominal", "tes_up")]
    return inputs.fill(paths, axes(folder), settings)


def test_a_region_without_simulated_events_has_no_bins(folder):
    assert list(axes(folder)) == list(REGIONS)


def test_whole_numbers_have_a_bin_each_and_constants_are_known(folder):
    found = axes(folder)["signal"]
    assert inputs.Axis(**found["jets"]) == inputs.Axis(-0.5, 3.5, 4, whole=True)
    assert found["flat"]["constant"]
    assert not found["pt"]["constant"]


def test_what_is_undefined_is_alone_in_the_first_bin(folder):
    axis = inputs.Axis(**axes(folder)["signal"]["jet_pt"])
    assert axis.undefined
    one = inputs._folded(filled(folder).histograms["signal/jet_pt"][{"variation": "nominal"}])["value"]
    found = columns(0)
    chosen = (found["region"] == 0) & (found["jet_pt"] == UNDEFINED)
    assert one[0] == pytest.approx(found["weight"][chosen].sum())


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_edges_are_round_and_hold_nearly_all_events(start, width):
    values = start + width * np.linspace(0, 1, 5001)
    axis = inputs.axis([(False, values, np.ones(5001))], None)
    inside = (values >= axis.low) & (values < axis.high)
    assert inside.mean() > 0.99
    assert axis.bins <= inputs.BINS + 2
    step = (axis.high - axis.low) / axis.bins
    mantissa = step / 10 ** np.floor(np.log10(step) + 1e-9)
    assert any(mantissa == pytest.approx(known, rel=1e-6) for known in (1, 2, 2.5, 5, 10))


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("variation", ["nominal", "tes_up", "tilt_up", "tilt_down"])
def test_histograms_are_those_of_numpy_with_the_ends_in_the_outer_bins(folder, feature, variation):
    found = columns(1 if variation == "tes_up" else 0)
    weight = found["weight"].copy()
    if variation.startswith("tilt"):
        factor = np.linspace(0.5, 1.5, 3000).astype(np.float32)
        weight *= factor if variation == "tilt_up" else (2 - factor).astype(np.float32)
    axis = inputs.Axis(**axes(folder)["control"][feature])
    inside = found["region"] == 1
    values = np.clip(found[feature][inside], axis.low, np.nextafter(np.float32(axis.high), np.float32(-np.inf)))
    expected, _ = np.histogram(values, axis.edges, weights=weight[inside])
    one = inputs._folded(filled(folder).histograms[f"control/{feature}"][{"variation": variation}])
    assert one["value"] == pytest.approx(expected, abs=1e-9)
    assert one["value"].sum() == pytest.approx(weight[inside].sum())
    assert one["variance"].sum() == pytest.approx((weight[inside] ** 2).sum())


def test_regions_that_may_not_be_seen_are_not_filled(folder):
    found = filled(folder, shown=("control",))
    assert {key.partition("/")[0] for key in found.histograms} == {"control"} == set(found.sums)


def test_correlations_are_those_of_numpy_where_both_features_are_defined(folder):
    matrix = inputs.correlations([filled(folder).sums["signal"]])
    found = columns(0)
    inside = found["region"] == 0
    for first, second in (("pt", "jets"), ("pt", "jet_pt")):
        both = inside & (found[first] != UNDEFINED) & (found[second] != UNDEFINED)
        weight = found["weight"][both]
        pair = np.array([found[first][both], found[second][both]], dtype=float)
        centred = pair - (pair @ weight / weight.sum())[:, None]
        product = (centred * weight) @ centred.T
        expected = product[0, 1] / np.sqrt(product[0, 0] * product[1, 1])
        assert matrix[FEATURES.index(first), FEATURES.index(second)] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(matrix[0, FEATURES.index("flat")])

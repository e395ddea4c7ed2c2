"""Tests of reweighting: nominal events become what an alternative sample looks like."""

import copy

import ingesting
import numpy as np
import pandas as pd
import pytest
from analyses import changed

from nuisflow.events import selection
from nuisflow.learning import batches, loop, reweighting
from nuisflow.settings import points
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Dask
from nuisflow.slices import inference
from nuisflow.slices import reweighting as reweightings
from nuisflow.slices.events import processing
from nuisflow.slices.reweighting import reweighted_samples, reweighting_training
from nuisflow.slices.training import training_samples
from nuisflow.storage import event_files, files, ingested

NUMBER = 20_000
CONTENT = {
    "analysis": "two",
    "dataset": {"kind": "flat", "columns": ["x", "w"]},
    "processes": {"s": {"role": "signal"}, "b": {}},
    "samples": {
        name: {"process": process, "files": [f"{name}.parquet"], "weight": "w"}
        for name, process in {"s": "s", "b": "b", "other": "b", "third": "b"}.items()
    },
    "regions": {"low": {"selection": "x < 1"}, "high": {"selection": "x >= 1", "observable": "x"}},
    "selection": "x > -2",
    "features": ["x"],
    "variations": {"generator": {"kind": "two_point", "up": ["other"], "held_out": ["third"], "reweight": True}},
    "learning": {"hidden": [16], "batch_size": 512, "learning_rate": 0.01, "events_seen": 200_000},
    "trainings": {"augmentation": {"strategy": "augmentation", "variations": ["generator"]}},
    "toys": {"displacements": {"up2": 2}},
}


def check(*changes):
    return reading.check(changed(CONTENT, *copy.deepcopy(changes)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return settings, raw files, and the ratios of nominal N(0, 1) to alternative N(0.5, 1) events, half as many."""
    folder, settings = tmp_path_factory.mktemp("raw"), check()
    for seed, (name, mean) in enumerate({"b": 0.0, "other": 0.5}.items()):
        x = np.random.default_rng(seed).normal(mean, 1, NUMBER).astype(np.float32)
        weight = np.full(NUMBER, 1.0 if name == "b" else 0.5, np.float32)
        ingesting.of_columns(folder / f"{name}.arrow", {"x": x, "w": weight})
    raw = {name: folder / f"{name}.arrow" for name in reweighted_samples(settings, "generator")}
    learned = reweighting_training(settings, "generator")
    classifier, _ = loop.train(batches.Pool.load(raw, learned), learned.training, "cpu")
    chosen = reweightings.reweighting(settings, "generator", "b")
    parts = list(reweighting.ratios(raw, classifier, chosen))
    return settings, raw, np.concatenate([part["ratio_generator"] for part in parts]), classifier


def test_the_ratio_is_that_of_the_densities_times_that_of_the_yields(made):
    _, raw, ratio, _ = made
    x = ingesting.whole(raw["b"])["x"]
    assert len(ratio) == NUMBER  # every event has one, selected or not
    inside = np.abs(x) < 1.5
    exact = 0.5 * np.exp(0.5 * x - 0.125)
    np.testing.assert_allclose(ratio[inside], exact[inside], rtol=0.15)
    assert np.corrcoef(ratio[inside], exact[inside])[0, 1] > 0.98


def test_the_reweighted_events_have_yield_and_shape_of_the_alternative_ones(made):
    _, raw, ratio, _ = made
    nominal, other = (pd.DataFrame(ingesting.whole(raw[name])) for name in ("b", "other"))
    kept, wanted = nominal["x"] > -2, other[other["x"] > -2]
    weight = (nominal["w"] * ratio)[kept]
    assert weight.sum() == pytest.approx(wanted["w"].sum(), rel=1e-5)
    mean = np.average(nominal["x"][kept], weights=weight)
    assert mean == pytest.approx(np.average(wanted["x"], weights=wanted["w"]), abs=0.03)


def test_a_sample_that_is_a_part_of_its_files_has_the_ratios_of_all_rows_and_finds_its_own(made, tmp_path):
    _, raw, ratio, classifier = made
    changes = [("samples.b.selection", "x > 0"), ("samples.b_low", CONTENT["samples"]["b"] | {"selection": "x <= 0"})]
    chosen = check(*changes)
    both = reweighted_samples(chosen, "generator")
    assert both == ["b", "b_low", "other"]
    files_of = {name: raw.get(name, raw["b"]) for name in both}
    found = reweighting.ratios(files_of, classifier, reweightings.reweighting(chosen, "generator", "b"))
    found = np.concatenate([part["ratio_generator"] for part in found])
    np.testing.assert_allclose(found, ratio, rtol=1e-5)
    path = tmp_path / "generator" / "b.parquet"
    event_files.write_event_parts(path, iter([{"ratio_generator": found}]), {})
    rules = processing(chosen, "b", "nominal")
    rules = rules.model_copy(update={"sample": rules.sample.model_copy(update={"ratios": (str(path),)})})
    parts = list(selection.process(raw["b"], rules, Dask(chunk_size=3000)))
    entry = np.concatenate([part["entry"] for part in parts])
    assert (ingested.open(raw["b"]).read(["x"])["x"][entry] > 0).all()
    up = np.concatenate([part["factor_generator_up"] for part in parts])
    np.testing.assert_allclose(up, ratio[entry], rtol=1e-5)


def test_a_negative_sample_that_trains_nothing_is_reweighted_without_teaching_the_classifier():
    negative = CONTENT["samples"]["b"] | {"weight": "-w", "train": False}
    settings = check(("samples.b_negative", negative))
    assert reweighted_samples(settings, "generator") == ["b", "b_negative", "other"]
    assert list(reweighting_training(settings, "generator").samples) == ["b", "other"]
    assert list(reweightings.reweighting(settings, "generator", "b_negative").samples) == ["b", "b_negative", "other"]
    assert settings.samples["b_negative"].ratios == ("results/two/reweighting/generator/b_negative.parquet",)


def test_events_read_their_ratios_as_a_column_in_pieces_of_any_size(made, tmp_path):
    settings, raw, ratio, _ = made
    path = tmp_path / "generator" / "b.parquet"
    event_files.write_event_parts(
        path, iter([{"ratio_generator": ratio[:7000]}, {"ratio_generator": ratio[7000:]}]), {}
    )
    chosen = processing(settings, "b", "nominal")
    sample = chosen.sample.model_copy(update={"ratios": (str(path),)})
    chosen = chosen.model_copy(update={"sample": sample})
    for size in (3000, 100_000):
        parts = list(selection.process(raw["b"], chosen, Dask(chunk_size=size)))
        up, down, entry = (
            np.concatenate([part[name] for part in parts])
            for name in ("factor_generator_up", "factor_generator_down", "entry")
        )
        np.testing.assert_allclose(up, ratio[entry], rtol=1e-6)
        np.testing.assert_allclose(up * down, 1, rtol=1e-5)


def test_a_reweighted_variation_is_a_weight_at_any_z_and_both_other_samples_are_true_points():
    settings = check()
    chosen = settings.variations["generator"]
    assert (chosen.kind, chosen.up, chosen.processes) == ("weight", "ratio_generator", ("b",))
    assert settings.samples["b"].ratios == ("results/two/reweighting/generator/b.parquet",)
    assert not settings.samples["s"].ratios
    found = {name: (point.kind, point.z) for name, point in points.displaced(settings).items()}
    assert found == {
        "generator_up2": ("weight", 2.0),
        "generator_alternatives": ("two_point", 1.0),
        "generator_held_out": ("two_point", 0.0),
    }
    assert inference.filling(settings).alternatives == {"other": "", "third": ""}
    assert training_samples(settings, "augmentation") == ["s", "b"]


def test_without_selected_events_nothing_can_be_reweighted(made):
    settings, raw, _, classifier = made
    chosen = reweightings.reweighting(settings, "generator", "b")
    nowhere = chosen.model_copy(update={"events": chosen.events.model_copy(update={"selection": "x > 100"})})
    with pytest.raises(files.FileError, match=r"variations.generator: no expected events are selected"):
        list(reweighting.ratios(raw, classifier, nowhere))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("variations.generator.up", ["oter"]), r"variations.generator: no sample 'oter'; did you mean 'other'"),
        (("variations.generator.down", ["third"]), r"generator.down: a reweighted variation is 1 / ratio at z = -1"),
    ],
)
def test_a_wrong_reweighting_is_named_with_a_remedy(change, message):
    with pytest.raises(ConfigurationError, match=message):
        check(change)

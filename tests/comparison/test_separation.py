"""Tests of the area under the ROC curve: exact for few events, in bins for many, in bounded memory."""

import tracemalloc

import hypothesis
import numpy as np
import pytest
import synthetic_results
from hypothesis import strategies as st

from nuisflow.comparison import separation
from nuisflow.comparison.separation import Pairs
from nuisflow.events.scored_events import TemplateError
from nuisflow.slices import report
from nuisflow.slices.report import ComparisonSettings
from nuisflow.storage import event_files
from nuisflow.strategies import metrics

PROBLEMS = st.lists(
    st.tuples(st.floats(0, 1, width=32), st.booleans(), st.floats(-1, 3)), min_size=2, max_size=40
).filter(lambda events: all(sum(w for _, s, w in events if s is signal) > 0.1 for signal in (True, False)))


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return synthetic_results.make(tmp_path_factory.mktemp("results"), seeds=1, variations=1, bins=6)


def pairs(events):
    """Return *events* in pieces, one each."""
    return [Pairs(np.array([score]), np.array([weight]), signal) for score, signal, weight in events]


def counted(events):
    """Return the probability that a signal event scores higher than a background event, counting all pairs."""
    wins = [
        (w * v, 1.0 if s > b else 0.5 if s == b else 0.0)
        for s, is_signal, w in events
        if is_signal
        for b, other, v in events
        if not other
    ]
    return sum(w * value for w, value in wins) / sum(w for w, _ in wins)


@hypothesis.given(PROBLEMS)
def test_the_exact_area_is_the_probability_of_the_right_order(events):
    assert separation.exact(pairs(events)) == pytest.approx(counted(events), abs=1e-9)


@hypothesis.given(PROBLEMS, st.integers(1, 50))
def test_bins_are_wrong_by_no_more_than_they_say(events, bins):
    area = separation.binned(pairs(events), bins)
    assert abs(area.value - counted(events)) <= area.error + 1e-9


def test_many_bins_agree_with_all_pairs_to_six_digits():
    generator = np.random.default_rng(1)
    scores = [generator.beta(a, b, 100_000).astype(np.float32) for a, b in ((5, 2), (2, 5))]
    weights = [generator.normal(1, 0.5, 100_000) for _ in scores]
    parts = [Pairs(scores[0], weights[0], True), Pairs(scores[1], weights[1], False)]
    area = separation.binned(parts)
    assert area.error < 2e-6
    assert abs(area.value - separation.exact(parts)) < area.error


def test_the_memory_of_bins_does_not_grow_with_the_events():
    def many(number):
        for seed in range(number):
            scores = np.random.default_rng(seed).random(100_000)
            yield Pairs(scores, np.ones(100_000), seed % 2 == 0)

    peaks = []
    for number in (2, 40):
        tracemalloc.start()
        separation.binned(many(number))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0] < 100e6


def test_without_signal_or_background_there_is_no_area():
    alone = [Pairs(np.arange(3) / 3, np.ones(3), False)]
    assert np.isnan(metrics.area_under_curve(np.arange(3.0), np.zeros(3, bool), np.ones(3)))
    assert np.isnan([separation.exact(alone), separation.exact([]), separation.binned(alone).value]).all()


def files_of(folder):
    """Write scores and nominal events of two samples, in two regions; return their paths."""
    names = {"variation": ["tes_up", "nominal"], "sample": ["other", "s", "b"]}
    rows = [
        ("tes_up", "s", [0, 1]),
        ("nominal", "s", [0, 0.2, 0.3]),
        ("nominal", "other", [0.5]),
        ("nominal", "b", [0.9, 0.1]),
    ]
    parts = (
        {
            "variation": np.full(len(scores), names["variation"].index(variation), np.int8),
            "sample": np.full(len(scores), names["sample"].index(sample), np.int8),
            "score": np.array(scores, np.float32),
        }
        for variation, sample, scores in rows
    )
    event_files.write_event_parts(folder / "scores.parquet", parts, names)
    events = {name: folder / "nominal" / f"{name}.parquet" for name in "sb"}
    for name, regions in (("s", [1, 0, 0]), ("b", [1, 0])):
        columns = {"region": np.array(regions, np.int8), "weight": np.ones(len(regions))}
        columns["observable"] = np.zeros(len(regions), np.float32)
        event_files.write_event_parts(events[name], iter([columns]), {"region": ["in", "out"]})
    return folder / "scores.parquet", events


def test_nominal_events_of_regions_with_a_score_count_and_no_others(tmp_path, monkeypatch):
    scores, events = files_of(tmp_path)
    settings = ComparisonSettings(
        signal="s", trainings={}, seeds=1, folds=2, samples={"s": "s", "b": "b"}, regions=("in", "out"), scored=("in",)
    )
    assert separation.auc(scores, events, settings) == 1.0
    assert np.isnan(separation.auc(scores, events, settings.model_copy(update={"scored": ()})))
    monkeypatch.setattr(separation, "EXACT", 1)
    assert separation.auc(scores, events, settings) == 1.0


def test_the_bins_of_an_analysis_agree_with_its_pairs(analysis, monkeypatch):
    settings = report.comparison(analysis.settings)
    scores, events = analysis.of("nominal", "scores.parquet"), {path.stem: path for path in analysis.events()}
    found = separation.auc(scores, events, settings)
    monkeypatch.setattr(separation, "EXACT", 1)
    assert separation.auc(scores, events, settings) == pytest.approx(found, abs=1e-5)


def test_scores_of_other_events_are_an_error(tmp_path, analysis):
    settings = report.comparison(analysis.settings)
    events = {path.stem: path for path in analysis.events()}
    events["ttbar"] = tmp_path / "nominal" / "ttbar.parquet"
    columns = {"region": np.zeros(3, np.int8), "weight": np.ones(3), "observable": np.zeros(3, np.float32)}
    event_files.write_event_parts(events["ttbar"], iter([columns]), {"region": list(settings.regions)})
    with pytest.raises(TemplateError, match=r"scores of nominal/ttbar, but .* has 3 events.*run score_events again"):
        separation.auc(analysis.of("nominal", "scores.parquet"), events, settings)

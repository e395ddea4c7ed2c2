import os
import subprocess
import sys

import gaussians
import numpy as np
import pandas as pd
import pytest
import torch

from nuisflow.events import scored_events
from nuisflow.learning import loop, plain
from nuisflow.learning.classifier import Classifier
from nuisflow.storage import event_files, logs, sources
from score_events import score_events

ONE = {"scheduler": "synchronous", "workers": 1, "chunk_size": 700}
SCORING = {"features": ["x", "y"], "folds": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a model and of the events of two samples, one of them with a variation."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("events")
    pool = gaussians.pool(number=500, events_seen=3000)
    loop.train(pool, pool.settings.training, "cpu")[0].save(folder / "model.pt")
    for seed, (place, number) in enumerate({"nominal/s": 1500, "nominal/b": 2000, "shift_up/s": 1400}.items()):
        columns = gaussians.columns(number, (seed, 0), seed)
        columns["entry"] = np.sort(np.random.default_rng(seed).permutation(5000)[:number])
        columns["weight"] = np.ones(number)
        path = folder / f"{place}.parquet"
        parts = ({name: values[i : i + 1000] for name, values in columns.items()} for i in range(0, number, 1000))
        event_files.write_event_parts(path, parts, {})
    return folder


def paths(folder):
    return [folder / f"{place}.parquet" for place in ("nominal/s", "shift_up/s", "nominal/b")]


def run(folder, output, settings=SCORING, **dask):
    score_events(folder / "model.pt", paths(folder), output, settings=settings, dask=ONE | dask, device="cpu")
    return output


def test_scores_are_in_the_order_of_the_files_and_of_their_rows(made, tmp_path):
    table = pd.read_parquet(run(made, tmp_path / "scores.parquet"))
    assert list(table.columns) == ["variation", "sample", "score"]
    assert table["score"].dtype == np.float32
    classifier = Classifier.load(made / "model.pt")
    for path in paths(made):
        chosen = table[(table["variation"] == path.parent.name) & (table["sample"] == path.stem)]
        events = {name: values.to_numpy() for name, values in pd.read_parquet(path).items()}
        assert np.array_equal(chosen["score"], plain.load(made / "model.pt").score(events))
        assert chosen["score"].to_numpy() == pytest.approx(classifier.score(events), abs=1e-6)
    assert table["sample"].ne(table["sample"].shift()).sum() == 2  # s, b: one after the other


def test_there_may_be_more_samples_than_a_small_integer_counts(made, tmp_path):
    events = [made / "nominal" / "s.parquet"]
    for number in range(140):
        (tmp_path / "nominal").mkdir(exist_ok=True)
        (tmp_path / "nominal" / f"s{number}.parquet").symlink_to(events[0])
    paths = [tmp_path / "nominal" / f"s{number}.parquet" for number in range(140)]
    output = tmp_path / "scores.parquet"
    score_events(made / "model.pt", paths, output, settings=SCORING, dask=ONE | {"chunk_size": 10_000}, device="cpu")
    names = pd.read_parquet(output, columns=["sample"])["sample"]
    assert list(names.unique()) == [f"s{number}" for number in range(140)]
    found = scored_events.blocks(output, ["nominal"], [f"s{number}" for number in range(140)])
    assert found["nominal", "s139"] == (139 * 1500, 140 * 1500)


@pytest.mark.parametrize(
    ("scheduler", "workers"), [("threads", 2), ("threads", 3), pytest.param("processes", 2, marks=pytest.mark.slow)]
)
def test_workers_change_no_byte(made, tmp_path, scheduler, workers):
    expected = run(made, tmp_path / "one.parquet").read_bytes()
    assert run(made, tmp_path / "many.parquet", scheduler=scheduler, workers=workers).read_bytes() == expected


def test_the_size_of_chunks_changes_no_score(made, tmp_path):
    first, second = (
        pd.read_parquet(run(made, tmp_path / f"{size}.parquet", chunk_size=size)) for size in (97, 100_000)
    )
    assert np.array_equal(first["score"], second["score"])


def test_a_model_of_other_features_is_refused_before_anything_is_written(made, tmp_path):
    with pytest.raises(ValueError, match="train again"):
        run(made, tmp_path / "scores.parquet", settings={"features": ["x"], "folds": 2})
    assert not (tmp_path / "scores.parquet").exists()


def test_a_missing_column_is_an_error_that_names_file_and_column(made, tmp_path):
    broken = tmp_path / "nominal" / "s.parquet"
    broken.parent.mkdir()
    pd.read_parquet(made / "nominal" / "s.parquet").drop(columns="y").to_parquet(broken)
    with pytest.raises(ValueError, match=r"s\.parquet: no column 'y'"):
        score_events(made / "model.pt", [broken], tmp_path / "scores.parquet", settings=SCORING, dask=ONE)
    assert not (tmp_path / "scores.parquet").exists()


SCORE = """
import sys
from pathlib import Path
from score_events import score_events
output, *models, events = map(Path, sys.argv[1:])
for model in models:
    score_events(model, [events], output, settings={"features": ["x", "y"], "folds": 2}, dask={})
print("torch" in sys.modules)
"""


def test_plain_networks_and_trees_are_scored_without_torch(made, tmp_path):
    """Its import would take longer than the scores."""
    pool = gaussians.pool({"strategy": "boosted_trees"}, number=500)
    loop.train(pool, pool.settings.training, "cpu")[0].save(tmp_path / "trees.pt")
    given = [tmp_path / "scores.parquet", made / "model.pt", tmp_path / "trees.pt", paths(made)[0]]
    command = [sys.executable, "-c", SCORE, *map(str, given)]
    done = subprocess.run(command, cwd=sources.SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("script", ["score_events", "bootstrap_experiments", "process_events"])
def test_a_job_multiplies_matrices_the_same_with_as_many_threads_as_it_has_workers(script):
    code = f"""
import {script}, numpy as np
first, second = (np.random.default_rng(1).normal(size=shape).astype(np.float32) for shape in ((4096, 14), (64, 14)))
print((first @ second.T).tobytes().hex())
"""
    found = set()
    for threads in "12":
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        granted = dict.fromkeys(names, threads) | {logs.PARENT: str(os.getpid())}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=sources.SCRIPTS, env=os.environ | granted, capture_output=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1

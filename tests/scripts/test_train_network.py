import gaussians
import ingesting
import numpy as np
import pandas as pd
import pytest

from nuisflow.learning.classifier import Classifier
from nuisflow.settings import sections
from train_network import train_network


def written(folder, number=600):
    """Write the events of two classes; return their files by sample."""
    signal, background = gaussians.columns(number, (1, 1), 1), gaussians.columns(number, (0, 0), 2)
    return {
        name: ingesting.of_table(folder / f"{name}.arrow", pd.DataFrame(columns)[["x", "y", "w"]])
        for name, columns in (("signal", signal), ("background", background))
    }


def plain(training, **learning):
    return sections.plain(gaussians.settings(training, **{"events_seen": 4000} | learning))


@pytest.mark.parametrize(
    "options", [{"strategy": "boosted_trees"}, {"strategy": "adversarial", "variations": ("shift",)}]
)
def test_the_same_settings_give_the_same_model_file(tmp_path, options):
    raw = written(tmp_path)
    for name in "ab":
        train_network(raw, tmp_path / f"{name}.pt", tmp_path / f"{name}.csv", settings=plain(options), device="cpu")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    first, second = (pd.read_csv(tmp_path / f"{name}.csv").drop(columns="seconds") for name in "ab")
    pd.testing.assert_frame_equal(first, second)


def test_the_history_has_one_row_per_fold_and_epoch(tmp_path):
    train_network(
        written(tmp_path), tmp_path / "model.pt", tmp_path / "history.csv",
        settings=plain({"strategy": "nominal"}, folds=3, patience=100), device="cpu",
    )  # fmt: skip
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.groupby("fold")["events_seen"].max().tolist() == [4000] * 3
    assert history.groupby("fold")["kept"].sum().tolist() == [1] * 3
    assert (history.groupby("fold")["seconds"].diff().dropna() > 0).all()
    assert len(Classifier.load(tmp_path / "model.pt").folds) == 3


def test_an_error_leaves_no_file_behind(tmp_path):
    raw = written(tmp_path)
    columns = ingesting.whole(raw["signal"])
    columns["x"][3] = np.nan
    ingesting.of_columns(raw["signal"], columns)
    with pytest.raises(ValueError, match=r"'signal'.*'x'"):
        train_network(
            raw, tmp_path / "out" / "model.pt", tmp_path / "out" / "h.csv", settings=plain({"strategy": "nominal"})
        )
    assert not (tmp_path / "out").exists()

"""Scores without torch, and the reader of its files."""

import pickle
import zipfile

import gaussians
import numpy as np
import pytest
import torch

from nuisflow import strategies
from nuisflow.learning import classifier, plain, scaling, tensors
from nuisflow.strategies import networks

FEATURES = ("x", "y")


def saved(path, options, **architecture):
    """Write an untrained classifier of two folds with weights far from 0; return it."""
    strategy = strategies.read(options)
    folds = []
    for seed in (1, 2):
        size = networks.Architecture(2, **({"hidden": (16, 8)} | architecture), seed=seed)
        nets = strategy.networks(size)
        for parameter in (parameter for net in nets.values() for parameter in net.parameters()):
            parameter.data *= 5
        folds.append(classifier.FoldModel(nets, scaling.Scaling(np.float32([0.3, seed]), np.float32([2, 1]), -999)))
    made = classifier.Classifier(strategy, FEATURES, size, folds)
    made.save(path)
    return made.to("cpu")


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
@pytest.mark.parametrize("hidden", [(), (16,), (16, 8, 4)])
def test_scores_are_those_of_torch_whatever_the_layers(tmp_path, activation, hidden):
    expected = saved(tmp_path / "model.pt", {"strategy": "nominal"}, activation=activation, hidden=hidden)
    columns = gaussians.columns(9000, (0, 0), 5)
    columns["x"][::7] = -999  # undefined
    columns["y"][:100] *= 1e6
    found = plain.load(tmp_path / "model.pt").score(columns)
    assert found == pytest.approx(expected.score(columns), abs=2e-6)
    assert found.std() > 0.05


def test_events_are_scored_where_a_parametrised_network_is_asked_to(tmp_path):
    options = {"strategy": "parametrised", "variations": ["one", "other"], "at": {"other": -1.5}}
    expected = saved(tmp_path / "model.pt", options)
    columns = gaussians.columns(3000, (0, 0), 5)
    assert plain.load(tmp_path / "model.pt").score(columns) == pytest.approx(expected.score(columns), abs=2e-6)
    saved(tmp_path / "zero.pt", options | {"at": {}})
    assert not np.allclose(plain.load(tmp_path / "zero.pt").score(columns), expected.score(columns), atol=1e-3)


def test_a_score_does_not_depend_on_the_other_events(tmp_path):
    saved(tmp_path / "model.pt", {"strategy": "nominal"})
    columns, trained = gaussians.columns(9000, (0, 0), 5), plain.load(tmp_path / "model.pt")
    some = np.random.default_rng(1).permutation(9000)[:777]
    part = {name: values[some] for name, values in columns.items()}
    assert np.array_equal(trained.score(part), trained.score(columns)[some])


def test_workers_get_trees_whole(tmp_path):
    pool = gaussians.pool({"strategy": "boosted_trees"}, number=500)
    classifier_of(pool).save(tmp_path / "model.pt")
    columns, trained = gaussians.columns(500, (0, 0), 5), plain.load(tmp_path / "model.pt")
    assert np.array_equal(pickle.loads(pickle.dumps(trained)).score(columns), trained.score(columns))


def classifier_of(pool):
    from nuisflow.learning import loop

    return loop.train(pool, pool.settings.training, "cpu")[0]


def test_a_damaged_file_is_left_to_torch_or_gives_the_same_scores(tmp_path):
    saved(tmp_path / "model.pt", {"strategy": "nominal"})
    content, columns = bytearray((tmp_path / "model.pt").read_bytes()), gaussians.columns(50, (0, 0), 5)
    expected, refused = plain.load(tmp_path / "model.pt").score(columns), 0
    for place in range(0, len(content), 31):
        changed = content.copy()
        changed[place] ^= 1
        (tmp_path / "model.pt").write_bytes(changed)
        found = plain.load(tmp_path / "model.pt")
        refused += found is None
        assert found is None or np.array_equal(found.score(columns), expected)  # nobody reads every byte
    assert refused > 20
    assert plain.load(tmp_path / "missing.pt") is None


def test_tensors_are_read_as_torch_has_written_them(tmp_path):
    whole = torch.arange(24, dtype=torch.float32)
    content = {
        "parts": list(torch.split(whole, [10, 14])), "turned": whole.reshape(4, 6).T, "slice": whole[3:20:4],
        "bytes": torch.arange(5, dtype=torch.uint8), "double": torch.rand(2, 3, dtype=torch.float64),
        "empty": torch.zeros(0, 3), "scalar": torch.tensor(7), "text": "z", "none": None,
    }  # fmt: skip
    torch.save(content, tmp_path / "a.pt")
    found = tensors.read(tmp_path / "a.pt")
    assert found.keys() == content.keys()
    for name in ("turned", "slice", "bytes", "double", "empty", "scalar"):
        assert found[name].dtype == content[name].numpy().dtype
        assert np.array_equal(found[name], content[name].numpy())
    assert np.array_equal(found["parts"][1], np.arange(10, 24))
    assert (found["text"], found["none"]) == ("z", None)


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return print, ("run",)


def test_no_code_in_a_file_is_run(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as parts:
        parts.writestr("a/data.pkl", pickle.dumps(Evil(), protocol=2))
        parts.writestr("a/byteorder", "little")
    with pytest.raises(pickle.UnpicklingError, match="print is not known"):
        tensors.read(tmp_path / "a.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("training", "asked"),
    [
        ({"strategy": "nominal"}, "score"),
        ({"strategy": "dropout"}, "member_scores"),
        ({"strategy": "unbinned", "acting": {"background": [], "signal": []}, "signal": "signal"}, "densities"),
    ],
)
def test_events_are_taken_to_the_device_of_the_networks(tmp_path, training, asked):
    moved = saved(tmp_path / "model.pt", training).to("meta")  # which computes nothing, but mixes with no other device
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        getattr(moved, asked)(gaussians.columns(50, (0, 0), 5))

"""The check for a GPU, as far as it runs without one: CPU against CPU, no GPU, and what it calls a difference."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from analyses import ROOT
from device import compare_devices
from device.compare_devices import AUC, LOSS, SCORE, Trained

from nuisflow.learning.classifier import Classifier

SCORES = np.linspace(0, 1, 1001, dtype=np.float32)
ONE = Trained(loss=-2.0, auc=0.8, events_per_second=1e5)


def check(*arguments):
    """Run the check with this Python, which sees no GPU."""
    environment = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", "LIMIT": "3600"}
    command = ["bash", str(ROOT / "tests" / "device" / "check.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_a_gpu_the_check_says_that_it_checked_nothing():
    done = check()
    assert done.returncode == 77
    assert "No NVIDIA GPU here" in done.stdout
    assert "nothing was checked" in done.stdout


def test_an_unknown_option_is_named():
    done = check("--gpu")
    assert done.returncode == 2
    assert "no option '--gpu'; there are --cpu-only" in done.stderr


def test_equal_trainings_do_not_differ_whatever_their_rate():
    two = ONE._replace(events_per_second=1e7)
    assert compare_devices.beyond_rounding("nominal", ONE, two, [SCORES, SCORES + 0.5 * SCORE]) == []


@pytest.mark.parametrize(
    ("two", "scores", "words"),
    [
        (ONE._replace(loss=-2.0 * (1 + 2 * LOSS)), SCORES, "losses"),
        (ONE._replace(loss=float("nan")), SCORES, "losses"),
        (ONE._replace(auc=0.8 - 2 * AUC), SCORES, "AUC"),
        (ONE, np.where(SCORES == 0.5, 0.5 + 2 * SCORE, SCORES), "1 of 1001 scores"),
    ],
    ids=["loss", "not a number", "AUC", "one score"],
)
def test_what_rounding_does_not_explain_is_named(two, scores, words):
    (fault,) = compare_devices.beyond_rounding("nominal", ONE, two, [SCORES, scores])
    assert words in fault


def test_few_events_may_change_their_class():
    one, few = np.zeros(10_000), np.zeros(10_000)
    few[:10] = 1.0
    assert compare_devices.beyond_rounding("inferno", ONE, ONE, [one, few]) == []
    few[:11] = 1.0
    assert len(compare_devices.beyond_rounding("inferno", ONE, ONE, [one, few])) == 1


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Return what the check of the CPU against itself printed, and its folder."""
    folder = tmp_path_factory.mktemp("device")
    done = check("--cpu-only", "--events-seen", "5000", "--folder", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, folder


@pytest.mark.slow
def test_two_runs_on_the_cpu_agree_to_the_byte_and_the_rates_are_printed(checked):
    printed, _ = checked
    assert "cpu and cpu agree to the byte" in printed
    rows = [line.split() for line in printed.splitlines() if line.split()[1:2] in (["first"], ["second"])]
    assert [row[0] for row in rows[::2]] == list(compare_devices.TRAININGS) == [row[0] for row in rows[1::2]]
    assert all(float(row[-1].replace(",", "")) > 100 for row in rows)


@pytest.mark.slow
def test_a_check_of_some_trainings_with_a_network_of_another_size_prints_these(tmp_path):
    size = ["--events-seen", "2000", "--hidden", "8,4,8", "--batch-size", "500", "--only", "nominal,tangent"]
    done = check("--cpu-only", *size, "--folder", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cpu and cpu agree to the byte" in done.stdout
    assert compare_devices.made(tmp_path / "first") == ["nominal", "tangent"]
    classifier = Classifier.load(tmp_path / "first" / "nominal" / "model.pt")
    assert classifier.architecture.hidden == (8, 4, 8)
    assert "no training 'nominl'; there are nominal" in check("--cpu-only", "--only", "nominl").stderr


@pytest.mark.slow
def test_a_model_with_one_other_byte_is_a_difference(checked, tmp_path):
    _, folder = checked
    shutil.copytree(folder / "second", tmp_path / "second")
    model = tmp_path / "second" / "augmentation" / "model.pt"
    model.write_bytes(model.read_bytes() + b"0")
    found = compare_devices.faults(folder / "first", tmp_path / "second", ("cpu", "cpu"))
    assert found == ["augmentation: model.pt differs"]

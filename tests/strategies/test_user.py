"""Strategies from a file of the user."""

import pickle

import analyses
import gaussians
import numpy as np
import pydantic
import pytest
import torch

from nuisflow import strategies
from nuisflow.learning import loop
from nuisflow.learning.classifier import Classifier
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.storage import sources
from nuisflow.strategies import networks
from nuisflow.strategies.strategy import Strategy

EXAMPLE = analyses.ROOT / "config" / "examples" / "user_strategy.py"
HEAD = "from pydantic import Field\nfrom nuisflow.strategies.strategy import Strategy, Varied\n\n"
SLOW = (
    HEAD
    + "class Slow(Strategy):\n    factor: float = Field(0.5, gt=0)\n"
    + "    def loss(self, networks, batch, progress): return super().loss(networks, batch, progress)\n"
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def written(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def read(file=EXAMPLE, **options):
    return strategies.read({"strategy": "user", "file": str(file)} | options)


def test_the_example_is_the_focal_loss():
    strategy = read(options={"gamma": 3})
    features, labels = torch.randn(40, 2), (torch.rand(40) < 0.5).float()
    batch = strategies.strategy.Events(features, labels, torch.rand(40), torch.zeros(40, 0), *[None] * 6)
    nets = strategy.networks(networks.Architecture(2, (8,), seed=1))
    p = strategy.score(nets, features, batch.z)
    true = torch.where(labels == 1, p, 1 - p)
    expected = (batch.weights * -((1 - true) ** 3) * true.log()).mean()
    torch.testing.assert_close(strategy.loss(nets, batch, 0.5)["loss"], expected)


def test_everything_that_a_strategy_is_asked_is_answered_by_the_class_of_the_user(tmp_path):
    text = HEAD + (
        "class Odd(Varied):\n"
        '    """Answer in an odd way."""\n\n'
        "    stops_early = False\n    learns = False\n    scales = False\n    additive = False\n    knows_alternatives = False\n    step: int = 3\n\n"
        "    @property\n    def members(self): return self.step\n"
        "    @property\n    def classes(self): return 10 * self.step\n"
        "    @property\n    def own_binning(self): return 'binning'\n"
        "    def points(self): return 'points'\n"
        "    def ignored(self): return {'label': None, 'step': 3}\n"
        "    def changes(self): return super().changes() | {'batch_size': 7}\n"
        "    def draw(self, generator, size): return len(self.variations) * size\n"
        "    def networks(self, architecture): return 'networks'\n"
        "    def output(self, networks, features, z): return 'output'\n"
        "    def score(self, networks, features, z): return 'score'\n"
        "    def member_scores(self, networks, features, z): return 'member_scores'\n"
        "    def loss(self, networks, batch, progress): return 'loss'\n"
        "    def fit(self, task, loop): return 'fit'\n"
    )
    strategy = read(written(tmp_path, text), variations=("tes", "jes"), hidden=(5,), options={"step": 4})
    assert (strategy.needs_variations, strategy.stops_early, strategy.scales, strategy.additive) == (True, *[False] * 3)
    assert strategy.knows_alternatives is strategy.learns is False
    assert (strategy.members, strategy.classes, strategy.points()) == (4, 40, "points")
    assert strategy.own_binning == "binning"
    assert strategy.changes() == {"hidden": (5,), "batch_size": 7}
    assert strategy.draw(None, 10) == 20
    assert strategy.ignored() == {"label": None, "options": {"step": 3}}
    for name, arguments in {"networks": 1, "output": 3, "score": 3, "member_scores": 3, "loss": 3, "fit": 2}.items():
        assert getattr(strategy, name)(*[None] * arguments) == name
    asked = {
        name
        for name in vars(Strategy)
        if not name.startswith(("_", "model_"))
        and name not in ("modules", "informed", "constants", *Strategy.model_fields)
    }
    assert asked <= set(text.replace("(", " ").split()) | {"needs_variations"}  # a new question needs a line above


def test_a_training_by_the_user_is_saved_loaded_and_pickled_with_its_options(tmp_path):
    options = {"strategy": "user", "file": str(EXAMPLE), "options": {"gamma": 1.0}}
    pool = gaussians.pool(options, number=500, events_seen=4000)
    classifier, _ = loop.train(pool, pool.settings.training, "cpu")
    classifier.save(tmp_path / "model.pt")
    columns = gaussians.columns(300, (0, 0), 9)
    expected = classifier.score(columns)
    copied = Classifier.load(tmp_path / "model.pt")
    assert copied.strategy == classifier.strategy
    assert copied.strategy.options == {"gamma": 1.0}
    for other in (copied, pickle.loads(pickle.dumps(classifier))):
        assert np.array_equal(other.score(columns), expected)


def test_a_model_does_not_run_another_code_than_that_it_was_trained_with(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(EXAMPLE.read_text())
    pool = gaussians.pool({"strategy": "user", "file": str(file)}, number=500, events_seen=4000)
    loop.train(pool, pool.settings.training, "cpu")[0].save(tmp_path / "model.pt")
    Classifier.load(tmp_path / "model.pt")
    ran = tmp_path / "ran"
    file.write_text(f"open({str(ran)!r}, 'w')\n" + EXAMPLE.read_text())
    with pytest.raises(ValueError, match=r"model.pt: .*trained with another content of .*mine.py'.*train again"):
        Classifier.load(tmp_path / "model.pt")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        pytest.param(SLOW, {"options": {"facter": 1}}, "options.facter: no such option; did you mean 'factor'?", id="unknown"),
        pytest.param(SLOW, {"options": {"x": 1}}, "options.x: no such option; allowed: factor", id="unlike"),
        pytest.param(SLOW, {"options": {"factor": 0}}, r"options.factor: Input should be greater than 0 \(got 0\)", id="range"),
        pytest.param(SLOW, {"options": {"hidden": [3]}}, "options.hidden: all strategies have this key; write it beside 'file'", id="common"),
        pytest.param(SLOW, {"variations": ["tes"]}, "knows no variations; remove", id="variations"),
        pytest.param(SLOW + "    must: int\n", {}, "options.must: is required", id="required"),
        pytest.param(HEAD + "X = 1\n", {}, "exactly one class that is a child of Strategy or Varied .*found: none", id="none"),
        pytest.param(SLOW + SLOW.replace("Slow", "Other"), {}, "exactly one class .*found: Slow, Other", id="two"),
        pytest.param("x = (\n", {}, r"mine.py' cannot be imported: SyntaxError: .*line 1\); correct it", id="syntax"),
        pytest.param("import os\n\nimport not_there\n", {}, r"ModuleNotFoundError: No module named 'not_there' \(line 3\)", id="import"),
        pytest.param(HEAD + "raise RuntimeError('no')\n", {}, r"RuntimeError: no \(line 4\); correct it", id="raises"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_an_error_that_says_why(tmp_path, text, options, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        read(written(tmp_path, text), **options)


def test_a_file_that_is_not_there_is_an_error_that_says_from_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pydantic.ValidationError, match=f"'mine.py' cannot be read.*relative to {tmp_path}"):
        read("mine.py")
    written(tmp_path, SLOW)
    assert read("mine.py").modules == ("strategies/user.py", str(tmp_path / "mine.py"))


def test_the_configuration_names_the_training_whose_file_is_wrong():
    training = {"strategy": "user", "file": str(EXAMPLE), "options": {"gama": 1}}
    content = analyses.changed(analyses.shipped("config"), ("trainings.mine", training))
    with pytest.raises(ConfigurationError, match=r"trainings\.mine.*options\.gama: .*did you mean 'gamma'"):
        reading.check(content)
    content["trainings"]["mine"]["options"] = {}
    assert reading.check(content).trainings["mine"].members == 1


def test_the_code_of_a_training_changes_with_the_file_and_not_with_its_comments(tmp_path):
    digests = []
    for text in (SLOW, SLOW + "# a comment\n", SLOW.replace("0.5", "0.6")):
        file = written(tmp_path, text)
        sources._tree_hash.cache_clear(), sources._imports.cache_clear(), sources._parsed.cache_clear()
        digests.append(sources.digest("train_network", *read(file).modules))
    assert digests[0] == digests[1] != digests[2]


def test_a_changed_file_is_read_again(tmp_path):
    for factor in (0.5, 0.6):  # within a second, and of the same size
        assert read(written(tmp_path, SLOW.replace("0.5", str(factor))))._chosen.factor == factor


LOSS = "    def loss(self, networks, batch, progress): return super().loss(networks, batch, progress)\n"


def misspelt(text, old, new):
    return HEAD + "class Mine(Strategy):\n" + text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (misspelt(LOSS, "def loss", "def los"), r"Mine\.los: training never asks for it; did you mean 'loss'\?"),
        (misspelt(LOSS, "def loss", "def output_") + LOSS, r"Mine\.output_: .*did you mean 'output'\?"),
        (
            misspelt("    @property\n    def member(self): return 2\n", "", "") + LOSS,
            r"Mine\.member: .*did you mean 'members'\?",
        ),
        (
            "from typing import ClassVar\n" + misspelt("    stop_early: ClassVar[bool] = False\n", "", "") + LOSS,
            r"Mine\.stop_early: .*did you mean 'stops_early'\?",
        ),
        (misspelt(LOSS, "def loss", "def entropy"), "Mine defines nothing that training asks for.*it asks for .*loss"),
        (misspelt(LOSS, ", progress)", ")"), r"Mine\.loss: is called with \(self, networks, batch, progress\): too many"),
    ],
    ids=["method", "beside_a_right_one", "property", "class_variable", "nothing", "arguments"],
)  # fmt: skip
def test_what_training_never_asks_for_is_refused_instead_of_training_nominally(tmp_path, text, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        read(written(tmp_path, text))


def test_helpers_and_other_signatures_that_fit_are_taken(tmp_path):
    text = HEAD + (
        "class Mine(Strategy):\n"
        "    def _los(self): return 1\n"
        "    def schedule(self, progress): return progress\n"
        "    def loss(self, networks, batch, *rest): return 'loss'\n"
        "    def draw(self, generator, size, more=1): return None\n"
    )
    assert read(written(tmp_path, text)).loss(None, None, 0.0) == "loss"

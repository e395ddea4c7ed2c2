"""The classifier that comes out of a training, and the scores that it gives."""

import hashlib
import io
import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nuisflow.learning import isotonic, scaling, scoring
from nuisflow.learning.plain import FORMAT
from nuisflow.learning.scoring import TrainingError
from nuisflow.slices.training import Scoring
from nuisflow.storage import files, plugins
from nuisflow.strategies import networks
from nuisflow.strategies.strategy import Networks, Strategy
from nuisflow.strategies.unbinned import Unbinned

Columns = dict[str, np.ndarray]
Question = Callable[[Networks, torch.Tensor, torch.Tensor], torch.Tensor]

logger = logging.getLogger(__name__)


def device(choice: str) -> str:
    """Return 'cpu' or 'cuda' for ``learning.device``; asking for a GPU where there is none is an error."""
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if choice == "cuda" and not torch.cuda.is_available():
        raise TrainingError("learning.device: 'cuda' was asked for, but torch sees no GPU; use 'auto' or 'cpu'")
    return choice


@dataclass(frozen=True)
class FoldModel:
    """The networks of one fold, the scaling of their inputs, and the options that were chosen for them alone.

    *calibration*: of their score, if the training asks for one.
    """

    networks: Networks
    scaling: scaling.Scaling
    options: Mapping[str, Any] = field(default_factory=dict)
    calibration: isotonic.Calibration | None = None


class Classifier:
    """Trained networks, one per fold, that give every event a score. They are on the CPU until `to` moves them."""

    def __init__(
        self,
        strategy: Strategy,
        features: Sequence[str],
        architecture: networks.Architecture,
        folds: Sequence[FoldModel],
    ) -> None:
        self.strategy, self.features, self.architecture, self.folds = strategy, tuple(features), architecture, folds
        self.where = "cpu"

    @property
    def calibrations(self) -> list[isotonic.Calibration | None]:
        """What calibrates the score of every fold."""
        return [model.calibration for model in self.folds]

    def score(self, columns: Columns) -> np.ndarray:
        """Return the score of every event of *columns* (the features and ``entry``) as float32, shape (events,).

        Where scores are classes (`Strategy.classes`), those of a fold lie between the same classes of the other folds,
        so that no two are mixed.
        """
        return self._asked(lambda strategy: strategy.score, (), columns)

    def member_scores(self, columns: Columns) -> np.ndarray:
        """Return the scores whose mean is the score of every event, shape (events, members of the strategy)."""
        return self._asked(lambda strategy: strategy.member_scores, (self.strategy.members,), columns)

    def densities(self, columns: Columns) -> np.ndarray:
        """Return what an unbinned likelihood needs of every event, shape (events, `Unbinned.outputs`)."""
        if not isinstance(self.strategy, Unbinned):
            raise TypeError(f"the strategy {self.strategy.strategy!r} has no densities")
        return self._asked(lambda strategy: strategy.densities, (self.strategy.outputs,), columns)  # type: ignore[attr-defined]

    def _asked(self, choose: Callable[[Strategy], Question], shape: tuple[int, ...], columns: Columns) -> np.ndarray:
        """Return the answer to the question that *choose* takes from the strategy, an array of *shape* per event."""
        questions = [choose(self.strategy.model_copy(update=dict(model.options))) for model in self.folds]

        def ask(fold: int, features: np.ndarray) -> np.ndarray:
            values = self._in_own_bins(self._answered(questions[fold], self.folds[fold], features), fold)
            calibration = self.folds[fold].calibration
            return values if calibration is None else calibration(values)

        return scoring.answers(columns, self.features, len(self.folds), ask, shape)

    @torch.inference_mode()
    def _answered(self, question: Question, model: FoldModel, features: np.ndarray) -> np.ndarray:
        """Return the answers about one block at z = 0."""
        z = torch.zeros((len(features), len(self.strategy.variations)), device=self.where)
        scores = question(model.networks, torch.from_numpy(model.scaling(features)).to(self.where), z)
        return scores.cpu().numpy()

    def _in_own_bins(self, scores: np.ndarray, number: int) -> np.ndarray:
        """Return the *scores* of fold *number*, whose classes come between the same classes of the other folds."""
        if self.strategy.classes is None:
            return scores
        index = np.floor(scores.astype(np.float64) * self.strategy.classes) * len(self.folds) + number
        return np.asarray((index + 0.5) / (self.strategy.classes * len(self.folds)), dtype=np.float32)

    def to(self, where: str) -> "Classifier":
        """Move the networks to the device *where*."""
        for model in self.folds:
            for net in model.networks.values():
                net.to(where).eval()
        self.where = where
        return self

    def check(self, settings: Scoring) -> None:
        """Raise `TrainingError` if the events to score are not those that the model was trained for."""
        scoring.check(settings, self.features, len(self.folds))

    def save(self, path: Path | str) -> None:
        """Write the classifier to one file that `load` reads without running any code in it.

        A strategy of the user's is code in another file, of which the checksum is kept.
        """
        options = self.strategy.model_dump(mode="json")
        content = {
            "format": FORMAT,
            "strategy": options,
            **({"code": _code(options)} if _is_of_user(options) else {}),
            "features": list(self.features),
            "architecture": {
                "features": self.architecture.features,
                "hidden": self.architecture.hidden,
                "activation": self.architecture.activation,
            },
            "folds": [
                {
                    "networks": {name: net.state_dict() for name, net in model.networks.items()},
                    "mean": torch.from_numpy(model.scaling.mean),
                    "deviation": torch.from_numpy(model.scaling.deviation),
                    "missing": model.scaling.missing,
                    "options": dict(model.options),
                    "constants": self.strategy.model_copy(update=dict(model.options)).constants(),
                    "calibration": model.calibration and tuple(map(torch.from_numpy, model.calibration)),
                }
                for model in self.folds
            ],
        }
        buffer = io.BytesIO()  # torch puts the name of a file into its content: the same bytes need no name
        torch.save(content, buffer)
        with files.replacing(path) as temporary:
            temporary.write_bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> "Classifier":
        """Read a classifier; raise `TrainingError` if *path* is not one, or needs code that it was not trained with."""
        from nuisflow import strategies

        try:
            with zipfile.ZipFile(path) as parts:  # torch does not look at the checksums
                if damaged := parts.testzip():
                    raise TrainingError(f"its part {damaged} is damaged")
            content = torch.load(path, map_location="cpu", weights_only=True)
            _check_code(content)  # before it runs
            strategy = strategies.read(content["strategy"])
            architecture = networks.Architecture(**content["architecture"])
            folds = [_read_fold(strategy, architecture, part) for part in content["folds"]]
        except FileNotFoundError:
            raise
        except Exception as error:  # torch, pickle and zip raise many kinds for damaged bytes
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise TrainingError(f"{path}: not a model of ours ({reason}); delete it and train again") from error
        return cls(strategy, content["features"], architecture, folds)


def read(path: Path, choice: str, features: Sequence[str], folds: int) -> Classifier:
    """Return the classifier of a file on the device of a *choice* (`device`), for events of these features and folds.

    Raises `TrainingError` as `Classifier.load`, `Classifier.check` and `device` do.
    """
    found = Classifier.load(path).to(device(choice))
    found.check(Scoring(features=tuple(features), folds=folds))
    return found


def _is_of_user(options: Mapping[str, Any]) -> bool:
    return bool(options["strategy"] == "user")


def _code(options: Mapping[str, Any]) -> str:
    """Return the checksum of the Python file of a user's strategy."""
    return hashlib.sha256(plugins.content(options["file"])).hexdigest()


def _check_code(content: Mapping[str, Any]) -> None:
    """Raise `TrainingError` if the Python file that a model names is not the one that it was trained with."""
    options = content["strategy"]
    if _is_of_user(options):
        found = _code(options)
        if found != content.get("code"):
            raise TrainingError(
                f"it was trained with another content of {options['file']!r} (sha256 {content.get('code')}, now "
                f"{found}), which is not run"
            )
        logger.info("the strategy is code in %s (sha256 %s)", options["file"], found)


def _read_fold(strategy: Strategy, architecture: networks.Architecture, part: dict[str, Any]) -> FoldModel:
    nets = strategy.model_copy(update=part["options"]).networks(architecture)
    for name, net in nets.items():
        net.load_state_dict(part["networks"][name])
        net.eval()
    scaled = scaling.Scaling(part["mean"].numpy(), part["deviation"].numpy(), part["missing"])
    knots = part["calibration"]
    return FoldModel(
        nets, scaled, part["options"], knots and isotonic.Calibration(*(values.numpy() for values in knots))
    )

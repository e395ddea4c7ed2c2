"""What a strategy is: the hyper-parameters of one way of training, and what it changes in the common training loop."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nuisflow.strategies.binning import Binning
    from nuisflow.strategies.networks import Architecture

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Networks = dict[str, "torch.nn.Module"]
History = list[dict[str, float]]
Array = TypeVar("Array")


class Events(NamedTuple, Generic[Array]):
    """Selected events in the form that networks learn from: numpy arrays of a whole fold, tensors in a batch."""

    features: Array  # (events, features), scaled to mean 0 and standard deviation 1 at z = 0
    labels: Array  # (events,), 1 for signal and 0 for background
    weights: Array  # (events,), for training: signal and background have equal sums, the mean over both is 1
    z: Array  # (events, variations), in the order of the strategy's variations
    expected: Array  # (events,), number of expected events that each stands for
    process: Array  # (events,), index in the alphabetical list of trained processes
    entry: Array  # (events,), index in the raw sample
    share: Array  # (events,), part of all expected events of its class, signal or background, of the whole simulation
    points: Array  # (events, points, features): the same events at every z of `Strategy.points`
    counts: Array  # (events, points): expected events there; like `expected`, 0 where the event is not selected


class Fold(Protocol):
    """The events from which the network of one fold learns, at any z: None for nominal, or shape (size, variations).

    All of them, or a random part of them, where there are more than fit into memory.
    """

    @property
    def train_total(self) -> int:
        """The number of all training events before any selection; `train` returns a random part of them, or all."""
        ...

    @property
    def train_size(self) -> int:
        """The number of training events before any selection: the rows of z in `train`."""
        ...

    @property
    def validation_size(self) -> int:
        """The number of validation events before any selection: the rows of z in `validation`."""
        ...

    def train(self, z: "np.ndarray | None" = None) -> "Events[np.ndarray]":
        """Return the training events."""
        ...

    def validation(self, z: "np.ndarray | None" = None) -> "Events[np.ndarray]":
        """Return the validation events."""
        ...

    def epoch(self, number: int, generator: "np.random.Generator") -> "Iterator[Fold]":
        """Yield every training event once, in random blocks, or *number* random ones (before any selection) of more."""
        ...


@dataclass(frozen=True)
class Task:
    """One network to train: of one fold and one seed of one training."""

    name: str  # of the training, for messages
    architecture: "Architecture"
    fold: Fold
    learning: Any  # configuration.Learning, a layer above
    seed: int
    device: str


class Strategy(BaseModel):
    """One way of training a classifier; each child is one file of this folder and overrides what it changes.

    The fields are the options of the training in config.yaml. Those from *hidden* to *events_seen* replace the value of
    the same name in the section ``learning`` for this training only: leave them out to compare at a matched budget.

    The common loop (`training.loop`) asks a strategy six questions. Most children answer one or two in their own way:

    - `draw`: at which z are the training events of the next epoch?
    - `points`: at which fixed z is every event needed besides?
    - `networks`: which networks are trained?
    - `output`: what does the classifier say about events (a logit)? `score` turns it into the histogrammed number.
    - `loss`: what is minimised on a batch?
    - `fit`: is there anything but one pass of the loop (several networks, or no network at all)?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    needs_variations: ClassVar[bool] = False
    """Whether the training knows variations: then it must name some, otherwise it must not."""

    knows_alternatives: ClassVar[bool] = False
    """Whether the training may know two-point variations, whose events cannot be moved: z is that of their sample."""

    stops_early: ClassVar[bool] = True
    """Whether the validation loss stops the training; if not, it uses its whole budget and keeps the last state."""

    scales: ClassVar[bool] = True
    """Whether features are scaled and undefined values replaced by the mean; if not, they are left as they are."""

    learns: ClassVar[bool] = True
    """Whether anything is trained; if not, events may have negative weights."""

    additive: ClassVar[bool] = True
    """Whether the loss of many events is a mean over batches; if not, validation events make one batch."""

    strategy: str
    label: str | None = Field(None, description="name in figures and tables; default: the name of the training")
    variations: tuple[Name, ...] = Field((), description="variations (shift, weight or rate) that the training knows")
    hidden: tuple[Annotated[int, Field(gt=0)], ...] | None = Field(None, description="as learning.hidden")
    batch_size: Annotated[int, Field(gt=0)] | None = Field(None, description="as learning.batch_size")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(None, description="as learning.learning_rate")
    events_seen: Annotated[int, Field(gt=0)] | None = Field(None, description="as learning.events_seen")
    calibrate: Literal["isotonic"] | None = Field(
        None, description="isotonic: the score is made a probability by a regression on validation events"
    )

    @model_validator(mode="after")
    def _check_variations(self) -> Self:
        if self.variations and not self.needs_variations:
            raise ValueError(
                f"strategy {self.strategy!r} knows no variations; remove 'variations: {list(self.variations)}' "
                "or choose another strategy"
            )
        return self

    @model_validator(mode="after")
    def _check_calibration(self) -> Self:
        if self.calibrate == "isotonic" and (reason := self._uncalibrated()):
            raise ValueError(
                f"calibrate: the score of the strategy {self.strategy!r} {reason}; remove 'calibrate', or calibrate a "
                "training with one continuous score of one network, such as 'nominal'"
            )
        return self

    def _uncalibrated(self) -> str | None:
        """Return why its score cannot be made a probability by one regression, if it cannot."""
        if not self.learns:
            return "comes from no network, and has no validation events"
        if self.classes is not None:
            return f"is one of {self.classes} classes, whose order is all that counts"
        if self.members > 1:
            return f"is a mean over {self.members} members, which would not be calibrated with it"
        return None

    @property
    def modules(self) -> tuple[str, ...]:
        """The files that hold its code, relative to the package or absolute: training depends on them."""
        return (f"strategies/{self.strategy}.py",)

    @property
    def members(self) -> int:
        """The number of networks, or of draws of their weights, over which the score is a mean."""
        return 1

    @property
    def classes(self) -> int | None:
        """The number of classes, if the score is one of these: (class + 0.5) / classes; None if it is continuous.

        The templates then have one bin per class and fold, since the classes of two networks are not the same.
        """
        return None

    @property
    def own_binning(self) -> "Binning | None":
        """The bins of its score, if they are other than those of all trainings."""
        return None

    def changes(self) -> dict[str, Any]:
        """Return the values of the section ``learning`` that this training replaces."""
        names = ("hidden", "batch_size", "learning_rate", "events_seen")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def ignored(self) -> dict[str, Any]:
        """Return the options that training does not depend on, each with one value for all trainings."""
        return {"label": None}

    def informed(self, acting: Mapping[str, Sequence[str]], signal: str) -> Self:  # noqa: ARG002
        """Return the strategy with what it has to know of the analysis: the variations that act on every process."""
        return self

    def draw(self, generator: "np.random.Generator", size: int) -> "np.ndarray | None":  # noqa: ARG002
        """Return the z of *size* events for one epoch, shape (size, variations); None keeps nominal events."""
        return None

    def points(self) -> "np.ndarray | None":
        """Return the z at which every event is needed besides its own, shape (points, variations), or None."""
        return None

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the untrained networks by name; all are trained together, with one optimiser."""
        return {"classifier": architecture.network("classifier")}

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return the logit of every event, shape (events,); *z* has shape (events, variations)."""
        logits: torch.Tensor = networks["classifier"](features)
        return logits.squeeze(1)

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the number in [0, 1] that is histogrammed, shape (events,)."""
        return self.output(networks, features, z).sigmoid()

    def constants(self) -> "tuple[float, ...] | None":
        """Return what follows the features in the inputs of the network ``classifier``, if the score is its sigmoid.

        None: the score takes more than that, and torch (`learning.plain`).
        """
        own = type(self).output is not Strategy.output or type(self).score is not Strategy.score
        return None if own else ()

    def member_scores(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the scores whose mean over `members` is the score, shape (events, members)."""
        return self.score(networks, features, z).unsqueeze(1)

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":  # noqa: ARG002
        """Return what is minimised on *batch* as ``loss``; further entries are recorded in the history only.

        *progress* is the part of the budget already used, from 0 to 1.
        """
        return {"loss": cross_entropy(self.output(networks, batch.features, batch.z), batch)}

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:
        """Return the trained networks of *task* and one row of history per epoch; *loop* is the common loop."""
        return loop(self, task)


class Varied(Strategy):
    """A training whose events get z ~ N(0, width) per event and variation, new in every epoch."""

    needs_variations: ClassVar[bool] = True
    knows_alternatives: ClassVar[bool] = True

    width: Annotated[float, Field(ge=0, le=10)] = Field(
        1.0, description="standard deviation of z in training, in units of the prior's"
    )

    def draw(self, generator: "np.random.Generator", size: int) -> "np.ndarray | None":
        """Return z ~ N(0, width) for every event and variation, independent of each other."""
        return self.width * generator.standard_normal((size, len(self.variations)))


def cross_entropy(logits: "torch.Tensor", batch: "Events[torch.Tensor]") -> "torch.Tensor":
    """Return the weighted binary cross-entropy per event."""
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels, weight=batch.weights)

"""Several networks that differ by the randomness of their training only."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nuisflow.strategies.nominal import Nominal
from nuisflow.strategies.strategy import History, Networks, Strategy, Task

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture


class Ensemble(Strategy):
    """A deep ensemble: the score is the mean of the scores of networks with other first weights and orders of events.

    Lakshminarayanan, Pritzel and Blundell, arXiv:1612.01474, section 2.4, without its adversarial examples. All members
    learn from the same events. They share the budget of one network by default, so that the comparison is matched
    (each sees ``events_seen`` / *size* events); with *budget* ``each`` every one of them has it to itself. The first
    member begins as the nominal network does: an ensemble of size 1 is the nominal training.
    """

    strategy: Literal["ensemble"] = "ensemble"
    size: Annotated[int, Field(gt=0, le=100)] = Field(5, description="number of networks")
    budget: Literal["shared", "each"] = Field("shared", description="whose events_seen is: of all together, or of each")

    @property
    def members(self) -> int:
        """The number of networks."""
        return self.size

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the members, with first weights of their own."""
        return {f"member{index}": seeded(architecture, index).network("classifier") for index in range(self.size)}

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:
        """Train one member after the other; in the history, epochs, events and seconds run on."""
        members, history = trained(Nominal(), task, loop, self.size, self.budget)
        return {f"member{index}": found["classifier"] for index, found in enumerate(members)}, history

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the logit of the mean score."""
        return self.score(networks, features, z).logit(eps=1e-7)

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the mean score of the members."""
        return self.member_scores(networks, features, z).mean(dim=1)

    def member_scores(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return the score of every member, shape (events, members)."""
        import torch

        return torch.cat([networks[f"member{index}"](features) for index in range(self.size)], dim=1).sigmoid()


def trained(
    strategy: Strategy,
    task: Task,
    loop: "Callable[[Strategy, Task], tuple[Networks, History]]",
    size: int,
    budget: str,
) -> tuple[list[Networks], History]:
    """Train *size* members of *strategy* one after the other; in the history, epochs, events and seconds run on."""
    members: list[Networks] = []
    history: History = []
    for index in range(size):
        found, rows = loop(strategy, _task(task, index, size, budget))
        members.append(found)
        last = history[-1] if history else {"epoch": 0, "events_seen": 0, "seconds": 0.0}
        history += [
            row | {name: row[name] + last[name] for name in ("epoch", "events_seen", "seconds")} | {"member": index}
            for row in rows
        ]
    return members, history


def _task(task: Task, index: int, size: int, budget: str) -> Task:
    """Return the task of one member: its own seed, and its share of the budget."""
    learning = task.learning
    if budget == "shared":
        learning = learning.model_copy(update={"events_seen": max(1, learning.events_seen // size)})
    architecture = seeded(task.architecture, index)
    name = f"{task.name}, member {index}"
    return replace(task, name=name, architecture=architecture, learning=learning, seed=_seed(task.seed, index))


def seeded(architecture: "Architecture", index: int) -> "Architecture":
    """Return the networks of one member, with first weights of its own."""
    return replace(architecture, seed=_seed(architecture.seed, index))


def _seed(seed: int, index: int) -> int:
    """Return the seed of one member; the first keeps that of the training."""
    from nuisflow import seeds

    return seeds.number(seed, "member", index) if index else seed

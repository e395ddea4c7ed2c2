"""Networks from plain numbers, and trees behind the interface of a network."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nuisflow import seeds

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "silu": torch.nn.SiLU,
}


@dataclass(frozen=True)
class Architecture:
    """What the classifiers of all strategies have in common: their size and the seed of their first weights."""

    features: int
    hidden: tuple[int, ...]
    activation: str = "relu"
    seed: int = 0

    def network(
        self,
        name: str,
        *,
        inputs: int | None = None,
        outputs: int = 1,
        hidden: tuple[int, ...] | None = None,
        activation: str | None = None,
    ) -> torch.nn.Sequential:
        """Return an untrained multilayer perceptron whose first weights depend on the seed and *name* alone.

        What is left out is as in the architecture. The last layer is linear.
        """
        sizes = [self.features if inputs is None else inputs, *(self.hidden if hidden is None else hidden)]
        nonlinear = ACTIVATIONS[activation or self.activation]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.number(self.seed, name))
            layers: list[torch.nn.Module] = []
            for before, after in itertools.pairwise(sizes):
                layers += [torch.nn.Linear(before, after), nonlinear()]
            return torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], outputs))


class Adam:
    """The optimiser of Kingma and Ba, arXiv:1412.6980, with its default constants, on all parameters as one vector.

    The parameters and their gradients become views of two flat tensors, so that a step is seven small operations
    however many layers there are. ``torch.optim`` takes as long per step and two seconds per job to import.
    """

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], decay: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
    ) -> None:
        self.decay, self.epsilon, self.steps = decay, epsilon, 0
        sizes = [parameter.numel() for parameter in parameters]
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
        self.gradient, self.mean, self.square = (torch.zeros_like(self.values) for _ in range(3))
        for parameter, values, gradient in zip(
            parameters, torch.split(self.values, sizes), torch.split(self.gradient, sizes), strict=True
        ):
            parameter.data = values.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)

    def clear(self) -> None:
        """Set the gradients to 0, in place."""
        self.gradient.zero_()

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters by one step against the gradients."""
        first, second = self.decay
        self.steps += 1
        self.mean.lerp_(self.gradient, 1 - first)
        self.square.mul_(second).addcmul_(self.gradient, self.gradient, value=1 - second)
        scale = self.square.sqrt().div_(math.sqrt(1 - second**self.steps)).add_(self.epsilon)
        self.values.addcdiv_(self.mean, scale, value=-learning_rate / (1 - first**self.steps))


class Trees(torch.nn.Module):
    """Boosted decision trees of xgboost that are called, saved and loaded like a network (on the CPU, one thread)."""

    def __init__(self) -> None:
        super().__init__()
        self.booster: Any = None

    def grow(self, booster: Any) -> None:
        """Take over the trees of *booster*."""
        booster.set_param({"nthread": 1, "device": "cpu"})
        self.booster = booster

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (events, 1), of *features* that are not scaled."""
        margin = self.booster.inplace_predict(features.cpu().numpy(), predict_type="margin")
        return torch.from_numpy(margin).reshape(-1, 1).to(features.device)

    def get_extra_state(self) -> torch.Tensor:
        """Return the trees as bytes (a tensor, so that the file loads without running code)."""
        return torch.frombuffer(bytearray(self.booster.save_raw("ubj")), dtype=torch.uint8)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Read the trees back from bytes."""
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(state.cpu().numpy().tobytes()))
        self.grow(booster)

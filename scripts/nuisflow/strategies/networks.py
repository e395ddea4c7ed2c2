"""Networks from plain numbers, with random units or weights where asked, and trees behind the same interface."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nuisflow import seeds
from nuisflow.strategies.boosted_trees import xgboost

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


# --- random units and weights ---------------------------------------------------------------------------------------


class Dropout(torch.nn.Module):
    """Units that are dropped at random in training and, in `sample`, by masks fixed when the layer is made.

    The others are scaled by 1 / (1 - rate), so that the layer does nothing else where it does not drop. The masks are
    part of the saved state: the same network gives the same numbers again.
    """

    masks: torch.Tensor

    def __init__(self, width: int, rate: float, samples: int, generator: torch.Generator) -> None:
        super().__init__()
        self.rate = rate
        kept = torch.rand((samples, 1, width), generator=generator) >= rate
        self.register_buffer("masks", kept / (1 - rate))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Drop units of *values*, shape (events, width), in training only."""
        return torch.nn.functional.dropout(values, self.rate, self.training) if self.rate else values

    def sample(self, values: torch.Tensor) -> torch.Tensor:
        """Return *values* under every mask, shape (samples, events, width)."""
        return values * self.masks


class UncertainLinear(torch.nn.Module):
    """A linear layer with a normal distribution per weight, independent of each other (mean field).

    In training the outputs are drawn, independently per event, from the normal distribution that the weights imply: the
    local reparametrisation of Kingma, Salimans and Welling, arXiv:1506.02557, equation 6. In evaluation the mean
    weights are used; `sample` uses weights drawn with noise that is fixed when the layer is made and saved with it.
    """

    PACE = 10.0
    """Logarithms of widths move this much faster than weights: they have to go as many decades in the same steps."""

    noise: torch.Tensor

    def __init__(self, linear: torch.nn.Linear, width: float, samples: int, generator: torch.Generator) -> None:
        """Take the means from *linear*; *width* is the first standard deviation, in units of 1 / sqrt(inputs)."""
        super().__init__()
        self.start = math.log(width / math.sqrt(linear.in_features))
        self.mean = torch.nn.Parameter(torch.cat([linear.weight.detach(), linear.bias.detach().unsqueeze(1)], dim=1))
        self.spread = torch.nn.Parameter(torch.zeros_like(self.mean))
        self.register_buffer("noise", torch.randn((samples, *self.mean.shape), generator=generator))

    @property
    def logarithm(self) -> torch.Tensor:
        """The logarithm of the standard deviation of every weight; the biases are the last column."""
        return self.start + self.PACE * self.spread

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the outputs for *values*, shape (events, inputs)."""
        outputs = torch.nn.functional.linear(values, self.mean[:, :-1], self.mean[:, -1])
        if not self.training:
            return outputs
        variances = torch.exp(2 * self.logarithm)
        spread = torch.nn.functional.linear(values.square(), variances[:, :-1], variances[:, -1]).sqrt()
        return outputs + spread * torch.randn_like(outputs)

    def sample(self, values: torch.Tensor) -> torch.Tensor:
        """Return the outputs for *values* under every draw of the weights, shape (samples, events, outputs)."""
        weights = self.mean + torch.exp(self.logarithm) * self.noise
        return values @ weights[:, :, :-1].transpose(1, 2) + weights[:, :, -1].unsqueeze(1)

    def divergence(self, width: float) -> torch.Tensor:
        """Return the Kullback-Leibler divergence of the weights from N(0, *width*), summed (arXiv:1312.6114, B)."""
        ratio = self.logarithm - math.log(width)
        return (0.5 * (torch.exp(2 * ratio) + (self.mean / width).square() - 1) - ratio).sum()


def with_dropout(network: torch.nn.Sequential, rate: float, samples: int, seed: int) -> torch.nn.Sequential:
    """Return *network* with units of every hidden layer dropped at *rate*; *samples* masks serve in `sampled`."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for linear, nonlinear in zip(list(network)[:-1:2], list(network)[1:-1:2], strict=True):
        assert isinstance(linear, torch.nn.Linear)  # for mypy
        layers += [linear, nonlinear, Dropout(linear.out_features, rate, samples, generator)]
    return torch.nn.Sequential(*layers, network[-1])


def with_uncertain_weights(network: torch.nn.Sequential, width: float, samples: int, seed: int) -> torch.nn.Sequential:
    """Return *network* with a normal distribution per weight; *samples* fixed draws of them serve in `sampled`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.Sequential(
        *(
            UncertainLinear(layer, width, samples, generator) if isinstance(layer, torch.nn.Linear) else layer
            for layer in network
        )
    )


def sampled(network: torch.nn.Module, features: torch.Tensor, samples: int) -> torch.Tensor:
    """Return the outputs of *network* under each of its *samples* fixed draws, shape (samples, events, outputs)."""
    values = features
    for layer in network.children():
        values = layer.sample(values) if isinstance(layer, Dropout | UncertainLinear) else layer(values)
    return values.expand(samples, -1, -1)


# --- the optimiser --------------------------------------------------------------------------------------------------


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


# --- trees ----------------------------------------------------------------------------------------------------------


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
        booster = xgboost().Booster()
        booster.load_model(bytearray(state.cpu().numpy().tobytes()))
        self.grow(booster)

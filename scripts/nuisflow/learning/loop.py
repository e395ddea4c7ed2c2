"""The one training loop of all strategies, and the classifier that comes out of it."""

import copy
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nuisflow import seeds
from nuisflow.learning import batches, scoring
from nuisflow.learning.classifier import Classifier, FoldModel
from nuisflow.learning.scoring import TrainingError
from nuisflow.settings import configuration
from nuisflow.strategies import metrics, networks
from nuisflow.strategies.strategy import Events, History, Networks, Strategy, Task

GATHERED = 128_000_000
"""Bytes of events that are put in their random order at once."""
HISTOGRAMS = 64
"""ASSUME: numbers per event and place in soft histograms, and their derivatives."""


def train(
    pool: batches.Pool, strategy: Strategy, where: str, options: Sequence[Mapping[str, Any]] = ()
) -> "tuple[Classifier, History]":
    """Train one network per fold on *pool* and return the classifier and one row of history per fold and epoch.

    *options*: of every fold, in place of those of *strategy* (from `studies.search`); default: none. The random numbers
    of a fold depend on the seed, the repetition and the fold, not on the training: two trainings begin with the same
    weights and see events in the same order, so that their difference is one of strategy.
    """
    trained, history = [], []
    for number in range(pool.settings.learning.folds):
        model, rows = train_fold(pool, strategy, number, where, options[number] if options else {})
        trained.append(model)
        history += [{"fold": number, **row} for row in rows]
    architecture = architecture_of(pool, number)
    return Classifier(strategy, pool.settings.events.features, architecture, trained), history


def architecture_of(pool: batches.Pool, number: int) -> networks.Architecture:
    """Return size and first weights of the network of fold *number*."""
    settings = pool.settings
    seed = seeds.number(settings.seed, "training", settings.repetition, number)
    return networks.Architecture(
        len(settings.events.features), settings.learning.hidden, settings.learning.activation, seed
    )


def train_fold(
    pool: batches.Pool, strategy: Strategy, number: int, where: str, options: Mapping[str, Any]
) -> "tuple[FoldModel, History]":
    """Train the network of fold *number*, with *options* in place of those of *strategy* and ``learning``.

    On the device *where*; what comes out is on the CPU.
    """
    settings, architecture = pool.settings, architecture_of(pool, number)
    chosen = strategy.model_copy(update=dict(options))
    shared = {name: value for name, value in options.items() if name in type(settings.learning).model_fields}
    learning = settings.learning.model_copy(update=shared)
    judged = 0 if chosen.additive else together(learning)
    events = batches.fold_events(pool, number, scales=chosen.scales, points=chosen.points(), together=judged)
    task = Task(f"{settings.name}, fold {number}", architecture, events, learning, architecture.seed, where)
    fitted, history = chosen.fit(task, loop)
    fitted = {name: net.cpu() for name, net in fitted.items()}
    return FoldModel(fitted, events.scaling, dict(options)), history


def together(learning: configuration.Learning) -> int:
    """Return the bytes that one event takes while a network judges all at once: two of its layers, and histograms."""
    return 4 * (2 * max(learning.hidden, default=1) + HISTOGRAMS)


def loop(strategy: Strategy, task: Task) -> tuple[Networks, History]:
    """Train the networks of *strategy* on *task* and return them in their best state, with one row per epoch.

    Events are shuffled once per epoch on the device and sliced into batches of equal size; Adam's learning rate falls
    as a cosine from ``learning_rate`` to 0 over the budget, ``events_seen``. The loss on the validation events, varied
    once and for all as the strategy varies, decides which state is kept and, after ``patience`` epochs without a
    better one, when to stop (unless the strategy never stops early).
    """
    torch.manual_seed(seeds.number(task.seed, "noise"))
    state = _State(strategy, task)
    while state.seen < task.learning.events_seen and not state.out_of_patience:
        terms = state.run_epoch()
        state.record(terms)
    return state.finish()


class _State:
    """Everything that changes while one network is trained."""

    def __init__(self, strategy: Strategy, task: Task) -> None:
        self.strategy, self.task = strategy, task
        self.networks = {name: net.to(task.device) for name, net in strategy.networks(task.architecture).items()}
        self.optimiser = networks.Adam([parameter for net in self.networks.values() for parameter in net.parameters()])
        self.order, self.draws = seeds.generator(task.seed, "order"), seeds.generator(task.seed, "draws")
        self.nominal_train: Events[torch.Tensor] | None = None
        self.nominal = to_device(task.fold.validation(), task.device)
        self.efficiency = len(self.nominal.labels) / task.fold.validation_size
        z = strategy.draw(seeds.generator(task.seed, "validation"), task.fold.validation_size)
        self.validation = self.nominal if z is None else to_device(task.fold.validation(z), task.device)
        self.seen, self.steps, self.began = 0, 0, time.monotonic()
        self.history: History = []
        self.best, self.best_epoch, self.best_state = math.inf, 0, _copied(self.networks)

    @property
    def out_of_patience(self) -> bool:
        waited = len(self.history) - self.best_epoch
        return self.strategy.stops_early and waited >= self.task.learning.patience

    def epoch_events(self) -> Iterator[Events[torch.Tensor]]:
        """Yield the events of one epoch on the device, block by block: at new z, or the nominal ones made once."""
        if self.nominal_train is not None and self.strategy.points() is not None:
            yield self.nominal_train  # not made again for the last epoch, which may be short: they are many
            return
        left = self.task.learning.events_seen - self.seen
        for fold in self.task.fold.epoch(math.ceil(1.1 * left / self.efficiency) + 100, self.order):
            z = self.strategy.draw(self.draws, fold.train_size)
            if z is not None or fold is not self.task.fold:
                yield to_device(fold.train(z), self.task.device)
                continue
            if self.nominal_train is None:
                self.nominal_train = to_device(self.task.fold.train(), self.task.device)
            yield self.nominal_train

    def run_epoch(self) -> dict[str, float]:
        """Take one step per batch through the events and return the mean of every term of the loss."""
        terms: list[dict[str, torch.Tensor]] = []
        before = self.seen
        for net in self.networks.values():
            net.train()
        for events in self.epoch_events():
            number = min(len(events.labels), self.task.learning.events_seen - self.seen)
            order = torch.from_numpy(self.order.permutation(len(events.labels))[:number]).to(self.task.device)
            terms += [self.step(batch) for batch in shuffled(events, order, self.task.learning.batch_size)]
            del events  # before the next block is made
            if self.seen >= self.task.learning.events_seen:
                break
        return self.mean(terms, self.seen - before)

    def step(self, batch: Events[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Move all networks by one step down the loss on *batch*."""
        learning = self.task.learning
        progress = self.seen / learning.events_seen
        losses = self.strategy.loss(self.networks, batch, progress)
        self.optimiser.clear()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(learning.learning_rate * 0.5 * (1 + math.cos(math.pi * progress)))
        self.seen += len(batch.labels)
        self.steps += 1
        return {name: value.detach() for name, value in losses.items()}

    def mean(self, terms: list[dict[str, torch.Tensor]], number: int) -> dict[str, float]:
        """Return the mean of every term over the steps of one epoch; a loss that is not a number is an error."""
        stacked = {name: torch.stack([term[name] for term in terms]).double().cpu() for name in terms[0]}
        bad = torch.nonzero(~torch.isfinite(stacked["loss"]))
        if len(bad):
            step = self.steps - len(terms) + int(bad[0]) + 1
            raise TrainingError(
                f"training {self.task.name}: the loss is not a number at step {step} (epoch {len(self.history) + 1}, "
                f"{self.seen - number} events seen before it); lower learning_rate "
                f"(now {self.task.learning.learning_rate:g}) or the strength of the strategy, or remove the training "
                "to compare the others without it"
            )
        return {name: float(values.mean()) for name, values in stacked.items()}

    def record(self, terms: dict[str, float]) -> None:
        """Add the epoch to the history and keep the networks if they are the best so far."""
        validation = self.validate()
        self.history.append(
            {
                "epoch": len(self.history) + 1,
                "events_seen": self.seen,
                "seconds": time.monotonic() - self.began,
                **{f"train_{name}": value for name, value in terms.items()},
                **{f"validation_{name}": value for name, value in validation.items()},
                "auc": self.auc(),
                "kept": 0.0,
            }
        )
        if validation["loss"] < self.best or not self.strategy.stops_early:
            self.best, self.best_epoch = validation["loss"], len(self.history)
            self.best_state = _copied(self.networks)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the terms of the loss on the validation events."""
        for net in self.networks.values():
            net.eval()
        progress = min(self.seen / self.task.learning.events_seen, 1.0)
        sums: dict[str, float] = {}
        size = self.task.learning.batch_size if self.strategy.additive else len(self.validation.labels)
        for batch in sliced(self.validation, size):
            for name, value in self.strategy.loss(self.networks, batch, progress).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch.labels)
        return {name: total / len(self.validation.labels) for name, total in sums.items()}

    @torch.no_grad()
    def auc(self) -> float:
        """Return the area under the ROC curve of the score of nominal validation events."""
        scores = [
            self.strategy.score(self.networks, batch.features, batch.z) for batch in sliced(self.nominal, scoring.BLOCK)
        ]
        return metrics.area_under_curve(
            torch.cat(scores).cpu().numpy(), self.nominal.labels.cpu().numpy(), self.nominal.weights.cpu().numpy()
        )

    def finish(self) -> tuple[Networks, History]:
        """Return the networks in their best state, on the CPU, and the history; without any state it is an error."""
        if not math.isfinite(self.best):
            last = self.history[-1]
            raise TrainingError(
                f"training {self.task.name}: no state of the networks can be kept, since the validation loss was not a "
                f"number in any of {len(self.history)} epochs (epoch {last['epoch']}: {last['validation_loss']}); look "
                "for infinite or huge values among the features of the events, lower learning_rate "
                f"(now {self.task.learning.learning_rate:g}), or remove the training to compare the others without it"
            )
        for name, net in self.networks.items():
            net.load_state_dict(self.best_state[name])
            net.to("cpu").eval()
        self.history[self.best_epoch - 1]["kept"] = 1.0
        row = self.history[self.best_epoch - 1]
        logging.getLogger(__name__).info(
            "training %s: %d epochs, %d events in %.1f s; kept epoch %d with validation loss %.5f, AUC %.4f",
            self.task.name, len(self.history), self.seen, self.history[-1]["seconds"],
            self.best_epoch, row["validation_loss"], row["auc"],
        )  # fmt: skip
        return self.networks, self.history


def _copied(nets: Networks) -> dict[str, dict[str, Any]]:
    return {name: copy.deepcopy(net.state_dict()) for name, net in nets.items()}


def to_device(events: Events[np.ndarray], where: str) -> Events[torch.Tensor]:
    """Return *events* as tensors on the device *where*."""
    return Events(*(torch.from_numpy(np.ascontiguousarray(values)).to(where) for values in events))


def sliced(events: Events[torch.Tensor], size: int) -> Iterator[Events[torch.Tensor]]:
    """Yield *events* in order, in the fewest batches of at most *size*, whose sizes differ by at most one."""
    sizes = _sizes(len(events.labels), size)
    yield from map(Events._make, zip(*(torch.split(values, sizes) for values in events), strict=True))


def shuffled(events: Events[torch.Tensor], order: torch.Tensor, size: int) -> Iterator[Events[torch.Tensor]]:
    """Yield the rows *order* of *events* in batches as those of `sliced`; no more than `GATHERED` bytes are copied."""
    sizes = _sizes(len(order), size)
    bytes_each = sum(values[:1].nbytes for values in events)
    together = max(GATHERED // max(bytes_each * size, 1), 1)
    for first in range(0, len(sizes), together):
        chosen, order = torch.tensor_split(order, [sum(sizes[first : first + together])])
        parts = (torch.split(values[chosen], sizes[first : first + together]) for values in events)
        yield from map(Events._make, zip(*parts, strict=True))


def _sizes(number: int, size: int) -> list[int]:
    """Return the sizes of the fewest batches of at most *size*: they differ by at most one."""
    count = math.ceil(number / size)
    return [number // count + (index < number % count) for index in range(count)]

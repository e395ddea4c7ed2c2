"""Step rate of the training loop against a plain loop over a DataLoader: same network, optimiser, loss and batches.

Prints one row per batch size as CSV: benchmark, peer, ours_seconds, peer_seconds, ratio (CPU seconds of one thread for
one pass through the events; medians of alternating runs in one process).
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from nuisflow import strategies
from nuisflow.learning import classifier, loop
from nuisflow.settings import configuration
from nuisflow.strategies import networks
from nuisflow.strategies.strategy import Events, Task

FEATURES = 28
HIDDEN = (64, 64)


class Memory:
    """The events of a fold that are there already, so that only the loop is timed."""

    def __init__(self, number: int) -> None:
        generator = np.random.default_rng(1)
        self.train_size, self.train_total, self.validation_size = number, number, 2
        self.events, self.few = (self._made(size, generator) for size in (number, 2))

    def _made(self, number: int, generator: np.random.Generator) -> "Events[np.ndarray]":
        labels = (np.arange(number) % 2).astype(np.float32)
        features = generator.normal(size=(number, FEATURES)).astype(np.float32) + 0.2 * labels[:, None]
        ones, index = np.ones(number, np.float32), np.arange(number)
        none = np.zeros((number, 0), np.float32)
        return Events(features, labels, ones, none, ones, index, index, ones, none[:, :, None], none)

    def train(self, z: Any = None) -> "Events[np.ndarray]":
        return self.events

    def validation(self, z: Any = None) -> "Events[np.ndarray]":
        return self.few

    def epoch(self, number: int, generator: np.random.Generator) -> "Iterator[Memory]":
        yield self


def ours(memory: Memory, batch_size: int, device: str) -> None:
    """Train for one pass through the events with the loop of the project."""
    learning = configuration.Learning(
        batch_size=batch_size, events_seen=memory.train_size, hidden=HIDDEN, learning_rate=1e-3
    )
    task = Task("benchmark", networks.Architecture(FEATURES, HIDDEN, seed=1), memory, learning, 1, device)
    loop.loop(strategies.read({"strategy": "nominal"}), task)


def data_loader(memory: Memory, batch_size: int, device: str) -> None:
    """Train for one pass through the events as in the tutorials of torch."""
    network = networks.Architecture(FEATURES, HIDDEN, seed=1).network("classifier").to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    arrays = (memory.events.features, memory.events.labels, memory.events.weights)
    data = torch.utils.data.TensorDataset(*map(torch.from_numpy, arrays))
    for batch in torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True):
        features, labels, weights = (values.to(device) for values in batch)
        optimiser.zero_grad()
        logits = network(features).squeeze(1)
        torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, weight=weights).backward()
        optimiser.step()


def seconds(function: Callable[[Memory, int, str], None], memory: Memory, batch_size: int, device: str) -> float:
    """Return the CPU seconds (on a GPU: the seconds) of one call."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    began = clock()
    function(memory, batch_size, device)
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def rows(number: int = 200_000, repetitions: int = 5, device: str = "cpu") -> Iterator[dict[str, Any]]:
    """Yield one row per batch size; both loops run in turn."""
    torch.set_num_threads(1)
    memory = Memory(number)
    for batch_size in (256, 1024, 8192):
        for function in (ours, data_loader):  # first calls import and allocate
            seconds(function, Memory(10_000), batch_size, device)
        times = [[seconds(f, memory, batch_size, device) for f in (ours, data_loader)] for _ in range(repetitions)]
        mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        yield {
            "benchmark": f"train {number} events, batch {batch_size}, {device}",
            "peer": "torch DataLoader and Adam",
            "ours_seconds": round(mine, 3),
            "peer_seconds": round(theirs, 3),
            "ratio": round(statistics.median(second / first for first, second in times), 2),
        }


if __name__ == "__main__":
    print("benchmark,peer,ours_seconds,peer_seconds,ratio")
    for row in rows(device=classifier.device("auto")):
        print(",".join(f'"{value}"' if isinstance(value, str) else str(value) for value in row.values()), flush=True)

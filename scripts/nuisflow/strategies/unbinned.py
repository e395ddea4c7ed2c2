"""Density ratios of the processes and their responses to nuisance parameters: a likelihood of single events."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from nuisflow.strategies import calibration, ensemble
from nuisflow.strategies.strategy import Events, History, Name, Networks, Strategy, Task

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture

DEGREE = 2
"""Of responses in the z of variations for which no other is given."""
Degree = Annotated[int, Field(ge=1, le=6)]


class Unbinned(Strategy):
    """Neural simulation-based inference: the likelihood of all events, without a histogram.

    One network with one output per process learns the ratios r_p = lambda_p / q of their intensities at z = 0, where q
    is the sum with equal shares of all; one network per process learns the response ln(lambda_p(x|z) / lambda_p(x|0)),
    a polynomial of degree *degree* in every z whose coefficients are its outputs, 0 before the training; that to a
    two-point variation has one term per side on which there are samples, whose events are not moved ones. Loss: the
    cross-entropies of processes, and of nominal and varied events of the same process, paired: the same event with
    the same z in both. Every event has one z that is not 0, or those of a pair of *pairs*, uniform within *width* times
    root 3. Of several networks (*size*), trained as those of the strategy `ensemble`, shares of ratios and coefficients
    of responses are means. Afterwards the logarithms of the ratios are calibrated by polynomials (logistic regression),
    and responses to alternative samples, of which networks learn single events by heart if they are few, are shrunk to
    what held-out events confirm.

    Sources: ATLAS, arXiv:2412.01600; Cranmer, Pavez and Louppe, arXiv:1506.02169 (ratios); GOLLUM, arXiv:2505.05544
    (polynomial responses). Unlike there, responses are divided by their means in the fit (see `inference.unbinned`).
    The histogrammed score, for templates and figures, is the share of the signal by these ratios.
    """

    needs_variations: ClassVar[bool] = True
    knows_alternatives: ClassVar[bool] = True
    stops_early: ClassVar[bool] = False
    additive: ClassVar[bool] = False

    strategy: Literal["unbinned"] = "unbinned"
    degree: Degree | dict[Name, Degree] = Field(
        2, description="of the response in every z, or of single variations by name (others: 2)"
    )
    pairs: tuple[tuple[Name, Name], ...] = Field((), description="pairs of variations with a product term z1 z2")
    width: Annotated[float, Field(gt=0, le=10)] = Field(
        1.0, description="standard deviation of z in training, in units of the prior's"
    )
    calibrate: Literal["polynomial"] | None = Field(  # type: ignore[assignment]
        "polynomial", description="polynomial: logarithms of the ratios are calibrated after the training; null: not"
    )
    hidden: tuple[Annotated[int, Field(gt=0)], ...] | None = Field((64, 64, 64), description="as learning.hidden")
    batch_size: Annotated[int, Field(gt=0)] | None = Field(4096, description="as learning.batch_size")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(0.002, description="as learning.learning_rate")
    size: Annotated[int, Field(gt=0, le=100)] = Field(
        1, description="number of networks of either kind, whose shares and coefficients are averaged"
    )
    budget: Literal["shared", "each"] = Field("shared", description="whose events_seen is: of all together, or of each")
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="bootstrap replicas of the simulation, each trained anew, for its statistical uncertainty"
    )
    acting: dict[Name, tuple[Name, ...]] = Field(
        {}, description="filled in by the workflow: the variations that act on every process, in alphabetical order"
    )
    signal: Name | None = Field(None, description="filled in by the workflow: the process of the signal")
    sides: dict[Name, tuple[float, ...]] = Field(
        {}, description="filled in by the workflow: the z of the samples of every two-point variation"
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        listed = self.degree if isinstance(self.degree, dict) else {}
        if unknown := [name for name in listed if name not in self.variations]:
            raise ValueError(f"degree: {unknown} are not among the variations of the training, {[*self.variations]}")
        for pair in self.pairs:
            if unknown := [name for name in pair if name not in self.variations]:
                raise ValueError(f"pairs: {unknown} are not among the variations of the training, {[*self.variations]}")
            if pair[0] == pair[1]:
                raise ValueError(f"pairs: {list(pair)} is one variation; its square is there if 'degree' is 2 or more")
        return self

    def informed(self, acting: Mapping[str, Sequence[str]], signal: str) -> "Unbinned":
        """Return this strategy with the processes of the analysis and the variations that act on each."""
        known = {name: tuple(acting[name]) for name in sorted(acting)}
        return self.model_copy(update={"acting": known, "signal": signal})

    def ignored(self) -> dict[str, Any]:
        """Return the options that training does not depend on."""
        return super().ignored() | {"replicas": 0}

    # --- the polynomial ---------------------------------------------------------------------------------------------

    @property
    def processes(self) -> tuple[str, ...]:
        """The processes, in the order of the outputs of the ratio network."""
        return tuple(self.acting)

    def power(self, variation: str) -> int:
        """Return the degree of responses in the z of a variation: samples at one point tell a slope, at two a bend."""
        degree = self.degree if isinstance(self.degree, int) else self.degree.get(variation, DEGREE)
        return min(degree, len(self.sides.get(variation, range(degree))))

    def monomials(self, process: str) -> np.ndarray:
        """Return the exponents of the monomials in the response of *process*, shape (terms, variations)."""
        names, rows = self.variations, []
        for index, name in enumerate(names):
            for power in range(1, self.power(name) + 1) if name in self.acting[process] else ():
                rows.append([power if k == index else 0 for k in range(len(names))])
        for pair in self.pairs:
            if set(pair) <= set(self.acting[process]):
                rows.append([int(name in pair) for name in names])
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(names))

    @property
    def outputs(self) -> int:
        """The numbers per event: ln of the share of every process, and the coefficients of all responses."""
        return len(self.processes) + sum(len(self.monomials(process)) for process in self.processes)

    # --- training ---------------------------------------------------------------------------------------------------

    def draw(self, generator: "np.random.Generator", size: int) -> np.ndarray:
        """Return z with one entry that is not 0, or those of one pair, shape (size, variations).

        That of a two-point variation is one of those of its samples.
        """
        places = self._places
        chosen = np.zeros((len(places), len(self.variations)))
        for row, place in enumerate(places):
            chosen[row, list(place)] = 1
        reach = self.width * math.sqrt(3)
        z = np.asarray(
            chosen[generator.integers(len(places), size=size)]
            * generator.uniform(-reach, reach, (size, 1))
            * (np.where(generator.random((size, len(self.variations))) < 0.5, -1, 1) if self.pairs else 1)
        )
        for name, sides in self.sides.items():
            column = z[:, self.variations.index(name)]
            column[:] = np.where(column != 0, generator.choice(sides, size), 0.0)
        return z

    @property
    def _places(self) -> list[tuple[int, ...]]:
        """The variations, or pairs of them, of which an event gets a z."""
        pairs = [tuple(self.variations.index(name) for name in pair) for pair in self.pairs]
        return [*((index,) for index in range(len(self.variations))), *pairs]

    def frequency(self, variation: str) -> float:
        """Return the part of the events that `draw` puts at one side of a two-point variation."""
        return 1 / (len(self._places) * len(self.sides[variation]))

    def points(self) -> np.ndarray:
        """Return the nominal point: every varied event is needed there too."""
        return np.zeros((1, len(self.variations)))

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the networks of ratios and responses of all members, and what is measured after the training."""
        found: Networks = {}
        for index in range(self.size):
            made = self._member(ensemble.seeded(architecture, index))
            found |= {self._named(name, index): net for name, net in made.items()}
        return found | {"measured": self._measured()}

    def _named(self, name: str, index: int) -> str:
        """Return the name of a network of one member."""
        return name if self.size == 1 else f"member{index}_{name}"

    def _member(self, architecture: "Architecture") -> Networks:
        """Return the networks of one member."""
        import torch

        found: Networks = {
            "ratios": architecture.network("ratios", outputs=len(self.processes), activation="silu"),
        }
        for process in self.processes:
            if outputs := len(self.monomials(process)):
                response = architecture.network(f"response_{process}", outputs=outputs, activation="silu")
                for values in response[-1].parameters():
                    torch.nn.init.zeros_(values)
                found[f"response_{process}"] = response
        return found

    def _measured(self) -> "torch.nn.Module":
        """Return what is measured after the training, before it is."""
        import torch

        measured = torch.nn.Module()
        measured.register_buffer("events", torch.ones(len(self.processes)))
        identity = torch.zeros(len(self.processes), calibration.DEGREE + 1)
        identity[:, 1] = 1
        measured.register_buffer("calibration", identity)
        measured.register_buffer("range", torch.tensor([[-1e30, 1e30]]).repeat(len(self.processes), 1))
        terms = self.outputs - len(self.processes)
        measured.register_buffer("limits", torch.tensor([[-1e30, 1e30]]).repeat(terms, 1))
        measured.register_buffer("scales", torch.ones(terms))
        measured.register_buffer("scale_errors", torch.zeros(terms))
        return measured

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:
        """Train all networks of a member together, on processes of equal weight; then calibrate the ratios of all."""
        import torch

        events = task.fold.train()
        totals = np.bincount(events.process, weights=events.expected, minlength=len(self.processes))
        if missing := [name for name, total in zip(self.processes, totals, strict=True) if not total > 0]:
            raise ValueError(f"{task.name}: no events of {', '.join(missing)} to learn ratios of; check the selections")
        alone = _Counted(**self.model_dump() | {"size": 1}).counted(totals)
        if self.size == 1:
            networks, history = loop(alone, task)
        else:
            members, history = ensemble.trained(alone, task, loop, self.size, self.budget)
            networks = {"measured": members[0]["measured"]} | {
                self._named(name, index): net
                for index, found in enumerate(members)
                for name, net in found.items()
                if name != "measured"
            }
        self._shrink(networks, task)
        self._limit(networks, events)
        if self.calibrate:
            features = torch.from_numpy(events.features)
            with torch.no_grad():
                logs = torch.cat(
                    [self._ratios(networks, block) for block in torch.split(features, calibration.BLOCK)]
                ).double()
            shares = torch.from_numpy(events.expected / totals[events.process]).double()
            calibration.calibrate(networks["measured"], logs, torch.from_numpy(events.process), shares)
        return networks, history

    def _shrink(self, networks: Networks, task: Task) -> None:
        """Measure the factors, between 0 and 1, on responses to alternative samples that held-out events confirm.

        Alternative events are not the nominal ones moved: what networks know of single ones is over-training, which
        promises too small an uncertainty. A factor per process and variation, on events that the training did not see.
        """
        for variation, sides in self.sides.items():
            axis, shape = self.variations.index(variation), (task.fold.validation_size, len(self.variations))
            parts = [task.fold.validation(np.eye(shape[1])[[axis] * shape[0]] * side) for side in sides]
            for index, process in enumerate(self.processes):
                if variation in self.acting[process]:
                    found = [self._tested(networks, process, events, index) for events in parts]
                    logits, varied, weights = (np.concatenate(values) for values in zip(*found, strict=True))
                    weights = np.where(varied, weights / self.frequency(variation), weights)
                    scale, error = calibration.confirmed(logits, varied, weights)
                    first, rows = self._first(process), self.monomials(process)
                    chosen = [first + int(k) for k in np.flatnonzero(rows[:, axis])]
                    networks["measured"].get_buffer("scales")[chosen] = min(max(scale, 0.0), 1.0)
                    networks["measured"].get_buffer("scale_errors")[chosen] = error

    def _tested(
        self, networks: Networks, process: str, events: "Events[np.ndarray]", index: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ln S of the events of one process, nominal ones and those at their z, which they are, and weights."""
        import torch

        mine = events.process == index
        values = _values(torch.from_numpy(events.z[mine]).float(), self.monomials(process))
        features = torch.from_numpy(np.concatenate([events.points[mine, 0], events.features[mine]]))
        with torch.no_grad():
            found = (self._coefficients(networks, process, features) * values.repeat(2, 1)).sum(dim=1)
        weights = np.concatenate([events.counts[mine, 0], events.expected[mine]]).astype(np.float64)
        return found.numpy().astype(np.float64), np.repeat([0.0, 1.0], mine.sum()), weights

    def _first(self, process: str) -> int:
        """Return the place of the first coefficient of a process among those of all."""
        return sum(len(self.monomials(name)) for name in self.processes[: self.processes.index(process)])

    def _limit(self, networks: Networks, events: "Events[np.ndarray]") -> None:
        """Measure the range of responses to alternative samples without a part `TAIL` of nominal events on either side.

        Beyond, where few events of either sample are, networks extrapolate: a single event would dominate the mean.
        """
        import torch

        first, limits = 0, networks["measured"].get_buffer("limits")
        for index, process in enumerate(self.processes):
            rows = self.monomials(process)
            fixed = [k for k, row in enumerate(rows) for v in np.flatnonzero(row) if self.variations[v] in self.sides]
            if fixed:
                features = torch.from_numpy(events.features[events.process == index])
                with torch.no_grad():
                    parts = torch.split(features, calibration.BLOCK)
                    found = torch.cat([self._coefficients(networks, process, part) for part in parts])
                ordered, last = found[:, fixed].sort(dim=0).values, len(found) - 1
                limits[[first + k for k in fixed]] = ordered[
                    [int(calibration.TAIL * last), math.ceil((1 - calibration.TAIL) * last)]
                ].T
            first += len(rows)

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":  # noqa: ARG002
        """Return the cross-entropies of the processes and of the responses of each, per expected event."""
        import torch

        nominal, before = batch.points[:, 0], batch.counts[:, 0]
        share = (1 / networks["measured"].get_buffer("events"))[batch.process]
        terms = torch.nn.functional.cross_entropy(networks["ratios"](nominal), batch.process, reduction="none")
        ratio = (terms * before * share).sum() / (before * share).sum().clamp(min=1e-30)
        found = {"loss": ratio, "ratios": ratio.detach()}
        for index, process in enumerate(self.processes):
            if f"response_{process}" not in networks:
                continue
            rows = torch.nonzero(batch.process == index).squeeze(1)
            values = _values(batch.z[rows], self.monomials(process))
            rows, values = rows[moved := values.any(dim=1)], values[moved]
            response = networks[f"response_{process}"]
            at_nominal = (response(nominal[rows]) * values).sum(dim=1)
            at_varied = (response(batch.features[rows]) * values).sum(dim=1)
            softplus = torch.nn.functional.softplus
            size = before[rows].sum().clamp(min=1e-30)
            part = (before[rows] * softplus(at_nominal) + batch.expected[rows] * softplus(-at_varied)).sum() / size
            found["loss"] = found["loss"] + part
            found[f"response_{process}"] = part.detach()
        return found

    # --- answers ----------------------------------------------------------------------------------------------------

    def densities(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return ln of the share of each process, and the coefficients of all responses: (events, P + coefficients)."""
        import torch

        logits = calibration.calibrated(networks["measured"], self._ratios(networks, features)).log_softmax(dim=1)
        responding = [process for process in self.processes if len(self.monomials(process))]
        if not responding:
            return logits
        found = [self._coefficients(networks, process, features) for process in responding]
        low, high = networks["measured"].get_buffer("limits").T
        return torch.cat([logits, torch.minimum(torch.maximum(torch.cat(found, dim=1), low), high)], dim=1)

    def _ratios(self, networks: Networks, features: "torch.Tensor") -> "torch.Tensor":
        """Return the centred logarithms of the shares of the processes, their mean over members: (events, P)."""
        import torch

        if self.size == 1:
            return calibration.centred(networks["ratios"](features))
        names = [self._named("ratios", index) for index in range(self.size)]
        logs = torch.stack([networks[name](features).log_softmax(dim=1) for name in names])
        return calibration.centred(logs.logsumexp(dim=0))

    def _coefficients(self, networks: Networks, process: str, features: "torch.Tensor") -> "torch.Tensor":
        """Return the coefficients of the response of a process, their mean over members: (events, terms)."""
        import torch

        names = [self._named(f"response_{process}", index) for index in range(self.size)]
        first = self._first(process)
        scales = networks["measured"].get_buffer("scales")[first : first + len(self.monomials(process))]
        return torch.stack([networks[name](features) for name in names]).mean(dim=0) * scales

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the logit of the signal's share among signal and background of equal size, at z = 0."""
        import torch

        shares = self.densities(networks, features, z)[:, : len(self.processes)]
        signal = [name == self.signal for name in self.processes]
        events = networks["measured"].get_buffer("events").log()
        is_signal = torch.tensor(signal, device=shares.device)
        fraction = events.masked_fill(is_signal, -math.inf).log_softmax(dim=0)
        background = (shares + fraction).masked_fill(is_signal, -math.inf).logsumexp(dim=1)
        return shares[:, signal.index(True)] - background


class _Counted(Unbinned):
    """The strategy while it is trained: its networks know the events of every process from the start."""

    totals: tuple[float, ...] = ()

    def counted(self, totals: np.ndarray) -> Self:
        return self.model_copy(update={"totals": tuple(totals.tolist())})

    def networks(self, architecture: "Architecture") -> Networks:
        found = super().networks(architecture)
        found["measured"].get_buffer("events").copy_(found["measured"].get_buffer("events").new_tensor(self.totals))
        return found


def _values(z: "torch.Tensor", monomials: np.ndarray) -> "torch.Tensor":
    """Return the monomials of *z*, shape (events, terms)."""
    import torch

    powers = torch.from_numpy(monomials).to(z.device)
    return (z.unsqueeze(1) ** powers).prod(dim=2)

"""A network that is told the nuisance parameters."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nuisflow.strategies.strategy import Events, History, Name, Networks, Task, Varied

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nuisflow.strategies.networks import Architecture
    from nuisflow.strategies.strategy import Strategy

Z = Annotated[float, Field(ge=-10, le=10)]
BLOCK = 65_536
MOST_CLASSES = 400


class Parametrised(Varied):
    """A classifier f(x, z) of the features and of z, trained on events varied at random.

    In a template fit the score is a fixed function of the event: at one z (that of a first fit, say, or 0), or, with
    *scan*, at several z of the same nuisance parameter. Then each of these scores is cut into *parts* of equal shares
    of signal and background training events, and the cells of this multi-dimensional binning are the bins of the fit.
    Baldi et al., arXiv:1601.07913; with nuisance parameters arXiv:2105.08742.
    """

    knows_alternatives: ClassVar[bool] = False

    strategy: Literal["parametrised"] = "parametrised"
    at: dict[Name, Z] = Field({}, description="where events are scored, in prior standard deviations; others are at 0")
    scan: tuple[Z, ...] = Field((), description="score at each of these z of its one variation, and bin them together")
    parts: Annotated[int, Field(ge=2, le=100)] = Field(4, description="bins of every score of *scan*")

    @model_validator(mode="after")
    def _check_score(self) -> Self:
        for name in self.at:
            if name not in self.variations:
                raise ValueError(
                    f"at.{name}: not among the variations of this training ({', '.join(self.variations) or 'none'}); "
                    "add it to 'variations' or remove it from 'at'"
                )
        if self.scan and (len(self.variations) != 1 or self.at or len(set(self.scan)) < max(2, len(self.scan))):
            raise ValueError(
                "scan: needs exactly one variation, two or more different z and no 'at'; "
                "choose one variation, or score at a single z with 'at'"
            )
        if self.scan and self.parts ** len(self.scan) > MOST_CLASSES:
            raise ValueError(
                f"parts: {self.parts} parts of {len(self.scan)} scores make {self.parts ** len(self.scan)} bins; "
                f"at most {MOST_CLASSES}"
            )
        return self

    @property
    def classes(self) -> int | None:
        """The number of cells, if events are scored at several z."""
        return self.parts ** len(self.scan) if self.scan else None

    def networks(self, architecture: "Architecture") -> Networks:
        """Return a classifier with one more input per variation, and the place of the cuts on several scores."""
        import torch

        inputs = architecture.features + len(self.variations)
        networks: Networks = {"classifier": architecture.network("classifier", inputs=inputs)}
        if self.scan:
            networks["cuts"] = torch.nn.Module()
            networks["cuts"].register_buffer("logits", torch.full((len(self.scan), self.parts - 1), torch.nan))
        return networks

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the logit of every event at its *z*."""
        import torch

        logits: torch.Tensor = networks["classifier"](torch.cat([features, z], dim=1))
        return logits.squeeze(1)

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the score at *z* moved to where events are scored, or the cell of the scores at several z.

        As long as the cuts are not known, in training, cells are replaced by the score at *z*.
        """
        import torch

        if not self.scan or torch.isnan(cuts := networks["cuts"].get_buffer("logits")).any():
            place = torch.tensor([self.at.get(name, 0.0) for name in self.variations], device=z.device)
            return self.output(networks, features, z + place).sigmoid()
        cell: torch.Tensor = torch.zeros(len(features), dtype=torch.int64, device=features.device)
        for row, value in zip(cuts, self.scan, strict=True):
            logits = self.output(networks, features, z + value)
            cell = cell * self.parts + torch.searchsorted(row.contiguous(), logits.contiguous())
        score: torch.Tensor = (cell.to(torch.float32) + 0.5) / self.parts ** len(self.scan)
        return score

    def constants(self) -> "tuple[float, ...] | None":
        """Return z where events are scored, if it is one."""
        own = type(self) is not Parametrised or self.scan
        return None if own else tuple(self.at.get(name, 0.0) for name in self.variations)

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:
        """Train as always; then measure the cuts on the scores at several z."""
        import torch

        networks, history = loop(self, task)
        if self.scan:
            events = task.fold.train()
            cuts = [self._cuts(networks, events, value) for value in self.scan]
            networks["cuts"].get_buffer("logits").copy_(torch.tensor(cuts))
        return networks, history

    def _cuts(self, networks: Networks, events: "Events[np.ndarray]", z: float) -> list[float]:
        """Return the logits that cut signal and background, with equal sums of weights, into equal shares."""
        import numpy as np
        import torch

        with torch.no_grad():
            blocks = [
                torch.from_numpy(part) for part in np.array_split(events.features, -(-len(events.labels) // BLOCK))
            ]
            logits = torch.cat([self.output(networks, part, torch.full((len(part), 1), z)) for part in blocks]).numpy()
        order = np.argsort(logits)
        shares = np.cumsum(events.weights[order], dtype=np.float64)
        places = np.searchsorted(shares, shares[-1] * np.arange(1, self.parts) / self.parts)
        return [float(logits[order[place]]) for place in places]

"""The ways of training a classifier that the configuration can name: one module each, listed here.

Nothing here imports torch or xgboost: the configuration is checked against these classes when Snakemake starts.
"""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from nuisflow.strategies.adversarial import Adversarial
from nuisflow.strategies.augmentation import Augmentation
from nuisflow.strategies.boosted_trees import BoostedTrees
from nuisflow.strategies.nominal import Nominal
from nuisflow.strategies.parametrised import Parametrised
from nuisflow.strategies.strategy import Strategy

AnyStrategy = Annotated[
    Nominal | BoostedTrees | Augmentation | Parametrised | Adversarial,
    Field(discriminator="strategy"),
]

STRATEGIES: dict[str, type[Strategy]] = {
    "nominal": Nominal,
    "boosted_trees": BoostedTrees,
    "augmentation": Augmentation,
    "parametrised": Parametrised,
    "adversarial": Adversarial,
}


def read(options: dict[str, Any]) -> Strategy:
    """Return the strategy described by *options* (plain values, as stored in a model file)."""
    chosen: Strategy = TypeAdapter(AnyStrategy).validate_python(options)
    return chosen

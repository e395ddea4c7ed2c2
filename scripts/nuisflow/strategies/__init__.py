"""The ways of training a classifier that the configuration can name: one module each, listed here.

Nothing here imports torch or xgboost: the configuration is checked against these classes when Snakemake starts.
"""

import functools
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from nuisflow.strategies.adversarial import Adversarial
from nuisflow.strategies.augmentation import Augmentation
from nuisflow.strategies.bayesian import Bayesian
from nuisflow.strategies.boosted_trees import BoostedTrees
from nuisflow.strategies.clairvoyant import Clairvoyant
from nuisflow.strategies.conditional import Conditional
from nuisflow.strategies.decorrelation import Decorrelation
from nuisflow.strategies.domain_adaptation import DomainAdaptation
from nuisflow.strategies.dropout import Dropout
from nuisflow.strategies.ensemble import Ensemble
from nuisflow.strategies.inferno import Inferno
from nuisflow.strategies.nominal import Nominal
from nuisflow.strategies.observable import Observable
from nuisflow.strategies.optimal import Optimal
from nuisflow.strategies.parametrised import Parametrised
from nuisflow.strategies.sensitivity_to_poi import SensitivityToPoi
from nuisflow.strategies.strategy import Strategy
from nuisflow.strategies.tangent import Tangent
from nuisflow.strategies.unbinned import Unbinned
from nuisflow.strategies.user import User

AnyStrategy = Annotated[
    Nominal
    | Optimal
    | BoostedTrees
    | Augmentation
    | Parametrised
    | Adversarial
    | Bayesian
    | Clairvoyant
    | Conditional
    | Decorrelation
    | DomainAdaptation
    | Dropout
    | Ensemble
    | Inferno
    | Observable
    | SensitivityToPoi
    | Tangent
    | Unbinned
    | User,
    Field(discriminator="strategy"),
]

STRATEGIES: dict[str, type[Strategy]] = {
    "nominal": Nominal,
    "optimal": Optimal,
    "observable": Observable,
    "boosted_trees": BoostedTrees,
    "augmentation": Augmentation,
    "parametrised": Parametrised,
    "adversarial": Adversarial,
    "bayesian": Bayesian,
    "clairvoyant": Clairvoyant,
    "conditional": Conditional,
    "decorrelation": Decorrelation,
    "domain_adaptation": DomainAdaptation,
    "dropout": Dropout,
    "ensemble": Ensemble,
    "inferno": Inferno,
    "sensitivity_to_poi": SensitivityToPoi,
    "tangent": Tangent,
    "unbinned": Unbinned,
    "user": User,
}


def read(options: dict[str, Any]) -> Strategy:
    """Return the strategy described by *options* (plain values, as stored in a model file)."""
    chosen: Strategy = _reader().validate_python(options)
    return chosen


@functools.cache
def _reader() -> TypeAdapter[Strategy]:
    """Return what reads options, which takes a quarter of a second to make."""
    return TypeAdapter(AnyStrategy)

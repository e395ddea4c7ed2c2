"""A classifier of signal against background, trained on nominal events: the reference of every comparison."""

from typing import Literal

from nuisflow.strategies.strategy import Strategy


class Nominal(Strategy):
    """Multilayer perceptron with weighted binary cross-entropy at z = 0, unaware of any systematic uncertainty."""

    strategy: Literal["nominal"] = "nominal"

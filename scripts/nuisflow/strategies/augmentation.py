"""The nominal network on events varied at random."""

from typing import Literal

from nuisflow.strategies.strategy import Varied


class Augmentation(Varied):
    """The nominal network and loss on events varied at random, so that it averages over the uncertainties.

    The loss that stops the training is taken on validation events varied in the same way (drawn once for all epochs),
    since this is what the network learns; the AUC in the history is of nominal events.
    Known as data augmentation, for example in arXiv:2105.08742, section 2.
    """

    strategy: Literal["augmentation"] = "augmentation"

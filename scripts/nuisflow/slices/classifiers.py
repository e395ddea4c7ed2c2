"""What the judgement of all classifiers, beside the measurement, depends on."""

from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices.report import PlotSettings, plots
from nuisflow.strategies.observable import Observable
from nuisflow.strategies.optimal import Optimal


class JudgementSettings(Section):
    """Slice of judge_trainings: *samples* maps nominal simulated ones to processes; *learns*: trainings with networks.

    *trained*: samples that all networks are trained on.
    """

    signal: str
    samples: dict[str, str]
    trained: tuple[str, ...]
    regions: tuple[str, ...]
    scored: tuple[str, ...]
    folds: int
    validation_fraction: float
    seed: int
    features: tuple[str, ...]
    learns: dict[str, bool]


def slice_of(settings: Configuration) -> JudgementSettings:
    """Return what judge_trainings depends on."""
    return JudgementSettings(
        signal=settings.signal,
        samples={name: settings.samples[name].process for name in settings.simulated},
        trained=tuple(settings.trained_samples),
        regions=tuple(settings.regions),
        scored=tuple(name for name, region in settings.regions.items() if region.observable == "score"),
        folds=settings.learning.folds,
        validation_fraction=settings.learning.validation_fraction,
        seed=settings.seed,
        features=settings.features,
        learns={name: not isinstance(one, Observable | Optimal) for name, one in settings.trainings.items()},
    )


def words(settings: Configuration) -> PlotSettings:
    """Return the words and colours of plot_classifiers, which knows no variations."""
    return plots(settings).model_copy(update={"variations": {}, "axes": {}, "parts": {}})

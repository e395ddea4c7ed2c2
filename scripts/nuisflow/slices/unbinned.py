"""What a likelihood of single events depends on."""

from pydantic import Field

from nuisflow.settings import configuration, points, systematics
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.points import Point
from nuisflow.settings.sections import Section
from nuisflow.settings.unbinned import thrown
from nuisflow.slices import inference
from nuisflow.slices.events import Partial
from nuisflow.slices.training import resolved


class UnbinnedFilling(Partial):
    """Slice of fill_unbinned.

    *variations*: with the processes on which they act; *fit*: parameter of interest; *scored*: the regions whose events
    are taken one by one, all others have bins; *thrown*: the true points for pseudo-experiments, whose
    events are needed one by one; *alternatives*: the point that a sample of a two-point variation shows.
    """

    features: tuple[str, ...]
    folds: int
    processes: tuple[str, ...]
    signal: str
    samples: dict[str, str]
    regions: tuple[str, ...]
    scored: tuple[str, ...]
    variations: dict[str, systematics.Variation]
    correlations: tuple[systematics.Block, ...] = ()
    alternatives: dict[str, str] = Field({})
    displaced: dict[str, Point]
    thrown: tuple[str, ...]
    fit: configuration.Fit


def filling(settings: Configuration) -> UnbinnedFilling:
    """Return what fill_unbinned depends on."""
    return UnbinnedFilling(
        features=settings.features,
        folds=settings.learning.folds,
        processes=tuple(settings.processes),
        signal=settings.signal,
        samples={name: sample.process for name, sample in settings.samples.items()},
        regions=tuple(settings.regions),
        scored=tuple(name for name, region in settings.regions.items() if region.observable == "score"),
        variations={name: resolved(settings, name) for name in settings.variations},
        correlations=points.blocks(settings),
        alternatives={sample: f"{name}_{side}" for sample, (name, side) in settings.alternatives.items()},
        displaced=points.displaced(settings),
        thrown=tuple(thrown(settings)),
        fit=settings.fit.model_copy(update={"goodness_toys": 0, "unblind": False}),
    )


class Publishing(Section):
    """Slice of publish_unbinned: the process of every sample, and whether data are unblinded."""

    samples: dict[str, str]
    observed: bool


def publishing(settings: Configuration) -> Publishing:
    """Return what publish_unbinned depends on."""
    return Publishing(
        samples={name: sample.process for name, sample in settings.samples.items()},
        observed=inference.fit(settings).observed,
    )


def published(settings: Configuration) -> list[str]:
    """Return the files of a published likelihood, beside its likelihood.json."""
    binned = any(region.observable != "score" for region in settings.regions.values())
    data = ["data.npy"] if publishing(settings).observed else []
    return ["README.md", "simulation.npy", *data, "bins.npy", *(["binned.json"] if binned else [])]


def compared(settings: Configuration) -> list[str]:
    """Return the samples whose events check_closure compares with each other: none where data are blinded."""
    return list(settings.nominal) if publishing(settings).observed else []

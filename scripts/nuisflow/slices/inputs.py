"""What the look at the features before any training depends on."""

from nuisflow import datasets
from nuisflow.settings import points, systematics
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices import inference
from nuisflow.slices.inference import Filling
from nuisflow.slices.report import PlotSettings, plots
from nuisflow.strategies.binning import Binning

MOST_FIGURES = 36
"""Features of a region that have a figure in the report, the first of the configuration; all are in one PDF."""

TABLES = ("correlations", "sensitivity")
"""Figures of all features of a region together."""
PARTS = ("page.css", "page.js", "review/inputs.html", "review/inputs_page.html")
"""What the page on features alone is made of."""


class InputBinning(Section):
    """Slice of bin_inputs: *samples* maps the nominal simulated ones to processes."""

    features: tuple[str, ...]
    regions: tuple[str, ...]
    samples: dict[str, str]
    signal: str
    undefined: float | None


class InputFilling(Section):
    """Slice of fill_inputs for one sample: the *weights* that act on it, and the *sets* of them with their sizes.

    Only the *shown* regions are filled.
    """

    features: tuple[str, ...]
    regions: tuple[str, ...]
    shown: tuple[str, ...]
    weights: tuple[str, ...]
    sets: dict[str, int]
    undefined: float | None


class InputSettings(Section):
    """Slice of compare_inputs for one region; *shown*: whether collision data are."""

    region: str
    shown: bool
    filling: Filling
    variations: dict[str, systematics.Variation]
    correlations: tuple[systematics.Block, ...] = ()


def binning(settings: Configuration) -> InputBinning:
    """Return what bin_inputs depends on."""
    return InputBinning(
        features=settings.features,
        regions=tuple(settings.regions),
        samples={name: settings.samples[name].process for name in settings.simulated},
        signal=settings.signal,
        undefined=datasets.undefined(settings.dataset),
    )


def shown(settings: Configuration) -> tuple[str, ...]:
    """Return the regions whose collision data may be seen: all if they are unblinded, else control regions."""
    return tuple(name for name, region in settings.regions.items() if settings.fit.unblind or region.control)


def samples(settings: Configuration) -> list[str]:
    """Return the samples that are filled: of collision data only what may be seen."""
    held_out = {name for name, (_, side) in settings.alternatives.items() if side not in points.STANDARD}
    data = {name for name, sample in settings.samples.items() if sample.process == "data" and not shown(settings)}
    return [name for name in settings.samples if name not in held_out | data]


def filling(settings: Configuration, sample: str) -> InputFilling:
    """Return what fill_inputs of *sample* depends on."""
    process, regions = settings.samples[sample].process, tuple(settings.regions)
    acting = {
        name: chosen
        for name, chosen in settings.variations.items()
        if sample not in settings.alternatives and process in points.affected(settings, name)
    }
    return InputFilling(
        features=settings.features,
        regions=regions,
        shown=shown(settings) if process == "data" else regions,
        weights=tuple(name for name, chosen in acting.items() if isinstance(chosen, systematics.Weight)),
        sets={n: len(chosen.expressions) for n, chosen in acting.items() if isinstance(chosen, systematics.WeightSet)},
        undefined=datasets.undefined(settings.dataset),
    )


def comparison(settings: Configuration, region: str) -> InputSettings:
    """Return what compare_inputs of *region* depends on: the binning of scores is not among it."""
    own = inference.filling(settings)
    unbinned = dict.fromkeys(settings.regions, Binning())
    return InputSettings(
        region=region,
        shown=settings.has_data and region in shown(settings),
        filling=own.model_copy(update={"regions": unbinned, "scored": ()}),
        variations=inference.workspace(settings).variations,
        correlations=points.blocks(settings),
    )


def figures(settings: Configuration) -> tuple[str, ...]:
    """Return the features that have a figure of their own."""
    return settings.features[:MOST_FIGURES]


def words(settings: Configuration) -> PlotSettings:
    """Return the words and colours of the figures, without those of trainings."""
    return plots(settings).model_copy(update={"trainings": {}, "axes": {}, "poi": ""})

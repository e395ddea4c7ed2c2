"""What the comparison, the figures and the report depend on: their slices of the configuration."""

from typing import Any, Self

from pydantic import Field

from nuisflow.settings import conditional, configuration, points
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.settings.systematics import Block
from nuisflow.slices import inference
from nuisflow.strategies.observable import Observable

PARTS = (
    *("page.css", "page.js", "what_if.html"),
    *("review/classifiers.html", "review/inputs.html", "review/review.html", "review/studies.html"),
)
"""What the template of the report includes."""
COMPARISON_FIGURES = ("uncertainties", "signal_strength", "robustness", "coverage")


class ComparisonSettings(Section):
    """Slice of compare_trainings: one label and strategy per training; samples maps simulated samples to processes.

    *ends*: displaced points that count for no training, since they are an end of the grid of one (`conditioning`).
    *held_out*: the point of the held-out samples of a two-point variation, and its nuisance parameters.
    """

    signal: str
    trainings: dict[str, tuple[str, str]]
    seeds: int
    folds: int
    samples: dict[str, str]
    regions: tuple[str, ...]
    scored: tuple[str, ...]
    ends: tuple[str, ...] = ()
    held_out: dict[str, tuple[str, tuple[str, ...]]] = Field({})


class Axis(Section):
    """What the score of a training that is an observable stands for: *low* to *high*, in some *regions*."""

    label: str
    low: float
    high: float
    regions: tuple[str, ...]


class PlotSettings(Section):
    """Slice of the plots and the report: words and colours; *parts*: what is shown as a part of which process."""

    processes: dict[str, configuration.Process]
    parts: dict[str, str] = Field({})
    regions: dict[str, tuple[str, str]]
    variations: dict[str, str]
    trainings: dict[str, str]
    plots: configuration.Plots
    poi: str
    blinded: bool
    axes: dict[str, Axis] = Field({})

    def of(self, axis: Axis) -> Self:
        """Return these words with the label of *axis* in its regions."""
        regions = {
            name: (label, axis.label if name in axis.regions else own) for name, (label, own) in self.regions.items()
        }
        return self.model_copy(update={"regions": regions})


class ReportSettings(PlotSettings):
    """Slice of write_report: the words, and the whole configuration, which the report prints."""

    configuration: dict[str, Any]
    correlations: tuple[Block, ...] = ()


def comparison(settings: Configuration) -> ComparisonSettings:
    """Return what compare_trainings depends on."""
    return ComparisonSettings(
        signal=settings.signal,
        trainings={name: (chosen.label or name, chosen.strategy) for name, chosen in settings.trainings.items()},
        seeds=settings.learning.seeds,
        folds=settings.learning.folds,
        samples={name: settings.samples[name].process for name in settings.simulated},
        regions=tuple(settings.regions),
        scored=tuple(name for name, region in settings.regions.items() if region.observable == "score"),
        ends=conditional.ends(settings),
        held_out={
            point.variation: (name, tuple(points.parameters(settings, point.variation)))
            for name, point in points.displaced(settings).items()
            if name == f"{point.variation}_{points.HELD_OUT}"
        },
    )


def plots(settings: Configuration) -> PlotSettings:
    """Return the words and colours that figures and report depend on."""
    return PlotSettings(
        processes={name: process for name, process in settings.processes.items() if process.part is None},
        parts={name: part.of for name, part in points.parts(settings).items()},
        regions={
            name: (region.label or name, region.axis or ("score" if region.observable == "score" else "observable"))
            for name, region in settings.regions.items()
        },
        variations=_labels(settings),
        trainings={name: chosen.label or name for name, chosen in settings.trainings.items()},
        plots=settings.plots,
        poi=settings.fit.poi,
        blinded=settings.has_data and not settings.fit.unblind,
        axes={
            name: _axis(settings, chosen)
            for name, chosen in settings.trainings.items()
            if isinstance(chosen, Observable)
        },
    )


def _axis(settings: Configuration, chosen: Observable) -> Axis:
    low, high = chosen.binning.reach
    scored = tuple(name for name, region in settings.regions.items() if region.observable == "score")
    return Axis(label=chosen.axis or chosen.expression, low=low, high=high, regions=scored)


def _labels(settings: Configuration) -> dict[str, str]:
    """Return the labels of all variations and, where they have other names, of their nuisance parameters."""
    labels: dict[str, str] = {}
    for name, chosen in settings.variations.items():
        label = chosen.label or name
        labels |= {name: label} if chosen.kind != "luminosity" else {}
        for parameter, (process, region) in points.parameters(settings, name).items():
            words = {
                "process": settings.processes[process].label or process,
                "region": settings.regions[region].label or region,
            }
            where = ", ".join(words[key] for key in ("process", "region") if key in chosen.decorrelate)
            labels[parameter] = f"{label} ({where})" if where else label
    return labels


def report(settings: Configuration) -> ReportSettings:
    """Return what write_report depends on: everything but how the jobs are run."""
    return ReportSettings(
        **plots(settings).model_dump(),
        correlations=points.blocks(settings),
        configuration=settings.model_dump(
            mode="json", exclude={"dask": True, "learning": {"device"}}, exclude_none=True
        ),
    )


def training_figures(settings: Configuration) -> list[str]:
    """Return the names of the figures of one training."""
    per_region = [f"{kind}_{region}" for region in settings.regions for kind in ("templates", "variations")]
    return ["history", *per_region, "pulls", "ranking", "correlations", "scan"]


def published_tables(settings: Configuration) -> list[str]:
    """Return the names of the tables of the submission to HEPData."""
    sizes = ["studies", "power_laws"] if settings.studies.asked else []
    return ["comparison", "breakdown", "coverage", *map(yields_table, settings.regions), *sizes]


def yields_table(region: str) -> str:
    """Return the name of the table of yields of a *region*; HEPData takes at most 64 letters."""
    return f"yields_{region}" if len(region) <= 57 else region


def published_files(settings: Configuration) -> list[str]:
    """Return the names of the further files of the submission: figures, and workspaces as they are."""
    models = [f"workspace_{name}.json" for name in inference.of_one_workspace(settings)]
    return [*(f"{name}.pdf" for name in published_figures(settings)), *models]


def published_figures(settings: Configuration) -> list[str]:
    """Return the names of the figures of the submission."""
    return [*COMPARISON_FIGURES, *(["studies"] if settings.studies.asked else [])]


def latex_documents(settings: Configuration) -> list[str]:
    """Return the names of the tables for LaTeX, and of the document that shows them."""
    sizes = ["studies"] if settings.studies.asked else []
    return ["comparison", "uncertainties", *map(yields_table, settings.regions), *sizes, "tables"]

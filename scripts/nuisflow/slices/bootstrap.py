"""Pseudo-experiments made of reserved events, as in the Fair Universe challenge: what they depend on."""

from nuisflow import datasets
from nuisflow.settings import conditional, configuration, points, systematics, toys, unbinned
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices import events as slices
from nuisflow.slices import training
from nuisflow.slices.events import EventSelection, bare


class BootstrapSettings(Section):
    """Slice of bootstrap_experiments: *variations* with their processes, *limits* the greatest |z| of some of them.

    Nothing names the training: all see the same pseudo-experiments, so that their differences are sharper than each.
    """

    bootstrap: toys.Bootstrap
    events: EventSelection
    samples: dict[str, configuration.Sample]
    signal: str
    variations: dict[str, systematics.Variation]
    correlations: tuple[systematics.Block, ...] = ()
    limits: dict[str, float]
    folds: int
    poi: str
    seed: int


def chosen(settings: Configuration) -> toys.Bootstrap:
    """Return the section ``toys.bootstrap``; without it there are no such pseudo-experiments."""
    if settings.toys.bootstrap is None:
        raise ValueError("toys.bootstrap: there is no such section; add it (all its keys have defaults)")
    return settings.toys.bootstrap


def trainings(settings: Configuration) -> list[str]:
    """Return the trainings that take part: those whose likelihood is one workspace, or of single events."""
    others = conditional.trainings(settings)
    return [name for name in settings.trainings if name not in others]


def likelihood(settings: Configuration, training: str) -> str:
    """Return the name of the file of the likelihood of a training."""
    return "densities.json" if training in unbinned.trainings(settings) else "workspace.json"


def slice_of(settings: Configuration) -> BootstrapSettings:
    """Return what bootstrap_experiments depends on; every variation with a prior acts."""
    bootstrap = chosen(settings)
    acting = [name for name, varied in settings.variations.items() if varied.kind != "free_rate"]
    varied = [settings.variations[name] for name in acting]
    texts = [text for name in settings.simulated for text in slices.expressions_of(settings.samples[name], varied)]
    selection = slices.selection(settings, *texts)
    return BootstrapSettings(
        bootstrap=bootstrap,
        events=selection.model_copy(update={"rows": (0.0, bootstrap.share)}),
        samples={name: bare(settings.samples[name]) for name in settings.simulated},
        signal=settings.signal,
        variations={name: training.resolved(settings, name) for name in acting},
        correlations=points.blocks(settings),
        limits=_limits(settings),
        folds=settings.learning.folds,
        poi=settings.fit.poi,
        seed=settings.seed,
    )


def _limits(settings: Configuration) -> dict[str, float]:
    """Return the greatest |z| of shifts that the data set limits."""
    known = getattr(datasets.MODULES[settings.dataset.kind], "LIMITS", {})
    return {
        name: known[varied.shift] / varied.size
        for name, varied in settings.variations.items()
        if varied.kind == "shift" and varied.shift in known and varied.size
    }


def tables(settings: Configuration) -> list[str]:
    """Return the tables that the report shows."""
    return [] if settings.toys.bootstrap is None else ["<results>/comparison/bootstrap.csv"]


def figures(settings: Configuration) -> list[str]:
    """Return the names of the figures that the report shows."""
    return [] if settings.toys.bootstrap is None else ["bootstrap"]

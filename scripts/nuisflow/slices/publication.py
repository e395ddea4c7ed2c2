"""Which files a publication consists of."""

from nuisflow.settings.configuration import Configuration
from nuisflow.slices import studies
from nuisflow.slices.report import COMPARISON_FIGURES


def tables(settings: Configuration) -> list[str]:
    """Return the names of the tables of the submission to HEPData."""
    return ["comparison", "breakdown", "coverage", *map(yields, settings.regions)]


def yields(region: str) -> str:
    """Return the name of the table of yields of a *region*; HEPData takes at most 64 letters."""
    return f"yields_{region}" if len(region) <= 57 else region


def resources(settings: Configuration) -> list[str]:
    """Return the names of the further files of the submission: figures, and workspaces as they are."""
    models = [f"workspace_{name}.json" for name in studies.trainings(settings)]
    return [*(f"{name}.pdf" for name in COMPARISON_FIGURES), *models]


def documents(settings: Configuration) -> list[str]:
    """Return the names of the tables for LaTeX, and of the document that shows them."""
    return ["comparison", "uncertainties", *map(yields, settings.regions), "tables"]

"""One colour and one line for every training, in the order of the configuration: the same in all tables and figures."""

from typing import NamedTuple

from nuisflow.slices.report import PlotSettings

PALETTE = (
    *("#3f90da", "#ffa90e", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
    *("#5790fc", "#964a8b", "#7a21dd"),
)
"""Distinguishable with colour-vision deficiency (Petroff, arXiv:2107.02270)."""
_TRAININGS = ("#3f90da", "#e76300", "#832db6", "#ffa90e", "#a96b59", "#92dadd", "#964a8b", "#b9ac70")
"""Those of the palette that neither look like the grid nor like one another, the most different first."""
_LINES = ("-", "--", ":")


class Look(NamedTuple):
    """How the points and lines of a training are drawn; *line* in the words of matplotlib."""

    colour: str
    line: str


def of_trainings(settings: PlotSettings) -> dict[str, Look]:
    """Return the look of every training, by its name."""
    number = len(_TRAININGS)
    return {
        name: Look(_TRAININGS[index % number], _LINES[index // number % len(_LINES)])
        for index, name in enumerate(settings.trainings)
    }

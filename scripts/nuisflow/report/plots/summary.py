"""One page for those who read no more: the result, the comparison, what limits it, and what to be careful about."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from nuisflow.report.plots import style

_WIDTH, _HEIGHT = 8.27, 11.69
"""A4, in inches."""
_MARGIN = 0.75
_LETTER, _BOLD = 0.0073, 0.0083
"""Width of a letter in inches, per point of its size."""
_MOST_ROWS = 14
_PLACES = (0.0, 2.7, 3.35, 4.0, 4.75, 5.6, 5.75)
"""Where the columns of the comparison end, in inches from the margin; the first and the last begin there."""


class _Paper:
    """A page that is written from its top to its bottom."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(_WIDTH, _HEIGHT))
        self.y = _HEIGHT - _MARGIN

    def text(self, x: float, text: str, size: float, **look: Any) -> None:
        """Write *text* at *x* inches from the margin, at the current height."""
        place = ((_MARGIN + x) / _WIDTH, self.y / _HEIGHT)
        self.figure.text(*place, text, fontsize=size, va="top", **look)

    def paragraph(self, text: str, size: float = 9.5, *, room: float = 0.0, mark: str = "", **look: Any) -> bool:
        """Write *text* in as many lines as it needs; say whether there was space for it above *room* inches."""
        letter = _BOLD if look.get("weight") == "bold" else _LETTER
        kept = text.replace(" %", "\u00a0%").replace(" sd", "\u00a0sd").replace(" ± ", "\u00a0±\u00a0")
        lines = textwrap.wrap(kept, int((_WIDTH - 2 * _MARGIN - 0.15 * bool(mark)) / (letter * size)))
        height = 1.35 * size / 72
        if self.y - height * len(lines) < _MARGIN + room:
            return False
        if mark:
            self.text(0, mark, size)
        for line in lines:
            self.text(0.15 * bool(mark), line, size, **look)
            self.y -= height
        self.y -= 0.04
        return True

    def heading(self, text: str) -> None:
        """Write a heading."""
        self.y -= 0.12
        self.text(0, text, 11, weight="bold")
        self.y -= 0.26


def page(words: Mapping[str, Any]) -> Figure:
    """Return the page; *words*: the context of the report (`page.context`)."""
    paper = _Paper()
    paper.text(0, words["title"], 17, weight="bold")
    paper.y -= 0.36
    paper.text(0, f"{words['analysis']}: which training measures {words['poi']} best?", 9.5, color=style.FAINT)
    paper.y -= 0.3
    for index, sentence in enumerate(words["headline"]):
        paper.paragraph(sentence, 10.5 if index == 0 else 9.5, room=6.2, weight="bold" if index == 0 else "normal")
    rows = words["comparison"]["asimov"]
    if rows:
        paper.heading("Expected uncertainties")
        _table(paper, rows, words["poi"])
    for question, answer, room in (("What limits it?", words["limits"], 1.5), ("Does it cover?", words["covers"], 1.2)):
        if answer:
            paper.heading(question)
            paper.paragraph(answer, room=room)
    _cautions(paper, words["cautions"])
    place = (_MARGIN / _WIDTH, 0.5 * _MARGIN / _HEIGHT)
    paper.figure.text(*place, "All numbers, figures and their explanation: report.html", fontsize=8, color=style.FAINT)
    return paper.figure


def _table(paper: _Paper, rows: Sequence[Mapping[str, Any]], poi: str) -> None:
    """Write the comparison of the trainings, ranked."""
    head = ("training", f"σ({poi})", "stat.", "syst.", "MC stat.", "to the best", "really worse?")
    _row(paper, head, color=style.FAINT)
    for row in rows[:_MOST_ROWS]:
        verdict = " ".join(filter(None, (row["verdict"], row["deviations"].replace("–", ""))))
        cells = [row["label"][:30], *(row[name] for name in ("sigma", "sigma_stat", "sigma_syst", "sigma_mcstat"))]
        _row(paper, [*cells, row["relative"], verdict], weight="bold" if row is rows[0] else "normal")
    if len(rows) > _MOST_ROWS:
        paper.paragraph(f"{len(rows) - _MOST_ROWS} more in the report.", 8.5, color=style.FAINT)


def _row(paper: _Paper, cells: Sequence[str], **look: Any) -> None:
    for x, cell in zip(_PLACES, cells, strict=True):
        paper.text(x, cell, 8.5, ha="left" if x in (_PLACES[0], _PLACES[-1]) else "right", **look)
    paper.y -= 0.18


def _cautions(paper: _Paper, cautions: Sequence[Any]) -> None:
    """Write as many cautions as there is space for."""
    if not cautions:
        return
    paper.heading("Be careful")
    for index, caution in enumerate(cautions):
        if not paper.paragraph(f"{caution.text} {caution.remedy}", 8.5, room=0.2, mark="•"):
            paper.y = max(paper.y, _MARGIN + 0.2)
            paper.text(0, f"{len(cautions) - index} more in the report.", 8.5, color=style.FAINT)
            return

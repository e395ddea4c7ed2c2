"""Tests of the summary on one page."""

import pytest

from nuisflow.report.cautions import Caution
from nuisflow.report.plots import style, summary


def words(trainings=3, cautions=2, sentences=3):
    """Return what the report knows of this many trainings, cautions and sentences."""
    keys = ("sigma", "sigma_stat", "sigma_syst", "sigma_mcstat")
    rows = [
        {"label": f"Training {index}", "relative": "+3.5 %", "verdict": "undecided", "deviations": "0.4 sd"}
        | dict.fromkeys(keys, "0.258")
        for index in range(trainings)
    ]
    return {
        "title": "H→ττ",
        "analysis": "test",
        "poi": "μ",
        "headline": [f"Sentence {index} is about the result, and it takes more than a line of the page. " * 2 for index in range(sentences)],
        "comparison": {"asimov": rows},
        "limits": "Training 0, uncertainty by source: energy scales 0.16 (38 %)." if trainings else "",
        "covers": "68.3 % intervals contain the true value in 66.0 ± 0.3 % of pseudo-experiments." if trainings else "",
        "cautions": [Caution(f"Trouble {index} concerns several trainings at once.", "Do this.") for index in range(cautions)],
    }  # fmt: skip


def lines(figure):
    return [(text.get_text(), text.get_position()[1]) for text in figure.texts]


@pytest.mark.parametrize(("trainings", "cautions", "sentences"), [(3, 2, 3), (40, 60, 12), (1, 0, 1), (0, 1, 1)])
def test_everything_stays_on_the_page_and_what_is_left_out_is_counted(trainings, cautions, sentences):
    with style.applied():
        figure = summary.page(words(trainings, cautions, sentences))
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.texts]
    assert min(box.y0 for box in boxes) > 0
    assert max(box.x1 for box in boxes) < figure.bbox.width
    written = [text for text, _ in lines(figure)]
    listed = sum(text == "•" for text in written)
    if listed < cautions:
        assert f"{cautions - listed} more in the report." in written
    assert any("energy scales 0.16 (38" in text for text in written) == bool(trainings)


def test_lines_do_not_overlap():
    with style.applied():
        figure = summary.page(words(30, 40, 6))
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.texts]
    for index, one in enumerate(boxes):
        for other in boxes[:index]:
            apart = one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 + 1.5 or other.y1 <= one.y0 + 1.5
            assert apart, (one, other)

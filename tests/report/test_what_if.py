"""The part of the page that answers "what if?", in a browser too."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_results

from nuisflow.comparison import what_if as comparison
from nuisflow.comparison.trainings import Run
from nuisflow.inference.what_if import Information
from nuisflow.report import what_if
from nuisflow.report.page import __file__ as page_file
from nuisflow.slices.report import report

RNG = np.random.default_rng(5)
SOURCES = {"shift1": ["shift1"], "shift2": ["shift2"]}


def information():
    slopes = RNG.normal(size=(6, 3)) + np.array([2.0, 0.0, 0.0])
    weight = RNG.uniform(0.5, 2.0, 6)
    mixed = (slopes * weight[:, None]).T
    return Information(
        ("mu", "shift1", "shift2"), mixed @ slopes, mixed, weight, RNG.uniform(5, 9, 6), np.array([0.0, 1.0, 1.0])
    )


CORRELATION = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.7], [0.0, 0.7, 1.0]])


def runs():
    found = {}
    for name in ("nominal", "aware"):
        for seed in (1, 2):
            found[Run(name, seed)] = comparison.Fitted(float(RNG.uniform(0.2, 0.3)), information(), None)
    return found


RUNS = runs()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    analysis = synthetic_results.make(tmp_path_factory.mktemp("results"), variations=2, seeds=1, bins=4)
    names = {"nominal": "Nominal", "aware": "Aware"}
    return report(analysis.settings).model_copy(update={"trainings": names, "variations": {"shift1": "Scale <1>"}})


@pytest.fixture(scope="module")
def content():
    return json.loads(json.dumps(comparison.content(RUNS, SOURCES)))


def table(off=0.01):
    rows = [("nominal", 1, "shift1", scale, 0.2, 0.2 / (1 + off * scale)) for scale in (0.0, 0.5, 2.0, 3.0)]
    return pd.DataFrame([*rows, ("aware", 1, "shift1", 2.0, 0.3, np.nan)], columns=list(comparison.COLUMNS))


def test_the_sentence_says_the_largest_difference_to_exact_refits():
    assert "at most 2.0 %, at its ends by at most 3.0 %" in what_if.accuracy(table())


def test_trainings_that_were_not_refitted_are_named(settings):
    assert what_if.unrefitted(table(), settings) == ["Aware"]


def test_sentences_name_the_place_and_both_trainings(settings, content):
    change = {"source": "shift1", "side": "below", "scale": 0.7, "training": "nominal", "best": "aware"}
    change |= {"end": 0.0, "sigma": 0.18, "sigma_best": 0.2}
    (text,) = what_if.sentences({**content, "changes": [change]}, settings)
    assert text.startswith("Below 0.7 × today's size of the prior of “Scale <1>”, Nominal measures better than Aware")
    assert "10.0 % smaller" in text
    (text,) = what_if.sentences({**content, "changes": []}, settings)
    assert text.startswith("No single change")


def test_a_page_without_it_has_no_such_part(settings):
    assert what_if.section(None, None, settings) is None


def drawn(settings, content):
    """Return this part alone as a page."""
    import jinja2

    folder = Path(page_file).parent
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    body = '{% set colour = label %}<main>{% include "what_if.html" %}</main><script>{% include "page.js" %}</script>'
    return environment.from_string(body).render(
        what_if=what_if.section(content, table(), settings), poi="μ", label=lambda text: text
    )


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs the browser chromium")
@pytest.mark.parametrize("correlation", [None, CORRELATION], ids=["independent", "correlated"])
def test_the_browser_computes_what_python_does(settings, correlation, tmp_path):
    chosen = {
        run: fitted._replace(information=fitted.information._replace(correlation=correlation))
        for run, fitted in RUNS.items()
    }
    text = drawn(settings, json.loads(json.dumps(comparison.content(chosen, SOURCES))))
    for name, value in (("shift1", "2.5"), ("shift2", "0")):
        text = re.sub(rf'(name="{name}"[^>]*) value="1"', rf'\1 value="{value}"', text)
    text = text.replace('step="any" value="0"', f'step="any" value="{np.log10(3.0)}"')
    path = tmp_path / "page.html"
    path.write_text(f'<!DOCTYPE html><meta charset="utf-8">{text}')
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=1000", "--dump-dom"]
    dom = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    for name in ("nominal", "aware"):
        values = []
        for run, fitted in chosen.items():
            if run.training == name:
                there = comparison.what_if.uncertainty(fitted.information, {"shift1": 2.5, "shift2": 0.0}, 3.0)
                values.append(fitted.sigma * there / comparison.what_if.uncertainty(fitted.information))
        row = re.search(rf'data-training="{name}".*?</tr>', dom, re.DOTALL).group()
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
        assert float(cells[2]) == pytest.approx(np.median(values), abs=6e-4)


def test_own_code_of_the_page_is_at_most_250_lines():
    assert len((Path(page_file).parent / "page.js").read_text().splitlines()) <= 250

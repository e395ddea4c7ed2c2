"""Tests of the part of the report on features before any training."""

import re
from pathlib import Path

import numpy as np
import pytest
from analyses import FLAT, changed
from matplotlib.backends.backend_agg import FigureCanvasAgg

import plot_inputs
import write_inputs
from nuisflow.report.drawings import document, figure_key
from nuisflow.report.plots import inputs as plots
from nuisflow.report.plots import style
from nuisflow.report.review import inputs
from nuisflow.settings import sections
from nuisflow.settings.checks import reading
from nuisflow.slices import inputs as slices
from nuisflow.storage import files


def feature(name, *, data=None, p_value=0.5, **changes):
    """Return what `comparison.inputs` says of one feature."""
    found = {"chi2": 5.0, "ndof": 4, "p_value": p_value} if data else None
    total = np.array([40.0, 30.0, 20.0, 1.0])
    return {
        **{"feature": name, "low": 0.0, "high": 4.0, "bins": 4, "whole": False, "constant": False, "undefined": False},
        **{"samples": {"s": (0.1 * total).tolist(), "b": (0.9 * total).tolist()}, "total": total.tolist()},
        **{"error": (0.2 * total).tolist(), "simulation": (0.1 * total).tolist(), "separation": 0.2},
        **{"shifts": {"scale": [1.0, 2.0]}, "shapes": {"scale": [0.5, 0.7]}, "data": data, "without": found, "with": found},
        **changes,
    }  # fmt: skip


def content(*features, shown=False, correlations=None):
    row = {"process": "", "sample": "", "events": None, "effective": 9.0, "simulation": 1.0, "systematic": 2.0}
    yields = [row | {"kind": "total", "expected": 91.0}]
    return {"region": "signal", "shown": shown, "yields": yields, "features": list(features), "correlations": correlations or {}}  # fmt: skip


def words(*changes):
    chosen = changed(FLAT, ("variations", {"scale": {"kind": "rate", "size": 0.1, "label": "Energy scale"}}), *changes)
    return slices.words(reading.check(chosen, "test"))


def rendered(folder: Path, found, names):
    """Draw and write the page of one region; return its text."""
    place = folder / "inputs" / "regions" / "signal"
    files.write_json(place / "content.json", found)
    figures = [place / "figures" / f"{name}.svg" for name in names]
    drawn = [place / f"{name}.{kind}" for name in slices.TABLES for kind in ("svg", "pdf")]
    settings = sections.plain(words())
    plot_inputs.plot_inputs(place / "content.json", figures, place / "features.pdf", drawn, settings=settings)
    write_inputs.write_inputs(
        [place / "content.json"], [*figures, *drawn[::2]], folder / "inputs.html", settings=settings
    )
    return (folder / "inputs.html").read_text()


def test_the_page_shows_every_feature_with_words_for_those_who_do_not_see_it(tmp_path):
    seen = [50.0, 20.0, 22.0, 0.0]
    names = ["pt", "eta"]
    found = content(
        *(feature(name, data=seen) for name in names), shown=True, correlations={"signal": [[1, 0.97], [0.97, 1]]}
    )
    text = rendered(tmp_path, found, names)
    for page, name in enumerate(names, 1):
        assert f'aria-label="Expected events in bins of {name} from 0 to 4' in text
        assert f"inputs/regions/signal/features.pdf#page={page}" in text
    assert (tmp_path / "inputs/regions/signal/features.pdf").read_bytes().count(b"/Type /Page ") == 2
    assert "Energy scale" in text
    assert "pt and eta (signal)" in text
    linked = re.findall(r'href="(inputs/[^"#]+)', text)
    assert all((tmp_path / path).exists() for path in linked if not path.endswith(".csv"))


def test_the_figures_have_the_same_bytes_again(tmp_path):
    found = content(feature("pt"), feature("eta"), correlations={"background": [[1, 0.2], [0.2, 1]]})
    for folder in ("first", "second"):
        rendered(tmp_path / folder, found, ["pt", "eta"])
    first = [path for path in sorted((tmp_path / "first").rglob("*")) if path.is_file()]
    assert len(first) >= 6
    for path in first:
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes(), path


def test_a_feature_has_the_words_of_the_configuration_with_its_unit():
    chosen = words()
    chosen = chosen.model_copy(update={"plots": chosen.plots.model_copy(update={"features": {"pt": "pt [GeV]"}})})
    found = content(feature("pt"), feature("eta", constant=True))
    axes = [plots.feature(one, found, chosen).axes[1].get_xlabel() for one in found["features"]]
    assert axes == ["pt [GeV]", "eta (constant)"]


def test_the_longest_words_for_a_feature_are_not_cut():
    one = feature("transverse_mass_of_the_lepton_and_missing_momentum", undefined=True)
    with style.applied():
        figure = plots.feature(one, content(one), words())
        FigureCanvasAgg(figure).draw()
    box = figure.axes[1].xaxis.label.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_hundreds_of_features_and_of_variations_stay_readable(tmp_path):
    many = {f"variation_{index}": [0.1, 0.1] for index in range(300)}
    names = [f"feature_{index}" for index in range(200)]
    matrix = np.full((200, 200), 0.99).tolist()
    found = content(*(feature(name, shapes=many, shifts=many) for name in names), correlations={"signal": matrix})
    (section,) = inputs.sections({"signal": found}, words())
    assert len(section["rows"]) == inputs._MOST_FEATURES
    assert section["left"] == 100
    assert any("and 19888 more" in text for text in section["remarks"])
    assert len(slices.figures(reading.check(changed(FLAT, ("dataset.columns", ["w", *names]), ("features", names)), "t"))) == 36  # fmt: skip


def texts_of(figure):
    """Return the texts in the cells of a table, row by row, by the names of rows and columns."""
    axes = figure.axes[0]
    rows, columns = (
        [label.get_text() for label in labels] for labels in (axes.get_yticklabels(), axes.get_xticklabels())
    )
    places = {tuple(np.floor(text.get_position()[::-1]).astype(int)): text.get_text() for text in axes.texts}
    return {rows[row]: {columns[column]: text for (of, column), text in sorted(places.items()) if of == row} for row in range(len(rows))}  # fmt: skip


def test_what_moves_a_feature_is_told_by_the_larger_side_for_every_nuisance_parameter():
    shapes = {"scale": [0.5, 2.34], "quiet": [0.01, 0.0], "loud": [17.2, 3.0]}
    found = content(feature("pt", shapes=shapes), feature("eta", shapes=shapes | {"scale": [0.0, 0.0]}))
    expected = {"pt": {"Energy scale": "2.3", "loud": "17"}, "eta": {"loud": "17"}}
    assert texts_of(plots.sensitivity(found, words())) == expected


def test_of_hundreds_what_moves_most_is_shown_and_the_rest_counted():
    names = [f"feature_{index}" for index in range(50)]
    many = {f"variation_{index}": [0.1 + 0.01 * index, 0.0] for index in range(80)}
    found = content(*(feature(name, shapes=many) for name in names))
    figure = plots.sensitivity(found, words())
    shown = texts_of(figure)
    assert len(shown) == 30
    assert {tuple(row) for row in shown.values()} == {tuple(f"variation_{index}" for index in range(50, 80))}
    assert "20 features and 50 parameters with smaller changes are not shown" in figure.texts[0].get_text()


def test_what_is_missing_is_said(tmp_path):
    assert "No simulated event is in this region." in rendered(tmp_path, content(), ["pt"])
    assert (
        "nothing moves the features"
        in plots.sensitivity(content(feature("pt", shapes={})), words()).texts[0].get_text()
    )
    found = content(
        feature("pt", constant=True), feature("eta", undefined=True, data=[0.0] * 4, p_value=1e-9), shown=True
    )
    (section,) = inputs.sections({"signal": found}, words())
    text = " ".join(section["remarks"])
    assert "no data in this region, where 91 events are expected" in text
    assert "disagree" not in text  # in every feature, by the same lack of events
    assert "nothing can be learnt from it here: pt." in text
    assert "the first bin holds: eta." in text


def test_regions_without_data_and_features_without_variance_are_cautioned():
    same = feature("spin", constant=True)
    empty = content(feature("pt", data=[0.0] * 4), same, shown=True)
    (no_data, nothing) = inputs.cautions({"signal": empty}, words())
    label = words().regions["signal"][0]
    assert no_data.text == f"Regions without any data: {label}."
    expected = sum(empty["features"][0]["total"])
    assert no_data.details == (f"{label}: There are no data in this region, where {expected:.3g} events are expected.",)
    assert nothing.text.endswith("nothing can be learnt: spin.")
    assert not list(inputs.cautions({"signal": content(feature("pt", data=[0.0] * 4))}, words()))


def test_blinded_data_are_said_to_be_and_how_to_see_those_of_a_control_region():
    blinded = words(("samples.data", {"process": "data", "files": ["d.csv"]}))
    (section,) = inputs.sections({"signal": content(feature("pt"))}, blinded)
    assert "regions.signal.control: true" in section["remarks"][0]


def test_disagreement_is_marked_and_comes_first():
    found = content(feature("fine", data=[1.0] * 4), feature("bad", data=[1.0] * 4, p_value=1e-4), shown=True)
    (section,) = inputs.sections({"signal": found}, words())
    assert [row["feature"] for row in section["rows"]] == ["bad", "fine"]
    assert [row["off"] for row in section["rows"]] == [True, False]
    assert any("disagree" in text and "bad" in text for text in section["remarks"])


@pytest.mark.parametrize("name", ["figures/pt", *slices.TABLES])
def test_figures_of_regions_are_no_figures_of_trainings(name):
    owner, stem = figure_key(Path(f"results/a/inputs/regions/signal/{name}.svg"))
    assert owner == "inputs-signal"
    assert document(owner, stem).startswith("inputs/regions/signal/")

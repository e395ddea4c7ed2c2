import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic_results
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from compare_trainings import compare_trainings
from nuisflow.comparison import robustness
from nuisflow.comparison.trainings import undisplaced
from nuisflow.report import colours
from nuisflow.report.drawings import TIPS
from nuisflow.report.page import TABLES
from nuisflow.report.plots import fits, style, templates, trainings
from nuisflow.report.plots import robustness as plots_robustness
from nuisflow.report.plots.robustness import MOST
from nuisflow.settings import sections
from nuisflow.slices import report as shown
from nuisflow.slices.report import comparison
from nuisflow.storage import files


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    """Return a large analysis: many processes, variations and long names."""
    names = {
        f"training_{i}": {"strategy": "nominal", "label": f"a rather long name of training {i}"} for i in range(10)
    }
    return synthetic_results.make(
        tmp_path_factory.mktemp("results"),
        **{"trainings": names, "seeds": 2, "processes": 12, "variations": 40, "observed": True, "bins": 20},
    )


@pytest.fixture(scope="module")
def tables(analysis):
    paths = {name: analysis.folder / f"{name}.csv" for name in TABLES}
    compare_trainings(
        *(analysis.each(name) for name in ("fit.json", "history.csv", "scores.parquet")),
        analysis.events(),
        coverages=analysis.each("coverage.json"),
        impacts=analysis.each("impacts.csv"),
        outputs=paths,
        settings=sections.plain(comparison(analysis.settings)),
    )
    return {name: files.read_table(path) for name, path in paths.items()}


@pytest.fixture(scope="module")
def settings(analysis):
    return shown.plots(analysis.settings)


@pytest.fixture(scope="module")
def fit(analysis):
    return files.read_json(analysis.of("training_0", "fit.json"))


@pytest.fixture(scope="module")
def impacts(analysis):
    return files.read_table(analysis.of("training_0", "impacts.csv"))


@pytest.fixture(scope="module")
def histogram(analysis):
    return files.read_histograms(analysis.of("training_0", "templates.json"))["signal"]


@pytest.fixture(autouse=True)
def _styled():
    with style.applied():
        yield


def words(axes):
    return [text.get_text() for text in axes.texts]


def names_of_rows(axes):
    return [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]


def overlapping(texts, renderer):
    """Return the pairs of texts whose boxes overlap by more than a pixel."""
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_visible() and text.get_text()]
    return [
        (first, second)
        for first, second in itertools.combinations(boxes, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    ]


def check_labels(figure):
    """Assert that no labels of one axis overlap and that all stay on the page."""
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            labels = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            assert overlapping(labels, renderer) == []
        assert overlapping(axes.texts, renderer) == []
    page, found = figure.bbox, figure.get_tightbbox(renderer)
    assert found.x0 * figure.dpi > page.x0 - 2
    assert found.x1 * figure.dpi < page.x1 + 2
    assert found.y1 * figure.dpi < page.y1 + 2


# --- style ----------------------------------------------------------------------------------------------------------


def test_figures_have_the_same_bytes_every_time(impacts, settings, tmp_path):
    for name in ("a", "b"):
        style.save(fits.ranking(impacts, settings), [tmp_path / f"{name}.svg", tmp_path / f"{name}.pdf"])
    for suffix in ("svg", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()
    assert b"CreationDate" not in (tmp_path / "a.pdf").read_bytes()


def test_figures_do_not_depend_on_the_settings_of_the_user(tmp_path):
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        style.draw({"a": lambda: style.empty("nothing")}, [tmp_path / "a.svg"])
    style.draw({"a": lambda: style.empty("nothing")}, [tmp_path / "again" / "a.svg"])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "again" / "a.svg").read_bytes()


def test_an_unknown_figure_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no figure 'b'; known: a"):
        style.draw({"a": lambda: style.empty("")}, [tmp_path / "b.svg"])


def test_twelve_processes_have_twelve_colours(settings):
    assert len(set(style.colours(settings).values())) == 12


def test_a_chosen_colour_is_used(settings):
    process = settings.processes["ttbar"].model_copy(update={"color": "#123456"})
    changed = settings.model_copy(update={"processes": settings.processes | {"ttbar": process}})
    assert style.colours(changed)["ttbar"] == "#123456"


def test_bins_of_similar_width_are_drawn_to_scale():
    assert style.bins([0, 1, 2, 4]).edges.tolist() == [0, 1, 2, 4]
    assert style.bins([0, 1, 2, 4]).names is None


def test_crowded_bins_are_drawn_one_step_each_with_their_edges_named():
    chosen = style.bins([0, 0.001, 0.01, 0.1, 1])
    assert chosen.edges.tolist() == [0, 1, 2, 3, 4]
    assert chosen.names == ["0.000", "0.001", "0.010", "0.100", "1.000"]


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=60))
def test_the_first_and_the_last_edge_are_always_named(widths):
    edges = np.concatenate([[0], np.cumsum([*widths, 100 * max(widths)])])
    chosen = style.bins(edges)
    assert {0, len(edges) - 1} <= set(chosen.ticks)
    assert len(chosen.ticks) <= 7


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=8, unique=True))
def test_numbers_on_an_axis_can_be_told_apart(values):
    texts = style.decimals(np.array(values) / 1000)
    assert len(set(texts)) == len(values)


def test_parameters_have_words(settings):
    assert style.parameter_name("mu", settings) == "μ"
    assert style.parameter_name("energy_1", settings) == "energy scale 1"
    assert style.parameter_name("staterror_my_region[3]", settings) == "γ my region, bin 4"
    assert style.parameter_name("lumi", settings) == "luminosity"


def test_the_heading_states_luminosity_and_energy_as_far_as_known(settings):
    assert style.luminosity(settings) == "10 fb⁻¹ (13 TeV)"
    plots = settings.plots.model_copy(update={"luminosity": None})
    assert style.luminosity(settings.model_copy(update={"plots": plots})) == "(13 TeV)"


# --- comparison -----------------------------------------------------------------------------------------------------


def test_trainings_stand_in_the_order_of_the_configuration_and_every_seed_is_a_point(tables, settings):
    figure = trainings.uncertainties(tables["summary"], tables["trainings"], settings)
    ranked = tables["trainings"][tables["trainings"]["data"] == "asimov"]
    axes = figure.axes[0]
    assert names_of_rows(axes) == list(settings.trainings.values())
    assert sum(text.endswith("best") for text in words(figure.axes[-1])) == 1
    assert axes.yaxis_inverted()
    seeds = tables["summary"][(tables["summary"]["data"] == "asimov")]
    best = seeds.loc[seeds["training"] == ranked["training"].iloc[0], "sigma"]
    drawn = [tuple(line.get_xdata()) for line in axes.lines]
    assert tuple(best) in drawn


def test_a_single_training_is_not_called_the_best(tables, settings):
    name = next(iter(settings.trainings))
    summary, ranked = (table[table["training"] == name] for table in (tables["summary"], tables["trainings"]))
    figure = trainings.uncertainties(summary, ranked, settings)
    sigma = ranked.loc[ranked["data"] == "asimov", "sigma"].item()
    assert f"{sigma:#.3g}" in words(figure.axes[-1])


def test_all_panels_of_the_uncertainties_have_the_same_scale(tables, settings):
    figure = trainings.uncertainties(tables["summary"], tables["trainings"], settings)
    figure.draw_without_rendering()
    scales = [np.ptp(axes.get_xlim()) / axes.get_position().width for axes in figure.axes]
    assert scales == pytest.approx([scales[0]] * 4, rel=0.02)
    for axes in figure.axes:
        low, high = axes.get_xlim()
        points = np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() in "osD^"])
        assert low < points.min()
        assert points.max() < high


@pytest.mark.parametrize("name", ["uncertainties", "signal_strength", "coverage"])
def test_labels_of_ten_trainings_do_not_overlap(name, tables, settings):
    first = tables["coverage" if name == "coverage" else "summary"]
    check_labels(getattr(trainings, name)(first, tables["trainings"], settings))


def test_bias_and_width_are_drawn_for_shifts_and_weights_first_and_not_for_too_many_variations(tables, settings):
    points = plots_robustness.chosen(robustness.curves(tables["coverage"]))
    assert len(points) == MOST < 40
    assert all(name.startswith(("energy", "weight")) for name in points)
    figure = plots_robustness.figure(tables["coverage"], tables["trainings"], settings)
    assert len(figure.axes) == 2 * len(points)
    titles = [axes.get_title().replace("\n", " ") for axes in figure.axes[: len(points)]]
    assert titles == [robustness.label(name, settings) for name in points]


def test_the_lines_of_robustness_are_medians_over_seeds(tables, settings):
    curves = robustness.curves(tables["coverage"])
    name = plots_robustness.chosen(curves)[0]
    figure = plots_robustness.figure(tables["coverage"], tables["trainings"], settings)
    mine = curves[(curves["variation"] == name) & (curves["training"] == tables["trainings"]["training"].iloc[0])]
    expected = mine.groupby("z")["asimov_bias"].median()
    look = colours.of_trainings(settings)[tables["trainings"]["training"].iloc[0]]
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    (best,) = [line for line in lines if (line.get_color(), line.get_linestyle()) == look]
    assert best.get_xdata().tolist() == [-1, 0, 1]
    assert best.get_ydata() == pytest.approx(expected.to_numpy())
    assert expected[0] == 0


def test_the_legend_of_robustness_names_every_training_and_does_not_overlap(tables, settings):
    figure = plots_robustness.figure(tables["coverage"], tables["trainings"], settings)
    (legend,) = figure.legends
    FigureCanvasAgg(figure).draw()
    assert {text.get_text() for text in legend.get_texts()} == set(settings.trainings.values())
    renderer = figure.canvas.get_renderer()
    texts = [*legend.get_texts(), *(axes.title for axes in figure.axes[: len(figure.axes) // 2])]
    assert overlapping(texts, renderer) == []


def test_without_displaced_points_the_figure_of_robustness_says_so(tables, settings):
    coverage = undisplaced(tables["coverage"])
    figure = plots_robustness.figure(coverage, tables["trainings"], settings)
    assert "no true points away from nominal" in figure.texts[0].get_text()


def test_without_toys_the_figure_says_so(tables, settings):
    figure = trainings.coverage(tables["coverage"].iloc[:0], tables["trainings"], settings)
    assert figure.texts[0].get_text() == "No pseudo-experiments were thrown."


def test_without_a_converged_fit_the_figures_say_so(tables, settings):
    failed = tables["summary"].assign(converged=False)
    assert "converged" in trainings.uncertainties(failed, tables["trainings"], settings).texts[0].get_text()
    assert "converged" in trainings.signal_strength(failed, tables["trainings"], settings).texts[0].get_text()


def test_a_training_without_a_converged_fit_is_said_to_have_none(tables, settings):
    failed = list(settings.trainings)[1]
    summary = tables["summary"].assign(converged=tables["summary"]["training"] != failed)
    ranked = tables["trainings"].copy()
    ranked.loc[ranked["training"] == failed, ["sigma", "relative"]] = np.nan
    for figure in (trainings.uncertainties(summary, ranked, settings), trainings.signal_strength(summary, ranked, settings)):  # fmt: skip
        found = [text for axes in figure.axes for text in words(axes)]
        assert "no fit converged" in found
        assert not any("nan" in text for text in found)


def test_a_history_has_a_panel_per_term_and_marks_what_is_kept(tmp_path):
    table = synthetic_results._history("adversarial", np.random.default_rng(1))
    figure = trainings.history({1: table, 2: table})
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_visible()] == [
        *("loss", "classifier", "adversary", "AUC (validation)")
    ]
    kept = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in kept] == [[2.25]] * 4
    check_labels(figure)


def test_the_history_of_what_learns_nothing_is_words():
    table = pd.DataFrame({"fold": [0], "epoch": [1], "events_seen": [0], "train_loss": [np.nan], "auc": [0.7]})
    figure = trainings.history({1: table})
    assert not figure.axes
    assert figure.texts[0].get_text() == "nothing is learnt"


def test_a_history_of_trees_with_the_auc_of_one_round_only_is_drawn():
    table = pd.DataFrame(
        {"fold": 0, "events_seen": [1, 2, 3], "train_loss": [3.0, 2, 1], "validation_loss": [3.0, 2, 2.5]}
        | {"auc": [np.nan, 0.8, np.nan], "kept": [0.0, 1.0, 0.0]}
    )
    figure = trainings.history({1: table})
    assert figure.axes[1].lines[-1].get_ydata().tolist() == [0.8]


# --- templates ------------------------------------------------------------------------------------------------------


def test_the_stack_adds_up_to_the_total(fit, settings):
    figure = templates.stacked(fit, "signal", settings)
    yields = fit["observed"]["yields"]["prefit"]["signal"]
    steps = [patch.get_data() for patch in figure.axes[0].patches if hasattr(patch, "get_data")]
    stack = steps[: len(settings.processes)]
    assert stack[-1].values == pytest.approx(yields["total"])
    for lower, upper in itertools.pairwise(stack):
        assert upper.baseline == pytest.approx(lower.values)
    assert stack[-1].values - stack[-1].baseline == pytest.approx(yields["samples"]["htautau"])


def told(axes):
    """Return the words for areas of *axes* with their left and right ends."""
    (areas,) = [one for one in axes.collections if str(one.get_gid()).startswith(TIPS)]
    texts = areas.get_gid().removeprefix(TIPS).split("|")
    return [(path.vertices[:, 0].min(), path.vertices[:, 0].max(), text) for path, text in zip(areas.get_paths(), texts, strict=True)]  # fmt: skip


def test_every_bin_of_a_stack_tells_its_edges_and_contents_whatever_its_width_in_the_figure(fit, settings):
    figure = templates.stacked(fit, "signal", settings)
    yields = fit["observed"]["yields"]["prefit"]["signal"]
    place, edges = 3, yields["edges"]
    upper, lower = told(figure.axes[0]), told(figure.axes[2])
    assert len(upper) == len(edges) - 1
    assert upper == lower
    left, right, text = upper[place]
    assert (left, right) == (place, place + 1)  # bins not to scale: one step each
    first, data, total, *processes = text.split("; ")
    assert first == f"score {edges[place]:.4g} to {edges[place + 1]:.4g}"
    assert data == f"data: {yields['data'][place]:g}"
    assert total == f"total: {yields['total'][place]:.0f} ± {yields['error'][place]:.0f}"
    assert f"H→ττ: {yields['samples']['htautau'][place]:.4g}" in processes
    assert len(processes) == len(yields["samples"])


def test_the_rows_of_the_ranking_tell_their_impacts(impacts, settings):
    _, right = fits.ranking(impacts, settings).axes
    left, end, text = told(right)[0]
    table = impacts[impacts["data"] == "asimov"]
    row = table.loc[table[["impact_up", "impact_down"]].abs().max(axis=1).idxmax()]
    assert f"postfit +1σ {row['impact_up']:+.3g}, −1σ {row['impact_down']:+.3g}".replace("-", "−") in text
    assert (left, end) == right.get_xlim()


def test_cells_of_correlations_too_small_for_numbers_tell_theirs(settings):
    names = ["mu", *(f"parameter_{i}" for i in range(20))]
    matrix = np.eye(len(names)) + 0.5 * (np.ones((len(names),) * 2) - np.eye(len(names)))
    figure = fits.correlations({"asimov": {"correlation": {"names": names, "matrix": matrix}}}, settings)
    texts = [text for *_, text in told(figure.axes[0])]
    assert len(texts) == len(names) ** 2
    assert texts[:2] == ["μ, μ: 100 %", "μ, parameter_0: 50 %"]


def test_observed_data_are_points_with_poisson_errors(fit, settings):
    figure = templates.stacked(fit, "signal", settings)
    points = figure.axes[0].containers[0]
    assert points[0].get_ydata() == pytest.approx(fit["observed"]["yields"]["prefit"]["signal"]["data"])
    assert figure.legends[0].get_texts()[0].get_text() == "data"


def test_data_beyond_a_ratio_panel_are_arrows_at_its_edge_and_others_are_not(settings):
    fit = small([5.0, 5.0, 5.0, 0.0], [15.0, 15.0, 15.0, 0.0])
    for stage in fit["asimov"]["yields"].values():
        stage["signal"]["data"] = [90, 22, 0, 3]
    figure = templates.stacked({"observed": fit["asimov"]}, "signal", settings)
    axes = figure.axes[2]
    assert axes.get_ylim() == pytest.approx((-0.05, 2.05))
    arrows = {line.get_marker(): line for line in axes.lines if line.get_marker() in (6, 7)}
    assert arrows[6].get_xdata().tolist() == [0.5, 3.5]  # far above, and where nothing is expected
    assert set(arrows[6].get_ydata()) == {axes.get_ylim()[1]}
    assert not arrows[6].get_clip_on()
    assert 7 not in arrows  # a bin without data is a point at 0


def test_the_panels_of_a_stack_fill_the_figure_with_and_without_arrows(fit, settings):
    for content in (fit, {"observed": None, "asimov": fit["asimov"]}):
        figure = templates.stacked(content, "signal", settings)
        figure.draw_without_rendering()
        assert sum(axes.get_position().width for axes in figure.axes[:2]) > 0.5


def test_a_training_has_one_colour_in_all_figures(tables, settings):
    looks = colours.of_trainings(settings)
    assert len({(look.colour, look.line) for look in looks.values()}) == len(looks)
    figures = [
        trainings.uncertainties(tables["summary"], tables["trainings"], settings),
        trainings.signal_strength(tables["summary"], tables["trainings"], settings),
        trainings.coverage(undisplaced(tables["coverage"]), tables["trainings"], settings),
        plots_robustness.figure(tables["coverage"], tables["trainings"], settings),
    ]
    expected = {look.colour for look in looks.values()}
    for figure in figures:
        drawn = {line.get_color() for axes in figure.axes for line in axes.lines if line.get_marker() != "None"}
        drawn |= {line.get_color() for axes in figure.axes for line in axes.lines if len(line.get_xdata()) > 2}
        assert expected <= drawn


@pytest.mark.parametrize(("blinded", "word"), [(True, "blinded"), (False, "expected")])
def test_without_observed_data_none_are_shown_and_the_heading_says_why(fit, settings, blinded, word):
    chosen = settings.model_copy(update={"blinded": blinded})
    figure = templates.stacked(fit | {"observed": None}, "signal", chosen)
    assert not figure.axes[0].containers
    assert word in words(figure.axes[0])
    assert "data" not in [text.get_text() for text in figure.legends[0].get_texts()]


def small(signal, background):
    """Return a fit with one bin count per entry of *signal* and *background*."""
    total = np.add(signal, background)
    yields = {"edges": list(range(len(total) + 1)), "samples": {"htautau": signal, "ztautau": background}}
    yields |= {"total": list(total), "error": list(0.1 * total), "data": list(total)}
    return {"asimov": {"yields": {"prefit": {"signal": yields}, "postfit": {"signal": yields}}}, "observed": None}


@pytest.mark.parametrize(
    ("signal", "background", "scale"),
    [([5, 5], [20, 10], "linear"), ([5, 5], [2000, 10], "log"), ([1, 1.5], [99, 90], "log")],
)
def test_the_axis_is_logarithmic_when_something_would_not_be_seen(signal, background, scale, settings):
    axes = templates.stacked(small(signal, background), "signal", settings).axes[0]
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low < min(signal)
    assert high > np.max(np.add(signal, background))


def test_empty_bins_and_processes_are_drawn(settings, tmp_path):
    figure = templates.stacked(small([0.0, 0.0], [0.0, 3.0]), "signal", settings)
    style.save(figure, [tmp_path / "empty.svg"])


def test_a_region_that_is_not_in_the_fit_is_said_to_be_missing(fit, settings):
    assert "No yields of other" in templates.stacked(fit, "other", settings).texts[0].get_text()


def test_the_most_important_variations_come_first_and_the_others_are_counted(histogram, settings):
    importance = {"weight_3": 0.9, "energy_2": 0.5}
    figure = templates.variations(histogram, "signal", importance, settings)
    (axes,) = figure.axes
    assert names_of_rows(axes)[:2] == ["weight 3", "energy scale 2"]
    assert len(names_of_rows(axes)) == 10
    assert axes.get_xlabel().endswith("17 more variations and 6 more processes not shown")
    check_labels(figure)


def test_variations_are_drawn_relative_to_nominal(tmp_path):
    made = synthetic_results.make(
        tmp_path, trainings={"nominal": {"strategy": "nominal"}}, seeds=1, variations=1, bins=4
    )
    histogram = files.read_histograms(made.of("nominal", "templates.json"))["signal"]
    for side, factor in (("up", 1.1), ("down", 0.95)):
        index = histogram.axes["variation"].index(f"energy_1_{side}")
        histogram.view()["value"][:, index, :] = factor * histogram.view()["value"][:, 0, :]
    histogram.view()["value"][1, 1:, :] = histogram.view()["value"][1, 0, :]
    figure = templates.variations(histogram, "signal", {}, shown.plots(made.settings))
    axes = figure.axes[0]
    (limit,) = [float(text.split()[1]) for text in words(axes) if text.startswith("±")]
    assert 10 <= limit <= 12
    first = [collection.get_segments()[0] for collection in axes.collections[2:4]]
    zero = axes.collections[1].get_segments()[0][0, 1]
    offsets = [zero - segment[:, 1] for segment in first]
    assert offsets[0] == pytest.approx(-2 * offsets[1])
    assert len(axes.collections[2].get_segments()) == 3


def test_bins_beyond_the_range_of_their_row_are_marked(tmp_path):
    made = synthetic_results.make(
        tmp_path, trainings={"nominal": {"strategy": "nominal"}}, seeds=1, variations=1, bins=40
    )
    histogram = files.read_histograms(made.of("nominal", "templates.json"))["signal"]
    values = histogram.view()["value"]
    for side, factor in (("up", 1.1), ("down", 0.9)):
        values[:, histogram.axes["variation"].index(f"energy_1_{side}"), :] = factor * values[:, 0, :]
    chosen = shown.plots(made.settings)
    plain = len(templates.variations(histogram, "signal", {}, chosen).axes[0].collections)
    values[0, histogram.axes["variation"].index("energy_1_up"), 7] *= 3
    marks = templates.variations(histogram, "signal", {}, chosen).axes[0].collections[plain - 1 : -1]
    (place,) = [mark.get_offsets()[0] for mark in marks]
    low, high = 0.04 + 0.92 * 7 / 40, 0.04 + 0.92 * 8 / 40
    assert place[0] == pytest.approx((low + high) / 2, abs=0.01)
    assert place[1] < 0.1  # at the upper end of the first row


def test_bins_of_fewer_than_four_effective_events_do_not_set_the_range(tmp_path):
    made = synthetic_results.make(
        tmp_path, trainings={"nominal": {"strategy": "nominal"}}, seeds=1, variations=1, bins=4
    )
    histogram = files.read_histograms(made.of("nominal", "templates.json"))["signal"]
    content = histogram.view()
    for side, factor in (("up", 1.1), ("down", 0.9)):
        content["value"][:, histogram.axes["variation"].index(f"energy_1_{side}"), :] = (
            factor * content["value"][:, 0, :]
        )
    content["value"][0, 0, 0], content["variance"][0, 0, 0] = 3.0, 3.0
    content["value"][0, 1:, 0] = 30.0
    axes = templates.variations(histogram, "signal", {}, shown.plots(made.settings)).axes[0]
    (limit,) = [text for text in words(axes) if text.startswith("±")]
    assert limit == "± 12 %"  # 1.15 times 10 %


def test_a_process_without_effect_is_marked(histogram, settings):
    figure = templates.variations(histogram, "signal", {"energy_1": 1.0, "weight_1": 0.5}, settings)
    assert "no effect" in words(figure.axes[0])


def test_a_region_that_nothing_changes_is_said_so(histogram, settings):
    chosen = settings.model_copy(update={"variations": {}})
    said = templates.variations(histogram, "signal", {}, chosen).texts[0].get_text()
    assert said == f"No variation changes the templates of {settings.regions['signal'][0]}."


# --- fits -----------------------------------------------------------------------------------------------------------


def test_forty_pulls_can_be_read(fit, settings):
    figure = fits.pulls(fit, settings)
    axes, bins = figure.axes
    assert len(names_of_rows(axes)) == 41
    assert not any(name.startswith("γ") for name in names_of_rows(axes))
    observed = axes.containers[1][0].get_xdata()
    assert observed == pytest.approx([p["pull"] for p in fit["observed"]["parameters"][1:41]])
    assert len(bins.containers[0][0].get_xdata()) == 20
    check_labels(figure)


def test_parameters_without_constraint_are_written_as_numbers(fit, settings):
    axes = fits.pulls(fit, settings).axes[0]
    mu = fit["observed"]["parameters"][0]
    assert 0.1 < mu["error"] < 0.995  # two digits are two decimals
    assert f"{mu['value']:.2f} ± {mu['error']:.2f}" in words(axes)


def test_pulls_without_mc_statistics_have_one_panel(fit, settings):
    asimov = dict(fit["asimov"], parameters=fit["asimov"]["parameters"][:5])
    assert len(fits.pulls({"asimov": asimov, "observed": None}, settings).axes) == 1


def test_the_ranking_has_the_twenty_largest_impacts_in_order(impacts, settings):
    figure = fits.ranking(impacts, settings)
    chosen = impacts[impacts["data"] == "observed"].copy()
    chosen["size"] = chosen[["impact_up", "impact_down"]].abs().max(axis=1)
    chosen = chosen.sort_values("size", ascending=False)
    assert names_of_rows(figure.axes[0]) == [style.parameter_name(name, settings) for name in chosen["parameter"][:20]]
    filled = figure.axes[1].containers[1]
    assert [bar.get_width() for bar in filled] == pytest.approx(list(chosen["impact_up"][:20]))
    check_labels(figure)


def test_a_huge_prefit_impact_becomes_an_arrow(settings):
    row = {
        "data": "asimov",
        "parameter": "energy_1",
        "impact_up": 0.1,
        "impact_down": -0.1,
        "pull": 0.0,
        "constraint": 0.1,
    }
    figure = fits.ranking(pd.DataFrame([row | {"prefit_up": 3.0, "prefit_down": -0.2}]), settings)
    axes = figure.axes[1]
    assert axes.get_xlim()[1] < 0.5
    assert [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">")] == [">"]


def test_parameters_without_prior_are_ranked_too(settings, tmp_path):
    row = {
        "data": "asimov",
        "parameter": "rate",
        "impact_up": 0.1,
        "impact_down": -0.1,
        "pull": np.nan,
        "constraint": np.nan,
    }
    figure = fits.ranking(pd.DataFrame([row | {"prefit_up": np.nan, "prefit_down": np.nan}]), settings)
    assert "free" in words(figure.axes[0])
    style.save(figure, [tmp_path / "ranking.svg"])


def test_correlations_begin_with_the_parameter_of_interest_and_leave_bins_out(fit, settings):
    figure = fits.correlations(fit, settings)
    names = names_of_rows(figure.axes[0])
    assert names[0] == "μ"
    assert len(names) == 25
    assert not any(name.startswith("γ") for name in names)
    assert figure.axes[0].get_xlabel().startswith("16 less correlated")
    check_labels(figure)


def test_one_parameter_alone_has_no_correlations(settings):
    figure = fits.correlations({"asimov": {"correlation": {"names": ["mu", "gamma[0]"], "matrix": np.eye(2)}}}, settings)  # fmt: skip
    assert figure.texts[0].get_text() == "μ is the only parameter beside the bins: no correlations."


def test_few_correlations_are_written_into_their_cells(settings):
    correlation = {"names": ["energy_1", "mu"], "matrix": [[1, -0.456], [-0.456, 1]]}
    axes = fits.correlations({"asimov": {"correlation": correlation}}, settings).axes[0]
    assert [text for text in words(axes) if text in ("100", "−46")] == ["100", "−46", "−46", "100"]


def test_the_legend_of_a_scan_stands_on_no_curve(analysis, settings):
    with style.applied():
        figure = fits.scan(files.read_table(analysis.of("training_0", "scan.csv")), settings)
        FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 < figure.axes[0].get_window_extent().y0


def test_a_scan_shows_expected_and_observed(analysis, settings):
    table = files.read_table(analysis.of("training_0", "scan.csv"))
    axes = fits.scan(table, settings).axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert [line.get_label() for line in curves] == ["expected (Asimov data)", "observed data"]
    low, high = axes.get_xlim()
    reached = table[table["delta"] < 9]
    assert low < reached["mu"].min()
    assert reached["mu"].max() < high


def test_every_figure_is_a_figure(fit, impacts, settings):
    assert isinstance(fits.ranking(impacts.iloc[:0], settings), Figure)
    assert isinstance(fits.scan(pd.DataFrame({"data": [], "mu": [], "delta": []}), settings), Figure)

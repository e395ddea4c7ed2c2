import html.parser
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_results
from matplotlib.figure import Figure

from compare_trainings import compare_trainings
from nuisflow.comparison.trainings import EPISTEMIC, Run, by_run, run_of
from nuisflow.inference import interval_scores
from nuisflow.likelihood.coverage.maps import Map
from nuisflow.likelihood.coverage.summary import summary
from nuisflow.report import bootstrap as bootstrap_tables
from nuisflow.report import tables, yields
from nuisflow.report.drawings import _THEME, TIPS, document, figure_key, inline
from nuisflow.report.page import (
    TABLES,
    Material,
    __file__,
    bound,
    budget_rows,
    comparison_rows,
    context,
    note_groups,
    render,
)
from nuisflow.report.plots import bootstrap, coverage_map, fits, style, trainings
from nuisflow.report.review import coverage_map as coverage_tables
from nuisflow.settings import sections
from nuisflow.slices.report import comparison, report
from nuisflow.storage import files

TEMPLATE = Path(__file__).with_name("report_template.html").read_text()
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Collects what a browser would see, and checks that elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.references, self.outside, self.text = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                (self.references if value.startswith("#") else self.outside).append(value)
            self.references += [f"#{used}" for used in re.findall(r"url\(#([^)]+)\)", value or "")]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return synthetic_results.make(
        tmp_path_factory.mktemp("results"), variations=3, seeds=2, bins=6, observed=True, regions=("signal", "control")
    )


@pytest.fixture(scope="module")
def settings(analysis):
    return report(analysis.settings)


@pytest.fixture(scope="module")
def material(analysis, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    paths = {name: folder / f"{name}.csv" for name in TABLES}
    compare_trainings(
        *(analysis.each(name) for name in ("fit.json", "history.csv", "scores.parquet")),
        analysis.events(),
        coverages=analysis.each("coverage.json"),
        impacts=analysis.each("impacts.csv"),
        outputs=paths,
        settings=sections.plain(comparison(analysis.settings)),
    )
    tables = {name: files.read_table(path) for name, path in paths.items()}
    results = {run: files.read_json(path) for run, path in by_run(analysis.each("fit.json")).items()}
    makers = {
        "uncertainties": lambda: trainings.uncertainties(tables["summary"], tables["trainings"], settings),
        "pulls": lambda: fits.pulls(results[Run("nominal", 1)], settings),
    }
    style.draw(makers, [folder / "uncertainties.svg", folder / "pulls.svg"])
    pulls = (folder / "pulls.svg").read_text()
    return Material(
        tables=tables,
        fits=results,
        notes=[
            (run_of(path), note) for path in analysis.each("templates_notes.json") for note in files.read_json(path)
        ],
        figures={("comparison", "uncertainties"): (folder / "uncertainties.svg").read_text()}
        | {(name, "pulls"): pulls for name in settings.trainings},
    )


@pytest.fixture(scope="module")
def text(material, settings):
    return render(TEMPLATE, material, settings)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_needs_nothing_from_outside(page, text):
    linked = {
        place for place in page.outside if re.fullmatch(r"(comparison|trainings)/[a-z0-9_/]+\.(csv|pdf|json)", place)
    }
    assert set(page.outside) == linked  # files beside the page, which it can be read without
    assert not re.search(r"@import|url\((?!#)|<link|<iframe|https?://", text.replace("http://www.w3.org", ""))


def test_ids_are_unique_and_every_reference_has_its_target(page, text):
    assert len(page.ids) == len(set(page.ids))
    used = {place[1:] for place in page.references} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(page.ids)


def test_the_page_is_the_same_every_time(text, material, settings):
    assert render(TEMPLATE, material, settings) == text


def test_every_training_has_its_row_and_section(page, settings):
    assert {f"training-{name}" for name in settings.trainings} <= set(page.ids)
    words = " ".join(page.text)
    for label in settings.trainings.values():
        assert words.count(label) >= 5


def test_the_headline_comes_before_everything_else(text):
    first = (
        "Observed: μ = ",
        "smallest expected uncertainty",
        'id="observed"',
        'id="comparison"',
        "<svg",
        'id="budgets"',
    )
    places = [text.index(part) for part in first]
    places += [
        text.index(f'id="{part}"') for part in ("tests", "breakdown", "trainings", "yields", "notes", "configuration")
    ]
    assert places == sorted(places)


def test_pseudo_experiments_at_random_true_values_have_their_section(material, settings, text, tmp_path):
    assert 'id="bootstrap"' not in text
    random, scores = np.random.default_rng(1), {}
    for name in list(settings.trainings)[:-1]:
        for seed in (1, 2):
            true = np.repeat(random.uniform(0.1, 3, 4), 25)
            value = true + random.normal(0, 0.2, 100)
            found = interval_scores.measurements(np.repeat(range(4), 25), true, value, (value - 0.2, value + 0.2))
            expectation = {"expectation": {"mu_hat": 1.01, "p16": 0.9, "p84": 1.1}}
            scores[Run(name, seed)] = interval_scores.summary(found) | expectation
    table = bootstrap_tables.table(scores, settings)
    assert len(table) == len(scores)
    asked = {"sets": 4, "number": 25, "mu": [0.1, 3.0], "share": 0.3}
    configured = settings.model_copy(update={"configuration": settings.configuration | {"toys": {"bootstrap": asked}}})
    style.draw({"bootstrap": lambda: bootstrap.figure(table, settings)}, [path := tmp_path / "bootstrap.svg"])
    drawn = material.figures | {("comparison", "bootstrap"): path.read_text()}
    shown = render(
        TEMPLATE, material._replace(tables=material.tables | {"bootstrap": table}, figures=drawn), configured
    )
    words = " ".join(" ".join(Page(shown).text).split())
    first = table[table["training"] == table["training"][0]]
    assert f"{100 * first['coverage'].mean():.1f} ± {100 * first['coverage_error'].mean():.1f} %" in words
    assert "4 sets of 25 pseudo-experiments" in words
    assert f"Not here, since their likelihood is not one workspace: {list(settings.trainings.values())[-1]}." in words


def test_the_coverage_map_has_its_section(material, settings, text, tmp_path):
    assert 'id="coverage-map"' not in text
    random, found = np.random.default_rng(1), {}
    yes = np.ones(20_000, dtype=bool)
    for name in list(settings.trainings)[:-1]:
        points = np.column_stack([random.uniform(0.5, 1.5, 20_000), random.standard_normal((20_000, 2))])
        covered = random.random(20_000) < np.where(points[:, 1] > 1.5, 0.4, 0.68)
        found[Run(name, 1)] = summary(Map((settings.poi, "tes", "jes"), (0.5, 1.5), points, covered, yes, yes, 0))
    table = coverage_tables.table(found, settings)
    style.draw({"map": lambda: coverage_map.figure(found, settings)}, [path := tmp_path / "map.svg"])
    drawn = material.figures | {("comparison", "coverage_map"): path.read_text()}
    tables = material.tables | {"coverage_map": table}
    shown = render(TEMPLATE, material._replace(tables=tables, figures=drawn), settings)
    words = " ".join(" ".join(Page(shown).text).split())
    first = next(iter(found.values()))
    assert "tes above 1.5 σ" in words
    share, error = first["worst"]["coverage"], first["worst"]["coverage_high"] - first["worst"]["coverage_low"]
    assert f"{100 * share:.1f} ± {50 * error:.1f} %" in words
    assert f"chosen among {first['worst']['considered']} cells" in words
    assert f"Not here, since their likelihood is not one workspace: {list(settings.trainings.values())[-1]}." in words


def test_what_a_reviewer_asks_is_answered_or_said_to_be_missing(material, settings):
    names = list(settings.trainings)
    point = {"seed": 1, "coverage_error": 0.001, "coverage_background": 0.9, "size": 1.2, "empty": 0.0}
    sets = [{"training": name, "variation": of, "point": of or "nominal", "z": z, "coverage": 0.9 - z / 50, "coverage_signal": 0.9 - z / 25} | point for name in names for of, z in (("", 0), ("energy_1", 1))]  # fmt: skip
    known = {"training": names[0], "seed": 1, "fold": 2, "auc": 0.8, "auc_trained": 0.8, "p_value_signal": 0.5, "p_value_background": 0.5}  # fmt: skip
    seen = {"name": "energy_1_up", "variation": "energy_1", "z": 1, "auc": 0.51, "error": 0.002, "significance": 5.0}
    found = {"conformal": pd.DataFrame(sets), "classifiers": pd.DataFrame([known])}
    found["visibility"] = pd.DataFrame([seen | {"feature": "PRI_had_pt"}])
    words = " ".join(Page(render(TEMPLATE, material._replace(tables={**material.tables, **found}), settings)).text)
    assert "for the signal, 4.0\u00a0% (nominal)" in words
    assert "visible (5.0\u00a0sd)" in words
    assert "No training has members" in words
    assert "Network by network" in words
    assert "permuted_events: 60000" in words
    permuted = pd.DataFrame([("nominal", 1, None, 0.2, 0.1), ("nominal", 1, "PRI_had_pt", 0.3, 0.2)], columns=["training", "seed", "feature", "sigma", "syst"])  # fmt: skip
    members = {"training": "nominal", "seed": 1, "members": 5, "feature": "PRI_had_pt"} | dict.fromkeys(("total", "aleatoric", "epistemic", "epistemic_signal", "epistemic_background", "with_distance", "with_feature"), 0.1)  # fmt: skip
    found |= {"permutation": permuted, "epistemic": pd.DataFrame([members])}
    words = " ".join(Page(render(TEMPLATE, material._replace(tables={**material.tables, **found}), settings)).text)
    assert "+50\u00a0% (+0.100)" in words
    assert "PRI_had_pt (10\u00a0%)" in words


def test_numbers_of_the_table_are_those_of_the_ranking(page, material):
    ranked = material.tables["trainings"]
    best = ranked[ranked["data"] == "asimov"].iloc[0]
    words = " ".join(" ".join(page.text).split())
    assert f"{best['sigma']:.3f} ± " in words
    assert f"{best['auc']:.3f}" in words


def test_labels_of_the_user_are_text_and_never_markup(material, settings):
    evil = "<script>alert(1)</script>"
    chosen = settings.model_copy(update={"trainings": settings.trainings | {"nominal": evil}})
    tables = dict(material.tables)
    tables["trainings"] = tables["trainings"].replace("nominal", evil).assign(training=tables["trainings"]["training"])
    found = render(TEMPLATE, material._replace(tables=tables), chosen)
    assert evil not in found
    assert "&lt;script&gt;alert" in found


def test_a_figure_is_wide_enough_for_its_smallest_letters():
    def least(size):
        svg = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 50">
            <text style="font: italic {size}px 'DejaVu Sans'">a</text><text style="font-size: 12px">b</text></svg>"""
        return float(re.search(r"min-width:(\d+)pt", inline(svg, "", {}))[1])

    assert [least(size) for size in (9, 6, 5, 1)] == [80, 100, 120, 134]  # 6 points of the page, as wide as may be


def test_numbers_stay_with_their_units_in_text_and_nowhere_else():
    assert bound("<p>68 % (1.5 sd), +2 σ<br>7 %</p>") == "<p>68\u00a0% (1.5\u00a0sd), +2\u00a0σ<br>7\u00a0%</p>"
    for kept in ('<a title="68 % of all">x</a>', "<pre>a: 68 % b</pre>", "<script>x = 68 % y;</script>", "3 sdx"):
        assert bound(kept) == kept


def test_the_first_screen_says_what_limits_the_best_and_whether_intervals_cover(material, settings, text):
    screen = text[: text.index('id="comparison"')].replace("\u00a0", " ")
    best = material.tables["trainings"].query("data == 'asimov'").iloc[0]
    sources = material.tables["breakdown"].query("data == 'asimov' and training == @best.training")
    sigma = sources.groupby("group")["sigma"].median().drop(EPISTEMIC, errors="ignore")
    largest = sigma.idxmax()
    share = 100 * (sigma[largest] / best["sigma"]) ** 2
    told = f"{best['label']}, uncertainty by source and its share of the variance: {largest} {sigma[largest]:.3f} ({share:.0f} %)"  # fmt: skip
    assert told in screen
    assert "At nominal, 68.3 % intervals contain the true value in" in screen
    untested = {**material.tables, "coverage": material.tables["coverage"].iloc[:0]}
    bare = render(TEMPLATE, material._replace(tables=untested), settings)
    assert "Not known: no pseudo-experiments at nominal (toys.number)." in bare[: bare.index('id="comparison"')]


def test_figures_follow_the_theme_of_the_page(text):
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert drawings
    for colour in (style.INK, style.PAPER, style.FAINT):
        assert colour not in drawings
    assert "currentColor" in text
    assert "prefers-color-scheme: dark" in text


def test_the_theme_knows_the_colours_of_the_figures():
    assert list(_THEME) == [style.INK, style.PAPER, style.FAINT, style.VIOLET, style.RED]


def test_a_note_of_all_runs_stands_once_and_one_of_some_says_where(material, settings):
    groups = {group["kind"]: group for group in note_groups(material, settings)}
    (merged,) = groups["merged"]["rows"]
    assert (merged["where"], merged["bin"]) == ("all", "12")
    (side,) = groups["same side"]["rows"]
    assert side["where"] == ", ".join(f"{label} (seed 1)" for label in settings.trainings.values())


def test_very_many_notes_are_cut_and_counted(material, settings):
    notes = [
        (
            Run("nominal", 1),
            {"kind": "pruned", "region": "", "process": "", "variation": f"v{i}", "bin": "", "text": ""},
        )
        for i in range(500)
    ]
    (group,) = note_groups(material._replace(notes=notes), settings)
    assert (group["count"], len(group["rows"])) == (500, 200)
    assert "300 more in templates_notes.json" in render(TEMPLATE, material._replace(notes=notes), settings)


def test_without_coverage_notes_or_figures_the_page_still_stands(material, settings):
    tables = dict(material.tables) | {"coverage": material.tables["coverage"].iloc[:0]}
    bare = render(TEMPLATE, material._replace(tables=tables, notes=[], figures={}), settings)
    page = Page(bare)
    assert "coverage" not in page.ids
    assert "Nothing was merged" in bare
    assert "<svg" not in bare


def test_expected_results_alone_have_no_section_of_data(material, settings):
    tables = {
        name: table[table["data"] == "asimov"] if "data" in table else table for name, table in material.tables.items()
    }
    fits = {run: fit | {"observed": None} for run, fit in material.fits.items()}
    found = Page(render(TEMPLATE, material._replace(tables=tables, fits=fits), settings))
    assert "observed" not in found.ids


def test_budgets_that_differ_are_pointed_out(material, settings):
    same = budget_rows(material.tables["trainings"], settings)
    assert same["matched"]
    configuration = settings.configuration | {
        "trainings": settings.configuration["trainings"] | {"trees": {"strategy": "boosted_trees", "events_seen": 5}}
    }
    other = budget_rows(material.tables["trainings"], settings.model_copy(update={"configuration": configuration}))
    assert not other["matched"]
    assert other["over"] == ["boosted trees"]


def test_a_training_without_any_fit_has_its_budget_and_dashes_for_what_is_not_known(material, settings):
    tables = dict(material.tables)
    tables["trainings"] = tables["trainings"].copy()
    own = tables["trainings"]["training"] == "nominal"
    tables["trainings"].loc[own, ["events_seen", "sigma", "sigma_up", "sigma_down"]] = np.nan
    row = budget_rows(tables["trainings"], settings)["rows"][list(settings.trainings).index("nominal")]
    learning = settings.configuration["learning"]
    assert row["asked"] == f"{learning['events_seen'] * learning['folds']:,}"
    assert row["seen"] == "–"
    shown = render(TEMPLATE, material._replace(tables=tables), settings)
    assert "+–" not in shown
    assert "nan" not in shown[shown.index('id="budgets"') : shown.index('id="coverage"')]


def test_a_training_that_learns_nothing_has_no_budget_no_losses_and_its_bins_in_words(material, settings):
    tables = dict(material.tables)
    tables["trainings"] = tables["trainings"].copy()
    name = "nominal"
    tables["trainings"].loc[tables["trainings"]["training"] == name, "events_seen"] = 0
    binning = {"rule": "edges", "number": 15, "low": 0.0, "high": 1.0, "edges": [0, 50.5, 100], "minimum_events": 10}
    options = {"strategy": "observable", "events_seen": 7, "expression": "m", "binning": binning, "inputs": ["m"]}
    trainings = settings.configuration["trainings"] | {name: options}
    changed = settings.model_copy(update={"configuration": settings.configuration | {"trainings": trainings}})
    found = budget_rows(tables["trainings"], changed)
    assert found["matched"]
    row = found["rows"][list(changed.trainings).index(name)]
    assert row["asked"] == "none: nothing is learnt"
    assert row["options"] == "expression: m; binning: with edges 0, 50.5, 100"
    assert "Nothing is learnt: there are no losses." in render(TEMPLATE, material._replace(tables=tables), changed)


def test_pseudo_experiments_are_counted_by_reason(material, settings):
    tables = dict(material.tables)
    tables["coverage"] = tables["coverage"].copy()
    tables["coverage"]["unbounded"], tables["coverage"]["limited"] = 17, 23
    (row, *_) = context(material._replace(tables=tables), settings)["coverage"]
    seeds = int(row["toys"].replace(",", "")) // 10_000
    assert (row["failed"], row["unbounded"], row["limited"]) == ("0", str(17 * seeds), str(23 * seeds))


def test_yields_add_up_to_their_total(material, settings):
    tables = yields.tables(material.fits, settings)
    assert [table["label"] for table in tables] == ["signal region", "control region"]
    assert tables[0]["after"] == list(settings.trainings.values())
    rows = dict(tables[0]["rows"])
    numbers = {name: float(cells[-1].split()[0].replace(",", "")) for name, cells in rows.items() if cells[-1]}
    assert sum(numbers[name] for name in ("H→ττ", "Z→ττ", "tt̄", "diboson")) == pytest.approx(numbers["total"], rel=1e-3)
    fit = material.fits[Run(list(settings.trainings)[-1], 1)]["observed"]
    assert rows["total"][-1] == yields.with_error(*fit["yields"]["postfit"]["signal"]["sums"]["total"])
    assert " ± " in rows["total"][-1]
    assert float(rows["data"][-1].replace(",", "")) == sum(fit["yields"]["postfit"]["signal"]["data"])


def test_the_error_of_a_yield_decides_its_digits():
    assert yields.with_error(1234.567, 12.34) == "1,235 ± 12"
    assert yields.with_error(12.345, 0.5678) == "12.35 ± 0.57"
    assert yields.with_error(1234.567, 0.0) == "1,235"


def test_every_figure_and_table_links_to_its_file(page, settings):
    places = set(page.outside)
    assert {f"comparison/{name}.csv" for name in ("trainings", "summary", "limits", "breakdown", "coverage")} <= places
    assert document("comparison", "uncertainties") in places
    assert {f"trainings/{name}/figures/pulls.pdf" for name in settings.trainings} <= places


def test_what_the_data_say_comes_before_any_comparison_and_the_signal_is_not_confused_with_it(text, page):
    observed = text[text.index('id="observed"') : text.index('id="comparison"')]
    for words in ("significance<br>of the signal (σ)", "upper limit", "χ² by region", "goodness of fit"):
        assert words in observed
    compared = text[text.index('id="comparison"') : text.index('id="budgets"')]
    assert "is it really worse?" in compared
    assert "σ undecided" not in " ".join(page.text)


def test_trainings_stand_in_the_order_of_the_configuration_but_for_the_two_rankings(material, settings):
    found, labels = context(material, settings), list(settings.trainings.values())
    ordered = [found["comparison"]["observed"], found["tests"]["asimov"], found["tests"]["observed"], found["sections"]]
    assert [[row["label"] for row in rows] for rows in ordered] == [labels] * 4
    assert found["breakdown"]["sigma"]["names"] == found["impacts"]["impact"]["names"] == labels
    assert found["displaced"]["names"] == [row["label"] for row in found["budgets"]["rows"]] == labels
    ranked = [row["label"] for row in found["comparison"]["asimov"]]
    assert ranked == list(material.tables["trainings"].query("data == 'asimov'")["label"]) != labels


def test_one_training_alone_is_not_compared(material, settings):
    tables = {
        name: table[table["training"] == "nominal"] if "training" in table else table
        for name, table in material.tables.items()
    }
    fits = {run: fit for run, fit in material.fits.items() if run.training == "nominal"}
    chosen = settings.model_copy(update={"trainings": {"nominal": "Nominal"}})
    alone = render(TEMPLATE, material._replace(tables=tables, fits=fits, notes=[], figures={}), chosen)
    for words in ("is it really worse?</th>", "to the<br>best", "most robust", "has the smallest"):
        assert words not in alone


def test_shares_of_the_variance_are_those_of_the_breakdown(material, settings):
    table = tables.breakdown_table(material.tables, settings)
    fit = material.fits[Run("nominal", 1)]["asimov"]
    column = table["names"].index("nominal")
    rows = dict(table["rows"])
    value, share = rows["MC statistics"][column]
    assert float(value) == pytest.approx(fit["breakdown"]["MC statistics"], rel=0.05)
    assert share == pytest.approx(100 * (fit["breakdown"]["MC statistics"] / fit["sigma"]) ** 2, rel=0.1)


def test_the_spread_between_members_is_shown_apart_and_explained(material, settings, text):
    row = {"training": "nominal", "seed": 1, "data": "asimov", "group": EPISTEMIC, "sigma": 0.1234}
    breakdown = pd.concat([material.tables["breakdown"], pd.DataFrame([row])])
    found = material._replace(tables={**material.tables, "breakdown": breakdown})
    page = render(TEMPLATE, found, settings)
    for words in ("epistemic spread (not part of the total)", "<td>0.123", "how much the answer depends"):
        assert words in page
        assert words not in text


def test_robustness_has_a_row_per_training_and_a_coverage_per_point(material, settings, text):
    section = text[text.index('id="robustness"') : text.index('id="tests"')]
    worst = material.tables["robustness"].set_index("training")["worst_error"]
    for name, label in settings.trainings.items():
        assert label in section
        assert f"{worst[name]:.3f}" in section or f"{worst[name]:.2f}" in section
    assert "energy scale 1 +1\u00a0σ" in section
    assert "has the smallest error" in text[: text.index('id="comparison"')]
    assert "of 4 points" in section


def test_coverage_at_nominal_and_its_warnings_know_nothing_of_displaced_points(material, settings):
    coverage = material.tables["coverage"]
    bad = coverage.assign(coverage=coverage["coverage"].mask(coverage["point"].notna(), 0.5))
    found = context(material._replace(tables={**material.tables, "coverage": bad}), settings)
    assert len(found["coverage"]) == len(settings.trainings) * 3
    assert not any(row["off"] for row in found["coverage"])
    (caution,) = [caution for caution in found["cautions"] if "too rarely" in caution.text]
    assert caution.text.startswith("Where nature is displaced")
    assert len(caution.details) == len(settings.trainings)
    first = next(iter(settings.trainings))
    fits = {
        run: fit | ({"score": {"asimov": None}} if run.training == first else {}) for run, fit in material.fits.items()
    }
    found = context(material._replace(fits=fits, tables={**material.tables, "coverage": bad}), settings)
    others, moving = [caution for caution in found["cautions"] if "too rarely" in caution.text]
    assert (len(others.details), len(moving.details)) == (len(settings.trainings) - 1, 1)
    assert "rebinned" in moving.remedy


def test_without_displaced_points_there_is_no_section_of_robustness(material, settings):
    tables = dict(material.tables)
    tables["coverage"] = tables["coverage"][tables["coverage"]["point"].isna()]
    tables["robustness"] = tables["robustness"].iloc[:0]
    page = Page(render(TEMPLATE, material._replace(tables=tables), settings))
    assert "robustness" not in page.ids
    assert "coverage" in page.ids


def test_configuration_and_versions_are_printed(page):
    words = " ".join(page.text)
    assert "learning_rate: 0.001" in words
    assert re.search(r"nuisflow \d+\.\d+", words)


def test_repeated_styles_become_one_class():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 100 50">'
        '<metadata>x</metadata><defs><style type="text/css">*{}</style><path id="m1" d="M 0.123456 1"/></defs>'
        '<g id="unused">'
        '<use xlink:href="#m1" style="stroke: #1b1e23"/><use xlink:href="#m1" style="stroke: #1b1e23"/>'
        "<text style=\"font-size: 8px; font-family: 'A', 'B', sans-serif\">1 &lt; 2</text></g></svg>"
    )
    classes = {}
    found = inline(svg, "a-", classes)
    assert classes == {"stroke: currentColor": "f0", "font-size: 8px; font-family: var(--figure-font)": "f1"}
    assert found.count('<use href="#a-m1" class="f0">') == 2
    assert "unused" not in found
    assert "metadata" not in found
    assert '<path id="a-m1" d="M 0.12 1">' in found
    assert "1 &lt; 2" in found
    assert 'style="max-width:134pt;min-width:80pt"' in found


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("results/x/comparison/coverage.svg", ("comparison", "coverage")),
        ("results/x/trainings/nominal/figures/pulls.svg", ("nominal", "pulls")),
    ],
)
def test_the_owner_of_a_figure_is_read_from_its_path(path, key):
    assert figure_key(Path(path)) == key


def test_a_fit_that_did_not_converge_leaves_the_page_whole(material, settings):
    """Its numbers may be missing (null in fit.json)."""
    failed = {"converged": False, "message": "flat in mu", "yields": {"prefit": {}, "postfit": {}}}
    fits = dict(material.fits)
    fits[Run("nominal", 1)] = fits[Run("nominal", 1)] | {"observed": failed}
    found = material._replace(fits=fits)
    assert "nominal" not in yields.tables(fits, settings)[0]["after"]
    shown = render(TEMPLATE, found, settings)
    assert "1 of 20 fits did not converge and are left out: nominal (seed 1), observed data." in shown


def tipped(draw):
    """Return the texts of the points of a figure, in the page."""
    with style.applied():
        figure = Figure()
        draw(figure.subplots())
        for axes in figure.axes:
            style._name_points(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg")
    element = inline(out.getvalue(), "a-", {})
    assert TIPS not in element
    return re.findall(r"<title>(.*?)</title>", element)


def test_every_point_has_its_value_with_the_name_of_its_row_or_the_labels_of_both_axes():
    def rows(axes):
        axes.plot([0.25, np.nan, 0.5], [0, 1, 1], "o")
        axes.set_yticks([0, 1], ["Nominal", "A | <b>"])
        axes.set_title("total")

    def curve(axes):
        axes.plot([-1, 2], [0.1, -0.2], marker="o", label="Trees")
        axes.set(xlabel="z", ylabel="bias")

    assert tipped(rows) == ["Nominal, total: 0.25", "A / &lt;b&gt;, total: 0.5"]
    assert tipped(curve) == ["Trees: z −1, bias 0.1", "Trees: z 2, bias −0.2"]


def test_areas_have_their_values_and_points_among_them_none():
    def draw(axes):
        axes.plot([0.5, 1.5], [1, 2], "o")
        edges = np.array([0.0, 1.0, 3.0])
        style.tell_bins(axes, edges, "mass", {"data": ["1", "2"], "a; b": ["3", "4"]})

    assert tipped(draw) == ["mass 0 to 1; data: 1; a; b: 3", "mass 1 to 3; data: 2; a; b: 4"]


def test_lines_without_points_have_no_values():
    assert tipped(lambda axes: axes.plot([0, 1], [1, 2])) == []


def test_a_single_training_is_not_the_best_of_the_table(material, settings):
    trainings = material.tables["trainings"]
    several = comparison_rows(trainings, "asimov", settings)
    assert [row["relative"] == "best" for row in several] == [True, *[False] * (len(several) - 1)]
    (alone,) = comparison_rows(trainings[trainings["training"] == "nominal"], "asimov", settings)
    assert alone["relative"] == ""

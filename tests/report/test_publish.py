"""What others need: a submission that HEPData accepts, and tables that LaTeX sets."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import synthetic_results
import yaml
from hepdata_validator.full_submission_validator import FullSubmissionValidator

from compare_trainings import compare_trainings
from nuisflow.comparison.studies import COLUMNS, laws
from nuisflow.report.publish import hepdata, latex
from nuisflow.settings import sections
from nuisflow.slices.report import comparison, report
from nuisflow.storage import files
from write_publication import TABLES, write_publication

# hepdata-validator leaves files open.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def _studies(trainings):
    """Return the table of a study of two sizes, whose uncertainties go with the root of the number of events."""
    common = {"study": "simulated_events", "seed": 1, "converged": True, "sigma_stat": 0.1, "sigma_mcstat": 0.05}
    common |= {"coverage": 0.68, "coverage_error": 0.01, "mu_whole": 1.03, "shift": 0.1}
    rows = [common | {"training": name, "size": size, "sigma": 0.2 / size**0.5, "sigma_syst": 0.1 / size**0.5} for name in trainings for size in (0.25, 1.0)]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The publication of a small analysis with an awkward label."""
    folder = tmp_path_factory.mktemp("published")
    analysis = synthetic_results.make(folder / "results", variations=3, seeds=2, bins=6, observed=True, regions=("signal", "control"))  # fmt: skip
    tables = {name: folder / f"{name}.csv" for name in TABLES}
    sizes = {name: folder / f"{name}.csv" for name in ("studies", "power_laws")}
    found = _studies(analysis.settings.trainings)
    for name, table in (("studies", found), ("power_laws", laws(found))):
        files.write_table(sizes[name], table)
    compare_trainings(
        *(analysis.each(name) for name in ("fit.json", "history.csv", "scores.parquet")),
        analysis.events(),
        coverages=analysis.each("coverage.json"),
        impacts=analysis.each("impacts.csv"),
        outputs=tables,
        settings=sections.plain(comparison(analysis.settings)),
    )
    workspaces = []
    for path in analysis.each("fit.json"):
        if path.parent.name == "seed1":
            workspaces.append(path.with_name("workspace.json"))
            files.write_json(workspaces[-1], {"version": "1.0.0"})
    documents = ("comparison", "uncertainties", "yields_signal", "studies", "tables")
    figure = folder / "uncertainties.pdf"
    figure.write_bytes(b"%PDF-1.4")
    with contextlib.chdir(folder):  # paths of a job are relative
        write_publication(
            tables | sizes,
            analysis.each("fit.json"),
            [figure.relative_to(folder)],
            [path.relative_to(folder) for path in workspaces],
            submission=Path("hepdata"),
            documents=[Path("latex") / f"{name}.tex" for name in documents],
            settings=sections.plain(report(analysis.settings)),
        )
    return folder, analysis, tables


def test_the_submission_is_valid_and_has_tables_figures_and_workspaces(published):
    folder, analysis, _ = published
    judge = FullSubmissionValidator()
    assert judge.validate(directory=str(folder / "hepdata")), judge.get_messages()
    names = {path.name for path in (folder / "hepdata").iterdir()}
    expected = {"submission.yaml", "comparison.yaml", "breakdown.yaml", "coverage.yaml", "yields_signal.yaml", "yields_control.yaml", "studies.yaml", "power_laws.yaml"}  # fmt: skip
    assert names == expected | {"uncertainties.pdf"} | {
        f"workspace_{name}.json" for name in analysis.settings.trainings
    }
    assert not list(folder.rglob("*.tar.gz"))


def test_its_numbers_are_those_of_the_tables(published):
    folder, _, tables = published
    content = yaml.safe_load((folder / "hepdata" / "comparison.yaml").read_text())
    rows = files.read_table(tables["trainings"]).query("data == 'asimov'")
    values = [row["value"] for row in content["dependent_variables"][0]["values"]]
    assert values == pytest.approx(list(rows["sigma"]), rel=1e-4)
    assert [row["errors"][0]["symerror"] for row in content["dependent_variables"][0]["values"]] == pytest.approx(list(rows["sigma_spread"]), rel=1e-4)  # fmt: skip


def test_studies_are_published_with_their_power_laws(published):
    folder, analysis, _ = published
    content = yaml.safe_load((folder / "hepdata" / "studies.yaml").read_text())
    given = {column["header"]["name"]: [row["value"] for row in column["values"]] for column in content["independent_variables"]}  # fmt: skip
    assert given["part of the events"] == [0.25, 1.0] * len(analysis.settings.trainings)
    assert [row["value"] for row in content["dependent_variables"][0]["values"]][:2] == [0.4, 0.2]
    laws_of = yaml.safe_load((folder / "hepdata" / "power_laws.yaml").read_text())
    assert [row["value"] for row in laws_of["dependent_variables"][0]["values"]][:2] == pytest.approx([-0.5, -0.5])
    document = (folder / "latex" / "studies.tex").read_text()
    assert r"nominal & 25 \% & 0.400 & 0.200" in document
    assert document.count(r"\begin{table}") == 2


def test_what_hepdata_would_refuse_is_not_written(published, monkeypatch, tmp_path):
    _, analysis, tables = published
    monkeypatch.setattr(hepdata, "_comment", lambda _: None)
    material = hepdata.Material({name: files.read_table(path) for name, path in tables.items()}, {}, [], {})
    with pytest.raises(hepdata.SubmissionError, match=r"submission\.yaml: .*comment|None is not of type"):
        hepdata.write(tmp_path / "hepdata", material, {}, report(analysis.settings))
    assert not (tmp_path / "hepdata").exists()


@pytest.mark.parametrize(
    ("words", "set_as"),
    [
        ("100 % of A_b & {c} #1", r"100 \% of A\_b \& \{c\} \#1"),
        ("H→ττ", r"H$\to\tau\tau$"),
        ("t\u0304t", r"$\bar{t}$t"),
        ("$μ", r"\$$\mu$"),
        ("μ$", r"$\mu$\$"),
        ("Ω ± 0.1 − χ²", r"$\Omega$ $\pm$ 0.1 $-$ $\chi^{2}$"),
        ("13 fb⁻¹", r"13 fb$^{-1}$"),
        ("C:\\x ~ y^2 < |z|", r"C:\textbackslash{}x \textasciitilde{} y\textasciicircum{}2 $<$ $|$z$|$"),
        ("λ, “quoted” – é", r"$\lambda$, ``quoted'' -- é"),
    ],
)
def test_words_stand_in_latex_as_they_are(words, set_as):
    assert latex.text(words) == set_as


def test_a_table_has_rules_of_booktabs_and_no_cell_breaks_out():
    made = latex.table(("a", "b"), [["x & y", r"1 \\ 2"], ["x & y", "3"]], "50 %", "t")
    lines = made.splitlines()
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"x \& y & 1 \textbackslash{}\textbackslash{} 2 \\" in lines
    assert r"\caption{50 \%}" in lines


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
def test_latex_sets_the_document(published):
    folder = published[0] / "latex"
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables"], cwd=folder, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_document_shows_every_table(published):
    folder = published[0] / "latex"
    shown = (folder / "tables.tex").read_text()
    for name in ("comparison", "uncertainties", "yields_signal", "yields_control", "studies"):
        assert f"\\input{{{name}}}" in shown

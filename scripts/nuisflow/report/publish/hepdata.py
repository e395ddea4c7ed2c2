"""A submission to HEPData: tables of numbers, with workspaces and figures as resources, by hepdata_lib."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nuisflow.comparison.trainings import Run
from nuisflow.report.page import Material
from nuisflow.report.review import studies
from nuisflow.report.yields import STAGES
from nuisflow.slices.report import ReportSettings, yields_table
from nuisflow.storage import files

NONE = "-"
"""What HEPData shows where there is no number."""
PARTS = {"sigma_stat": "statistical", "sigma_syst": "systematic", "sigma_mcstat": "finite simulation"}


class SubmissionError(ValueError):
    """A submission that HEPData would refuse."""


def write(
    folder: Path, material: Material, resources: Mapping[Path, tuple[str, str]], settings: ReportSettings
) -> None:
    """Write the submission into *folder*, valid or not at all.

    *resources*: further files with their names there and what they are. No thumbnails are made, which would need
    ImageMagick: figures are PDF files.
    """
    from hepdata_lib import Submission
    from hepdata_validator.full_submission_validator import FullSubmissionValidator

    with tempfile.TemporaryDirectory() as place:
        made, sources = Path(place) / "submission", Path(place) / "resources"
        sources.mkdir()
        submission = Submission()
        submission.comment = _comment(settings)
        for one in tables(material, settings):
            submission.add_table(one)
        for path, (name, words) in resources.items():
            shutil.copyfile(path, sources / name)
            kind = "HistFactory" if path.suffix == ".json" else None
            submission.add_additional_resource(words, str(sources / name), copy_file=True, file_type=kind)
        with contextlib.chdir(place):  # hepdata_lib leaves an archive there
            submission.create_files(str(made), validate=False)
        judge = FullSubmissionValidator()
        if not judge.validate(directory=str(made)):
            raise SubmissionError(_complaints(judge.get_messages()))
        for path in sorted(made.iterdir()):
            with files.replacing(folder / path.name) as temporary:
                shutil.copyfile(path, temporary)


def _comment(settings: ReportSettings) -> str:
    return (
        f"{settings.plots.title}: expected uncertainty of the signal strength {settings.poi} for several ways of "
        "training the classifier, with all systematic uncertainties in the profile-likelihood fit."
    )


def _complaints(messages: Mapping[str, Sequence[Any]]) -> str:
    found = [
        f"{Path(name).name}: {getattr(one, 'message', one)}" for name, all_of in messages.items() for one in all_of
    ]
    return "\n".join(["hepdata-validator refuses the submission:", *found])


def tables(material: Material, settings: ReportSettings) -> list[Any]:
    """Return all tables, of hepdata_lib."""
    found = [_comparison(material.tables["trainings"], settings), _breakdown(material.tables["breakdown"], settings)]
    if len(material.tables["coverage"]):
        found.append(_coverage(material.tables["coverage"], settings))
    found += [one for region in settings.regions if (one := _yields(region, material.fits, settings))]
    if "studies" in material.tables:
        found += [_studies(material.tables["studies"], settings), _power_laws(material.tables["power_laws"], settings)]
    return found


def _table(name: str, words: str, columns: Sequence[Any]) -> Any:
    from hepdata_lib import Table

    made = Table(name)
    made.description, made.location, made.keywords = words, "", {"observables": ["MU"]}
    for column in columns:
        made.add_variable(column)
    return made


def _column(name: str, values: Iterable[Any], *, given: bool = False, **errors: Iterable[Any]) -> Any:
    """Return one column, *given* if independent; *errors* by their label with _ for blanks, nan for none."""
    from hepdata_lib import Uncertainty, Variable

    made = Variable(name, is_independent=given, is_binned=False, units="", zero_uncertainties_warning=False)
    made.values = [value if isinstance(value, str) else _plain(value) for value in values]
    for label, sizes in errors.items():
        error = Uncertainty(label.replace("_", " "), is_symmetric=True)
        error.values = [0.0 if pd.isna(size) else float(size) for size in sizes]
        made.add_uncertainty(error)
    return made


def _plain(value: Any) -> Any:
    return NONE if pd.isna(value) else float(value)


def _comparison(trainings: pd.DataFrame, settings: ReportSettings) -> Any:
    rows = trainings[trainings["data"] == "asimov"]
    columns = [_column("training", [settings.trainings[name] for name in rows["training"]], given=True)]
    columns += [_column(f"expected uncertainty of {settings.poi}", rows["sigma"], spread_of_seeds=rows["sigma_spread"])]
    columns += [_column(words, rows[name]) for name, words in PARTS.items()]
    columns += [_column("area under the ROC curve", rows["auc"])]
    words = "Medians over seeds; fits to Asimov data with all nuisance parameters free. Parts add up in quadrature."
    return _table("comparison", words, columns)


def _breakdown(breakdown: pd.DataFrame, settings: ReportSettings) -> Any:
    rows = breakdown[breakdown["data"] == "asimov"]
    medians = rows.pivot_table("sigma", "group", "training", "median", sort=False, dropna=False)
    columns = [_column("source", [str(name) for name in medians.index], given=True)]
    columns += [_column(settings.trainings[name], medians[name]) for name in settings.trainings if name in medians]
    words = f"Uncertainty of {settings.poi} by source: what it loses in quadrature when the source is frozen."
    return _table("breakdown", words, columns)


def _coverage(coverage: pd.DataFrame, settings: ReportSettings) -> Any:
    rows = coverage.groupby(["training", "mu_true", "point"], sort=False, dropna=False).mean(numeric_only=True)
    rows = rows[rows["coverage"].notna()].reset_index()
    points = ["nominal" if pd.isna(point) else str(point) for point in rows["point"]]
    columns = [
        _column("training", [settings.trainings[name] for name in rows["training"]], given=True),
        _column(f"true {settings.poi}", rows["mu_true"], given=True),
        _column("true point", points, given=True),
        _column("coverage of 68.3 % intervals", rows["coverage"], statistical=rows["coverage_error"]),
        _column(f"bias of {settings.poi}", rows["bias"], statistical=rows["bias_error"]),
    ]
    return _table("coverage", "Pseudo-experiments: means over seeds, errors of one seed.", columns)


def _studies(table: pd.DataFrame, settings: ReportSettings) -> Any:
    """Return what every training and seed measures with a part of the events."""
    rows = table[table["converged"]]
    columns = _of_studies(rows, settings)
    columns[1:1] = [_column("part of the events", rows["size"], given=True)]
    columns += [_column("seed", rows["seed"], given=True)]
    columns += [_column(f"expected uncertainty of {settings.poi}", rows["sigma"])]
    columns += [_column(words, rows[name]) for name, words in PARTS.items()]
    columns += [_column("coverage of 68.3 % intervals", rows["coverage"], statistical=rows["coverage_error"])]
    columns += [_column(f"best fit of {settings.poi} to what all of the simulation expects", rows["mu_whole"])]
    return _table("studies", "The same analysis with a part of the events to learn of, or of the simulation.", columns)


def _power_laws(table: pd.DataFrame, settings: ReportSettings) -> Any:
    """Return how uncertainties depend on the number of events."""
    quantities = {"sigma": f"expected uncertainty of {settings.poi}"} | PARTS
    columns = _of_studies(table, settings)
    columns += [_column("quantity", [quantities[name] for name in table["quantity"]], given=True)]
    columns += [_column("exponent", table["exponent"], scatter_of_seeds=table["error"])]
    columns += [_column("with all events", table["at_whole"])]
    return _table("power_laws", "Uncertainties are proportional to the number of events to this power.", columns)


def _of_studies(table: pd.DataFrame, settings: ReportSettings) -> list[Any]:
    """Return the columns that say which study a row is of, and which training."""
    return [
        _column("study", [studies.TITLES[name] for name in table["study"]], given=True),
        _column("training", [settings.trainings[name] for name in table["training"]], given=True),
    ]


def _yields(region: str, fits: Mapping[Run, Any], settings: ReportSettings) -> Any:
    """Return the events of every process before and after the fit of the first seed of every training; None without."""
    first = {run.training: fits[run] for run in sorted(fits, key=lambda run: -run.seed)}
    columns: list[Any] = []
    for name in (name for name in settings.trainings if name in first):
        result = first[name].get("observed") or first[name]["asimov"]
        for stage in STAGES:
            if region in result["yields"].get(stage, {}):
                part = result["yields"][stage][region]
                names = [key for key in settings.processes if key in part["samples"]] + ["total"]
                if not columns:
                    columns.append(_column("process", names, given=True))
                values = [_sum(part, key) for key in names]
                words = f"{settings.trainings[name]}, {stage}"
                columns.append(_column(words, [one for one, _ in values], total=[error for _, error in values]))
    where = settings.regions[region][0]
    words = f"Expected events in the region {where}, with all uncertainties; fits of the first seed of every training."
    return _table(yields_table(region), words, columns) if columns else None


def _sum(part: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return events and their error (nan: unknown) of a process in a region."""
    value, error = part.get("sums", {}).get(name) or (
        sum(part["total"] if name == "total" else part["samples"][name]),
        None,
    )
    return float(value), float("nan") if error is None else float(error)

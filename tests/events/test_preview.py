"""The files of the user are looked at before the first job: what a job would refuse is said at once, for all files."""

import os
import shutil

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from analyses import FLAT, changed
from projects import snakemake

from nuisflow.events import preview
from nuisflow.settings.checks import paths, reading

ROWS = 40
GOOD = {"x": np.linspace(0, 1, ROWS), "w": np.ones(ROWS)}


def written(path, columns, tree="Events"):
    """Write *columns* in the format of the name of *path*."""
    path.parent.mkdir(exist_ok=True)
    match path.suffix:
        case ".root":
            with uproot.recreate(path) as file:
                file.mktree(tree, {name: getattr(v, "dtype", None) or v.type.content for name, v in columns.items()})
                file[tree].extend(columns)
        case ".parquet":
            pq.write_table(pa.table(columns), path)
        case _:
            lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
            path.write_text("\n".join([",".join(columns), *lines, ""]))


def look(folder, *changes, say=None):
    """Return what is said of the files in *folder* ``data``."""
    content = changed(FLAT, ("dataset.path", str(folder / "data")), *changes)
    settings = reading.check(content)
    files = {sample: paths.raw_files(settings, sample) for sample in settings.samples}
    found = preview.problems(settings, files, folder / "memory" / "files.json", "code", say)
    return [text.replace(f"{folder}/data/", "") for text in found]


@pytest.fixture
def folder(tmp_path):
    for name in ("s.csv", "b.csv"):
        written(tmp_path / "data" / name, GOOD)
    return tmp_path


def test_nothing_is_said_of_good_files_nor_of_those_that_are_not_there(folder):
    assert look(folder) == []
    (folder / "data" / "b.csv").unlink()
    assert look(folder) == []


def test_files_have_the_columns_that_something_computes_of_their_events(folder):
    simulated = GOOD | {"tag": np.ones(ROWS), "pdf": np.ones(ROWS)}
    for name, lost in (("s", ()), ("b", ("pdf",)), ("other", ("pdf", "tag")), ("data", ("w", "pdf", "tag"))):
        columns = {key: values for key, values in simulated.items() if key not in lost}
        written(folder / "data" / f"{name}.csv", columns)
    analysis = [
        ("dataset.columns", ["x", "w", "tag", "pdf", "not_used"]),
        ("samples.other", {"process": "b", "files": ["other.csv"], "weight": "w"}),
        ("samples.data", {"process": "data", "files": ["data.csv"]}),
        ("variations", {"generator": {"kind": "two_point", "up": ["other"]}}),
        ("variations.pdf", {"kind": "weight", "up": "pdf", "processes": ["s"]}),
        ("variations.tagging", {"kind": "weight", "up": "tag"}),
    ]
    assert look(folder, *analysis) == []
    knows = ("trainings.nominal", {"strategy": "augmentation", "variations": ["tagging"]})
    assert look(folder, *analysis, knows) == []
    both = knows[1] | {"variations": ["tagging", "generator"]}
    (text,) = look(folder, *analysis, ("trainings.nominal", both))
    assert text.startswith("samples.other.files: other.csv: no column 'tag'")
    told = look(folder, *analysis, ("features", ["x", "tag"]))
    assert [text.split("; ")[0] for text in told] == [
        f"samples.{name}.files: {name}.csv: no column 'tag'" for name in ("other", "data")
    ]
    (text,) = look(folder, *analysis, ("variations.pdf.processes", ["b"]))
    assert text.startswith("samples.b.files: b.csv: no column 'pdf'")


def test_a_column_that_is_listed_for_nothing_may_be_missing_but_is_a_number_where_it_is(folder):
    written(folder / "data" / "s.csv", GOOD | {"name": ["a"] * ROWS})
    assert look(folder, ("dataset.columns", ["x", "w", "not_there"])) == []
    (text,) = look(folder, ("dataset.columns", ["x", "w", "not_there", "name"]))
    assert text.startswith("samples.s.files: s.csv: column 'name'")


def test_shifts_and_weights_that_compute_with_what_is_undefined_are_refused(folder):
    pt = np.where(np.arange(ROWS) % 4 == 0, -999, 50.0)
    for name in ("s", "b"):
        written(folder / "data" / f"{name}.csv", GOOD | {"pt": pt, "sf": np.where(pt < 0, -999, 1.01)})
    known = (
        "dataset",
        {"kind": "flat", "path": str(folder / "data"), "columns": ["x", "w", "pt", "sf"], "missing": -999},
    )

    def told(selection=None, **variation):
        chosen = [("selection", selection)] if selection else []
        return look(folder, known, ("variations", {"v": variation}), *chosen)

    right = "where(pt == -999, x, x + 0.1 * z * pt)"
    assert told(kind="shift", columns={"pt": "pt * (1 + 0.1 * z)", "x": right}) == []
    wrong = {"kind": "shift", "columns": {"x": "x + 0.1 * z * pt"}}
    (text,) = told(**wrong)
    assert (
        "variations.v.columns.x: 'x + 0.1 * z * pt' computes with 'pt', which is undefined (-999) in 10 of 40" in text
    )
    assert text.endswith("say what it is there: where(pt == -999, x, …) (and 1 more files or samples alike)")
    assert told("pt > 0", **wrong) == []
    (text,) = told(kind="weight", up="sf")
    assert "variations.v.up: 'sf' computes with 'sf', which is undefined (-999) in 10 of 40 events" in text
    (text,) = told(kind="weight", factor="1 + z * (sf - 1)", processes=["b"])
    assert text.startswith("samples.b.files: b.csv: variations.v.factor: ")
    (text,) = told(kind="weight_set", members=["1 + 0 * pt", "where(pt > 0, sf, 1)", "sf"], combine="envelope")
    assert "variations.v.members.2: 'sf' computes with 'sf'" in text


def test_negative_weights_that_a_classifier_would_meet_are_refused_before_the_first_job(folder):
    signs = np.where(np.arange(ROWS) % 10 == 3, -1.0, 1.0)
    written(folder / "data" / "b.csv", GOOD | {"w": signs})
    (text,) = look(folder)
    assert text.startswith(
        "samples.b.files: b.csv: sample 'b': 4 events have a negative weight (first: entry 3), and cl"
    )
    assert "with train: false, by its 'selection' (such as mc_weight < 0 there and mc_weight >= 0 in samples.b)" in text
    negative = {"process": "b", "files": ["b.csv"], "weight": "w", "selection": "w < 0", "train": False}
    assert look(folder, ("samples.b.selection", "w >= 0"), ("samples.negative", negative)) == []
    control = {"selection": "w < 0", "observable": "x"}
    assert look(folder, ("regions", {"signal": {"selection": "w > 0"}, "control": control})) == []
    bins = {"rule": "uniform", "low": 0, "high": 1}
    assert look(folder, ("trainings.nominal", {"strategy": "observable", "expression": "x", "binning": bins})) == []


def test_a_sample_may_have_a_tree_of_its_own(folder):
    written(folder / "data" / "b.root", GOOD)
    with uproot.update(folder / "data" / "b.root") as file:
        file["scale_up"] = GOOD
    shifted = {"process": "b", "files": ["b.root"], "tree": "scale_up", "weight": "w"}
    scale = ("variations", {"scale": {"kind": "two_point", "up": ["b_up"]}})
    more = [("samples.b.files", ["b.root"]), scale]
    assert look(folder, ("samples.b_up", shifted), *more) == []
    (text,) = look(folder, ("samples.b_up", shifted | {"tree": "scale_down"}), *more)
    assert "no tree 'scale_down'; it has Events, scale_up (set dataset.tree, or tree of the sample)" in text


TEXT = GOOD | {"x": np.array(["a"] * ROWS, dtype=object)}
NAN = [GOOD | {"x": np.where(np.arange(ROWS) < number, np.nan, GOOD["x"])} for number in (1, 2)]
BAD = {
    "wrong.root": ("tree", GOOD, "no tree 'Events'; it has other (set dataset.tree, or tree of the sample)"),
    "missing.parquet": ("Events", {"y": GOOD["x"], "w": GOOD["w"]}, "no column 'x'; "),
    "jagged.root": ("Events", {"x": ak.Array([[1.0, 2.0], [3.0]]), "w": np.ones(2)}, "lists of numbers"),
    "text.csv": ("Events", TEXT, "column 'x' is not one number per event but text"),
    "text.parquet": (
        "Events",
        {"x": ["a"] * ROWS, "w": GOOD["w"]},
        "column 'x' is not one number per event but string",
    ),
    "nan.root": ("Events", NAN[0], "column 'x' is NaN or infinite in 1 events (first: entry 0)"),
    "nan.parquet": ("Events", NAN[1], "column 'x' is NaN or infinite in 2 events (first: entry 0)"),
}


def test_all_that_is_wrong_with_any_file_is_said_at_once_with_sample_and_file(folder):
    names = [*BAD, "broken.root", "empty.csv"]
    for name, (tree, columns, _) in BAD.items():
        written(folder / "data" / name, columns, "other" if tree == "tree" else tree)
    written(folder / "data" / "broken.root", GOOD)
    content = (folder / "data" / "broken.root").read_bytes()
    (folder / "data" / "broken.root").write_bytes(content[: len(content) // 2])
    (folder / "data" / "empty.csv").touch()
    found = look(folder, ("samples.s.files", names))
    assert sorted(text.split(": ")[1] for text in found) == sorted(names)
    said = {text.split(": ")[1]: text for text in found}
    expected = {name: words for name, (_, _, words) in BAD.items()}
    expected |= {"broken.root": "truncated", "empty.csv": "is empty"}
    for name, words in expected.items():
        assert said[name].startswith("samples.s.files: ")
        assert words in said[name]


def test_the_same_problem_of_many_files_is_one_line(folder):
    for index in range(30):
        written(folder / "data" / f"many{index:02}.parquet", {"y": GOOD["x"], "w": GOOD["w"]})
    (text,) = look(folder, ("samples.s.files", ["many*.parquet"]))
    assert text.startswith("samples.s.files: many00.parquet: no column 'x'")
    assert text.endswith(" (and 29 more files or samples alike)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("samples.s.weight", "w / (x > 0.5)")], "column 'weight' is NaN or infinite"),
        ([("selection", "sqrt(x - 0.5) > 0.1")], "selection: 'sqrt(x - 0.5) > 0.1' is undecided"),
        ([("samples.s.selection", "log(x - 2) > 0")], "selection of the sample: 'log(x - 2) > 0' is undecided"),
        ([("regions", {"a": {"selection": "x > 0.2"}, "b": {"selection": "x < 0.5"}})], "regions 'a' and 'b' overlap"),
        ([("variations", {"v": {"kind": "shift", "columns": {"x": "x / (1 - z)"}}})], "column 'x' is NaN or infinite"),
    ],
    ids=["weight", "selection", "sample", "regions", "shift"],
)
def test_the_first_events_go_the_way_of_all_events(folder, changes, words):
    found = look(folder, *changes)
    assert words in found[0]


def test_whole_numbers_at_the_beginning_of_a_text_file_do_not_make_a_column_whole(folder):
    """In the job the column is float64, and 1 // 0 is no error there but infinite, which the selection takes away."""
    numbers = [0, *range(1, ROWS - 1), 0.5]
    written(folder / "data" / "s.csv", {"x": numbers, "w": GOOD["w"]})
    changes = [("derived", {"y": "where(x > 0, 7 // x, 0)"}), ("features", ["y"])]
    assert look(folder, *changes) == []


def test_a_file_is_looked_at_again_only_if_it_or_what_is_done_with_it_has_changed(folder):
    path = folder / "data" / "s.csv"
    assert look(folder) == []
    before = path.stat()
    damaged = path.read_text().replace("x,w", "u,w")
    path.write_text(damaged)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(folder) == []  # of the same size and date: not opened
    assert "no column 'x'" in look(folder, ("selection", "x > -1"))[0]
    os.utime(path)
    for _ in range(2):  # what is wrong is not remembered
        assert "no column 'x'" in look(folder)[0]


def test_a_memory_that_cannot_be_read_or_written_does_not_matter(folder):
    (folder / "memory").mkdir()
    (folder / "memory" / "files.json").write_text("{")
    assert look(folder) == []
    shutil.rmtree(folder / "memory")
    (folder / "memory").touch()
    assert look(folder) == []


def test_functions_of_the_user_are_tried_on_the_first_events(folder):
    (folder / "mine.py").write_text("def flatten(events):\n    return {'x': events.Muon.pt[:, 0]}\n")
    for name in "sb":
        lists = {"Muon_pt": ak.Array([[1.0, 2.0], [], [3.0]]), "w": np.ones(3)}
        written(folder / "data" / f"{name}.root", lists)
    section = {"kind": "nanoaod", "path": str(folder / "data"), "branches": ["Muon_pt", "w"], "columns": ["x", "w"]}
    samples = {name: {"process": name, "files": [f"{name}.root"], "weight": "w"} for name in "sb"}
    content = changed(FLAT, ("dataset", section | {"functions": str(folder / "mine.py")}), ("samples", samples))
    settings = reading.check(content)
    files = {sample: paths.raw_files(settings, sample) for sample in settings.samples}
    found = preview.problems(settings, files, folder / "files.json", "code")
    assert len(found) == 1
    assert "mine.py: flatten failed: IndexError" in found[0]


@pytest.mark.slow
@pytest.mark.workflow
def test_planning_ends_with_all_problems_of_files(folder):
    for name, words in (("s.csv", "u,w"), ("b.csv", "x,v")):
        path = folder / "data" / name
        path.write_text(path.read_text().replace("x,w", words))
    done = snakemake(folder, FLAT, "--dry-run")
    assert done.returncode == 1
    assert "The files of events cannot be used:" in done.stdout
    assert "samples.s.files: data/s.csv: no column 'x'" in done.stdout
    assert "samples.b.files: data/b.csv: no column 'w'" in done.stdout
    assert "Traceback" not in done.stdout
    assert snakemake(folder, FLAT, "--unlock").returncode == 0
    quiet = snakemake(folder, FLAT, "--quiet", "all")
    assert quiet.returncode == 1
    assert quiet.stdout.count("samples.b.files: data/b.csv: no column 'w'") == 1

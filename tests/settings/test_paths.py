"""Which files of the user are samples: patterns, names, files that are there twice or in two samples."""

import os

import pytest
from analyses import FLAT, changed, shipped

from nuisflow.settings.checks import paths, reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Download


@pytest.fixture
def folder(tmp_path):
    for name in ("v1.root", "v2.root", "b.root"):
        (tmp_path / name).write_text(name)
    return tmp_path


def settings(folder, *files, **samples):
    changes = [("samples.s.files", list(files)), *((f"samples.{name}", value) for name, value in samples.items())]
    return reading.check(changed(FLAT, ("dataset.path", str(folder)), *changes))


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_file_and_a_link_to_it_are_refused(folder, link):
    link(folder / "v2.root", folder / "v_latest.root")
    with pytest.raises(ConfigurationError, match=r"samples.s.files: .*v_latest.root is .*v2.root once more, by a link"):
        paths.raw_files(settings(folder, "v*.root"), "s")


def test_a_file_that_two_patterns_match_is_refused(folder):
    for files in (["v1.root", "v*.root"], ["v1.root", "v1.root"]):
        with pytest.raises(ConfigurationError, match=r"samples.s.files: .*v1.root is there twice: .* count twice"):
            paths.raw_files(settings(folder, *files), "s")


def test_patterns_give_files_in_the_order_of_their_names_after_those_before(folder):
    found = paths.raw_files(settings(folder, "v*.root", "b.root"), "s")
    assert [os.path.basename(path) for path in found] == ["v1.root", "v2.root", "b.root"]  # noqa: PTH119


def test_brackets_in_a_name_mean_themselves_and_braces_are_refused(folder):
    for name in ("a[1].root", "a1.root", "a{x}.root"):
        (folder / name).touch()
    assert paths.raw_files(settings(folder, "a[1].root"), "s") == [str(folder / "a[1].root")]
    assert paths.raw_files(settings(folder, "a[1]*.root"), "s") == [str(folder / "a[1].root")]
    with pytest.raises(
        ConfigurationError, match=r"samples.s.files: .*Snakemake cannot read a file with '{' in its name"
    ):
        paths.raw_files(settings(folder, "a{x}.root"), "s")


def shared(chosen):
    return paths.shared(chosen, {sample: paths.raw_files(chosen, sample) for sample in chosen.samples})


def test_a_file_or_folder_that_is_not_there_is_told_with_what_is_meant(folder, tmp_path):
    def told(*files, **places):
        chosen = settings(folder, *files)
        chosen = chosen.model_copy(update={"dataset": chosen.dataset.model_copy(update=places)})
        return paths.absent(chosen, {sample: paths.raw_files(chosen, sample) for sample in ("s",)})

    assert told("v1.root", "v2.root") == []
    assert told("v1.rot") == [f"samples.s.files: {folder}/v1.rot: no such file; did you mean 'v1.root'?"]
    (text,) = told("qqqq")
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    assert (
        text
        == f"samples.s.files: {folder}/qqqq: no such file; the folder has {names}; correct the name or dataset.path"
    )
    assert told("sub/v1.root") == [
        f"samples.s.files: {folder}/sub/v1.root: no such file; there is no folder '{folder}/sub'; correct the name"
    ]
    (text,) = told("v1.root", "v2.root", path="nowhere")
    assert text.startswith("dataset.path: there is no folder 'nowhere', seen from /")
    source = {"v1.rot": Download(url="https://example.org/v1.rot")}
    assert told("v1.rot", download=source) == []


def test_two_samples_of_one_file_need_selections(folder):
    both = {"process": "b", "files": ["v2.root"], "weight": "w"}
    with pytest.raises(ConfigurationError, match=r"samples.s.files: .*v2.root is a file of 'b' too, .*give s and b a"):
        shared(settings(folder, "v*.root", b=both))
    (folder / "other.root").symlink_to(folder / "v2.root")
    with pytest.raises(ConfigurationError, match=r"is a file of 'b' too, so that its events count twice"):
        shared(settings(folder, "v*.root", b=both | {"files": ["other.root"]}))
    signal = {"process": "s", "files": ["v*.root"], "weight": "w", "selection": "x > 0"}
    found = shared(settings(folder, "v1.root", s=signal, b=both | {"selection": "x < 0"}))
    assert found["s"] == {"b": {"files": [str(folder / "v2.root")], "both": "(x > 0) & (x < 0)"}}
    assert found["b"] == {"s": {"files": [str(folder / "v2.root")], "both": "(x < 0) & (x > 0)"}}


def test_a_file_that_two_processes_name_themselves_is_meant_for_both_but_not_one_of_a_pattern(folder):
    background = {"process": "b", "files": ["v2.root"], "weight": "2 * w"}
    assert shared(settings(folder, "v2.root", b=background)) == {"s": {}, "b": {}}
    with pytest.raises(ConfigurationError, match=r"v2.root is a file of 'b' too"):
        shared(settings(folder, "v?.root", b=background))


def test_two_trees_of_one_file_hold_different_events(folder):
    signal, other = ({"process": "s", "files": ["v2.root"], "weight": "w", "tree": tree} for tree in ("one", "two"))
    assert shared(settings(folder, "b.root", s=signal, other=other)) == {"s": {}, "b": {}, "other": {}}
    with pytest.raises(ConfigurationError, match=r"v2.root is a file of 'other' too"):
        shared(settings(folder, "b.root", s=signal, other=other | {"tree": "one"}))
    usual = {key: value for key, value in signal.items() if key != "tree"}
    with pytest.raises(ConfigurationError, match=r"v2.root is a file of 'other' too"):
        shared(settings(folder, "b.root", s=usual, other=other | {"tree": "Events"}))


def test_alternative_samples_and_published_processes_may_share_a_file(folder):
    up = {"process": "b", "files": ["b.root"], "weight": "2 * w"}
    chosen = settings(folder, "v1.root", b=up | {"weight": "w"}, other=up)
    assert chosen
    varied = reading.check(
        changed(
            FLAT, ("dataset.path", str(folder)), ("samples.s.files", ["v1.root"]),
            ("samples.b.files", ["b.root"]), ("samples.other", up),
            ("variations", {"generator": {"kind": "two_point", "up": ["other"]}}),
        )
    )  # fmt: skip
    assert shared(varied) == {"s": {}, "b": {}, "other": {}}
    (folder / "events.csv.gz").touch()
    content = changed(
        shipped("higgsml"), ("dataset.path", str(folder)), ("dataset.download", {}),
        *((f"samples.{name}.files", ["events.csv.gz"]) for name in ("signal", "background")),
    )  # fmt: skip
    assert shared(reading.check(content)) == {"signal": {}, "background": {}}


def test_another_size_is_another_file_whatever_its_date(folder):
    chosen = settings(folder, "v1.root")
    files = paths.raw_files(chosen, "s")
    before = paths.sized(chosen, files)
    os.utime(files[0], (1, 1))
    assert paths.sized(chosen, files) == before == [f"{files[0]}: 7 bytes"]
    (folder / "v1.root").write_text("more than before")
    os.utime(files[0], (1, 1))
    assert paths.sized(chosen, files) != before

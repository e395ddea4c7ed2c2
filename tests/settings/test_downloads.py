"""Published files: patterns that stand for files, and downloads from a server that this test starts."""

import hashlib
import http.server
import threading

import pytest
from analyses import FLAT, changed, shipped
from projects import copy_project, snakemake

from nuisflow.settings.checks import downloads, paths, reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Download

CONTENT = {"s.csv": b"x,w\n" + b"1.0,0.5\n2.5,0.5\n" * 50, "b.csv": b"x,w\n" + b"-1.0,0.5\n0.5,2.0\n" * 50}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return the address of a server of two files."""
    folder = tmp_path_factory.mktemp("served")
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    handler = lambda *arguments: Quiet(*arguments, directory=str(folder))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize(
    "checksum", [{}, {"sha256": SHA256["s.csv"]}, {"md5": hashlib.md5(CONTENT["s.csv"]).hexdigest()}]
)
def test_a_file_arrives_whole(server, tmp_path, checksum):
    downloads.fetch(tmp_path / "new" / "s.csv", Download(url=f"{server}/s.csv", **checksum))
    assert (tmp_path / "new" / "s.csv").read_bytes() == CONTENT["s.csv"]
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_an_unknown_checksum_is_told(server, tmp_path, caplog):
    with caplog.at_level("INFO"):
        downloads.fetch(tmp_path / "s.csv", Download(url=f"{server}/s.csv"))
    assert f"s.csv: sha256 {SHA256['s.csv']}" in caplog.text


@pytest.mark.parametrize("checksum", [{"sha256": SHA256["b.csv"]}, {"md5": "0" * 32}])
def test_a_wrong_checksum_is_an_error_and_nothing_is_kept(server, tmp_path, checksum):
    with pytest.raises(downloads.DownloadError, match=r"/s.csv: the checksum is wrong, nothing is kept .*try again"):
        downloads.fetch(tmp_path / "s.csv", Download(url=f"{server}/s.csv", **checksum))
    assert not list(tmp_path.iterdir())


def test_a_file_that_the_server_does_not_have_is_named(server, tmp_path):
    with pytest.raises(downloads.DownloadError, match=r"/t.csv: cannot be fetched \(HTTPError: 404"):
        downloads.fetch(tmp_path / "t.csv", Download(url=f"{server}/t.csv"))
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as closed:
        port = closed.server_port  # nobody answers there any more
    with pytest.raises(downloads.DownloadError, match="cannot be fetched .*fetch it on another machine and put it at"):
        downloads.fetch(tmp_path / "s.csv", Download(url=f"http://127.0.0.1:{port}/s.csv"))
    assert not list(tmp_path.iterdir())


# --- patterns


def test_a_pattern_stands_for_the_files_that_match_it_in_the_order_of_their_names(tmp_path):
    for name in ("b2.csv", "b1.csv", "c.csv"):
        (tmp_path / name).touch()
    assert downloads.matching(str(tmp_path), "b*.csv") == [str(tmp_path / "b1.csv"), str(tmp_path / "b2.csv")]
    assert downloads.matching(".", str(tmp_path / "b?.csv")) == [str(tmp_path / "b1.csv"), str(tmp_path / "b2.csv")]
    assert downloads.matching(str(tmp_path), "d*.csv") == []


def test_a_plain_name_stands_for_itself_whether_it_exists_or_not(tmp_path):
    assert downloads.matching(str(tmp_path), "a.csv", ["b.csv"]) == [str(tmp_path / "a.csv")]


def test_a_folder_with_signs_of_patterns_is_taken_literally(tmp_path):
    folder = tmp_path / "data[1]*"
    folder.mkdir()
    (folder / "a.csv").touch()
    assert downloads.matching(str(folder), "*.csv") == [str(folder / "a.csv")]


def analysis(folder, address="http://127.0.0.1:1", pattern="{}*.csv", **checksum):
    """Return the configuration of two samples in files that a server has."""
    known = {name: {"url": f"{address}/{name}", **checksum} for name in CONTENT}
    changes = [(f"samples.{name}.files", [pattern.format(name)]) for name in ("s", "b")]
    return changed(FLAT, ("dataset.path", str(folder)), ("dataset.download", known), *changes)


@pytest.mark.parametrize("pattern", ["{}.csv", "{}*.csv"])
def test_files_are_fetched_only_if_they_are_not_there(tmp_path, pattern):
    settings = reading.check(analysis(tmp_path, pattern=pattern))
    assert paths.missing_files(settings) == ["s.csv", "b.csv"]
    assert paths.raw_files(settings, "s") == [str(tmp_path / "s.csv")]
    (tmp_path / "s.csv").touch()
    assert paths.missing_files(settings) == ["b.csv"]
    assert paths.raw_files(settings, "s") == [str(tmp_path / "s.csv")]


def test_another_file_that_fits_the_pattern_is_as_good(tmp_path):
    (tmp_path / "s_excerpt.csv").touch()
    settings = reading.check(analysis(tmp_path))
    assert paths.missing_files(settings) == ["b.csv"]
    assert paths.raw_files(settings, "s") == [str(tmp_path / "s_excerpt.csv")]


def test_a_pattern_that_nothing_fits_is_an_error_with_its_place(tmp_path):
    settings = reading.check(changed(analysis(tmp_path), ("dataset.download", {}), ("samples.s.files", ["x*.csv"])))
    with pytest.raises(ConfigurationError, match=r"samples.s.files: no file matches 'x\*.csv' in .*put the file"):
        paths.raw_files(settings, "s")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"url": "s.csv"}, "dataset.download.s.csv.url: String should match pattern"),
        ({"url": "http://a/s.csv", "sha256": "abc"}, "dataset.download.s.csv.sha256: String should match pattern"),
        ({"url": "http://a/s.csv", "sha265": "abc"}, "dataset.download.s.csv.sha265: unknown key"),
        ({"url": "http://a/s.csv", "sha256": "0" * 64, "md5": "0" * 32}, "dataset.download.s.csv: give one checksum"),
        ({}, "dataset.download.s.csv.url: is required"),
    ],
)
def test_a_wrong_download_is_named_with_its_place(entry, message):
    content = changed(FLAT, ("dataset.download", {"s.csv": entry}))
    with pytest.raises(ConfigurationError) as caught:
        reading.check(content, "config.yaml")
    assert f"config.yaml: {message}" in str(caught.value)


def test_where_files_come_from_changes_no_result():
    from nuisflow.slices import events

    plain, fetched = (reading.check(changed(shipped("higgsml"), *c)) for c in ([("dataset.download", {})], []))
    assert events.ingestion(plain, "signal") == events.ingestion(fetched, "signal")
    assert events.processing(plain, "signal", "tes_up") == events.processing(fetched, "signal", "tes_up")


# --- the workflow


@pytest.mark.slow
@pytest.mark.workflow
def test_the_workflow_fetches_what_is_missing_once_and_reports_what_it_cannot_get(server, tmp_path):
    project = copy_project(tmp_path)
    goal = "results/flat/ingested/main/s.arrow"
    wrong = snakemake(project, analysis("data", server, sha256="0" * 64), "--", goal)
    assert wrong.returncode != 0
    assert "ERROR in fetch_file" in wrong.stdout
    assert not list((project / "data").glob("*"))
    done = snakemake(project, analysis("data", server), "--", goal)
    assert done.returncode == 0, done.stdout
    assert (project / "data" / "s.csv").read_bytes() == CONTENT["s.csv"]
    assert not (project / "data" / "b.csv").exists()  # nobody asked for it
    forced = snakemake(project, analysis("data", "http://127.0.0.1:1"), "--dry-run", "--forceall", "--", goal)
    assert "Ingest s" in forced.stdout
    assert "Fetch" not in forced.stdout  # the file is there

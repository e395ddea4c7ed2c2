"""What Snakemake remembers, told again from the records; two configurations in one folder."""

import asyncio
import base64
import hashlib
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.io import IOCache, IOFile, _IOFile

from nuisflow.storage import files, memory, records, runs

RESULTS = Path("results") / "toy"
PARAMS = {"settings": {"size": 0.1, "names": ["a"], "tree": None}, "code": "0123456789abcdef"}


def job(name, inputs, **changes):
    """Write a file and the record of the job that made it."""
    output = RESULTS / name
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(name)
    times = {"started": "2026-01-01T00:00:00.000+00:00", "ended": "2026-01-01T00:00:01.000+00:00"}
    record = {
        "rule": "fit_workspace", "wildcards": {}, "inputs": inputs, "outputs": [records.made(str(output))],
        "params": PARAMS, "threads": 1, "host": "a", "python": "3", "packages": {}, "commit": None,
        "startup_seconds": None, **times, **changes,
    }  # fmt: skip
    files.write_json(RESULTS / "logs" / "fit_workspace" / f"{name}.json", record)
    return str(output)


def note(path):
    place = Path(".snakemake") / "metadata" / base64.urlsafe_b64encode(path.encode()).decode()
    return json.loads(place.read_text()) if place.exists() else None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_told_is_what_snakemake_itself_compares(folder):
    """Parameters as sorted representations, inputs sorted, checksums of the inputs that a job made."""
    events = job("events", ["raw.root"])
    fit = job("fit", [events, "extra.csv"])
    assert memory.restore(RESULTS / "logs") == 2
    found = note(fit)
    assert found["params"] == sorted(map(repr, PARAMS.values()))
    assert found["input"] == sorted([events, "extra.csv"])
    assert found["input_checksums"] == {events: f"sha256:{records.checksum(events)}"}
    assert found["rule"] == "fit_workspace"
    assert found["endtime"] == found["starttime"] + 1
    assert note(events)["input_checksums"] == {}


def test_what_snakemake_knows_itself_stays(folder):
    fit = job("fit", [])
    memory.restore(RESULTS / "logs")
    place = next((folder / ".snakemake" / "metadata").iterdir())
    place.write_text('{"rule": "its own"}')
    assert memory.restore(RESULTS / "logs") == 0
    assert note(fit) == {"rule": "its own"}


def test_nothing_is_told_of_a_file_that_is_gone_or_is_another_one(folder):
    Path(job("gone", [])).unlink()
    Path(job("longer", [])).write_text("something else made this")
    assert memory.restore(RESULTS / "logs") == 0
    assert not (folder / ".snakemake").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"rule": "fit"}', "null"])
def test_a_damaged_record_tells_nothing_and_stops_nothing(folder, damage):
    job("fit", [])
    (RESULTS / "logs" / "other.json").write_text(damage)
    assert memory.restore(RESULTS / "logs") == 1


def test_a_long_name_is_cut_as_snakemake_cuts_it(folder):
    """Compared with Snakemake's own code."""
    from snakemake.persistence import file

    path = str(RESULTS / ("x" * 200) / ("y" * 200) / "fit.json")
    own = file.FilePersistence._record_path(type("", (), {"_fetch_max_len": lambda *_: 255})(), "m", path)
    assert Path(own).relative_to("m") == memory._place(path).relative_to(memory.METADATA)


def test_a_start_looks_at_every_record_once(folder, monkeypatch):
    job("fit", [])
    assert "Snakemake knew nothing of 1 files" in runs.look_after(RESULTS, [])
    monkeypatch.setattr(memory, "restore", lambda *_: pytest.fail("records are read again"))
    assert runs.look_after(RESULTS, []) == ""


def test_a_record_of_a_job_that_outlived_snakemake_is_found_at_the_next_start(folder):
    job("fit", [])
    runs.look_after(RESULTS, [])
    later = job("toys", [])
    os.utime(RESULTS / "logs" / "fit_workspace" / "toys.json", (time.time() + 5,) * 2)
    assert "Snakemake knew nothing of 1 files" in runs.look_after(RESULTS, [])
    assert note(later)


def begun(origin):
    pid = os.fork()
    if pid == 0:
        runs.begin(RESULTS, [], batch=False, origin=[origin])
        os._exit(0)
    os.waitpid(pid, 0)


def test_two_configurations_in_one_folder_are_named(folder):
    first, second = Path("a.yaml"), Path("b.yaml")
    first.write_text("analysis: toy"), second.write_text("analysis: toy")
    assert runs.confused(RESULTS, [first]) == ""
    begun(first)
    assert runs.confused(RESULTS, [first]) == ""
    note = runs.confused(RESULTS, [second])
    assert str(folder / "a.yaml") in note
    assert str(folder / "b.yaml") in note
    assert "another name" in note


def test_a_configuration_that_was_renamed_is_not_another_one(folder):
    first = Path("a.yaml")
    first.write_text("analysis: toy")
    begun(first)
    first.rename("b.yaml")
    assert runs.confused(RESULTS, [Path("b.yaml")]) == ""


def snakemake_file(path):
    """Return a file of a rule as Snakemake knows it; *path* as in the Snakefile."""
    cache = IOCache(max_wait_time=None)
    cache.deactivate()  # as it is while jobs run
    file = IOFile(path)
    file.rule = SimpleNamespace(workflow=SimpleNamespace(iocache=cache))
    return file


def test_a_file_is_hashed_again_only_if_it_changed_and_as_snakemake_hashes_it(folder, monkeypatch):
    read = []
    monkeypatch.setattr(hashlib, "file_digest", lambda *given, _of=hashlib.file_digest: read.append(1) or _of(*given))
    once = memory.hashed_once(_IOFile.checksum)

    def hashed(path, **options):
        return asyncio.run(once(snakemake_file(path), 100, **options))

    Path("a").write_text("one")
    first = hashed("a")
    assert (
        first
        == asyncio.run(_IOFile.checksum(snakemake_file("a"), 100))
        == "sha256:" + hashlib.sha256(Path("a").read_bytes()).hexdigest()
    )
    del read[:]
    assert hashed("a") == first
    assert not read
    Path("a").write_text("two")
    assert hashed("a") == "sha256:" + hashlib.sha256(Path("a").read_bytes()).hexdigest() != first
    os.utime("a", (1, 1))
    assert hashed("a") == "sha256:" + hashlib.sha256(Path("a").read_bytes()).hexdigest()
    assert len(read) == 2
    assert hashed("a", algorithm="sha1").startswith("sha1:")
    Path("a").write_text("longer than allowed" * 10)
    assert hashed("a") is None
    assert hashed("missing") is None

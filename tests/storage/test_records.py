"""Tests of the records that jobs leave, and of the crate that is made of them."""

import hashlib
import json
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import networkx
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocrate.rocrate import ROCrate

import verify_results
from nuisflow.storage import crates, files, records, sources


def run(folder, body="Path('out.json').write_text('{}')"):
    """Run a job in *folder* that reads raw.root and writes out.json."""
    code = f"""
    import types
    from pathlib import Path
    import numpy
    from nuisflow.storage import logs
    snakemake = types.SimpleNamespace(
        rule="fit_workspace", log=["logs/fit/a.log"], input=["raw.root"], output=["out.json"],
        params={{"settings": {{"seed": 5, "high": float("inf")}}}}, wildcards={{"training": "a"}}, threads=1,
    )
    with logs.job(snakemake):
        {body}
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {"PYTHONPATH": str(sources.SCRIPTS)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def test_a_job_leaves_a_record_of_files_settings_software_and_times(tmp_path):
    assert run(tmp_path).returncode == 0
    record = files.read_json(tmp_path / "logs" / "fit" / "a.json")
    assert record["rule"] == "fit_workspace"
    assert record["inputs"] == ["raw.root"]
    assert record["outputs"] == [{"path": "out.json", "size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}]
    assert record["params"] == {"settings": {"seed": 5, "high": "Infinity"}}
    assert record["wildcards"] == {"training": "a"}
    assert record["host"] == platform.node()
    assert record["packages"]["numpy"] == np.__version__
    assert "json" not in record["packages"]
    assert record["started"] < record["ended"]
    assert 0 < record["startup_seconds"] < 60


def test_a_job_that_fails_leaves_no_record_not_even_that_of_an_earlier_run(tmp_path):
    run(tmp_path)
    assert list(tmp_path.rglob("a.json"))
    assert run(tmp_path, "raise ValueError('events.root: no column pt')").returncode == 1
    assert not list(tmp_path.rglob("a.json"))


def test_the_age_of_this_process_is_what_psutil_says():
    import time

    assert records.age() == pytest.approx(time.time() - psutil.Process().create_time(), abs=1.5)


def test_the_commit_is_that_of_git_and_none_outside_version_control(tmp_path, monkeypatch):
    assert records.commit() is None or len(records.commit().removesuffix("-dirty")) == 40
    monkeypatch.setattr(records, "ROOT", tmp_path)
    assert records.commit() is None
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b", *command], cwd=tmp_path, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert records.commit() == head.stdout.strip()
    (tmp_path / "code.py").write_text("")
    subprocess.run(["git", "add", "code.py"], cwd=tmp_path, check=True)
    assert records.commit() == f"{head.stdout.strip()}-dirty"


def record(name, inputs, outputs, ended="2026-01-01T00:00:01.000+00:00"):
    made = [records.Made(path=path, size=1, sha256="0") for path in outputs]
    return records.Record(
        rule=name, wildcards={}, inputs=list(inputs), outputs=made, params={}, threads=1, host="node1", python="3.11.7",
        packages={"numpy": "2.4.6"}, commit="abc", started="2026-01-01T00:00:00.000+00:00", ended=ended,
        startup_seconds=0.5,
    )  # fmt: skip


@given(st.lists(st.sets(st.integers(0, 11), max_size=3), min_size=12, max_size=12), st.integers(0, 11))
def test_the_jobs_that_lead_to_a_file_are_the_ancestors_in_the_graph(parents, target):
    below = [{parent for parent in found if parent < node} for node, found in enumerate(parents)]
    jobs = [
        record(str(node), [f"f{parent}" for parent in found], [f"f{node}", f"g{node}"], f"2026-01-01T00:00:{node:02d}")
        for node, found in enumerate(below)
    ]
    graph = networkx.DiGraph([(parent, node) for node, found in enumerate(below) for parent in found])
    graph.add_nodes_from(range(12))
    expected = sorted(networkx.ancestors(graph, target) | {target})
    assert [int(job["rule"]) for job in records.leading_to(f"g{target}", reversed(jobs))] == expected


def test_of_two_jobs_that_made_a_file_the_last_counts():
    old, new = record("old", ["a"], ["b"], "2026-01-01T01"), record("new", ["c"], ["b"], "2026-01-01T02")
    assert [job["rule"] for job in records.leading_to("b", [old, new])] == ["new"]


@pytest.fixture
def analysis(tmp_path, monkeypatch):
    """An analysis of two jobs, from a file elsewhere to a report; a training that is gone left a record too."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results") / "small"
    made = {}
    for name in (
        "data/µ events.root",
        "results/small/raw/a b.root",
        "results/small/report.html",
        "results/small/old.pt",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name * 1000, encoding="utf-8")
        made[name] = records.made(name)
    source, raw, report, old = made
    for name, inputs, output, ended in [
        ("convert", [source], raw, "1"),
        ("write", [raw], report, "2"),
        ("old", [raw], old, "2"),
    ]:
        content = record(name, inputs, [output], f"2026-01-01T00:00:0{ended}.000+00:00")
        content["outputs"] = [made[output]]
        files.write_json(folder / "logs" / f"{name}.json", content)
    configuration = folder / "config.yaml"
    configuration.write_text("analysis: small\n")
    found = crates.gather(folder, report, "Small")
    files.write_json(folder / crates.METADATA, crates.describe(found, configuration))
    return folder


def test_the_crate_names_every_file_once_with_size_and_checksum(analysis):
    crate = ROCrate(analysis)
    found = {entity.id: entity for entity in crate.get_entities() if "sha256" in entity}
    outside = (Path("data").resolve() / "µ events.root").as_uri()
    assert {"config.yaml", "raw/a%20b.root", "report.html", outside} == {name.replace(" ", "%20") for name in found}
    report = (analysis / "report.html").read_bytes()
    assert found["report.html"]["sha256"] == hashlib.sha256(report).hexdigest()
    assert found["report.html"]["contentSize"] == str(len(report))


def test_the_crate_says_which_job_made_what_from_what(analysis):
    crate = ROCrate(analysis)
    convert, write = crate.root_dataset["mentions"]
    assert (convert.type, write.type) == ("CreateAction", "CreateAction")
    assert write["result"].id == "report.html"
    assert {one.id for one in write["object"] if one.type == "File"} == {convert["result"].id}
    assert write["instrument"]["version"] == "abc"
    assert "numpy 2.4.6" in write["instrument"]["description"]
    assert write["startTime"] < write["endTime"]
    assert write["environment"]["value"] == "node1"


def test_every_reference_in_the_crate_leads_somewhere(analysis):
    graph = json.loads((analysis / crates.METADATA).read_text())["@graph"]
    known = {entity["@id"] for entity in graph}
    assert len(known) == len(graph)

    def references(value):
        if isinstance(value, dict):
            yield value["@id"]
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    used = {name for entity in graph for value in entity.values() for name in references(value)}
    assert {
        name for name in used - known if not name.startswith(("http://schema.org/", "https://w3id.org/ro/crate/"))
    } == set()


def test_a_file_whose_record_is_gone_is_named(analysis):
    (analysis / "logs" / "convert.json").unlink()
    found = crates.gather(analysis, "results/small/report.html", "Small")
    assert crates.without_record(found) == ["results/small/raw/a b.root"]
    assert (
        "the record of what made 1 files is gone"
        in crates.describe(found, analysis / "config.yaml")["@graph"][0]["description"]
    )


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]), "has other content (SHA-256)"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 33999 bytes instead of"),
        (lambda path: path.unlink(), "is missing"),
    ],
    ids=["flipped", "truncated", "missing"],
)
def test_a_file_that_differs_from_the_crate_is_found(analysis, fault, reason):
    assert verify_results.verify_results(analysis) == []
    path = analysis / "raw" / "a b.root"
    size = path.stat().st_size
    fault(path)
    (difference,) = verify_results.verify_results(analysis)
    assert difference.path == str(path)
    assert difference.reason.startswith(reason.replace("33999", str(size - 1)))


def test_a_source_that_changed_is_found_too(analysis):
    Path("data/µ events.root").write_text("other")
    (difference,) = verify_results.verify_results(analysis)
    assert difference.path.endswith("µ events.root")


def test_verifying_says_what_to_do(analysis, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["verify_results.py", str(analysis)])
    assert verify_results.main() == 0
    assert "All 4 files are what" in capsys.readouterr().out
    (analysis / "report.html").unlink()
    assert verify_results.main() == 1
    assert "delete them and run the analysis again" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["verify_results.py", "nowhere"])
    assert verify_results.main() == 1
    assert "run the analysis to its end first" in capsys.readouterr().out

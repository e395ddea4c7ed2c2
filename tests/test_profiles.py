"""The profiles ask batch systems for what the rules need."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yte

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))]


def profile(name: str) -> dict[str, Any]:
    text = (ROOT / "workflow" / "profiles" / name / "config.yaml").read_text()
    read: dict[str, Any] = yte.process_yaml(StringIO(text), require_use_yte=True)
    return read


def needs() -> dict[str, tuple[int, int]]:
    """Memory (MB) and time (s) of each rule that states them; a rule made from another needs the same."""
    found = {}
    for text in TEXTS:
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL):
            memory, time = re.search(r"mem_mb=(\d+)", body), re.search(r'runtime="(\d+)([hm])"', body)
            seconds = int(time[1]) * {"h": 3600, "m": 60}[time[2]] if time else 0
            found[name] = (int(memory[1]) if memory else 0, seconds)
    made = {
        name: source
        for text in TEXTS
        for source, name in re.findall(r"^use rule (\w+) as (\w+) with:", text, re.MULTILINE)
    }
    for name in made:
        source = name
        while source in made:  # one that is made from another, too
            source = made[source]
        found[name] = found[source]
    return found


@pytest.mark.parametrize(("rule", "need"), needs().items(), ids=lambda value: value if isinstance(value, str) else "")
def test_htcondor_is_asked_for_the_memory_and_the_time_that_a_rule_needs(rule, need):
    read = profile("htcondor")
    asked = read["default-resources"] | read["set-resources"].get(rule, {})
    names = ("htcondor_request_mem_mb", "allowed_execute_duration", "classad_MaxRuntime")
    memory, seconds, cern = (eval(asked[name], {"attempt": 1}) for name in names)
    assert memory >= need[0]
    assert seconds >= need[1]
    assert cern == seconds
    assert eval(asked[names[0]], {"attempt": 2}) == 2 * memory


@pytest.mark.parametrize(("rule", "need"), needs().items(), ids=lambda value: value if isinstance(value, str) else "")
def test_slurm_is_asked_for_the_memory_and_the_time_that_a_rule_needs_and_for_more_after_a_failure(rule, need):
    read = profile("slurm")
    asked = read["default-resources"] | read["set-resources"].get(rule, {})
    memory, minutes = (eval(asked[name], {"attempt": 1}) for name in ("mem_mb", "runtime"))
    assert memory >= need[0]
    assert 60 * minutes >= need[1]
    assert [eval(asked[name], {"attempt": 2}) for name in ("mem_mb", "runtime")] == [2 * memory, 2 * minutes]
    assert rule in read["set-resources"] or need == (0, 0)  # a value in a rule beats a default: it would stay the same


def test_profiles_name_only_rules_that_there_are():
    for name in ("slurm", "htcondor"):
        read = profile(name)
        assert set(read["set-resources"]) | set(read["groups"]) <= set(needs())


def test_every_rule_is_read():
    assert len(needs()) > 20
    assert needs()["train_reweighting"] == (1500, 4 * 3600)

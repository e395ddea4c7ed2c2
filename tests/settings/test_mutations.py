"""Random mistakes in the shipped configurations: each is accepted or refused with a path, as a user would meet it."""

import random
import re
from pathlib import Path

import pytest
import yaml
from analyses import ROOT
from mutations import mutants
from projects import snakemake

from nuisflow.settings import conditional, configuration, points, sections, tuning
from nuisflow.settings.checks import paths, reading
from nuisflow.settings.configuration import Configuration, SimulatedDataset
from nuisflow.settings.expansions import relocated
from nuisflow.slices import bootstrap, events, inference, report, scenarios, training
from nuisflow.slices import conditional as rescored

SHIPPED = sorted((ROOT / "config").glob("*.yaml"))
SECTIONS = configuration.Configuration.model_fields
INTERNAL = re.compile(
    r"Traceback|pydantic|Input should be a valid (dict|tuple)|instance of|after validation|Value error|0x"
)
LINE = re.compile(r"(line \d+, column \d+|[\w.#:/ -]+?): .", re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a run: it has files of all names that the shipped configurations read."""
    folder = tmp_path_factory.mktemp("mutants")
    for path in SHIPPED:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        for sample in content["samples"].values():
            for name in sample.get("files", ()):
                file = folder / "data" / content["dataset"]["path"].rpartition("/")[2] / name.replace("*", "")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    (folder / "config").symlink_to(ROOT / "config")
    return folder


@pytest.fixture
def inside(folder, monkeypatch):
    """Be in this folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NUISFLOW_DATA", str(folder / "data"))
    return folder


def planned(settings: Configuration) -> None:
    """Make all parameters of all rules, as planning does."""
    files = {name: paths.raw_files(settings, name) for name in settings.samples}
    paths.shared(settings, files)
    paths.missing_files(settings)
    settings = relocated(settings, "results/moved")
    simulated = isinstance(settings.dataset, SimulatedDataset.__origin__)
    slices = [inference.fit(settings), inference.displaced_filling(settings), training.scoring(settings)]
    slices += [report.comparison(settings), report.plots(settings), report.report(settings)]
    for name in settings.samples:
        slices += [events.simulation(settings, name)] if simulated else []
        slices += [events.ingestion(settings, name, part) for part in events.parts(settings, name)]
        shifted = [*events.shifted_names(settings, name), *points.folders(settings, name)]
        slices += [events.processing(settings, name, folder) for folder in shifted]
    for name in settings.trainings:
        training.training_samples(settings, name)
        slices += [training.training(settings, name, 0), inference.filling(settings, name)]
        slices += [inference.workspace(settings, name), inference.toys(settings, name, 1)]
        slices += [tuning.study(settings, name)] if name in settings.tune else []
    slices += [rescored.rescoring(settings, name) for name in conditional.trainings(settings)]
    slices += [scenarios.slice_of(settings)] if settings.scenarios else []
    slices += [bootstrap.slice_of(settings)] if settings.toys.bootstrap else []
    for part in slices:
        sections.plain(part)


def is_there(path: str, content: object) -> bool:
    """Tell whether *path* is one of *content*, but for its last part: a key may be missing."""
    if "." not in path:
        return True
    if isinstance(content, list):
        first, _, rest = path.partition(".")
        return first.isdigit() and int(first) < len(content) and is_there(rest, content[int(first)])
    found = [key for key in content if path == key or path.startswith(f"{key}.")] if isinstance(content, dict) else []
    return any(path == key or is_there(path[len(key) + 1 :], content[key]) for key in found)


def judged(path: Path, text: str) -> bool:
    """Tell whether the configuration *text* is accepted; fail if what is said of it does not help."""
    path.write_text(text, encoding="utf-8")
    try:
        planned(reading.check(reading.read(path), path.name))
    except reading.ConfigurationError as error:
        found, content = str(error).removeprefix(f"{path.parent}/"), None
        assert not INTERNAL.search(found), found
        for line in found.splitlines()[: 1 if "not valid YAML" in found else None]:
            place = LINE.match(line.removeprefix(f"{path.name}: "))
            assert place, line
            is_line = place[1].startswith("line ")
            known = place[1].partition(".")[0] in SECTIONS or "unknown key" in line or is_line
            assert known, line
            content = content or (None if is_line else yaml.load(text, Loader=yaml.CSafeLoader))
            assert is_line or is_there(place[1], content), line
        return False
    return True


def tried(path: Path, number: int, seed: int) -> list[str]:
    """Return those of *number* random mistakes that are accepted."""
    accepted = []
    for index in range(number):
        source = SHIPPED[index % len(SHIPPED)]
        words, text = next(iter(mutants(source, 1, seed + index)))
        try:
            accepted += [text] if judged(path, text) else []
        except Exception as error:
            raise AssertionError(f"{source.name}: {words} (seed {seed + index}): {error!r}\n\n{text}") from error
    return accepted


def test_every_random_mistake_is_accepted_or_refused_with_a_path(inside):
    accepted = tried(inside / "mine.yaml", 500, 1)
    assert 25 < len(accepted) < 250


@pytest.mark.slow
def test_every_one_of_many_more_mistakes_is_accepted_or_refused_with_a_path(inside):
    tried(inside / "mine.yaml", 1500, 10_001)


@pytest.mark.slow
@pytest.mark.workflow
def test_what_is_accepted_can_be_planned_by_snakemake(inside):
    accepted = tried(inside / "mine.yaml", 200, 20_001)
    for text in random.Random(1).sample(accepted, 6):
        (inside / "mine.yaml").write_text(text, encoding="utf-8")
        done = snakemake(inside, "mine.yaml", "--dry-run", "--quiet", "rules")
        looked_at = "The files of events cannot be used" in done.stdout  # those here are empty
        assert done.returncode == 0 or looked_at, f"{done.stdout}\n{text}"
        assert "Traceback" not in done.stdout

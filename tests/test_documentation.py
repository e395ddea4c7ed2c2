"""The site builds without a complaint, lists all that can be configured, and its recipes work to the letter."""

import csv
import json
import re
import shutil
import subprocess
import sys
import types

import pytest
import torch
import yaml
from analyses import ROOT, changed

from nuisflow.likelihood import measurements
from nuisflow.likelihood.model import Model
from nuisflow.settings.checks import reading
from nuisflow.settings.configuration import Configuration
from nuisflow.storage import files
from nuisflow.strategies import STRATEGIES, networks
from nuisflow.strategies.strategy import Events

DOCS = ROOT / "docs"
RECIPES = (DOCS / "recipes.md").read_text()
TOY = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
READER = "import json, sys; from nuisflow.settings.checks import reading; reading.check(json.load(sys.stdin))"


def recipe(title, language="python"):
    """Return the blocks of code of one recipe."""
    text = RECIPES.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


# --- the site ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built where every warning is an error."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_needs_no_network(site):
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "statistics.html", "recipes.html", "reference.html"} <= {page.name for page in pages}
    for page in pages:
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text())
        assert not loaded, page


@pytest.mark.slow
def test_every_section_of_the_configuration_and_every_strategy_has_its_place(site):
    reference, strategies = ((site / "made" / f"{name}.html").read_text() for name in ("reference", "strategies"))
    assert all(f">{name}<" in reference for name in Configuration.model_fields)
    assert all(f">{name}<" in strategies for name in STRATEGIES)


def test_a_section_that_a_page_needs_is_there_and_none_is_there_twice():
    sys.path.insert(0, str(DOCS))
    import pages

    for name in pages.PAGES:
        assert pages.page(name).startswith("# ")
    with pytest.raises(ValueError, match="two sections are called 'A'"):
        pages.sections("## A\n\n## B\n\n## A\n")
    assert pages.sections("## A\n```\n## no heading\n```\n") == {"A": "```\n## no heading\n```"}


# --- the recipes ------------------------------------------------------------------------------------------------------


def test_every_recipe_is_short():
    for title in re.findall(r"^## (.*)$", RECIPES, re.MULTILINE):
        assert sum(len(block.splitlines()) for block in recipe(title)) <= 45
        assert all(len(block.splitlines()) <= 30 for block in recipe(title))


def test_the_recipe_of_a_strategy_is_a_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,), (section,) = recipe("Add a strategy"), recipe("Add a strategy", "yaml")
    (tmp_path / "brier.py").write_text(block)
    training = reading.check(changed(TOY, ("trainings", yaml.safe_load(section)["trainings"]))).trainings["brier"]
    assert training.label == "Brier"
    nets = training.networks(networks.Architecture(2, (8,), seed=1))
    features, labels = torch.randn(40, 2), (torch.rand(40) < 0.5).float()
    batch = Events(features, labels, torch.rand(40), torch.zeros(40, 0), *[None] * 6)
    expected = (batch.weights * (training.score(nets, features, batch.z) - labels) ** 2).mean()
    torch.testing.assert_close(training.loss(nets, batch, 0.5)["loss"], expected)


def test_the_recipe_of_a_variation_shifts_a_column():
    (section,) = recipe("Add a variation", "yaml")
    added = yaml.safe_load(section)["variations"]["met_scale"]
    expression = added["columns"]["met"].replace("met", "PRI_met")
    found = reading.check(changed(TOY, ("variations.met_scale", added | {"columns": {"PRI_met": expression}})))
    assert found.variations["met_scale"].group == "energy scales"


def test_the_recipe_of_a_data_set_makes_events_that_shift(tmp_path):
    library = shutil.copytree(
        ROOT / "scripts" / "nuisflow", tmp_path / "nuisflow", ignore=shutil.ignore_patterns("__pycache__")
    )
    module, section = recipe("Add a data set")
    (library / "datasets" / "bump.py").write_text(module)
    kinds, settings = library / "datasets" / "__init__.py", library / "settings" / "configuration.py"
    text = kinds.read_text().replace("import ditau,", "import bump, ditau,").replace('    "ditau": ditau,', '    "bump": bump,\n    "ditau": ditau,')  # fmt: skip
    kinds.write_text(text)
    text = settings.read_text().replace("class GaussianDataset", f"{section}\n\nclass GaussianDataset")
    settings.write_text(re.sub(r"\bGaussianDataset\b(?=\s*\|)", "GaussianDataset | BumpDataset", text))
    content = {
        "analysis": "bump", "dataset": {"kind": "bump"}, "features": ["mass"], "regions": {"all": {}},
        "processes": {"signal": {"role": "signal"}, "background": {}}, "trainings": {"nominal": {"strategy": "nominal"}},
        "samples": {name: {"process": name, "events": 1000, "expected": 100} for name in ("signal", "background")},
        "variations": {"scale": {"kind": "shift", "shift": "scale", "size": 0.02}},
    }  # fmt: skip
    command = [sys.executable, "-c", READER]
    place = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, input=json.dumps(content), text=True, capture_output=True, env=place, check=False)
    assert done.returncode == 0, done.stderr
    code = (
        "import numpy as np; from nuisflow.datasets import bump\n"
        "events = bump.simulate('signal', 100_000, np.random.default_rng(1))\n"
        "print(events['mass'].mean(), bump.shift(events, {'scale': (2.0, 0.02)})['mass'].mean())"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, env=place, check=True)
    mean, shifted = map(float, done.stdout.split())
    assert mean == pytest.approx(125, abs=0.15)
    assert shifted == pytest.approx(1.04 * mean, rel=1e-5)


@pytest.mark.slow
@pytest.mark.workflow
def test_the_recipe_of_a_rule_runs_behind_the_fits(tmp_path):
    snakefile, script = recipe("Add a rule")
    (tmp_path / "nuisflow").symlink_to(ROOT)
    (tmp_path / "Snakefile").write_text(snakefile)
    (tmp_path / "constraints.py").write_text(script)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TOY, sort_keys=False, allow_unicode=True))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "constraints.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^fit_workspace +2$", done.stdout + done.stderr, re.MULTILINE)


def test_the_script_of_that_rule_finds_the_parameter_that_the_data_know_best(tmp_path):
    modifiers = [{"name": "mu", "type": "normfactor", "data": None}]
    rates = [{"name": name, "type": "normsys", "data": {"hi": 1 + size, "lo": 1 - size}} for name, size in (("wide", 0.5), ("narrow", 0.01))]  # fmt: skip
    samples = [
        {"name": "signal", "data": [5.0, 1.0], "modifiers": modifiers},
        {"name": "background", "data": [10.0, 900.0], "modifiers": rates},
    ]
    workspace = {
        "version": "1.0.0", "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": [15.0, 901.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }  # fmt: skip
    found = measurements.measure(Model(workspace), "asimov", {}, {"c": [0, 1, 2]})
    files.write_json(tmp_path / "fit.json", {"asimov": found})
    _, script = recipe("Add a rule")
    given = types.SimpleNamespace(input=[str(tmp_path / "fit.json")], output=[str(tmp_path / "constraints.csv")])
    exec(script, {"snakemake": given})
    (row,) = csv.DictReader((tmp_path / "constraints.csv").read_text().splitlines())
    assert row["parameter"] == "wide"
    assert float(row["constraint"]) == pytest.approx(900**-0.5 / 0.5, rel=0.1)

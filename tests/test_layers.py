"""The library's modules, bottom to top: none imports one above it."""

import ast

import pytest

from nuisflow import sources

LAYERS = [
    "seeds", "disks", "sources", "names", "metrics", "expressions", "runs", "files", "records", "logs", "plugins",
    "datasets.kinematics", "datasets.flat", "datasets.ditau", "datasets.higgsml", "datasets.fair_universe", "datasets.generated", "datasets.gaussian", "datasets.inferno", "datasets.pivot", "datasets.records", "datasets.nanoaod", "datasets",
    "networks", "strategies.strategy", "strategies.nominal", "strategies.optimal", "strategies.boosted_trees", "strategies.augmentation",
    "strategies.parametrised", "strategies.adversarial", "strategies.bayesian", "strategies.clairvoyant", "strategies.conditional", "strategies.decorrelation",
    "strategies.domain_adaptation", "strategies.dropout", "strategies.ensemble", "strategies.tangent", "strategies.user",
    "strategies.information", "strategies.inferno", "strategies.sensitivity_to_poi",
    "strategies",
    "sections", "systematics", "configuration", "expansions", "points", "conditioning", "benchmarks", "tuning", "downloads", "published", "variation_checks", "dask_checks", "checks", "slices", "shown", "reweightings", "bootstraps", "clusters", "parallel",
    "conversion", "variations", "events",
    "batches", "training", "reweighting", "studies",
    "binning", "scored_events", "templates", "displacements", "scarcity", "rescoring", "workspaces",
    "histfactory", "plans", "compilation", "rates", "derivatives", "minimisation", "profiles", "lanes", "lane_derivatives", "newton", "crossings", "likelihood", "starts", "fits", "spreads", "limits", "toys", "interval_scores", "pseudo_experiments", "challenge", "truths", "measurements", "grids", "hypotheses", "grid_measurements", "grid_toys", "answers", "commands",
    "comparison", "scenarios", "references", "exact_templates", "exact_toys", "robustness", "findings", "held_out", "known_answers", "departures", "tables", "bootstrap_tables", "plots", "report", "crates",
]  # fmt: skip
PACKAGE = sources.SCRIPTS / "nuisflow"


def module_name(path):
    return path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def layer(name):
    """Return the height of a module; the parts of a package that is not listed part by part are one layer."""
    return LAYERS.index(name if name in LAYERS else name.split(".")[0])


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "nuisflow":
            base = node.module.removeprefix("nuisflow").removeprefix(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".removeprefix(".")
                yield full if full in MODULES else base
        elif isinstance(node, ast.Import):
            yield from (name.name.removeprefix("nuisflow.") for name in node.names if name.name.startswith("nuisflow."))


def test_every_module_has_a_layer():
    assert set(MODULES) | {name.split(".")[0] for name in MODULES} == set(LAYERS) | set(MODULES)
    assert all(layer(name) >= 0 for name in MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_one_above_it(name):
    below = layer(name)
    others = {other for other in imported(MODULES[name]) if other in MODULES or other in LAYERS}
    assert not {other for other in others if layer(other) > below or (layer(other) == below and other in LAYERS)}


def test_only_plots_import_matplotlib():
    users = [name for name, path in MODULES.items() if "matplotlib" in path.read_text() and "plots" not in name]
    assert [name for name in users if "import matplotlib" in MODULES[name].read_text()] == []

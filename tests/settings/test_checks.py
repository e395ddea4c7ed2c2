import copy
import json
import pickle

import jsonschema
import pytest
import yaml
from analyses import FLAT, ROOT, changed, shipped

from nuisflow.settings import configuration
from nuisflow.settings.checks import paths, reading
from nuisflow.settings.checks.reading import ConfigurationError

DITAU = shipped("config")
CMS = shipped("cms_htautau")


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(path):
    settings = reading.load(path)
    assert settings.analysis
    jsonschema.validate(yaml.safe_load(path.read_text()), configuration.Configuration.model_json_schema())


def test_the_schema_for_editors_is_current():
    assert json.loads((ROOT / "config" / "schema.json").read_text()) == reading.schema()


@pytest.mark.parametrize(
    ("content", "path", "value", "message"),
    [
        (DITAU, "trainings.adversarial.strategy", "adversrial", "trainings.adversarial.strategy: no strategy 'adversrial'; did you mean 'adversarial'?"),
        (DITAU, "learnin", {}, "learnin: unknown key; did you mean 'learning'?"),
        (DITAU, "learning.bach_size", 3, "learning.bach_size: unknown key; did you mean 'batch_size'?"),
        (DITAU, "trainings.adversarial.strenght", 3, "trainings.adversarial.strenght: unknown key; did you mean 'strength'?"),
        (DITAU, "variations.tes.sise", 3, "variations.tes.sise: unknown key; did you mean 'size'?"),
        (DITAU, "variations.tes.kind", "shifft", "variations.tes.kind: no kind 'shifft'; did you mean 'shift'?"),
        (DITAU, "dataset.kind", "ditaus", "dataset.kind: no kind 'ditaus'; did you mean 'ditau'?"),
        (DITAU, "variations.tes.kind", None, "variations.tes: needs the key 'kind'"),
        (DITAU, "learning.folds", 1, "learning.folds: Input should be greater than or equal to 2 (got 1)"),
        (DITAU, "learning.folds", "two", "learning.folds: must be a whole number (got 'two')"),
        (DITAU, "learning.folds", 2.5, "learning.folds: must be a whole number (got 2.5)"),
        (DITAU, "learning.events_seen", "1e6", "learning.events_seen: must be a whole number (got '1e6'); write 1000000"),
        (DITAU, "learning.events_seen", "60k", "learning.events_seen: must be a whole number (got '60k'); write 60000"),
        (DITAU, "learning.learning_rate", "fast", "learning.learning_rate: must be a number (got 'fast')"),
        (CMS, "variations.luminosity.size", "2.6 %", "variations.luminosity.size: must be a number (got '2.6 %'); write 0.026"),
        (CMS, "variations.luminosity.size", 2.6, "variations.luminosity.size: 2.6 is 260 %, too much for a prior; write 0.026 for 2.6 %"),
        (DITAU, "variations.ttbar_rate.size", 10, "variations.ttbar_rate.size: 10 is 1000 %, too much for a prior; write 0.1 for 10 %, or make it kind: free_rate"),
        (DITAU, "variations.ttbar_rate.size", [5, -0.07], "variations.ttbar_rate.size: 5 is 500 %, too much for a prior; write 0.05 for 5 %"),
        (DITAU, "selection", "PRI_met = 3", "selection: cannot parse 'PRI_met = 3': write == to compare"),
        (DITAU, "derived", {"a": "PRI_met ^ 2"}, "derived.a: 'PRI_met ^ 2' in 'PRI_met ^ 2' is not allowed: write ** for powers"),
        (DITAU, "variations.tes.size", 0, "variations.tes.size: Input should be greater than 0 (got 0)"),
        (DITAU, "variations.ttbar_rate.size", 0, "variations.ttbar_rate.size: Input should be greater than 0 (got 0)"),
        (DITAU, "variations.ttbar_rate.size", float("nan"), "variations.ttbar_rate.size: Input should be"),
        (DITAU, "processes.htautau.role", "sgnal", "processes.htautau.role: Input should be 'signal' or 'background'"),
        (DITAU, "processes.htautau.role", "background", "processes: exactly one has role signal; here: none"),
        (DITAU, "processes.ztautau.role", "signal", "processes: exactly one has role signal; here: htautau, ztautau"),
        (DITAU, "processes.wjets", {}, "processes.wjets: no sample belongs to it"),
        (DITAU, "processes.data", {}, "processes.data: 'data' is reserved"),
        (DITAU, "samples.ttbar.process", "tbar", "samples.ttbar.process: no process 'tbar'; did you mean 'ttbar'?"),
        (DITAU, "samples.ttbar.events", None, "samples.ttbar: 'events' (to simulate) and 'expected'"),
        (DITAU, "samples.ttbar.events", 0, "samples.ttbar.events: Input should be greater than 0"),
        (DITAU, "samples.ttbar.files", ["a.root"], "samples.ttbar.files: the data set 'ditau' is simulated"),
        (DITAU, "features", ["PRI_had_ptt"], "features.0: no column 'PRI_had_ptt'; did you mean 'PRI_had_pt'?"),
        (DITAU, "features", ["PRI_had_pt", "PRI_had_pt"], "features: 'PRI_had_pt' is there twice"),
        (DITAU, "plots", {"features": {"PRI_had_ptt": "pt [GeV]"}}, "plots.features: no column 'PRI_had_ptt'; did you mean 'PRI_had_pt'?"),
        (DITAU, "features", ["true_mass"], "features.0: 'true_mass' is not known in collision data"),
        (DITAU, "selection", "PRI_had_p > 26", "selection: 'PRI_had_p > 26' uses 'PRI_had_p', which is no column; did you mean 'PRI_had_pt'?"),
        (DITAU, "selection", "open('x')", "selection: \"open('x')\" in"),
        (DITAU, "derived", {"PRI_had_pt": "1.0"}, "derived.PRI_had_pt: there is such a column already"),
        (DITAU, "derived", {"b": "a + 1", "a": "PRI_met"}, "derived.b: 'a + 1' uses 'a', which is no column"),
        (DITAU, "variations.tes.shift", "tess", "variations.tes.shift: no shift 'tess'; did you mean 'tes'?"),
        (DITAU, "variations.tes.size", None, "variations.tes.size: is required"),
        (DITAU, "variations.tes.columns", {"PRI_met": "PRI_met + z"}, "variations.tes: give either 'shift'"),
        (DITAU, "variations.ttbar_rate.processes", ["top"], "variations.ttbar_rate.processes: no process 'top'"),
        (DITAU, "variations.mu", {"kind": "rate", "size": 0.1}, "variations.mu: the name 'mu' is reserved"),
        (DITAU, "variations.tes.group", "epistemic", "variations.tes.group: 'epistemic' is reserved"),
        (DITAU, "variations.tes_up", {"kind": "rate", "size": 0.1}, "variations.tes_up: the name is taken by a direction of 'tes'"),
        (DITAU, "variations.w", {"kind": "weight"}, "variations.w: give either 'factor'"),
        (DITAU, "variations.w", {"kind": "free_rate", "bounds": [2, 3], "processes": ["ttbar"]}, "variations.w.bounds: must contain 1"),
        (DITAU, "variations.w", {"kind": "free_rate"}, "variations.w.processes: name backgrounds only"),
        (DITAU, "variations.w", {"kind": "free_rate", "processes": ["htautau"]}, "variations.w.processes: name backgrounds only"),
        (CMS, "variations.lumi_b", {"kind": "luminosity", "size": 0.1}, "variations.lumi_b: there is a luminosity variation already, 'luminosity'"),
        (DITAU, "trainings.augmentation.variations", ["tess"], "trainings.augmentation.variations: no shift, weight, rate or two_point 'tess'; did you mean 'tes'?"),
        (DITAU, "trainings.adversarial.variations", [], "trainings.adversarial.variations: the strategy 'adversarial' needs at least one"),
        (DITAU, "regions.signal.observable", "PRI_met", "regions: at least one region's observable must be 'score'"),
        (DITAU, "templates.binning", {"rule": "uniform", "low": 1, "high": 0}, "templates.binning: low (1) must be below high (0)"),
        (DITAU, "templates.binning", {"edges": [0, 0.5, 1]}, "templates.binning.edges: is not used by 'rule: quantile'; write 'rule: edges', or leave 'edges' out"),
        (DITAU, "templates.binning", {"number": 5, "low": 0, "high": 0.5}, "templates.binning.high: is not used by 'rule: quantile'; write 'rule: uniform', or leave 'high' out"),
        (DITAU, "templates.binning", {"rule": "edges", "edges": [0, 1], "number": 5}, "templates.binning.number: is not used by 'rule: edges'"),
        (DITAU, "templates.binning", {"rule": "edges", "edges": [0, 0, 1]}, "templates.binning.edges: needs at least two increasing edges"),
        (DITAU, "samples.ttbar.tree", "Events", "samples.ttbar.tree: is for data sets of the kinds flat and nanoaod, not 'ditau'; remove it"),
        (DITAU, "templates.smooth", ["tess"], "templates.smooth: no variation 'tess'; did you mean 'tes'?"),
        (DITAU, "fit", {"unblind": True}, "fit.unblind: there are no collision data"),
        (DITAU, "fit", {"bounds": [2, 3]}, "fit.bounds: must contain 1"),
        (DITAU, "toys.map", {"mu": [2.0, 1.0]}, "toys.map.mu: from 2 to 1 is no range; write the smaller number first"),
        (DITAU, "toys.map", {"mu": [0.0, 20.0]}, "toys.map.mu: [0, 20] is beyond fit.bounds [-5, 10]; widen them"),
        (DITAU, "toys.truths", [1.0, 20.0], "toys.truths: 20 is outside fit.bounds, -5 to 10"),
        (DITAU, "dask", {"address": "tcp://a:1"}, "dask.address: is for scheduler distributed"),
        (DITAU, "dask", {"cluster": "slurm"}, "dask.cluster: slurm is for scheduler distributed, not 'threads'"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "lsf"}, "dask.cluster: Input should be 'local', 'slurm' or 'htcondor' (got 'lsf')"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "slurm", "address": "tcp://a:1"}, "dask.cluster: a running scheduler has its workers; remove cluster: slurm, or dask.address"),
        (DITAU, "dask", {"scheduler": "processes", "memory": "2GB"}, "dask.memory: only workers of scheduler distributed have a limit, not 'processes'; choose a smaller dask.chunk_size there"),
        (DITAU, "dask", {"scheduler": "distributed", "address": "tcp://a:1", "memory": "2GB"}, "dask.memory: workers of a running scheduler (dask.address) have their own limits; remove it"),
        (DITAU, "dask", {"scheduler": "distributed", "memory": 2}, "dask.memory: 2 is no amount of memory; write it with its unit: 2GB or 500MB"),
        (DITAU, "dask", {"scheduler": "distributed", "memory": "2 gigabytes"}, "dask.memory: '2 gigabytes' is no amount of memory"),
        (DITAU, "dask", {"scheduler": "distributed", "walltime": "02:00:00"}, "dask.walltime: is for cluster slurm, not 'local'; remove it"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "htcondor", "walltime": "02:00:00"}, "dask.walltime: is for cluster slurm, not 'htcondor'; write what your site wants into dask.options, such as job_extra_directives: {+MaxRuntime: 7200}"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "slurm", "walltime": 43200}, "dask.walltime: 43200 is no time; write it in quotes, as '02:00:00' or '1-12:00:00'"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "slurm", "walltime": "2h"}, "dask.walltime: '2h' is no time"),
        (DITAU, "dask", {"scheduler": "distributed", "options": {"queue": "long"}}, "dask.options: are for dask-jobqueue; choose dask.cluster slurm or htcondor, or remove them"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "slurm", "options": {"memory": "2GB"}}, "dask.options.memory: is set by dask.memory; remove it"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "slurm", "options": {"cores": 4}}, "dask.options.cores: a batch job is one worker with one core; choose their number by dask.workers"),
        (DITAU, "dask", {"scheduler": "distributed", "cluster": "slurm", "options": {"scheduler_options": 3}}, "dask.options.scheduler_options: must be a mapping"),
        (DITAU, "analysis", "My Analysis", "analysis: a name has lower-case letters, digits and underscores"),
        (DITAU, "analysis", None, "analysis: is required"),
        (DITAU, "samples.Bad-Name", {"process": "ttbar"}, "samples.Bad-Name: a name has lower-case letters"),
        (CMS, "samples.ggh.files", [], "samples.ggh.files: is required for a flat data set"),
        (CMS, "samples.ggh.weight", None, "samples.ggh.weight: is required"),
        (CMS, "samples.data.weight", "weight", "samples.data.weight: collision data have no weight"),
        (CMS, "samples.ggh.events", 10, "samples.ggh: 'events' and 'expected' are for simulated data sets"),
        (CMS, "variations.tes.columns", {"mass_vis": "mass_vis * (1 + z)"}, "variations.tes.columns.mass_vis: no such raw column"),
        (CMS, "variations.tes.columns", {"pt_2": "pt_2 * 1.03"}, "variations.tes.columns.pt_2: 'pt_2 * 1.03' does not depend on z"),
        (CMS, "dataset.columns", ["pt_1", "pt_1"], "dataset.columns: 'pt_1' is there twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_remedy(content, path, value, message):
    with pytest.raises(ConfigurationError) as caught:
        reading.check(changed(content, (path, value)), "config.yaml")
    assert f"config.yaml: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("dask", "cores"),
    [
        ({"scheduler": "distributed", "workers": 4, "memory": "1.5 GiB"}, 4),
        ({"scheduler": "distributed", "workers": 4, "address": "tcp://host:8786"}, 1),
        (
            {"scheduler": "distributed", "workers": 4, "cluster": "slurm", "memory": "500MB", "walltime": "1-12:00:00"},
            1,
        ),
        ({"scheduler": "distributed", "workers": 4, "cluster": "htcondor", "options": {"disk": "2GB"}}, 1),
    ],
)
def test_a_job_takes_cores_for_the_workers_on_its_own_machine_only(dask, cores):
    assert reading.check(changed(DITAU, ("dask", dask))).dask.cores == cores


def test_all_mistakes_are_reported_at_once():
    content = changed(DITAU, ("selection", "a > 1"), ("features", ["b"]), ("trainings.adversarial.variations", ["c"]))
    with pytest.raises(ConfigurationError) as caught:
        reading.check(content)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_a_configuration_that_is_no_mapping_is_refused(content):
    with pytest.raises(ConfigurationError, match="must be a mapping"):
        reading.check(content)


def test_broken_yaml_is_named(tmp_path):
    (tmp_path / "broken.yaml").write_text("analysis: [")
    with pytest.raises(ConfigurationError, match=r"broken\.yaml: line 1, column 12: not valid YAML"):
        reading.load(tmp_path / "broken.yaml")


def test_a_name_that_stands_twice_is_an_error(tmp_path):
    text = (ROOT / "config" / "config.yaml").read_text()
    (tmp_path / "twice.yaml").write_text(text.replace("  jes: {kind", "  tes: {kind"))
    with pytest.raises(ConfigurationError, match=r"twice\.yaml: line \d+, column 3: 'tes' is there twice"):
        reading.load(tmp_path / "twice.yaml")


def test_a_missing_environment_variable_is_named(monkeypatch):
    monkeypatch.delenv("NUISFLOW_DATA", raising=False)
    with pytest.raises(ConfigurationError, match="dataset.path: the environment variable NUISFLOW_DATA is not set"):
        paths.raw_files(reading.check(CMS), "ggh")


@pytest.mark.parametrize("name", ["entry", "pi", "score"])
def test_a_column_with_a_name_that_means_something_else_is_refused(name):
    words = rf"a column '{name}' cannot be used: '{name}' is .*; rename the column"
    with pytest.raises(ConfigurationError, match=f"dataset.columns: {words}"):
        reading.check(changed(FLAT, ("dataset.columns", ["x", "w", name])))
    with pytest.raises(ConfigurationError, match=f"derived.{name}: {words}"):
        reading.check(changed(FLAT, ("derived", {name: "x + 1"})))


def test_a_configuration_is_frozen_and_survives_pickling():
    settings = reading.check(DITAU)
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_checking_does_not_change_what_it_is_given():
    content = copy.deepcopy(DITAU)
    reading.check(content)
    assert content == DITAU


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("learning.folds", True, "learning.folds: Input should be greater than or equal to 2 (got True)"),
        ("learning.seeds", True, "learning.seeds: must be a number, but yes, on and true mean true in YAML"),
        ("toys.truths", [1.0, True], "toys.truths.1: must be a number"),
        ("learning.seeds", 10**6, "learning.seeds: Input should be less than or equal to 1000"),
        ("toys.displacements.up2", 1e26, "toys.displacements.up2: variations.ttbar_rate would change a yield by a"),
        ("processes.ttbar.color", "bleu", "processes.ttbar.color: 'bleu' is no colour"),
        ("processes.ttbar.label", r"$\bar{t$", r"processes.ttbar.label: '$\\bar{t$' cannot be set"),
        ("plots.title", 3, 'plots.title: must be text; put the number in quotes: "3"'),
        ("templates.smooth", [{"tes": 1}], "templates.smooth: must be a section of names and values"),
        ("variations.tes", 3, "variations.tes: must be a section of keys and values (got 3)"),
        ("trainings.nominal.strategy", {"a": 1}, "trainings.nominal.strategy: no strategy"),
        ("tune", {"adversarial": {"options": {"strength": {"low": 1}}}}, "tune.adversarial.options.strength.high: is"),
        ("tune", {"adversarial": {"options": {"strength": 3}}}, "tune.adversarial.options.strength: must be a section"),
        ("fit", {"bounds": [1, 2, 3]}, "fit.bounds: has 3 entries; at most 2 are allowed"),
    ],
)
def test_a_value_of_the_wrong_kind_or_size_is_refused_with_its_path(path, value, message):
    with pytest.raises(ConfigurationError) as caught:
        reading.check(changed(DITAU, (path, value)), "config.yaml")
    assert f"config.yaml: {message}" in str(caught.value)


@pytest.mark.parametrize("text", ["red", "C3", "#abc", "tab:blue"])
def test_colours_of_matplotlib_are_accepted(text):
    assert reading.check(changed(DITAU, ("processes.ttbar.color", text))).processes["ttbar"].color == text


@pytest.mark.parametrize("text", ["100 $", r"$\bar{t}t$", r"50 \$ or 60 \$"])
def test_formulas_and_signs_of_money_are_accepted_as_labels(text):
    reading.check(changed(DITAU, ("processes.ttbar.label", text)))


def test_what_is_wrong_with_an_estimate_is_said_once_where_it_stands():
    with pytest.raises(ConfigurationError) as caught:
        reading.check(changed(CMS, ("processes.qcd.estimate.sideband", "q_1 *")))
    assert str(caught.value).startswith("config.yaml: processes.qcd.estimate.sideband: cannot parse 'q_1 *'")
    assert len(str(caught.value).splitlines()) == 1

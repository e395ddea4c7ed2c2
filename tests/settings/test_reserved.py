"""Names that mean something else already, and factors that are none: refused before anything runs."""

import pytest
from analyses import FLAT, changed

from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError

SHIFT = {"kind": "shift", "columns": {"x": "x * (1 + 0.1 * z)"}}


def problems(*changes, content=FLAT):
    """Return what is wrong with *content* after *changes*."""
    with pytest.raises(ConfigurationError) as caught:
        reading.check(changed(content, *changes))
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", ["entry", "pi", "True", "lambda"])
@pytest.mark.parametrize("section", ["dataset.columns", "derived"])
def test_a_column_may_not_be_called_what_expressions_and_events_call_something_else(section, name):
    content = ["x", "w", name] if section == "dataset.columns" else {name: "x * 2"}
    place = section if section == "dataset.columns" else f"derived.{name}"
    assert any(
        line.startswith(f"config.yaml: {place}: a column {name!r} cannot be used")
        for line in problems((section, content))
    )


def test_a_column_z_is_refused_where_expressions_have_the_nuisance_parameter_and_only_there():
    columns = ("dataset.columns", ["x", "w", "z"])
    for varied in (SHIFT, {"kind": "weight", "factor": "1.1**z"}):
        (line,) = problems(columns, ("variations", {"scale": varied}))
        assert (
            "a column 'z' cannot be used: 'z' is the nuisance parameter in the expressions of variations.scale" in line
        )
    assert reading.check(
        changed(FLAT, columns, ("selection", "z > 0"), ("variations", {"r": {"kind": "rate", "size": 0.1}}))
    )


@pytest.mark.parametrize("name", ["row", "region", "observable"])
def test_a_name_of_our_own_table_is_refused_as_a_feature_but_not_as_a_column(name):
    columns = ("dataset.columns", ["x", "w", name])
    assert reading.check(changed(FLAT, columns, ("derived", {"y": f"{name} + 1"})))
    assert any("features.0" in line and "reserved" in line for line in problems(columns, ("features", [name])))


def test_a_column_may_be_called_weight():
    samples = {name: {"process": name, "files": [f"{name}.csv"], "weight": "weight"} for name in ("s", "b")}
    assert reading.check(changed(FLAT, ("dataset.columns", ["x", "weight"]), ("samples", samples)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("derived", {"score": "x"})], "derived.score: a column 'score' cannot be used: 'score' is the output of the training"),
        (
            [("features", ["factor_sf_up"]), ("derived", {"factor_sf_up": "x"}), ("variations", {"sf": {"kind": "weight", "up": "1.1"}})],
            "features.0: 'factor_sf_up' is what the weights of variations.sf are called",
        ),
        ([("processes.total", {})], "processes.total: 'total' is reserved for the sum of all processes"),
        ([("processes.data", {})], "processes.data: 'data' is reserved for collision data"),
        ([("variations", {"r": {"kind": "rate", "size": 0.1, "group": "statistics"}})], "variations.r.group: 'statistics' is reserved for the statistical part"),
        ([("variations", {"r": {"kind": "rate", "size": 0.1, "group": "MC statistics"}})], "variations.r.group: 'MC statistics' is reserved"),
        ([("variations", {"r": {"kind": "rate", "size": 0.1, "group": ""}})], "variations.r.group: '' is reserved for the total"),
        ([("variations", {"staterror_signal": {"kind": "rate", "size": 0.1}})], "variations.staterror_signal: its nuisance parameter 'staterror_signal' is one of the MC statistics in region 'signal' too; rename one"),
        ([("variations", {"staterror": {"kind": "rate", "size": 0.1, "decorrelate": ["region"]}})], "variations.staterror: its nuisance parameter 'staterror_signal' is one of the MC statistics"),
        ([("fit", {"poi": "r_b"}), ("variations", {"r": {"kind": "rate", "size": 0.1, "decorrelate": ["process"]}})], "variations.r: its nuisance parameter 'r_b' is one of the parameters of interest (fit.poi) too; rename one"),
        ([("fit", {"poi": "staterror_signal"})], "fit.poi: 'staterror_signal' is the name of the MC statistics in region 'signal'; choose another"),
        ([("fit", {"poi": "lumi"}), ("variations", {"l": {"kind": "luminosity", "size": 0.1}})], "variations.l: its nuisance parameter 'lumi' is one of the parameters of interest (fit.poi) too"),
        ([("scenarios", {"seeds": {}})], "scenarios.seeds: the table of scenarios has a column 'seeds' already"),
    ],
)  # fmt: skip
def test_a_name_that_clashes_is_refused_with_its_place(changes, message):
    assert any(line.startswith(f"config.yaml: {message}") for line in problems(*changes))


def test_two_pairs_of_process_and_region_never_share_a_nuisance_parameter_by_their_names():
    """z in region jets_sr, and z_jets in region sr, would both have jes_z_jets_sr."""
    samples = {name: {"process": name, "files": [f"{name}.csv"], "weight": "w"} for name in ("s", "z", "z_jets")}
    varied = {"kind": "shift", "columns": {"x": "x + z"}, "decorrelate": ["process", "region"]}
    changes = [
        ("processes", {"s": {"role": "signal"}, "z": {}, "z_jets": {}}),
        ("samples", samples),
        ("regions", {"sr": {"selection": "x > 0"}, "jets_sr": {"selection": "x < 0"}}),
    ]
    expected = (
        "config.yaml: variations.jes.decorrelate: the nuisance parameters of process 'z' in region 'jets_sr' and of "
        "process 'z_jets' in region 'sr' would both be called 'jes_z_jets_sr', and be one; rename a process or a region"
    )
    assert problems(*changes, ("variations", {"jes": varied})) == [expected]
    for apart in ({"decorrelate": ["region"]}, {"processes": ["s", "z"]}, {"regions": ["sr"]}):
        assert reading.check(changed(FLAT, *changes, ("variations", {"jes": varied | apart})))


def test_the_names_of_mc_statistics_are_free_where_there_are_none():
    varied = ("variations", {"staterror_signal": {"kind": "rate", "size": 0.1}})
    assert reading.check(changed(FLAT, varied, ("fit", {"mc_statistics": False})))


def test_a_column_of_the_name_of_a_reweighted_ratio_is_refused():
    varied = {"generator": {"kind": "two_point", "up": ["other"], "reweight": True}}
    changes = [
        ("variations", varied),
        ("samples.other", {"process": "b", "files": ["o.csv"], "weight": "w"}),
        ("dataset.columns", ["x", "w", "ratio_generator"]),
    ]
    assert any(
        "a column 'ratio_generator' cannot be used: 'ratio_generator' is what variations.generator makes" in line
        for line in problems(*changes)
    )


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ({"factor": "1.1"}, "variations.sf.factor: '1.1' does not depend on z; write e.g. '(expression)**z'"),
        ({"factor": "1 + x"}, "variations.sf.factor: '1 + x' does not depend on z"),
        ({"factor": "1.1 + z"}, "variations.sf.factor: '1.1 + z' is 1.1 at z = 0, not 1; write e.g."),
        ({"up": "-1.1"}, "variations.sf.up: '-1.1' must be above 0: it is the base of a power of z"),
        ({"up": "1.1", "down": "0"}, "variations.sf.down: '0' must be above 0"),
        ({"up": "x > 1 & w > 2"}, "variations.sf.up: 'x > 1 & w > 2' in"),
    ],
)
def test_a_factor_that_is_none_is_refused_before_anything_runs(weight, message):
    lines = problems(("variations", {"sf": {"kind": "weight"} | weight}))
    assert any(line.startswith(f"config.yaml: {message}") for line in lines)


@pytest.mark.parametrize(
    "factor", ["1.1**z", "exp(0.1 * z)", "(1 + x)**z", "1 + 0.1 * z * x", "where(z > 0, 1 + z * x, 1)"]
)
def test_a_factor_that_is_1_at_0_is_accepted(factor):
    assert reading.check(changed(FLAT, ("variations", {"sf": {"kind": "weight", "factor": factor}})))


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("selection", ("selection", "x + 1")),
        ("regions.signal.selection", ("regions.signal.selection", "tight * 2")),
        ("samples.s.selection", ("samples.s.selection", "2 * x")),
    ],
)
def test_a_selection_that_is_a_number_is_refused(place, content):
    lines = problems(content, ("derived", {"tight": "x > 1"}))
    assert any(line.startswith(f"config.yaml: {place}: ") and "not true or false; write (" in line for line in lines)


def test_a_derived_column_is_known_to_be_a_number_or_true_or_false():
    assert reading.check(
        changed(FLAT, ("derived", {"tight": "x > 1", "both": "tight & (w > 0)"}), ("selection", "~both"))
    )
    (line,) = problems(("derived", {"twice": "2 * x", "both": "twice & (w > 0)"}))
    assert line.startswith("config.yaml: derived.both: 'twice' is a number, not true or false; write (twice != 0)")

"""Bad workspaces and bad data: a clear error, or a result that says what is wrong with it; never a silent number."""

import copy
import math

import numpy as np
import pytest
from workspace_strategies import KINDS, build

from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.model import FLAT, Model

WRONG = (None, True, -1, "text", [], {}, [1.0, "x"], [[1.0]], math.nan)


def paths(node, path=()):
    """Yield the path of every part of a JSON object (of long lists: of the first entry)."""
    yield path
    for key, value in (
        node.items() if isinstance(node, dict) else list(enumerate(node))[:1] if isinstance(node, list) else ()
    ):
        yield from paths(value, (*path, key))


def replaced(node, path, value):
    node = copy.deepcopy(node)
    if not path:
        return value
    parent = node
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return node


def everything():
    """Return a workspace with all types of modifiers and all settings of a measurement."""
    workspace = build(np.random.default_rng(0), 1, 2, KINDS, bins=2)
    kinds = {row["type"] for sample in workspace["channels"][0]["samples"] for row in sample["modifiers"]}
    assert kinds == set(KINDS)
    workspace["measurements"][0]["config"]["parameters"].append({"name": "a2", "fixed": False, "auxdata": [0.0]})
    # one sample has to hold all types, since only the first entry of a list is changed by paths
    samples = workspace["channels"][0]["samples"]
    rows = {row["type"]: row for sample in samples for row in sample["modifiers"]}
    return workspace, rows


def broken_workspaces():
    workspace, rows = everything()
    for path in paths(workspace):
        for wrong in WRONG:
            yield f"{path} {wrong!r}", replaced(workspace, path, wrong)
    for kind, row in rows.items():
        place = next(
            ("channels", 0, "samples", i, "modifiers", j)
            for i, sample in enumerate(workspace["channels"][0]["samples"])
            for j, other in enumerate(sample["modifiers"])
            if other is row
        )
        for path in paths(row):
            for wrong in WRONG:
                yield f"{kind} {path} {wrong!r}", replaced(workspace, (*place, *path), wrong)
    for i, row in enumerate(workspace["measurements"][0]["config"]["parameters"]):
        for path in paths(row):
            for wrong in WRONG:
                yield (
                    f"{row['name']} {path} {wrong!r}",
                    replaced(workspace, ("measurements", 0, "config", "parameters", i, *path), wrong),
                )


def refused(pyhf, workspace):
    try:
        pyhf.schema.validate(workspace, "workspace.json")
    except pyhf.exceptions.InvalidSpecification:
        return True
    return False


def test_whatever_the_schema_of_pyhf_refuses_is_refused_with_a_clear_error():
    pyhf = pytest.importorskip("pyhf")
    workspace, _ = everything()
    Model(workspace)
    assert not refused(pyhf, workspace)
    count = 0
    for name, case in broken_workspaces():
        try:  # anything but a ValueError fails the test
            Model(case)
        except ValueError:
            count += 1
        else:
            assert not refused(pyhf, case), name
    assert count > 500


@pytest.mark.parametrize(("change", "words"), [
    (lambda w: w.update(version="2.0.0"), "'version' is '2.0.0', not '1.0.0'"),
    (lambda w: w.pop("version"), "workspace: 'version' is missing"),
    (lambda w: w["channels"][0].update(name=3), "channel 3: 'name' must be text"),
    (lambda w: w["channels"][0]["samples"][0].update(modifiers={}), "sample s0: 'modifiers': expected a list"),
    (lambda w: w["channels"][0]["samples"][0].update(data=["1", "2"]), "sample s0: expected a list of numbers"),
    (lambda w: w["measurements"][0]["config"]["parameters"][0].update(bounds=[0, 10]), "parameter mu: 'bounds'"),
    (lambda w: w["measurements"][0]["config"]["parameters"][0].update(bounds=[[0, 1, 2]]), "pairs of a lower and an"),
    (lambda w: w["measurements"][0]["config"]["parameters"][0].update(fixed=1), "'fixed' must be true or false"),
    (lambda w: w["channels"][0]["samples"][0]["modifiers"].append(w["channels"][0]["samples"][0]["modifiers"][0]),
     "channel c0, sample s0, normfactor mu: listed twice"),
])  # fmt: skip
def test_wrong_types_are_named(change, words):
    workspace = build(np.random.default_rng(0), 1, 2, KINDS, bins=2)
    change(workspace)
    with pytest.raises(ValueError, match=words):
        Model(workspace)


def counting(signal, background, observed, lower=-10.0):
    samples = [
        {"name": "s", "data": signal, "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": background,
         "modifiers": [{"name": "rate", "type": "normsys", "data": {"hi": 1.05, "lo": 0.95}}]},
    ]  # fmt: skip
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[lower, 10.0]]}]}
    return Model({
        "channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": observed}],
        "measurements": [{"name": "m", "config": config}], "version": "1.0.0",
    })  # fmt: skip


def feasible(model, data=None):
    """Return -2 ln L on a fine grid of all points where no rate is negative."""
    points = np.stack(np.meshgrid(np.linspace(-1.5, 1.5, 601), np.linspace(-3, 3, 121)), axis=-1).reshape(-1, 2)
    physical = np.array([(model.expected(point) >= 0).all() for point in points])
    return model.twice_nll(points[physical], data)


def test_zero_data_with_a_negative_signal_are_measured_at_the_edge_of_what_is_possible():
    """Without events -2 ln L is twice the expectation, least where nothing is expected: 10 mu + 5 = 0."""
    result = fits.fit(counting([10.0], [5.0], [0.0]))
    assert result.converged
    np.testing.assert_allclose(result.values, [-0.5, 0], atol=1e-9)
    assert "edge of the physical region: beyond it channel c, bin 0, which has no data" in result.message
    assert "(mostly by mu)" in result.message


def test_an_empty_bin_among_others_bounds_the_fit_only_where_its_rate_would_be_negative():
    model = counting([1.0, 5.0], [0.5, 50.0], [0.0, 30.0])
    result = fits.fit(model)
    assert result.converged
    assert model.expected(result.values)[0] == pytest.approx(0, abs=1e-9)
    assert result.twice_nll <= feasible(model).min() + 1e-9
    assert "channel c, bin 0, which has no data" in result.message
    fine = fits.fit(model, [0.0, 62.0])
    assert fine.converged
    assert "physical" not in fine.message
    assert fine.twice_nll <= feasible(model, [0.0, 62.0]).min() + 1e-9


def test_an_interval_ends_where_rates_would_be_negative_or_where_the_likelihood_says():
    model = counting([1.0, 5.0], [0.5, 50.0], [0.0, 52.0])
    found = fits.interval(model)
    lowest = fits.fit(model).twice_nll
    for end in (found.low, found.high):
        points = np.array([[end, rate] for rate in np.linspace(-3, 3, 6001)])
        points = points[[(model.expected(point) >= -1e-12).all() for point in points]]
        assert model.twice_nll(points).min() == pytest.approx(lowest + 1, abs=2e-3)


def test_toys_without_events_are_measured_not_failed():
    model = counting([3.0], [1.0], [4.0])
    thrown = toys.run(model, {"mu": 0.0}, 2000, 3)
    data = np.concatenate(list(toys.throw(model, {"mu": 0.0}, 2000, 3)))
    assert (data[:, 0] == 0).sum() > 600
    assert thrown.fitted.all()
    coverage = toys.coverage(thrown)
    assert (coverage.failed, coverage.unbounded) == (0, 0)


def test_zero_data_are_fitted_where_rates_cannot_be_negative():
    result = fits.fit(counting([10.0, 20.0], [5.0, 8.0], [0.0, 0.0], lower=0.0))
    assert result.converged
    assert "mu is at its lower bound 0" in result.message
    assert result.twice_nll - math.log(2 * math.pi) == pytest.approx(2 * 13.0, rel=0.03)  # the rate is pulled a little


def test_a_flat_direction_is_a_failed_fit_in_toys_too():
    model = counting([10.0], [50.0], [60.0])
    free = Model(_with_free_rate())
    assert (free.minimise(np.full((20, 1), 60.0)).status == FLAT).all()
    assert not toys.run(free, None, 20, 1).fitted.any()
    assert toys.run(model, None, 20, 1).fitted.all()


def _with_free_rate():
    rows = [{"name": "s", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
            {"name": "b", "data": [50.0], "modifiers": [{"name": "k", "type": "normfactor", "data": None}]}]  # fmt: skip
    return {"channels": [{"name": "c", "samples": rows}], "observations": [{"name": "c", "data": [60.0]}],
            "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}], "version": "1.0.0"}  # fmt: skip


def test_a_negative_rate_at_the_start_names_its_bin():
    with pytest.raises(ValueError, match="channel c, bin 1: -3 events are expected at the initial values"):
        counting([1.0, 1.0], [5.0, -4.0], [5.0, 5.0])

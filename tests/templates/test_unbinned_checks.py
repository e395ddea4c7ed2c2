"""What keeps events from having densities: every error names process, variation and remedy, and the training."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from alternatives import exact, likelihood, pool

from nuisflow.events.scored_events import TemplateError
from nuisflow.templates import polynomials
from nuisflow.templates.unbinned import checks

STRATEGY = pool(number=100).settings.training


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (1, "the ratio of process 'signal' overflows in 2 events"),
        (2, "the response of process 'background' to 'generator' overflows in 2 events"),
        (4, "the response of process 'signal' to 'weight' overflows in 2 events"),
    ],
)
def test_what_overflows_is_named_with_the_training(column, words):
    values = np.zeros((5, STRATEGY.outputs))
    values[[1, 3], column] = np.inf, np.nan
    with pytest.raises(TemplateError, match=f"training mine: .*{words}.* the others go on") as error:  # noqa: SIM117
        with checks.named("mine"):
            checks.check_values(values, STRATEGY, Path("nominal/a.parquet"))
    assert "lower learning_rate" in str(error.value)


def test_a_process_without_events_is_named_with_the_remedy():
    events = pool(number=100)
    events.samples["background"]["w"][:] = 0
    with pytest.raises(TemplateError, match=r"no events of process background in any region .* check the selections"):
        likelihood(events, exact((1.0,)))


def test_a_yield_that_no_polynomial_describes_is_flagged_and_others_are_not():
    """ln of the yield is z at six points but one, of which a polynomial of degree 4 cannot know."""
    table = polynomials.powers(1)
    z = {f"tes_{k}": at for k, at in enumerate((-2.0, -1.0, -0.5, 0.5, 1.0, 2.0))}

    yields = {("nominal", "a"): 10.0} | {(name, "a"): 10 * np.exp(0.1 * at) for name, at in z.items()}
    sums = SimpleNamespace(table=table, places={name: [at] for name, at in z.items()}, yields=yields)

    def flagged():
        counted = {z[name]: value / 10 for (name, _), value in yields.items() if name in z and value > 0}
        return checks.misfits(sums, {"a": polynomials.yields(table, {0: counted})})

    assert flagged() == []
    yields["tes_3", "a"] *= 1.2
    assert {row["place"] for row in flagged()} >= {"tes_3"}
    assert all(abs(row["off"]) > 0.01 for row in flagged())
    yields["tes_3", "a"] = 0.0
    assert flagged() == [{"process": "a", "place": "tes_3", "off": None}]


def test_events_of_the_data_beyond_all_simulated_ones_are_counted_by_feature():
    support = checks.Support(("x", "y"))
    for x in ([0.0, 1.0], [2.0, 3.0]):
        support.add({"x": np.array(x), "y": np.array([0.0, 1.0])}, "ttbar")
    support.add({"x": np.array([-1.0, 3.0, 3.5]), "y": np.array([0.5, 0.5, 1.0])}, "data")
    assert support.plain() == {"data": 3, "outside": {"x": 2}}
    paths = [Path("nominal/data.parquet"), Path("nominal/ttbar.parquet")]
    assert checks.data_last(paths, {"data": "data", "ttbar": "ttbar"}) == paths[::-1]

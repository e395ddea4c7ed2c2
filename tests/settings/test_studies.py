"""The section `studies`: sizes in order, and what a part of the events changes."""

import pytest
from analyses import changed, shipped

from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import inference, studies
from nuisflow.slices import training as trainings
from nuisflow.strategies.unbinned import Unbinned

DITAU = shipped("config")
SHAPES = [name for name, varied in DITAU["variations"].items() if varied["kind"] in ("shift", "weight")]
ASKED = {"training_events": [1, 0.3, 0.1], "simulated_events": [0.3, 1]}


def checked(asked, *changes):
    return reading.check(changed(DITAU, ("studies", asked), *changes))


def test_sizes_are_in_order_and_the_whole_is_the_ordinary_run():
    settings = checked(ASKED)
    assert settings.studies.asked == ["training_events", "simulated_events"]
    assert studies.runs(settings) == [("training_events", "0.1"), ("training_events", "0.3"), ("simulated_events", "0.3")]  # fmt: skip


def test_without_the_section_there_are_no_studies():
    assert studies.runs(reading.check(DITAU)) == []
    assert studies.tables(reading.check(DITAU)) == studies.figures(reading.check(DITAU)) == []


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([0.1, 0.1000000001], "0.1 stands twice"),
        ([1], "only the size 1"),
        ([0, 0.5], "0.0001"),
        ([1.5], "1"),
        (["many"], "number"),
    ],
)
def test_sizes_that_cannot_be_used_are_refused_with_their_place(sizes, words):
    with pytest.raises(ConfigurationError, match=r"studies\.training_events") as refused:
        checked({"training_events": sizes})
    assert words in str(refused.value)


def test_a_training_of_a_part_differs_in_nothing_but_the_rows():
    settings = checked(ASKED)
    whole, part = trainings.training(settings, "nominal", 1), studies.training(settings, "nominal", 1, "0.3")
    assert part.events.rows == (0.0, 0.3)
    assert part.model_copy(update={"events": whole.events}) == whole


def test_reserved_events_stay_reserved_in_every_part():
    settings = checked(ASKED, ("toys", {"displacements": {}, "bootstrap": {"share": 0.5}}))
    assert studies.training(settings, "nominal", 1, "0.3").events.rows == pytest.approx((0.5, 0.65))
    used = studies.measurement(settings, "nominal", 1, "simulated_events", "0.3").filling
    assert used.used["htautau"] == pytest.approx((0.5, 0.65))
    assert used.factor == pytest.approx(1 / 0.3)


def test_templates_have_all_events_where_only_trainings_have_fewer():
    settings = checked(ASKED)
    found = studies.measurement(settings, "nominal", 1, "training_events", "0.3")
    assert found.filling == inference.filling(settings, "nominal")
    assert studies.measurement(settings, "nominal", 1, "simulated_events", "0.3").filling.used.keys() == settings.samples.keys()  # fmt: skip


def test_trainings_whose_likelihood_is_not_one_workspace_take_no_part():
    settings = checked(ASKED, ("trainings.events", {"strategy": "unbinned", "variations": SHAPES}))
    assert isinstance(settings.trainings["events"], Unbinned)
    assert studies.trainings(settings) == [name for name in settings.trainings if name != "events"]

"""The section `studies`: sizes in order, and what a part of the events changes."""

import pytest
from analyses import changed, shipped

from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import conditional, inference, studies, unbinned
from nuisflow.slices import training as trainings

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


EVENTS = ("trainings.events", {"strategy": "unbinned", "variations": SHAPES, "replicas": 2})
AWARE = ("trainings.aware", {"strategy": "conditional", "variations": ["tes"]})
WIDE = ("toys.displacements", {"down": -1, "up": 1, "down2": -2, "up2": 2})


def test_densities_and_scores_at_every_z_have_the_same_part_as_templates():
    settings = checked(ASKED, EVENTS, AWARE, WIDE)
    known = studies.measurement(settings, "nominal", 1, "simulated_events", "0.3").filling
    single = studies.unbinned_measurement(settings, "events", 1, "simulated_events", "0.3")
    aware = studies.conditional_measurement(settings, "aware", 1, "simulated_events", "0.3").rescoring
    for found in (single.densities, single.filling, aware):
        assert (found.used, found.factor) == (known.used, known.factor)
    assert studies.densities(settings, "simulated_events", "0.3") == single.densities


def test_densities_and_scores_at_every_z_are_those_of_all_events_where_only_trainings_have_fewer():
    settings = checked(ASKED, EVENTS, AWARE, WIDE)
    whole = unbinned.filling(settings)
    assert studies.densities(settings, "training_events", "0.3") == whole.model_copy(update={"thrown": ("nominal",)})
    found = studies.conditional_measurement(settings, "aware", 1, "training_events", "0.3").rescoring
    assert found.grid == conditional.rescoring(settings, "aware").grid
    assert set(found.displaced) == {"tes_down2", "tes_down", "tes_up", "tes_up2"}
    assert (found.used, found.thrown) == ({}, ("nominal",))


def test_only_the_true_value_nearest_to_the_expectation_is_thrown():
    settings = checked(ASKED, EVENTS, AWARE, WIDE, ("toys.truths", [0.0, 0.9, 2.0]))
    for kind, name in (("", "nominal"), ("conditional_", "aware"), ("unbinned_", "events")):
        found = getattr(studies, f"{kind}measurement")(settings, name, 1, "simulated_events", "0.3").toys
        assert (found.toys.truths, found.displaced, found.name) == ((0.9,), {}, name)


def test_a_replica_of_a_part_differs_from_that_of_the_whole_in_nothing_but_the_rows():
    settings = checked(ASKED, EVENTS)
    whole, part = trainings.training(settings, "events", 1, 2), studies.training(settings, "events", 1, "0.3", 2)
    assert (part.replica, part.events.rows) == (2, (0.0, 0.3))
    assert part.model_copy(update={"events": whole.events}) == whole

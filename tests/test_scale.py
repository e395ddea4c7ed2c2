"""The studies of scale: their configurations are valid, and their plan follows from what was measured."""

from dataclasses import replace

import pandas as pd
import pytest
from studies import parts_of_events, plan_for_a_cluster, scale_of_workflow, stages_of_events, start_of_jobs

from nuisflow.settings import conditional, unbinned
from nuisflow.settings.checks import reading
from nuisflow.slices import inference

RATES = plan_for_a_cluster.Rates(1.0, 2.0, 0.5, 60.0, 45.0, 6.0, 4.0)
SCALE = pd.DataFrame(
    [
        {"to_do": to_do, "jobs": jobs, "dependencies": edges, "cpu_seconds": 3 + 0.005 * jobs + 0.0002 * edges}
        for jobs, edges, to_do in (
            (100, 600, "everything"),
            (1000, 12_000, "everything"),
            (1000, 90_000, "everything"),
            (9000, 1000, "everything"),
            (9000, 0, "nothing"),
        )
    ]
)


@pytest.mark.parametrize("shape", scale_of_workflow.SHAPES.values())
def test_the_configurations_of_the_study_of_many_jobs_are_valid(shape):
    settings = reading.check(scale_of_workflow.content(shape), "scale.yaml")
    assert (len(settings.samples), len(settings.trainings), settings.learning.seeds) == (
        shape.samples,
        shape.trainings,
        shape.seeds,
    )


def test_dependencies_are_the_processed_files_that_each_training_and_seed_reads():
    made = scale_of_workflow.content(scale_of_workflow.Shape(samples=4, shifts=1, trainings=1, seeds=1))
    nominal_up_down, farther = 4 * 3, 4 * 2  # scores and templates read the former, displaced ones the latter
    assert scale_of_workflow.dependencies(made) == 2 * nominal_up_down + 2 * farther


def test_the_study_of_parts_of_the_events_has_a_training_of_every_kind_of_likelihood():
    settings = reading.check(parts_of_events.content(), "parts.yaml")
    kinds = [conditional.trainings(settings), unbinned.trainings(settings), inference.of_one_workspace(settings)]
    assert kinds == [["aware"], ["events"], ["nominal"]]
    assert settings.studies.asked == ["training_events", "simulated_events"]


def test_the_analysis_of_the_study_of_stages_has_no_shift():
    settings = stages_of_events.settings()
    assert [variation.kind for variation in settings.variations.values()] == ["rate"]


def test_the_start_of_a_script_ends_before_its_hand_over():
    text = start_of_jobs.source("fill_templates")
    assert "def fill_templates" in text
    assert "__main__" not in text


def test_the_time_of_a_dry_run_is_fitted_to_the_runs_in_empty_folders():
    assert plan_for_a_cluster.seconds_of_dag(SCALE, 5000, 50_000) == pytest.approx(3 + 25 + 10)


def test_twice_the_events_take_twice_the_hours_and_the_space_but_as_many_jobs():
    once = plan_for_a_cluster.plan(plan_for_a_cluster.Plan(), RATES, SCALE)
    twice = plan_for_a_cluster.plan(plan_for_a_cluster.Plan(events=20e9), RATES, SCALE)
    for name in ("process [core hours]", "score [core hours]", "raw [TB]", "events [TB]", "scores [TB]"):
        assert twice[name] == pytest.approx(2 * once[name])
    assert twice["jobs"] == once["jobs"]
    assert once["process [core hours]"] == pytest.approx(10_000 * 61 / 3600)  # one second per million


def test_scores_grow_with_trainings_and_seeds_events_do_not():
    chosen = plan_for_a_cluster.Plan()
    once = plan_for_a_cluster.plan(chosen, RATES, SCALE)
    more = plan_for_a_cluster.plan(replace(chosen, seeds=3 * chosen.seeds), RATES, SCALE)
    assert more["scores [TB]"] == pytest.approx(3 * once["scores [TB]"])
    assert more["events [TB]"] == once["events [TB]"]

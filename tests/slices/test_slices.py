import json

import pytest
from analyses import FLAT, changed, shipped

from nuisflow.settings import points, sections
from nuisflow.settings.checks import reading
from nuisflow.slices import events, inference, report, review
from nuisflow.slices import training as slices

DITAU = shipped("config")
ASKED = ("conformal", "visibility", "permutation", "spread")


def every_slice(content):
    """Return the slice of every job of an analysis as text: what Snakemake compares."""
    settings = reading.check(content)
    jobs = {}
    for sample in settings.samples:
        jobs[f"simulate_events {sample}"] = events.simulation(settings, sample)
        for variation in events.shifted_names(settings, sample) + points.folders(settings, sample):
            jobs[f"process_events {sample} {variation}"] = events.processing(settings, sample, variation)
    for training in settings.trainings:
        for seed in range(1, settings.learning.seeds + 1):
            jobs[f"train_network {training} {seed}"] = slices.training(settings, training, seed)
            jobs[f"throw_toys {training} {seed}"] = inference.toys(settings, training, seed)
    rooms = (inference, report, review, slices)
    for name in (
        "scoring",
        "filling",
        "displaced_filling",
        "workspace",
        "fit",
        "comparison",
        "plots",
        "report",
        *ASKED,
    ):
        jobs[name] = next(getattr(room, name) for room in rooms if hasattr(room, name))(settings)
    return {job: json.dumps(sections.plain(part)) for job, part in jobs.items()}


def affected(*changes):
    before, after = every_slice(DITAU), every_slice(changed(DITAU, *changes))
    return {job for job in before.keys() | after.keys() if before.get(job) != after.get(job)}


def jobs(*starts):
    return {job for job in every_slice(DITAU) if job.startswith(starts)}


SETTINGS = reading.check(DITAU)
DISPLACED = [(sample, folder) for sample in SETTINGS.samples for folder in points.folders(SETTINGS, sample)]
AFTER_DISPLACEMENT = ("displaced_filling", "throw_toys", "report", "conformal")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("processes.ttbar.color", "#000000"), ("plots", "report")),
        (("variations.tes.label", "TES"), ("plots", "report")),
        (("variations.tes.group", "taus"), ("fit", "report")),
        (("trainings.adversarial.label", "Adv."), ("comparison", "plots", "report")),
        (("trainings.adversarial.strength", 3.0), ("train_network adversarial", "report")),
        (
            ("learning.batch_size", 512),
            (
                *(f"train_network {name}" for name in ("nominal", "augmentation", "parametrised", "adversarial")),
                "report",
            ),
        ),
        (("learning.validation_fraction", 0.3), ("train_network", "report", "spread")),
        (("review", {"permuted_events": 5000}), ("report", "permutation")),
        (
            ("variations.ttbar_rate.size", 0.05),
            ("displaced_filling", "workspace", "throw_toys", "report", "conformal", "visibility"),
        ),
        (("templates.binning.number", 10), ("filling", "report")),
        (("templates.smooth", ["tes"]), ("workspace", "report")),
        (("toys.number", 100), ("throw_toys", "report")),
        (
            ("correlations", [{"between": ["tes", "ttbar_rate"], "coefficient": 0.3}]),
            ("workspace", "report"),
        ),
        (("toys.displaced_number", 100), ("throw_toys", "report")),
        (
            ("toys.displacements", {"down": -1, "up": 1}),
            (*(f"process_events {sample} {folder}" for sample, folder in DISPLACED), *AFTER_DISPLACEMENT),
        ),
        (
            ("toys.displacements.up2", 2.5),
            (
                *(f"process_events {sample} {folder}" for sample, folder in DISPLACED if "up2" in folder),
                *AFTER_DISPLACEMENT,
            ),
        ),
        (("samples.ttbar.events", 1000), ("simulate_events ttbar", "report")),
        (("dask", {"workers": 4, "scheduler": "processes"}), ()),
        (
            (
                "dask",
                {
                    "scheduler": "distributed",
                    "cluster": "slurm",
                    "memory": "1GB",
                    "walltime": "01:00:00",
                    "options": {"queue": "long"},
                },
            ),
            (),
        ),
        (("learning.device", "cpu"), ()),
        (
            ("variations.tes.size", 0.05),
            (
                *(f"process_events {sample} tes" for sample in ("htautau", "ztautau", "ttbar", "diboson")),
                *(f"train_network {training}" for training in ("augmentation", "parametrised", "adversarial")),
                "workspace",
                "report",
            ),
        ),
    ],
)
def test_a_change_reaches_only_the_jobs_it_can_affect(change, expected):
    assert affected(change) == (jobs(*expected) if expected else set())


def test_a_new_shift_makes_its_own_events_and_new_templates_only():
    new = affected(("variations.les", {"kind": "shift", "shift": "les", "size": 0.01}))
    assert {job.split()[0] for job in new} == {
        *(
            "process_events",
            "filling",
            "displaced_filling",
            "workspace",
            "fit",
            "throw_toys",
            "plots",
            "report",
            "conformal",
            "visibility",
        )
    }
    assert all("les" in job for job in new if job.startswith("process_events"))


def test_a_shift_that_skips_a_process_makes_no_events_for_it():
    settings = reading.check(changed(DITAU, ("variations.tes.processes", ["htautau"])))
    assert "tes_up" in events.shifted_names(settings, "htautau")
    assert "tes_up" not in events.shifted_names(settings, "ttbar")


def test_a_column_for_the_observable_of_a_control_region_trains_nothing():
    control = {"selection": "y > 0", "observable": "x"}
    content = changed(
        FLAT, ("dataset.columns", ["x", "y", "u", "w", "unused"]),
        ("regions", {"signal": {"selection": "y <= 0"}, "control": control}),
        ("variations", {"tilt": {"kind": "weight", "factor": "1 + z * u"}}),
    )  # fmt: skip
    plain, derived = (
        reading.check(changed(content, *more))
        for more in ([("variations", {})], [("derived", {"v": "2 * u"}), ("regions.control.observable", "v")])
    )
    assert events.ingestion(plain, "s").columns == ("x", "y", "w")
    assert events.parts(plain, "s") == ["main"]
    assert events.ingestion(derived, "s", "further").columns == ("u",)
    assert events.parts(derived, "s") == ["main", "further"]
    assert events.ingestion(plain, "s") == events.ingestion(derived, "s")
    assert slices.training(plain, "nominal", 1) == slices.training(derived, "nominal", 1)
    assert events.processing(plain, "s", "nominal") != events.processing(derived, "s", "nominal")
    knows = [("trainings.nominal", {"strategy": "augmentation", "variations": ["tilt"]})]
    assert events.ingestion(reading.check(changed(content, *knows)), "s").columns == ("x", "y", "u", "w")


def test_up_and_down_are_one_prior_standard_deviation():
    settings = reading.check(DITAU)
    assert points.at(settings, "nominal") == (None, 0.0)
    assert points.at(settings, "tes_up") == ("tes", 1.0)
    assert points.at(settings, "soft_met_down") == ("soft_met", -1.0)

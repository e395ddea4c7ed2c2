"""What the strategy 'unbinned' needs of an analysis."""

import pytest
import yaml
from analyses import ROOT, changed

from nuisflow.settings.checks import reading

TOY = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
TRAINING = {"strategy": "unbinned", "variations": ["tes", "tilt"]}


def check(training=TRAINING, *changes):
    return reading.check(changed(TOY, ("trainings", {"unbinned": training}), *changes), "toy.yaml")


def test_all_variations_of_shapes_and_regions_with_bins_are_right():
    assert check().trainings["unbinned"].variations == ("tes", "tilt")


@pytest.mark.parametrize(
    ("training", "changes", "words"),
    [
        (TRAINING | {"variations": ["tes"]}, (), "would not know tilt"),
        (
            TRAINING | {"variations": ["tes", "tilt", "ttbar_rate"]},
            (),
            "'ttbar_rate' is of kind 'rate', which is exact",
        ),
        (TRAINING | {"signal": "htautau"}, (), "filled in by the workflow"),
        (TRAINING, (("variations.tes.decorrelate", ["process"]),), "'tes' is decorrelated"),
        (TRAINING, (("variations.tilt.regions", ["signal"]),), "acts in some regions only"),
        (TRAINING, (("variations.tes.acceptance", "renormalised"),), "'tes' is renormalised"),
        (TRAINING, (("variations.tilt.alternatives", ["ttbar"]),), "'tilt' has samples of its own"),
        (TRAINING | {"variations": []}, (), "variations"),
    ],
)
def test_what_a_likelihood_of_single_events_cannot_have_is_refused_with_training_and_remedy(training, changes, words):
    with pytest.raises(reading.ConfigurationError, match=words) as error:
        check(training, *changes)
    assert "trainings.unbinned" in str(error.value)


def test_the_bootstrap_takes_other_trainings_only():
    from nuisflow.slices import bootstrap

    settings = reading.check(
        changed(
            TOY,
            ("trainings", {"unbinned": TRAINING, "nominal": {"strategy": "nominal"}}),
            ("toys.bootstrap", {"sets": 2, "number": 20, "share": 0.5}),
        ),
        "toy.yaml",
    )
    assert bootstrap.trainings(settings) == ["nominal"]

"""What the strategy 'unbinned' needs of an analysis."""

import pytest
import yaml
from analyses import ROOT, changed

from nuisflow.settings.checks import reading
from nuisflow.slices import training as slices

TOY = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
TRAINING = {"strategy": "unbinned", "variations": ["tes", "tilt"]}
BETWEEN = "(DER_mass_transverse_met_lep >= 60) & (DER_mass_transverse_met_lep < 80)"
SET = {"kind": "weight_set", "members": ["1 + 0.1 * (PRI_met > 50)", "1 - 0.1 * (PRI_met > 50)"]}
SAMPLE = {"process": "ztautau", "variant": "more_radiation", "events": 9000, "expected": 10000}
OTHER = {"kind": "two_point", "up": ["other"]}


def check(training=TRAINING, *changes):
    return reading.check(changed(TOY, ("trainings", {"unbinned": training}), *changes), "toy.yaml")


def test_all_variations_of_shapes_and_regions_with_bins_are_right():
    assert check().trainings["unbinned"].variations == ("tes", "tilt")


def test_kept_eigenvectors_are_weights_and_alternatives_are_learned():
    training = TRAINING | {"variations": ["tes", "tilt", "pdf_1", "generator"]}
    made = SET | {"combine": "hessian", "keep": True}
    settings = check(training, ("variations.pdf", made), ("variations.generator", OTHER), ("samples.other", SAMPLE))
    learned = slices.training(settings, "unbinned", 1)
    assert learned.training.sides == {"generator": (1.0,)}
    assert learned.training.acting["ztautau"] == ("tes", "pdf_1", "generator")
    assert learned.alternatives == {"other": ("generator", 1.0)}


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
        (TRAINING, (("variations.ttbar_rate.decorrelate", ["region"]),), "'ttbar_rate' of kind 'rate' is one of some"),
        (TRAINING | {"variations": ["tes"]}, (("variations.tilt.regions", ["control"]),), "'tilt' does not act in all"),
        (
            TRAINING,
            (
                ("variations.tes.decorrelate", ["region"]),
                ("regions.control.selection", "DER_mass_transverse_met_lep >= 80"),
                ("regions.between", {"selection": BETWEEN}),
            ),
            "'tes' has a parameter in each of signal, between",
        ),
        (TRAINING, (("variations.tes.acceptance", "renormalised"),), "'tes' is renormalised"),
        (TRAINING, (("toys.truths", [0.0, -0.5]),), "toys.truths: -0.5: trainings.*event by event"),
        (TRAINING | {"variations": []}, (), "variations"),
        (
            TRAINING | {"variations": []},
            (("variations", {"rate": {"kind": "rate", "size": 0.1}}),),
            "all variations are rates, which are exact in the likelihood.* use another strategy",
        ),
        (TRAINING, (("samples.ttbar.train", False),), "process 'ttbar' has no samples with train: true"),
        (TRAINING, (("variations.pdf", SET | {"combine": "envelope"}),), "'pdf' is a weight set .* of kind 'weight'"),
        (TRAINING, (("variations.pdf", SET | {"combine": "hessian"}),), "'pdf' is a weight set .* 'keep: true'"),
        (TRAINING, (("variations.pdf", SET | {"combine": "replicas"}),), "'pdf' is a weight set .* eigenvectors"),
        (TRAINING, (("variations.generator", OTHER), ("samples.other", SAMPLE)), "would not know generator"),
        (
            TRAINING | {"variations": ["tes", "tilt", "generator"]},
            (("variations.generator", OTHER), ("samples.other", SAMPLE | {"train": False})),
            "'generator': its response is learned from the alternative 'other', which has train: false",
        ),
        (
            TRAINING | {"variations": ["tes", "tilt", "generator"], "pairs": [["generator", "tes"]]},
            (("variations.generator", OTHER), ("samples.other", SAMPLE)),
            "pairs: 'generator' is of kind 'two_point'",
        ),
    ],
)
def test_what_a_likelihood_of_single_events_cannot_have_is_refused_with_training_and_remedy(training, changes, words):
    with pytest.raises(reading.ConfigurationError, match=words) as error:
        check(training, *changes)
    assert "trainings.unbinned" in str(error.value)


def test_the_bootstrap_takes_the_likelihood_of_every_training():
    from nuisflow.slices import bootstrap

    settings = reading.check(
        changed(
            TOY,
            ("trainings", {"unbinned": TRAINING, "nominal": {"strategy": "nominal"}}),
            ("toys.bootstrap", {"sets": 2, "number": 20, "share": 0.5}),
        ),
        "toy.yaml",
    )
    assert bootstrap.trainings(settings) == ["unbinned", "nominal"]
    assert [bootstrap.likelihood(settings, name) for name in settings.trainings] == ["densities.json", "workspace.json"]

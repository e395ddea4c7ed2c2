"""An analysis of ours as a submission to the Fair Universe HiggsML Uncertainty Challenge (arXiv:2410.02867).

Run the workflow first; then the class Model is what the challenge's ingestion program takes (HiggsML 0.1.5):

    export NUISFLOW_CONFIG=config/config.yaml       # the analysis
    export NUISFLOW_RESULTS=results/ditau           # its results; default: results/<analysis>
    export NUISFLOW_TRAINING=boosted_trees          # default: the first training
    export PYTHONPATH=scripts
    cp config/examples/challenge_model.py submission/model.py
    python -m HiggsML.run_competition --submission submission ...

The analysis must describe the challenge's events: their yields, columns and nuisance parameters.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nuisflow.inference import challenge


class Model:
    """Trained and fitted by the workflow: it never looks at the training set that the program offers."""

    def __init__(self, get_train_set: Any = None, systematics: Any = None, model_type: str = "") -> None:  # noqa: ARG002
        results = os.environ.get("NUISFLOW_RESULTS")
        self.submission = challenge.load(
            Path(os.environ.get("NUISFLOW_CONFIG", "config/config.yaml")),
            Path(results) if results else None,
            os.environ.get("NUISFLOW_TRAINING"),
        )

    def fit(self) -> None:
        """Do nothing: the workflow has trained the classifier and filled the templates."""

    def predict(self, test_set: Mapping[str, Any]) -> dict[str, float]:
        """Return mu_hat, delta_mu_hat, p16 and p84 of one pseudo-experiment."""
        return self.submission.predict(test_set)

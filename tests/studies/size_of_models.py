"""How long do fits of large models take? Random models of `large_models`: CPU seconds and peak memory of each question.

    python tests/studies/size_of_models.py --parameters 1000 --bins 1000 --questions fit,interval,limit

Every question is asked once, of observed data, after compilation; the table is printed as it grows.
"""

import argparse
import logging
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import large_models

from nuisflow.likelihood import fits, limits, uncertainties
from nuisflow.likelihood.model import Model

QUESTIONS: dict[str, Callable[[Model], Any]] = {
    "fit": fits.fit,
    "interval": lambda model: fits.interval(model, result=fits.fit(model)),
    "breakdown": uncertainties.breakdown,
    "limit": limits.limits,
    "rank": uncertainties.impacts,
}


def main() -> None:
    """Ask one model everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, default=1000, help="nuisance parameters (default: %(default)s)")
    parser.add_argument("--bins", type=int, default=1000, help="bins of all 20 channels (default: %(default)s)")
    parser.add_argument("--questions", default=",".join(QUESTIONS), help="which of %(default)s")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("nuisflow").setLevel(logging.INFO)
    fits.fit(Model(large_models.workspace(0, parameters=3, bins=20)))  # compiles, and loads what is compiled
    workspace = large_models.workspace(1, parameters=options.parameters, bins=options.bins)
    begin = time.process_time()
    model = Model(workspace)
    print(f"reading {time.process_time() - begin:.2f} s", flush=True)
    for question in options.questions.split(","):
        begin = time.process_time()
        QUESTIONS[question](model)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{question} {time.process_time() - begin:.2f} s, peak {memory:.2f} GB", flush=True)


if __name__ == "__main__":
    main()

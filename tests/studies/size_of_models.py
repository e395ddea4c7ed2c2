"""How long do fits of large models take? Random models of `large_models`: CPU seconds and peak memory of each question.

    python tests/studies/size_of_models.py --models 1000x1000,10x1000 --questions fit,limit

Every question is asked once, of observed data, after compilation, in a process of its own; rows appear as they finish.
"""

import argparse
import logging
import multiprocessing
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


MODELS = "10x1000,100x10000,1000x1000,3000x3000"


def ask(size: str, question: str) -> None:
    """Ask one model (nuisance parameters x bins of all 20 channels) one question, and print the row."""
    parameters, bins = map(int, size.split("x"))
    fits.fit(Model(large_models.workspace(0, parameters=3, bins=20)))  # compiles, and loads what is compiled
    model = Model(large_models.workspace(1, parameters=parameters, bins=bins))
    begin = time.process_time()
    QUESTIONS[question](model)
    spent, memory = time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"| {size} | {question} | {spent:.2f} | {memory:.2f} |", flush=True)


def main() -> None:
    """Ask every model everything that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS, help="nuisance parameters x bins (default: %(default)s)")
    parser.add_argument("--questions", default=",".join(QUESTIONS), help="which of %(default)s")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("nuisflow").setLevel(logging.INFO)
    print("| NPs x bins | question | CPU s | peak GB |\n|---|---|---|---|", flush=True)
    for size in options.models.split(","):
        for question in options.questions.split(","):
            job = multiprocessing.get_context("spawn").Process(target=ask, args=(size, question))
            job.start()
            job.join()
            if job.exitcode:
                print(f"| {size} | {question} | failed ({job.exitcode}) | |", flush=True)


if __name__ == "__main__":
    main()

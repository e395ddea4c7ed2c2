import functools

import numpy as np
import pytest

from nuisflow.events import parallel
from nuisflow.settings.configuration import Dask


def square(number):
    return number**2


@pytest.mark.parametrize(
    "options",
    [
        {"scheduler": "synchronous"},
        {"scheduler": "threads", "workers": 1},
        {"scheduler": "threads", "workers": 3},
        {"scheduler": "processes", "workers": 2},
        pytest.param({"scheduler": "distributed", "workers": 2}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_results_come_in_order_whatever_the_scheduler(options):
    assert list(parallel.ordered_map(square, range(25), Dask(**options))) == [n**2 for n in range(25)]


def test_only_a_few_results_are_made_ahead():
    made = []
    results = parallel.ordered_map(functools.partial(_note, made), range(1000), Dask(scheduler="threads", workers=2))
    next(iter(results))
    assert len(made) < 50


def _note(made, number):
    made.append(number)
    return np.zeros(10)

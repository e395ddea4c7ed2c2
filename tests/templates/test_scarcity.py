import hist
import numpy as np
import pytest

from nuisflow.templates import scarcity


def histogram(contents):
    """Return templates from {(process, variation): (values, variances)}."""
    processes, variations = (list(dict.fromkeys(key[i] for key in contents)) for i in (0, 1))
    size = len(next(iter(contents.values()))[0])
    made = hist.Hist(
        hist.axis.StrCategory(processes, name="process"),
        hist.axis.StrCategory(variations, name="variation"),
        hist.axis.Regular(size, 0, 1, name="score"),
        storage=hist.storage.Weight(),
    )
    for (process, variation), (values, variances) in contents.items():
        place = (processes.index(process), variations.index(variation))
        made.view()["value"][place], made.view()["variance"][place] = values, variances
    return made


def test_effective_events_are_those_of_all_backgrounds_together():
    made = histogram(
        {
            ("s", "nominal"): ([1, 1, 1], [1, 1, 1]),
            ("a", "nominal"): ([10, 20, 5], [1, 4, 1]),
            ("b", "nominal"): ([0, 4, 5], [0, 4, 3]),
            ("s", "tes_up"): ([1, 1, 1], [1, 1, 1]),
            ("a", "tes_up"): ([10, 20, 4], [4, 4, 4]),
            ("b", "tes_up"): ([0, 4, 5], [0, 4, 5]),
        }
    )
    nominal, varied = scarcity.rows({"signal": made}, ["a", "b"])
    assert nominal == {"region": "signal", "variation": "nominal", "bin": 2, "bins": 3, "events": 100 / 4}
    assert varied == {"region": "signal", "variation": "tes_up", "bin": 2, "bins": 3, "events": 81 / 9}


def test_without_weights_they_are_the_number_of_events():
    made = histogram({("b", "nominal"): ([7, 3, 9], [7, 3, 9])})
    (row,) = scarcity.rows({"signal": made}, ["b"])
    assert (row["bin"], row["events"]) == (1, 3)


def test_a_region_without_background_is_not_listed():
    made = histogram({("b", "nominal"): ([0, 0], [0, 0]), ("s", "nominal"): ([5, 5], [5, 5])})
    assert scarcity.rows({"empty": made}, ["b"]) == []


def test_negative_totals_count_as_no_event():
    made = histogram({("b", "nominal"): ([5, -2], [5, 4])})
    (row,) = scarcity.rows({"signal": made}, ["b"])
    assert row["events"] == pytest.approx(0)
    assert np.isfinite(row["events"])

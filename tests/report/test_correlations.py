"""What the report says of correlated constraints."""

from analyses import FLAT, changed

from nuisflow.report import findings
from nuisflow.settings.checks import reading
from nuisflow.slices.report import report

RATES = {name: {"kind": "rate", "size": 0.1, "label": name.upper()} for name in ("a", "b", "c", "d", "e")}


def words(*correlations):
    settings = reading.check(changed(FLAT, ("variations", RATES), ("correlations", list(correlations))))
    return findings.correlated(report(settings))


def test_pairs_are_named_by_their_labels_the_largest_first():
    pairs = [{"between": ["a", "b"], "coefficient": 0.25}, {"between": ["c", "b"], "coefficient": -0.5}]
    assert words(*pairs).startswith(
        "Constraints are correlated: B and C (−0.5), A and B (+0.25); all others are independent."
    )


def test_many_pairs_are_counted():
    matrix = [[1.0 if i == j else 0.1 for j in range(5)] for i in range(5)]
    assert "(+0.1) and 4 more pairs; all others" in words({"between": list("abcde"), "matrix": matrix})


def test_nothing_is_said_where_all_are_independent():
    assert words() == ""
    assert words({"between": ["a", "b"], "coefficient": 0}) == ""

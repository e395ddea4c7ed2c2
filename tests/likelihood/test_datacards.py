"""Combine's datacards: the likelihood against Combine's formulas, and lines that are not supported."""

from pathlib import Path

import datacards
import numpy as np
import pytest

from nuisflow.likelihood import limits
from nuisflow.likelihood.dialects import card_formulas, combine, proofs
from nuisflow.likelihood.model import Model


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    pytest.importorskip("uproot")
    return datacards.write(tmp_path_factory.mktemp("card"))


def points(model, number=100):
    """Return random points: two standard deviations around what is constrained, half the value around the rest."""
    rng, rows = np.random.default_rng(3), model.parameters
    low = [row.init - 2.0 * (row.width if row.constraint == "normal" else 0.25 * max(row.init, 1e-3)) for row in rows]
    at = rng.uniform(low, 2.0 * model.inits - low, (number, len(rows)))
    return np.where(model.fixed, model.inits, np.clip(at, model.lower, model.upper))


@pytest.mark.parametrize("threshold", [10, 0, 1000, 45])
def test_the_likelihood_is_combines_at_100_points(tmp_path, threshold):
    pytest.importorskip("uproot")
    path = datacards.write(tmp_path, datacards.CARD.replace("autoMCStats 10", f"autoMCStats {threshold}"))
    model, found = Model(combine.read(path, path.read_text())), datacards.histograms()
    at = points(model)
    free = [name for name, fixed in zip(model.names, model.fixed, strict=True) if not fixed]
    assert {"r", "side", "wscale", "tscale", "theta1named", "range", "free"} <= set(free)
    assert ("prop_binlow[1]" in free) == (threshold < 1000)
    assert ("prop_binlow_wjet[5]" in free) == (threshold > 0)
    assert any(name.startswith("prop_binlow_bin") for name in free) == (threshold == 45)
    values = [{name: x for name, x in zip(model.names, point, strict=True) if name in free} for point in at]
    theirs = np.array([datacards.twice_nll(found, row, threshold) for row in values])
    ours = model.twice_nll(at)
    assert ours - ours[0] == pytest.approx(theirs - theirs[0], rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("threshold", [10, 0, 1000, 45])
def test_the_formulas_of_the_proof_are_those_written_out_for_this_card(tmp_path, threshold):
    text = datacards.CARD.replace("autoMCStats 10", f"autoMCStats {threshold}")
    path, found = datacards.write(tmp_path, text), datacards.histograms()
    model, formulas = Model(combine.read(path, text)), card_formulas.Formulas(path, text)
    rows = [dict(zip(model.names, point, strict=True)) for point in points(model, 20)]
    free = [name for name, fixed in zip(model.names, model.fixed, strict=True) if not fixed]
    by_hand = np.array([datacards.twice_nll(found, {name: row[name] for name in free}, threshold) for row in rows])
    once_more = np.array([formulas.twice_nll(row) for row in rows])
    assert once_more - once_more[0] == pytest.approx(by_hand - by_hand[0], rel=1e-9, abs=1e-8)


def code4(book):
    book["extensions"]["interpolation"]["normsys"] = "code4"


def wider(book):
    book["extensions"]["constraints"]["wscale"]["sigma"] *= 1.01


def more_events(book):
    book["observations"][0]["data"][0] += 1.0


def another_error(book):
    sample = next(row for channel in book["channels"] if channel["name"] == "low" for row in channel["samples"])
    next(row for row in sample["modifiers"] if row["type"] == "mcstat")["data"][0] *= 1.01


@pytest.mark.parametrize("change", [code4, wider, more_events, another_error])
def test_a_workspace_that_is_not_quite_the_card_is_not_proved(path, change):
    text = path.read_text()
    book = combine.read(path, text)
    assert proofs.with_formulas(Model(book), path, text).record()["proved"]
    change(book)
    assert not proofs.with_formulas(Model(book), path, text).record()["proved"]


def test_parameters_have_combines_ranges_and_constraints(path):
    model = Model(combine.read(path, path.read_text()))
    rows = {row.name: row for row in model.parameters}
    assert model.poi == "r"
    assert (rows["free"].constraint, rows["free"].lower, rows["free"].upper) == ("none", -1.0, 1.0)
    assert (rows["side"].constraint, rows["side"].auxiliary, rows["side"].width) == ("poisson", 5.0, 1.0)
    assert (rows["wscale"].constraint, rows["wscale"].auxiliary, rows["wscale"].width) == ("normal", 1.1, 0.2)
    assert (rows["wscale"].lower, rows["wscale"].upper, rows["wscale"].init) == (0.1, 5.0, 1.1)
    assert model.structure.extended.groups == (("energy", ("jes", "tilt", "scale")),)


def test_a_bin_that_a_shape_can_make_negative_is_told(path, tmp_path, caplog):
    found = datacards.histograms()
    found["high/wjet_jesUp"] = (found["high/wjet"][0] * np.array([0.5, 1.5, 1, 1]), found["high/wjet"][1])
    other = datacards.write(tmp_path, found=found)
    combine.read(other, other.read_text())
    assert "jes makes bin 0 of wjet in high negative" in caplog.text


def test_mass_stands_in_names(tmp_path):
    card = datacards.CARD.replace("$CHANNEL/$PROCESS ", "$CHANNEL/$PROCESS$MASS ")
    found = datacards.histograms()
    found |= {f"{name}125": found[name] for name in ("low/sig", "low/ttH", "low/wjet", "high/sig", "high/wjet")}
    found["low/data_obs125"] = found["low/data_obs"]
    path = datacards.write(tmp_path, card, found)
    assert combine.read(path, card, "125")["channels"]
    with pytest.raises(ValueError, match=r"line 7: \$MASS: convert the card first, with --mass"):
        combine.read(path, card)


COUNTING = """\
imax 1
jmax 1
kmax 1
bin         b
observation 2
bin         b    b
process     sig  fake
process     0    1
rate        1.0  0
side gmN 0  -    0.5
"""


def test_a_process_without_events_in_its_sideband_may_still_be_there(tmp_path):
    path = tmp_path / "card.txt"
    path.write_text(COUNTING)
    model = Model(combine.read(path, COUNTING))
    assert model.expected({"r": 1.0, "side": 3.0}) == pytest.approx([2.5])
    # Without signal, 2 ln (side / 2) - side / 2 - side is largest at side = 4 / 3; with it, r = 2 and side = 0.
    null, best = 2.0 * np.log(2.0 / 3.0) - 2.0, 2.0 * np.log(2.0) - 2.0
    assert limits.significance(model).q0 == pytest.approx(2.0 * (best - null), rel=1e-6)
    found = limits.limits(model)
    assert found.problems == ()
    assert found.observed > found.expected[2] > 1.0


REFUSED = [
    ("imax 3 number", "imax three number", "line 3: imax: write the number of bins, or \\*"),
    ("kmax 9", "kmax", "line 5: kmax: write the number of nuisance parameters"),
    ("rate     -1   -1", "rate     nan  -1", "rate of sig in low: 'nan' is not a finite number"),
    ("lumi   lnN", "lumi   trG", "line 18: lumi: trG is not supported"),
    ("lumi   lnN", "lumi   lnM", "line 18: lumi: no kind 'lnM'; did you mean"),
    ("jes    shape  ", "jes    shapeN ", "line 21: jes: shapeN is not supported .*logarithm"),
    ("energy group +=", "nuisance edit add", "line 30: nuisance: edit is not supported .*nuisance edits"),
    ("energy group += scale", "energy group += scael", "group energy: no nuisance 'scael'; did you mean 'scale'"),
    ("low    autoMCStats 10", "low    autoMCStats 10 0 2", "line 31: low: autoMCStats with hist-mode 2"),
    ("low    autoMCStats 10", "lwo    autoMCStats 10", "line 31: lwo: write 'BIN autoMCStats"),
    ("1.1 [0.1,5]", "(@0*2) r", "line 27: wscale: only 'rateParam BIN PROCESS VALUE"),
    ("rateParam low  ttH", "rateParam low  tth", "line 28: tscale: no process 'tth' in a bin 'low'"),
    ("1.1 [0.1,5]", "1.1 [2,5]", "line 27: wscale: the value 1.1 is outside its range"),
    ("tscale rateParam", "wscale rateParam", "line 28: wscale has another value or range in line 27"),
    (
        "tscale rateParam low  ttH  0.9",
        "wscale rateParam low wjet 1.1 [0.1,5]",
        "line 28: wscale scales wjet in low in line 27 already",
    ),
    ("param   1.1  0.2", "param   1.1  -0.2/+0.1", "line 25: wscale: param needs a mean and one width"),
    ("kmax 9", "kmax 8", "line 5: kmax 8, but there are 9"),
    ("imax 3", "imax 2", "line 3: imax 2, but there are 3"),
    ("gmN 5", "gmN 7", "line 24: side: 7 times 2 is not the rate 10"),
    ("shapes.root high/data", "shapes.root w:data", "line 8: shapes: w:data is in a RooWorkspace"),
    ("shapes.root high/data", "shapes.root high/date", "line 8: no histogram 'high/date'"),
    ("shapes.root high/data", "other.root high/data", "line 8: no file .*other.root"),
    ("rate     -1 ", "rate     17 ", "process sig in low: rate 17, but its histogram has"),
    (
        "scale  lnN     -    0.93/1.14",
        "scale  lnN     -    -0.9/1.14",
        "line 19: scale: '-0.9/1.14' is no effect of a lnN",
    ),
    (
        "jes    shape   1    1 ",
        "jes    shape   1    0.5 ",
        "line 21: jes: shapes of ttH in low with different",
    ),
    ("count FAKE", "count shapes.root $PROCESS", "line 9: no histogram 'sig'"),
    ("1named lnN", "lumi   lnN", "line 26: lumi stands in line 18 already"),
    ("side   gmN 5", "side   gmN x", "line 24: side: gmN needs the number of events"),
    ("1.02 -     # symmetric", "1.02       # symmetric", "line 18: lumi: 6 entries for 7 columns"),
    ("process  0    1    2    0    2", "process  0    1    2    1    2", "line 15: process sig is a signal in one bin"),
    ("rate     -1   -1", "Rate     -1   -1", "no line 'rate'"),
]


@pytest.mark.parametrize(("before", "after", "words"), REFUSED)
def test_what_is_not_supported_is_refused_by_line_and_name(path, before, after, words):
    assert datacards.CARD.count(before) == 1
    with pytest.raises(ValueError, match=words):
        combine.read(path, datacards.CARD.replace(before, after))


TWO_BINS = """\
imax 2 two bins
jmax * as many as there are
kmax * so many
---------------
bin          one two
observation  12  20
---------------
bin      one one two two
process  sig bkg sig top
process  0   1   0   1
rate     3.0 10  5.0 18
---------------
lumi  lnN 1.1 -   1.1 1.1   A 10 % uncertainty of what simulation gives
norm  lnN -   1.3 -   -     30% on the background
top   lnN -   -   -   0.9/1.2
"""


def counting(text=TWO_BINS):
    return combine.read(Path("card.txt"), text)


def test_words_behind_the_last_column_are_a_comment_as_in_combine():
    model = Model(counting())
    assert proofs.with_formulas(model, Path("card.txt"), TWO_BINS).record()["proved"]
    assert set(model.names) == {"r", "lumi", "norm", "top"}
    expected = model.expected({"r": 2.0, "lumi": 1.0, "norm": 1.0, "top": -1.0})
    assert expected == pytest.approx([2 * 3 * 1.1 + 10 * 1.3, 2 * 5 * 1.1 + 18 * 1.1 * 0.9])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("1.3 -   -     30%", "1.3 -   -  1.2 30%", "line 14: norm: 9 entries for 4 columns"),
        ("1.3 -   -     30% on the background", "1.3 -", "line 14: norm: 3 entries for 4 columns"),
        ("process  0   1   0   1", "process  2   1   2   1", "no process is a signal .*control regions.*combine"),
        (
            "top   lnN",
            "free rateParam one bkg (@0*2) norm\ntop   lnN",
            "line 15: free: only 'rateParam BIN PROCESS VALUE",
        ),
    ],
)
def test_what_a_counting_card_must_not_say_is_named(before, after, message):
    assert TWO_BINS.count(before) == 1
    with pytest.raises(ValueError, match=message):
        counting(TWO_BINS.replace(before, after))


def test_an_empty_bin_with_an_error_gets_a_parameter_that_adds_it(tmp_path):
    pytest.importorskip("uproot")
    found = datacards.histograms()
    values, errors = (row.copy() for row in found["low/ttH"])
    values[5], errors[5] = 0.0, 1.3
    for name in list(found):
        if name.startswith("low/ttH"):
            found[name] = (np.where(np.arange(6) == 5, 0.0, found[name][0]), found[name][1])
    found["low/ttH"] = values, errors
    path = datacards.write(tmp_path, found=found)
    model = Model(combine.read(path, path.read_text()))
    moved = model.expected({"prop_binlow_bin5_ttH": 2.0}) - model.expected()
    place = next(first for name, first, _ in model.channels if name == "low")
    assert moved[place + 5] == pytest.approx(2.0 * 1.3 * 0.9)  # times the rateParam of ttH
    assert np.abs(np.delete(moved, place + 5)).max() == 0
    row = model.parameters[model.index("prop_binlow_bin5_ttH")]
    assert (row.constraint, row.width, row.lower, row.upper) == ("normal", 1.0, -7.0, 7.0)

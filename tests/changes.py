"""Changes of the toy configuration, each with the words for the table "If you change X" of config/README.md."""

import collections
import re

from analyses import ROOT

CASES = {
    "title": ("`plots`, a colour, a label", [("plots", {"title": "Toy"})]),
    "dask": (
        "`dask`, `learning.device`",
        [("dask", {"workers": 2, "scheduler": "processes", "chunk_size": 999}), ("learning.device", "cpu")],
    ),
    "strategy option": ("an option of one training", [("trainings.boosted_trees.rounds", 10)]),
    "new training": ("a new training", [("trainings.nominal", {"strategy": "nominal"})]),
    "fewer trainings": ("a training less", [("trainings.boosted_trees", None)]),
    "network size": ("`learning.hidden` (one of the two trainings is a network)", [("learning.hidden", [8])]),
    "learning seeds": ("one seed more (`learning.seeds`)", [("learning.seeds", 2)]),
    "binning": ("`templates.binning`", [("templates.binning.number", 4)]),
    "rate": ("the size of a rate", [("variations.ttbar_rate.size", 0.2)]),
    "new rate": ("a new rate", [("variations.z_rate", {"kind": "rate", "size": 0.05, "processes": ["ztautau"]})]),
    "weight": ("the expression of a weight", [("variations.tilt.factor", "1 + 0.2 * z * (PRI_met > 40)")]),
    "new shift": ("a new shift", [("variations.jes", {"kind": "shift", "shift": "jes", "size": 0.01})]),
    "prior": ("the range of the POI (`fit.bounds`)", [("fit", {"bounds": [-2, 10]})]),
    "toys": ("`toys.number`", [("toys.number", 100)]),
    "displacement": ("the value of a point in `toys.displacements`", [("toys.displacements.up2", 1.5)]),
    "new displacement": ("a new point in `toys.displacements`", [("toys.displacements.down2", -2.0)]),
    "bootstrap": ("a new section `toys.bootstrap`", [("toys.bootstrap", {"number": 5})]),
    "studies": ("a new section `studies`", [("studies", {"training_events": [0.5], "simulated_events": [0.5, 1]})]),
    "map": ("a new section `toys.map`", [("toys.map", {"number": 1000})]),
    "tune": ("`tune` for one training", [("tune", {"augmentation": {"trials": 2, "options": {"width": [0.5, 1.0]}}})]),
    "feature": ("a feature less", [("features", ["PRI_lep_pt", "PRI_had_pt", "PRI_met", "DER_mass_vis"])]),
    "selection": ("`selection`", [("selection", "(PRI_had_pt > 27) & (PRI_lep_pt > 20)")]),
    "sample": ("the number of events of one simulated sample", [("samples.ttbar.events", 5000)]),
    "expected": ("what one simulated sample is expected to give", [("samples.ttbar.expected", 1100)]),
    "seed": ("`seed`", [("seed", 8)]),
}
BEGIN = "<!-- Made by tests/test_workflow.py: UPDATE_DOCS=1 pytest tests/test_workflow.py -k table -->"
END = "<!-- end -->"
README = ROOT / "config" / "README.md"


def jobs(printed):
    """Return the messages of the jobs that a dry run lists."""
    return set(re.findall(r"^Job \d+: (.*)$", printed, re.MULTILINE))


def rules(printed):
    """Return how many jobs of each rule a dry run lists, in the order in which the Snakefile has the rules."""
    listed = printed.partition("Job stats:")[2].partition("total")[0]
    counts = {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", listed, re.MULTILINE)}
    return collections.Counter({name: counts[name] for name in _in_order() if name in counts})


def _in_order():
    workflow = ROOT / "workflow"
    for name in re.findall(r'^include: "(.*)"$', (workflow / "Snakefile").read_text(), re.MULTILINE):
        text = (workflow / name).read_text()
        yield from re.findall(r"^(?:rule (?=\w+:)|use rule \w+ as )(\w+)", text, re.MULTILINE)


def row(words, counts, whole):
    """Return one row of the table."""
    if not counts:
        return f"| {words} | nothing |"
    if counts == whole:
        return f"| {words} | everything |"
    named = [f"`{name}`" + (f" × {number}" if number > 1 else "") for name, number in counts.items()]
    return f"| {words} | {sum(counts.values())}: {', '.join(named)} |"


def table(listings, whole):
    """Return the table of {case: counts of rules}; *whole*: those of the whole analysis."""
    head = ["| change | jobs that run again |", "|---|---|"]
    return "\n".join([*head, *(row(CASES[case][0], counts, whole) for case, counts in listings.items())])


def documented():
    """Return the table in config/README.md."""
    return README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def document(text):
    """Put *text* in place of the table in config/README.md."""
    content = README.read_text(encoding="utf-8")
    before, rest = content.split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")

"""Jagged events: read as collections, made flat by functions of the user, whose mistakes are told."""

import functools
import math
import re
import tempfile
from pathlib import Path

import awkward as ak
import ingesting
import numpy as np
import pytest
import uproot
import yaml
from analyses import ROOT, changed

from nuisflow import datasets
from nuisflow.datasets import records
from nuisflow.events.selection import select
from nuisflow.settings import configuration
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import events as slices
from nuisflow.storage import files, ingested, sources

EXAMPLE = ROOT / "config" / "examples" / "nanoaod_objects.py"
CONFIGURATION = ROOT / "config" / "examples" / "nanoaod.yaml"
CONTENT = yaml.safe_load(CONFIGURATION.read_text())
TTBAR, DY, HZZ = "nanoAOD_2015_CMS_Open_Data_ttbar.root", "nano_dy.root", "uproot-HZZ.root"


@pytest.fixture(autouse=True)
def project_folder(monkeypatch):
    """The path of the functions is relative to the folder of the project."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A file of 300 events with lists of 0 to 4 jets, fixed-size arrays and numbers."""
    path, generator = tmp_path_factory.mktemp("toy") / "toy.root", np.random.default_rng(1)
    counts = generator.integers(0, 5, 300)
    jets = {
        name: ak.unflatten(generator.uniform(low, high, counts.sum()).astype("f4"), counts)
        for name, low, high in (("pt", 20, 200), ("eta", -3, 3), ("phi", -3.1, 3.1), ("mass", 5, 20))
    }
    columns = {f"Jet_{name}": values for name, values in jets.items()}
    columns |= {"MET_pt": generator.exponential(40, 300).astype("f4"), "good": generator.random(300) < 0.5}
    columns |= {"PSWeight": generator.normal(1, 0.1, (300, 4)), "SV_x": jets["eta"], "SV_pt": jets["pt"]}
    columns |= {f"SV_{name}": jets[name] for name in ("eta", "phi", "mass")} | {"Jet_twice": jets["pt"][:, :1]}
    with uproot.recreate(path) as root:
        root.mktree("Events", {name: values.type if isinstance(values, ak.Array) else (values.dtype, values.shape[1:]) for name, values in columns.items()}).extend(columns)  # fmt: skip
        root["Runs"] = {"genEventSumw": np.array([10.0, 20.0])}
    return path


def section(functions=EXAMPLE, **keys):
    keys = {"branches": ["Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "MET_pt"], "columns": ["ht"]} | keys
    return configuration.NanoaodDataset(kind="nanoaod", functions=str(functions), **keys)


def example():
    return configuration.NanoaodDataset(**CONTENT["dataset"])


def written(folder, text):
    path = folder / "mine.py"
    path.write_text("import awkward as ak\nimport numpy as np\n\n\n" + text)
    return path


HT = "def flatten(events):\n    return {'ht': ak.sum(events.Jet.pt, axis=1)}\n"
JES = (
    "\n\ndef shift(events, values):\n    events['Jet', 'pt'] = events.Jet.pt * (1 + values['jes'])\n    return events\n"
)


def flat(path, dataset, simulated=True, stop=None):
    return datasets.of(dataset).reconstruct(raw_columns(path, dataset, simulated, stop))


def raw_columns(path, dataset, simulated=True, stop=None):
    """Return the columns of rows up to *stop* of a file, ingested."""
    with tempfile.TemporaryDirectory() as folder:
        events = ingested.open(ingesting.of_files([path], dataset, Path(folder) / "s.arrow", simulated=simulated))
        return datasets.of(dataset).grouped(events.read(list(events.columns), 0, stop))


def rows(path, tree, names):
    """Return plain Python lists of the branches, event by event."""
    return _rows(path, tree, tuple(names))


@functools.cache
def _rows(path, tree, names):
    with uproot.open(path) as root:
        arrays = root[tree].arrays(list(names))
    return [dict(zip(names, values, strict=True)) for values in zip(*(arrays[name].tolist() for name in names), strict=True)]  # fmt: skip


# Reading


@pytest.mark.parametrize(
    ("file", "tree", "collection", "fields"),
    [
        (TTBAR, "Events", "Muon", {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "charge": "charge"}),
        (DY, "Events", "Jet", {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "jetId": "jetId"}),
        (HZZ, "events", "Muon", {"Px": "px", "Py": "py", "Pz": "pz", "E": "E", "Charge": "Charge"}),
    ],
)
def test_branches_of_real_files_become_fields_of_collections(data, file, tree, collection, fields):
    path, branches = data / "nanoaod" / file, [f"{collection}_{name}" for name in fields]
    number = "NMuon" if file == HZZ else f"n{collection}"
    dataset = section(branches=[*branches, number], tree=tree)
    columns = raw_columns(path, dataset)
    assert set(columns) == {collection, number}
    found = columns[collection]
    expected = rows(path, tree, branches)
    for branch, name in fields.items():
        assert found[name].tolist() == [row[f"{collection}_{branch}"] for row in expected]
    assert ak.num(found).tolist() == columns[number].tolist()


def test_objects_are_vectors(data):
    for file, tree, names in ((TTBAR, "Events", "pt eta phi mass"), (HZZ, "events", "Px Py Pz E")):
        branches = [f"Muon_{name}" for name in names.split()]
        columns = raw_columns(data / "nanoaod" / file, section(branches=branches, tree=tree), stop=200)  # fmt: skip
        muons = [tuple(muon.values()) for event in columns["Muon"].tolist() for muon in event]
        vectors = ak.flatten(columns["Muon"])
        if file == HZZ:
            expected = [(math.hypot(x, y), math.atan2(y, x), math.asinh(z / math.hypot(x, y)), math.sqrt(max(e**2 - x**2 - y**2 - z**2, 0))) for x, y, z, e in muons]  # fmt: skip
            np.testing.assert_allclose(vectors.mass, [row[3] for row in expected], atol=0.15)  # single precision
        else:
            expected = [(pt, phi, eta, mass) for pt, eta, phi, mass in muons]
            np.testing.assert_allclose(vectors.px, [pt * math.cos(phi) for pt, phi, *_ in expected], rtol=1e-4)
        for index, name in enumerate(("pt", "phi", "eta")):
            np.testing.assert_allclose(vectors[name] if file != HZZ else getattr(vectors, name), [row[index] for row in expected], rtol=1e-4)  # fmt: skip


def test_objects_with_other_coordinates_too_are_no_vectors(toy):
    branches = [f"{name}_{field}" for name in ("SV", "Jet") for field in ("pt", "eta", "phi", "mass")]
    columns = raw_columns(toy, section(branches=[*branches, "SV_x"]), stop=300)
    assert hasattr(columns["Jet"], "deltaR")
    assert not hasattr(columns["SV"], "deltaR")
    assert columns["SV"].x.tolist() == columns["Jet"].eta.tolist()


def test_fixed_size_arrays_and_flags_keep_their_values(toy, tmp_path):
    text = "def flatten(events):\n    assert events.good.layout.dtype == bool\n    return {f'ps_{i}': events.PSWeight[:, i] for i in range(4)} | {'bad': ~events.good}\n"  # fmt: skip
    dataset = section(written(tmp_path, text), branches=["PSWeight", "good"], columns=["ps_0", "ps_1", "ps_2", "ps_3", "bad", "good"])  # fmt: skip
    columns, expected = flat(toy, dataset), rows(toy, "Events", ["PSWeight", "good"])
    for index in range(4):
        assert columns[f"ps_{index}"].tolist() == [row["PSWeight"][index] for row in expected]
    assert columns["bad"].tolist() == [1 - row["good"] for row in expected]
    assert columns["good"].dtype == np.int32


def test_an_rntuple_gives_the_same_collections_as_a_tree(toy, tmp_path):
    names = ["Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "MET_pt"]
    with uproot.open(toy) as root, uproot.recreate(tmp_path / "rntuple.root") as other:
        arrays = root["Events"].arrays(names)
        other.mkrntuple("Events", {name: arrays[name] for name in names})
    one, two = (raw_columns(path, section(), stop=250) for path in (toy, tmp_path / "rntuple.root"))
    assert all(one[name].tolist() == two[name].tolist() for name in ("Jet", "MET_pt"))


def test_data_have_no_generated_branches_and_no_columns_made_of_them(toy, tmp_path):
    text = "def flatten(events):\n    ps = {'ps': events.PSWeight[:, 0]} if 'PSWeight' in events.fields else {}\n    return {'ht': ak.sum(events.Jet.pt, axis=1)} | ps\n"  # fmt: skip
    dataset = section(written(tmp_path, text), branches=["Jet_pt", "Jet_eta"], generated=["PSWeight", "MET_pt", "Jet_phi"], columns=["ht", "ps", "MET_pt"])  # fmt: skip
    simulated, real = (flat(toy, dataset, simulated) for simulated in (True, False))
    for name in ("ps", "MET_pt"):
        assert np.isfinite(simulated[name]).all()
        assert np.isnan(real[name]).all()
    assert real["ht"].tolist() == simulated["ht"].tolist()


# Flattening and shifting


def momentum(pt, eta, phi, mass):
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    return math.sqrt(mass**2 + px**2 + py**2 + pz**2), px, py, pz


def objects(row, name, fields):
    return [dict(zip(fields, values, strict=True)) for values in zip(*(row[f"{name}_{field}"] for field in fields), strict=True)]  # fmt: skip


def by_hand(row, jes=0.0):
    """Return the columns of the example for one event, in plain Python."""
    kinematics = ["pt", "eta", "phi", "mass"]
    jets = objects(row, "Jet", [*kinematics, "btagDeepFlavB"])
    x, y = row["MET_pt"] * math.cos(row["MET_phi"]), row["MET_pt"] * math.sin(row["MET_phi"])
    for jet in jets:
        if jet["pt"] > 15:
            x, y = x - jes * jet["pt"] * math.cos(jet["phi"]), y - jes * jet["pt"] * math.sin(jet["phi"])
        jet["pt"] *= 1 + jes
    met, phi = math.hypot(x, y), math.atan2(y, x)
    muons = [o for o in objects(row, "Muon", [*kinematics, "looseId"]) if o["pt"] > 10 and abs(o["eta"]) < 2.4 and o["looseId"]]  # fmt: skip
    electrons = [o for o in objects(row, "Electron", kinematics) if o["pt"] > 10 and abs(o["eta"]) < 2.5]
    leptons = sorted([*muons, *electrons], key=lambda o: -o["pt"])

    def distance(a, b):
        return math.hypot(a["eta"] - b["eta"], math.remainder(a["phi"] - b["phi"], 2 * math.pi))

    kept = [o for o in jets if o["pt"] > 25 and abs(o["eta"]) < 2.4 and all(distance(o, p) > 0.4 for p in leptons)]
    mass = -999.0
    if len(leptons) > 1:
        e, *p = (sum(parts) for parts in zip(*(momentum(*(o[k] for k in kinematics)) for o in leptons[:2]), strict=True))  # fmt: skip
        mass = math.sqrt(max(e**2 - sum(q**2 for q in p), 0))
    replicas = row["LHEPdfWeight"]
    mean = sum(replicas) / len(replicas)
    spread = math.sqrt(sum((w - mean) ** 2 for w in replicas) / len(replicas))
    return {
        "n_leptons": len(leptons), "n_jets": len(kept), "lepton_pt": leptons[0]["pt"] if leptons else -999,
        "dilepton_mass": mass, "met": met, "ht": sum(o["pt"] for o in kept),
        "transverse_mass": math.sqrt(max(2 * leptons[0]["pt"] * met * (1 - math.cos(leptons[0]["phi"] - phi)), 0)) if leptons else -999,
        "jet_pt": max((o["pt"] for o in kept), default=-999), "btag": max((o["btagDeepFlavB"] for o in kept), default=-999),
        "pdf_up": 1 + spread, "pdf_down": 1 / (1 + spread), "genWeight": row["genWeight"],
    }  # fmt: skip


@pytest.fixture(scope="module", params=[TTBAR, DY])
def real(request, data):
    """The path of a real file and its raw columns."""
    path = data / "nanoaod" / request.param
    return path, raw_columns(path, example())


@pytest.mark.parametrize("jes", [0.0, 0.03, -0.1])
def test_the_example_gives_what_plain_python_gives(real, jes):
    (path, raw), dataset = real, example()
    moved = datasets.of(dataset).shift(raw, {"jes": (jes / 0.05, 0.05)}) if jes else raw
    found = datasets.of(dataset).reconstruct(moved)
    expected = [by_hand(row, jes) for row in rows(path, "Events", [*dataset.branches, *dataset.generated])]
    assert set(found) == set(dataset.columns) == set(expected[0])
    for name, values in found.items():
        np.testing.assert_allclose(values, [row[name] for row in expected], rtol=2e-3, atol=2e-2, err_msg=name)
    assert 0 < (found["dilepton_mass"] == -999).sum() < len(expected)


def test_a_shift_does_not_change_the_events_it_starts_from(toy, tmp_path):
    offered = datasets.of(section(written(tmp_path, HT + JES), shifts=["jes"]))
    raw = raw_columns(toy, offered.dataset, stop=300)
    before = raw["Jet"].tolist()
    moved = offered.shift(raw | {"entry": np.arange(300)}, {"jes": (1.0, 0.1)})
    assert raw["Jet"].tolist() == before != moved["Jet"].tolist()
    assert moved["entry"].tolist() == list(range(300))
    np.testing.assert_allclose(offered.reconstruct(moved)["ht"], 1.1 * offered.reconstruct(raw)["ht"], rtol=1e-6)


def test_zero_changes_nothing_and_every_event_has_its_own_z(toy, tmp_path):
    offered = datasets.of(section(written(tmp_path, HT + JES), shifts=["jes"]))
    raw, z = raw_columns(toy, offered.dataset, stop=300), np.linspace(-1, 1, 300)
    nominal = offered.reconstruct(raw)["ht"]
    assert offered.reconstruct(offered.shift(raw, {"jes": (0.0, 0.1)}))["ht"].tolist() == nominal.tolist()
    found = offered.reconstruct(offered.shift(raw, {"jes": (z, 0.1)}))["ht"]
    np.testing.assert_allclose(found, nominal * (1 + 0.1 * z), rtol=1e-6)


def test_pieces_of_any_size_give_the_same_events(data, tmp_path, monkeypatch):
    monkeypatch.setenv("NUISFLOW_DATA", str(data))
    settings = reading.check(CONTENT)
    selection, sample, shift = slices.selection(settings), settings.samples["ttbar"], settings.variations["jes"]
    path = ingesting.of_files([data / "nanoaod" / TTBAR], settings.dataset, tmp_path / "s.arrow")
    whole, pieces = (ingesting.load(path, selection, sample, size) for size in (1000, 77))
    assert len(whole["entry"]) == 174
    for z in (0.0, 1.0, np.linspace(-2, 2, 174)):
        one, two = (select(raw, selection, sample, {"jes": shift}, {"jes": z}) for raw in (whole, pieces))
        for name, values in one.items():
            np.testing.assert_array_equal(values, two[name], err_msg=name)
    part = np.array([5, 3, 100, 3])
    some = select({name: values[part] for name, values in whole.items()}, selection, sample, {"jes": shift}, {"jes": 1.0})  # fmt: skip
    everything = select(whole, selection, sample, {"jes": shift}, {"jes": 1.0})
    kept = [row for row in part if row in everything["row"]]
    assert some["ht"].tolist() == [everything["ht"][everything["row"] == row][0] for row in kept]


def test_every_weight_of_a_list_can_be_a_column(data, tmp_path):
    text = "def flatten(events):\n    return {f'pdf_{i}': events.LHEPdfWeight[:, i] for i in range(101)}\n"
    dataset = section(written(tmp_path, text), branches=["LHEPdfWeight"], columns=[f"pdf_{i}" for i in range(101)])
    found = flat(data / "nanoaod" / TTBAR, dataset)
    expected = rows(data / "nanoaod" / TTBAR, "Events", ["LHEPdfWeight"])
    assert found["pdf_100"].tolist() == pytest.approx([row["LHEPdfWeight"][100] for row in expected])


def test_nothing_becomes_the_undefined_value_or_nan(toy, tmp_path):
    text = "def flatten(events):\n    return {'ht': ak.firsts(events.Jet.pt)}\n"
    first = [row["Jet_pt"][:1] for row in rows(toy, "Events", ["Jet_pt"])]
    for missing, number in ((-999, -999.0), (None, math.nan)):
        found = flat(toy, section(written(tmp_path, text), missing=missing))["ht"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [values[0] if values else number for values in first])


def test_a_missing_whole_number_becomes_the_undefined_value_also_if_that_is_a_fraction():
    for missing, expected in ((-99.9, [3, -99.9]), (-999.0, [3, -999]), (None, [3, math.nan])):
        np.testing.assert_array_equal(records.numbers(ak.Array([3, None]), 2, missing), expected)


def test_the_weights_of_the_example_stand_for_the_events_it_says(data):
    for sample, file in (("ttbar", TTBAR), ("dy", DY)):
        (number,) = re.findall(r"/ ([0-9]+)", CONTENT["samples"][sample]["weight"])
        total = sum(row["genWeight"] for row in rows(data / "nanoaod" / file, "Events", ["genWeight"]))
        assert float(number) == pytest.approx(total, rel=1e-5)


# Mistakes in the user's functions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("def flaten(events):\n    return {}\n", r"defines no function flatten\(events\); it defines ak, flaten, np", id="no flatten"),
        pytest.param("def flatten(events):\n    return {'ht': events.Jet.pt}\n", r"mine.py: flatten column 'ht' is not one number per event but 300 \* var \* float32; return one", id="jagged"),
        pytest.param("def flatten(events):\n    return {'ht': events.Jet[:, :1]}\n", "column 'ht' is not one number per event but 300 ", id="records"),
        pytest.param("def flatten(events):\n    return {'ht': ['a'] * 300}\n", "column 'ht' is not one number per event but", id="text"),
        pytest.param("def flatten(events):\n    return {'ht': 1.0}\n", "column 'ht' is not one number per event but", id="number"),
        pytest.param("def flatten(events):\n    return {'ht': events.MET_pt[:7]}\n", "column 'ht' has 7 values for 300 events", id="length"),
        pytest.param("def flatten(events):\n    return {}\n", "does not return the column 'ht'; dataset.columns lists", id="absent"),
        pytest.param(HT.replace("}", ", 'hT': events.MET_pt}"), "returns the column 'hT', which is not declared; allowed: ht; dataset.columns lists", id="undeclared"),
        pytest.param("def flatten(events):\n    return events\n", "flatten returns Array; return {name: one number per event}", id="no dict"),
        pytest.param("def flatten(events):\n    x = 1\n    return {'ht': events.Jett.pt}\n", r"flatten failed: AttributeError: no field named 'Jett' \(line 7\); events has .*Jet.* \(dataset.branches", id="field"),
        pytest.param("def flatten(events):\n    return helper(events)\n\n\ndef helper(events):\n    raise RuntimeError('no')\n", r"flatten failed: RuntimeError: no \(line 10\)", id="raises"),
        pytest.param("x = (\n", r"mine.py' cannot be imported: SyntaxError: .*\(mine.py, line 5\)", id="syntax"),
        pytest.param("import not_there\n", r"No module named 'not_there' \(line 5\)", id="import"),
    ],
)  # fmt: skip
def test_a_wrong_flatten_is_an_error_that_says_why(toy, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        flat(toy, section(written(tmp_path, text)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", r"defines no function shift\(events, values\); it defines ak, flatten, np", id="no shift"),
        pytest.param("\n\ndef shift(events, values):\n    events['x'] = events.MET_pt\n", "shift returns NoneType for 300 events; return events", id="none"),
        pytest.param("\n\ndef shift(events, values):\n    return events[events.MET_pt > 1e9]\n", "shift returns 0 events for 300 events", id="selects"),
        pytest.param("\n\ndef shift(events, values):\n    return events[['MET_pt']]\n", "shift returns events without 'Jet'", id="loses"),
        pytest.param("\n\ndef shift(events, values):\n    return events.Jet.pt * values['jer']\n", r"shift failed: KeyError: 'jer' \(line 10\)", id="key"),
    ],
)  # fmt: skip
def test_a_wrong_shift_is_an_error_that_says_why(toy, tmp_path, text, message):
    offered = datasets.of(section(written(tmp_path, HT + text), shifts=["jes"]))
    with pytest.raises(ValueError, match=message):
        offered.shift(raw_columns(toy, offered.dataset, stop=300), {"jes": (1.0, 0.1)})


def test_a_shift_that_the_section_does_not_list_is_an_error(toy):
    offered = datasets.of(section(shifts=["jes"]))
    with pytest.raises(ValueError, match=r"no shift 'jess'; did you mean 'jes'\? \(dataset.shifts lists them\)"):
        offered.shift(raw_columns(toy, offered.dataset, stop=300), {"jess": (1.0, 0.1)})


@pytest.mark.parametrize(
    ("branches", "columns", "message"),
    [
        (["Jet_ptt"], ["ht"], r"toy.root: no column 'Jet_ptt'; did you mean 'Jet_pt'\?"),
        (["Jet_pt"], ["ht", "Jet_pt"], "column 'Jet_pt' is a branch with several values per event; return one number"),
        (["Jet_pt", "Jet_twice"], ["ht"], "branches 'Jet_pt' and 'Jet_twice' have different numbers of values in an event"),
    ],
    ids=["unknown", "jagged column", "lengths"],
)  # fmt: skip
def test_a_wrong_branch_is_named(toy, tmp_path, branches, columns, message):
    with pytest.raises(ValueError, match=message):
        flat(toy, section(written(tmp_path, HT), branches=branches, columns=columns))


def test_a_branch_with_the_name_of_a_collection_and_one_with_text_are_named(tmp_path):
    with uproot.recreate(tmp_path / "odd.root") as root:
        root["Events"] = {"Jet_pt": ak.Array([[1.0], []]), "Jet": np.array([1, 2]), "name": ak.Array(["a", "b"])}
    with pytest.raises(files.FileError, match=r"dataset.branches: branch 'Jet' has the name of a collection"):
        raw_columns(tmp_path / "odd.root", section(branches=["Jet_pt", "Jet"]))
    with pytest.raises(files.FileError, match=r"odd.root: column 'name' is not one number per event but string; leave"):
        raw_columns(tmp_path / "odd.root", section(branches=["name"]))


def test_a_jagged_branch_of_a_flat_data_set_is_an_error_that_knows_the_way_out(toy, tmp_path):
    for name in ("Jet_pt", "PSWeight"):
        dataset = configuration.FlatDataset(kind="flat", columns=["MET_pt", name])
        with pytest.raises(files.FileError, match=f"toy.root: column '{name}' is not .*`kind: nanoaod`"):
            ingesting.of_files([toy], dataset, tmp_path / "s.arrow")


# The configuration


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("variations.jes.shift", "jess", "variations.jes.shift: no shift 'jess'; did you mean 'jes'?"),
        ("variations.jes", {"kind": "shift", "columns": {"met": "met * (1 + z)"}}, "variations.jes.columns: columns follow from objects, which 'shift' changes"),
        ("dataset.functions", "not_there.py", "dataset.functions: 'not_there.py' cannot be read (No such file or directory); the path is relative to"),
        ("dataset.branches", ["Jet_pt", "genWeight"], "dataset.branches (and generated): 'genWeight' is there twice"),
        ("samples.dy.files", ["dy.parquet"], "samples.dy.files: 'dy.parquet': a nanoaod data set is read from ROOT files only"),
        ("samples.dy.selection", "n_leptons > 1", "samples.dy.selection: 'n_leptons > 1' uses 'n_leptons', which is no column"),
        ("samples.dy.weight", "genweight", "samples.dy.weight: 'genweight' uses 'genweight', which is no column; did you mean 'genWeight'?"),
        ("features", ["Jet_pt"], "features.0: no column 'Jet_pt'; did you mean 'jet_pt'?"),
        ("dataset.colums", ["x"], "dataset.colums: unknown key; did you mean 'columns'?"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_told_before_anything_runs(path, value, message):
    with pytest.raises(ConfigurationError, match=re.escape(f"config.yaml: {message}")):
        reading.check(changed(CONTENT, (path, value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HT, r"defines no function shift(events, values); it defines ak, flatten, np"),
        ("def flatten(events:\n", "SyntaxError: '(' was never closed (mine.py, line 5)"),
        ("shift = print\nraise RuntimeError\n", "defines no function flatten(events); it defines ak, np, shift"),
    ],
)
def test_a_wrong_file_is_told_without_running_it(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        reading.check(changed(CONTENT, ("dataset.functions", str(written(tmp_path, text)))))


def test_the_code_of_the_events_changes_with_the_file_and_not_with_its_comments(tmp_path):
    digests = []
    for text in (HT, HT + "# a comment\n", HT.replace("sum", "max")):
        dataset = section(written(tmp_path, text))
        sources._tree_hash.cache_clear(), sources._imports.cache_clear(), sources._parsed.cache_clear()
        digests.append(sources.digest("process_events", *datasets.code(dataset)))
    assert digests[0] == digests[1] != digests[2]
    assert datasets.code(configuration.DitauDataset(kind="ditau")) == ()

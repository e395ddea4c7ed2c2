"""The job of benchmark_events.py as users of coffea and of ROOT write it: python peer_events.py coffea|ROOT job.json.

Needs nothing of this project, so that it can run in another Python. *job*: the ROOT file `path`, a smaller one to
`warm` up with, the `folder` to write to, events per `chunk` (coffea), and the `variations`: relative changes of tau, jet
and lepton momenta, and GeV that the soft term adds to the missing momentum. Prints as JSON the CPU seconds of the job
(imports and the first, small job, which compiles, not counted) and the version of the peer.

Both read every column once and make all variations of a chunk (coffea) or an event (RDataFrame). coffea writes one
Parquet file per chunk and variation, RDataFrame ROOT files, since it writes no Parquet; both with zstd, as we do.
"""

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

FEATURES = ("PRI_lep_pt", "PRI_had_pt", "PRI_met", "PRI_n_jets", "PRI_jet_leading_pt", "PRI_jet_all_pt",
            "DER_mass_transverse_met_lep", "DER_mass_vis", "DER_pt_h", "DER_deltar_had_lep", "DER_pt_tot", "DER_sum_pt",
            "DER_pt_ratio_lep_had", "DER_met_phi_centrality")  # fmt: skip
UNDEFINED = -25
JET_THRESHOLD = 26

# --- coffea ---------------------------------------------------------------------------------------------------------


def run_coffea(path: str, folder: str, variations: dict[str, list[float]], chunk: int) -> None:
    """Run the job with a coffea processor: awkward arrays, vectors, *chunk* events at a time."""
    import awkward as ak
    import numpy as np
    import vector
    from coffea import processor
    from coffea.nanoevents import BaseSchema

    vector.register_awkward()

    def momentum(pt: Any, phi: Any, eta: Any = None) -> Any:
        if eta is None:
            return ak.zip({"pt": pt, "phi": phi}, with_name="Momentum2D")
        return ak.zip({"pt": pt, "phi": phi, "eta": eta, "mass": ak.zeros_like(pt)}, with_name="Momentum4D")

    def shifted(events: Any, tes: float, jes: float, les: float, soft: float) -> dict[str, Any]:
        """Return tau, lepton, jets (pt, phi), their number and scalar sum, and the missing momentum."""
        missing = momentum(events.PRI_met, events.PRI_met_phi)
        pt = {}
        for name, scale in (("had", tes), ("lep", les), ("jet_leading", jes), ("jet_subleading", jes)):
            pt[name] = events[f"PRI_{name}_pt"]
            if scale:
                added = ak.where(pt[name] > 0, scale * pt[name], 0)
                missing = missing - momentum(added, events[f"PRI_{name}_phi"])
                pt[name] = pt[name] + added
        if soft:
            missing = missing + ak.zip({"px": soft * events.soft_x, "py": soft * events.soft_y}, with_name="Momentum2D")
        tau = momentum(pt["had"], events.PRI_had_phi, events.PRI_had_eta)
        lepton = momentum(pt["lep"], events.PRI_lep_phi, events.PRI_lep_eta)
        number, total = events.PRI_n_jets, events.PRI_jet_all_pt * (1 + jes)
        jets = []
        for name in ("jet_subleading", "jet_leading"):
            lost = (pt[name] > 0) & (pt[name] <= JET_THRESHOLD)
            number = number - lost
            total = ak.where(lost & (number == 0), 0, total - ak.where(lost, pt[name], 0))
            jets.append((ak.where(lost, UNDEFINED, pt[name]), events[f"PRI_{name}_phi"]))
        return {"tau": tau, "lepton": lepton, "missing": missing, "number": number, "total": total, "jets": jets}

    def features(tau: Any, lepton: Any, missing: Any, number: Any, total: Any, jets: Any) -> dict[str, Any]:
        """Return the features of selected events."""
        higgs = momentum(tau.pt, tau.phi) + momentum(lepton.pt, lepton.phi) + missing
        everything = higgs
        for pt, phi in jets:
            everything = everything + momentum(np.maximum(pt, 0), phi)
        met, met_phi = missing.pt, missing.phi
        a, b = np.sin(met_phi - lepton.phi), np.sin(tau.phi - met_phi)
        sign = ak.where(np.sin(tau.phi - lepton.phi) < 0, -1, 1)
        return {
            "PRI_lep_pt": lepton.pt,
            "PRI_had_pt": tau.pt,
            "PRI_met": met,
            "PRI_n_jets": number,
            "PRI_jet_leading_pt": jets[1][0],
            "PRI_jet_all_pt": total,
            "DER_mass_transverse_met_lep": 2 * np.sqrt(lepton.pt * met) * abs(np.sin((met_phi - lepton.phi) / 2)),
            "DER_pt_h": higgs.pt,
            "DER_deltar_had_lep": tau.deltaR(lepton),
            "DER_pt_tot": everything.pt,
            "DER_sum_pt": lepton.pt + tau.pt + total,
            "DER_pt_ratio_lep_had": lepton.pt / tau.pt,
            "DER_met_phi_centrality": sign * (a + b) / np.hypot(a, b),
        }

    class Processor(processor.ProcessorABC):
        """Write the selected events of every variation."""

        def process(self, events: Any) -> dict[str, int]:
            start = events.metadata["entrystart"]
            entry = np.arange(start, events.metadata["entrystop"])
            kept = {}
            for name, sizes in variations.items():
                objects = shifted(events, *sizes)
                tau, lepton = objects["tau"], objects["lepton"]
                mass = (tau + lepton).mass
                chosen = (tau.pt > 26) & (lepton.pt > 20) & (mass > 75)
                jets = [(pt[chosen], phi[chosen]) for pt, phi in objects.pop("jets")]
                columns = features(**{key: values[chosen] for key, values in objects.items()}, jets=jets)
                columns["DER_mass_vis"] = mass[chosen]
                table = ak.Array(
                    {"entry": entry[chosen], "weight": events.weight[chosen]}
                    | {key: ak.values_astype(values, np.float32) for key, values in columns.items()}
                )
                ak.to_parquet(table, f"{folder}/{name}_{start:09d}.parquet", compression="zstd")
                kept[name] = len(table)
            return kept

        def postprocess(self, accumulator: Any) -> Any:
            return accumulator

    run = processor.Runner(
        processor.IterativeExecutor(status=False),
        schema=BaseSchema,
        chunksize=chunk,
    )
    run({"events": {"files": {path: "events"}}}, Processor())


# --- ROOT -----------------------------------------------------------------------------------------------------------

DECLARATIONS = """
#include <cmath>
namespace job {
struct Event {
  float tau_pt, tau_eta, tau_phi, lep_pt, lep_eta, lep_phi, met, met_phi, number, jet1_pt, jet1_phi, jet2_pt, jet2_phi,
    total;
};
void remove_jet(float &pt, Event &e) {
  if (!(pt > 0 && pt <= 26)) return;
  e.number -= 1;
  e.total = e.number == 0 ? 0 : e.total - pt;
  pt = -25;
}
void scale(float &pt, float phi, float relative, float &x, float &y) {
  const float added = pt > 0 ? relative * pt : 0;
  x -= added * std::cos(phi);
  y -= added * std::sin(phi);
  pt += added;
}
Event shifted(Event e, float soft_x, float soft_y, float tes, float jes, float les, float soft) {
  float x = soft * soft_x, y = soft * soft_y;
  if (tes) scale(e.tau_pt, e.tau_phi, tes, x, y);
  if (les) scale(e.lep_pt, e.lep_phi, les, x, y);
  if (jes) {
    scale(e.jet1_pt, e.jet1_phi, jes, x, y);
    scale(e.jet2_pt, e.jet2_phi, jes, x, y);
    e.total *= 1 + jes;
  }
  if (x || y) {
    x += e.met * std::cos(e.met_phi);
    y += e.met * std::sin(e.met_phi);
    e.met = std::hypot(x, y);
    e.met_phi = std::atan2(y, x);
  }
  remove_jet(e.jet2_pt, e);
  remove_jet(e.jet1_pt, e);
  return e;
}
float mass(const Event &e) {
  const float eta = std::sinh((e.tau_eta - e.lep_eta) / 2), phi = std::sin((e.tau_phi - e.lep_phi) / 2);
  return 2 * std::sqrt(e.tau_pt * e.lep_pt * (eta * eta + phi * phi));
}
bool selected(const Event &e) { return e.tau_pt > 26 && e.lep_pt > 20 && mass(e) > 75; }
struct Derived { float mt, mass, pt_h, delta_r, pt_tot, sum_pt, ratio, centrality; };
Derived derived(const Event &e) {
  float x = e.tau_pt * std::cos(e.tau_phi) + e.lep_pt * std::cos(e.lep_phi) + e.met * std::cos(e.met_phi);
  float y = e.tau_pt * std::sin(e.tau_phi) + e.lep_pt * std::sin(e.lep_phi) + e.met * std::sin(e.met_phi);
  const float pt_h = std::hypot(x, y);
  if (e.jet1_pt > 0) { x += e.jet1_pt * std::cos(e.jet1_phi); y += e.jet1_pt * std::sin(e.jet1_phi); }
  if (e.jet2_pt > 0) { x += e.jet2_pt * std::cos(e.jet2_phi); y += e.jet2_pt * std::sin(e.jet2_phi); }
  const float apart = std::remainder(e.tau_phi - e.lep_phi, 2 * float(M_PI));
  const float a = std::sin(e.met_phi - e.lep_phi), b = std::sin(e.tau_phi - e.met_phi);
  return {2 * std::sqrt(e.lep_pt * e.met) * std::abs(std::sin((e.met_phi - e.lep_phi) / 2)), mass(e), pt_h,
          std::hypot(e.tau_eta - e.lep_eta, apart), std::hypot(x, y), e.lep_pt + e.tau_pt + e.total,
          e.lep_pt / e.tau_pt, (std::sin(apart) < 0 ? -1 : 1) * (a + b) / std::hypot(a, b)};
}
}
"""
EVENT = """job::Event{PRI_had_pt, PRI_had_eta, PRI_had_phi, PRI_lep_pt, PRI_lep_eta, PRI_lep_phi, PRI_met, PRI_met_phi,
PRI_n_jets, PRI_jet_leading_pt, PRI_jet_leading_phi, PRI_jet_subleading_pt, PRI_jet_subleading_phi, PRI_jet_all_pt}"""
FIELDS = ("e.lep_pt", "e.tau_pt", "e.met", "e.number", "e.jet1_pt", "e.total", "d.mt", "d.mass", "d.pt_h", "d.delta_r",
          "d.pt_tot", "d.sum_pt", "d.ratio", "d.centrality")  # fmt: skip


def run_root(path: str, folder: str, variations: dict[str, list[float]], chunk: int) -> None:
    """Run the job with RDataFrame: functions compiled with optimisation, one pass through the events."""
    os.environ["EXTRA_CLING_ARGS"] = "-O3"
    import ROOT

    if not hasattr(ROOT, "job"):
        ROOT.gInterpreter.Declare(DECLARATIONS)
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    options.fCompressionAlgorithm, options.fCompressionLevel = ROOT.RCompressionSetting.EAlgorithm.kZSTD, 1
    raw = ROOT.RDataFrame("events", path).Define("raw", EVENT).Define("entry", "(Long64_t) rdfentry_")
    results = []
    for name, sizes in variations.items():
        node = raw.Define("e", f"job::shifted(raw, soft_x, soft_y, {', '.join(map(repr, sizes))})")
        node = node.Filter("job::selected(e)").Define("d", "job::derived(e)")
        for feature, field in zip(FEATURES, FIELDS, strict=True):
            node = (node.Redefine if feature.startswith("PRI_") else node.Define)(feature, field)
        results.append(node.Snapshot("events", f"{folder}/{name}.root", ["entry", "weight", *FEATURES], options))
    ROOT.RDF.RunGraphs(results)


# --- command --------------------------------------------------------------------------------------------------------

PEERS = {"coffea": run_coffea, "ROOT": run_root}


def main() -> None:
    """Run the job once on the small file, then, timed, on the large one."""
    peer, job = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    run, options = PEERS[peer], (job["folder"], job["variations"], job["chunk"])
    run(job["warm"], *options)
    for file in Path(job["folder"]).iterdir():
        file.unlink()
    begin = time.process_time()
    run(job["path"], *options)
    seconds = time.process_time() - begin
    print(json.dumps({"seconds": seconds, "version": version(peer)}), flush=True)
    os._exit(0)  # ROOT may crash when Python takes its objects apart


def version(peer: str) -> str:
    """Return the version of *peer*; that of the package of ROOT is not ROOT's own."""
    if peer == "ROOT":
        import ROOT

        return str(ROOT.__version__)
    return importlib.metadata.version(peer)


if __name__ == "__main__":
    main()

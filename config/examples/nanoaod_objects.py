"""An example of `kind: nanoaod`: from the leptons and jets of NanoAOD to one number per event.

In the configuration (config/examples/nanoaod.yaml is a whole one):

    dataset:
      kind: nanoaod
      functions: config/examples/nanoaod_objects.py

`events` has one entry per event: `events.Muon.pt` are the branches Muon_pt, `events.MET_pt` is one number per event.
Lists of objects with pt, eta, phi and mass are vectors of the package vector.
"""

import awkward as ak
import numpy as np
import vector

MOMENTUM = ["pt", "eta", "phi", "mass", "charge"]


def flatten(events):
    """Return the columns that the configuration uses, one number per event; None where there is no such object."""
    leptons, jets, met = select_leptons(events), select_jets(events), missing_momentum(events)
    first, second = ak.firsts(leptons), ak.firsts(leptons[:, 1:])
    columns = {
        "n_leptons": ak.num(leptons),
        "n_jets": ak.num(jets),
        "lepton_pt": first.pt,
        "dilepton_mass": (first + second).mass,
        "transverse_mass": np.sqrt(2 * first.pt * met.pt * (1 - np.cos(first.phi - met.phi))),
        "met": met.pt,
        "ht": ak.sum(jets.pt, axis=1),
        "jet_pt": ak.max(jets.pt, axis=1),
        "btag": ak.max(jets.btagDeepFlavB, axis=1),
    }
    if "LHEPdfWeight" in events.fields:  # simulation only
        # ASSUME: these are weights of replicas, relative to nominal, so that their spread is one standard deviation.
        spread = ak.std(events.LHEPdfWeight, axis=1)
        columns |= {"pdf_up": 1 + spread, "pdf_down": 1 / (1 + spread)}
    return columns


def shift(events, values):
    """Return *events* with all jets scaled by 1 + jes, a number per event; the missing momentum balances the change."""
    scale = 1 + values["jes"]
    jets = events.Jet
    moved = ak.with_field(ak.with_field(jets, jets.pt * scale, "pt"), jets.mass * scale, "mass")
    # ASSUME: jets above 15 GeV are those that the missing momentum is corrected for.
    hard = jets.pt > 15
    met = missing_momentum(events)
    x = met.px - ak.sum((moved.px - jets.px)[hard], axis=1)
    y = met.py - ak.sum((moved.py - jets.py)[hard], axis=1)
    events["Jet"], events["MET_pt"], events["MET_phi"] = moved, np.hypot(x, y), np.arctan2(y, x)
    return events


def select_leptons(events):
    """Return muons and electrons above 10 GeV in one list per event, the hardest first."""
    muons = events.Muon[(events.Muon.pt > 10) & (abs(events.Muon.eta) < 2.4) & events.Muon.looseId]
    electrons = events.Electron[(events.Electron.pt > 10) & (abs(events.Electron.eta) < 2.5)]
    leptons = ak.concatenate([momenta(muons), momenta(electrons)], axis=1)
    return leptons[ak.argsort(leptons.pt, axis=1, ascending=False)]


def select_jets(events):
    """Return the jets above 25 GeV that are not leptons."""
    jets = events.Jet[(events.Jet.pt > 25) & (abs(events.Jet.eta) < 2.4)]
    leptons = select_leptons(events)
    distance = jets[:, :, np.newaxis].deltaR(leptons[:, np.newaxis, :])
    return jets[ak.all(distance > 0.4, axis=-1)]


def missing_momentum(events):
    """Return the missing transverse momentum as a vector."""
    return vector.zip({"pt": events.MET_pt, "phi": events.MET_phi})


def momenta(leptons):
    """Return *leptons* with the fields that muons and electrons share."""
    return ak.zip({name: leptons[name] for name in MOMENTUM}, with_name="Momentum4D")

"""Fits of pseudo-experiments by one peer: python peer_fits.py RooFit|everwillow|rabbit-fit|NextStat FOLDER SECONDS.

Needs nothing of this project, so that it can run in an environment of its own, and ends after so many CPU SECONDS. FOLDER has the model as a pyhf
workspace (`workspace.json`) and as HS3 (`hs3.json`), the `names.json` of its parameters, and pseudo-data
(`toys.npy`: experiments, bins in the order of the workspace's channels); auxiliary data are as in the workspace.

Every line "FIRST LAST" of standard input asks for the fits of these experiments; the answer is one line of JSON: CPU
`seconds` for all of them, and `values`, one row per fit, of the parameters (NaN where the peer has none of that name).
Reading the model and all that can be done once for all experiments is before the first answer, and is not counted.
"""

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np


class Job(NamedTuple):
    """What is to be fitted."""

    folder: Path
    workspace: dict[str, Any]
    names: list[str]
    toys: np.ndarray

    def values(self, found: dict[str, float]) -> list[float]:
        """Return parameters in the order of *names*."""
        return [found.get(name, math.nan) for name in self.names]


Fits = Callable[[np.ndarray], list[list[float]]]

# --- RooFit: HistFactory's likelihood, vectorised evaluation, Minuit2 ------------------------------------------------


def roofit(job: Job) -> Fits:
    """Return fits with Minuit2 (strategy 0, without HESSE) of one likelihood, to which every data set is given."""
    import ROOT

    ROOT.RooMsgService.instance().setGlobalKillBelow(ROOT.RooFit.ERROR)
    space = ROOT.RooWorkspace("space")
    if not ROOT.RooJSONFactoryWSTool(space).importJSONfromString((job.folder / "hs3.json").read_text()):
        raise SystemExit("ROOT does not read the model")
    config = space.obj("measurement") or space.obj("ModelConfig")
    pdf, observables = config.GetPdf(), ROOT.RooArgSet(config.GetObservables())
    for part in space.allPdfs():
        if part.ClassName() == "RooRealSumPdf":  # as hist2workspace does: counts of bins, no density
            part.setAttribute("BinnedLikelihood")
    like = {name: name.replace("[", "_bin_").replace("]", "") for name in job.names}
    variables = {name: space.var(own) for name, own in like.items()}
    begins = {name: variable.getVal() for name, variable in variables.items() if variable}
    category = pdf.indexCat() if hasattr(pdf, "indexCat") else None  # a single channel needs none
    if category:
        observables.add(category)
    channels = [row["name"] for row in job.workspace["observations"]]
    sizes = [len(row["data"]) for row in job.workspace["observations"]]
    states = {channel: _state(category, channel) for channel in channels if category}

    def data_set(main: np.ndarray) -> Any:
        weight = ROOT.RooRealVar("weight", "", 1.0)
        data = ROOT.RooDataSet("toy", "", ROOT.RooArgSet(observables), ROOT.RooFit.WeightVar(weight))
        for channel, rows in zip(channels, np.split(main, np.cumsum(sizes)[:-1]), strict=True):
            if category:
                category.setLabel(states[channel])
            axis = space.var(f"obs_x_{channel}")
            for b, number in enumerate(rows):
                axis.setVal(b + 0.5)
                data.add(observables, float(number))
        return data

    def likelihood(data: Any) -> Any:
        known = ROOT.RooFit.GlobalObservables(config.GetGlobalObservables() or ROOT.RooArgSet())
        return pdf.createNLL(data, known, ROOT.RooFit.EvalBackend("cpu"), ROOT.RooFit.Offset("initial"))

    def fit(toys: np.ndarray) -> list[list[float]]:
        rows, counted = [], 0.0
        begin = time.process_time()
        for main in toys:
            for name, value in begins.items():
                variables[name].setVal(value)
            data = data_set(main)
            nll = likelihood(data)
            nll.getVal()
            minimiser = ROOT.RooMinimizer(nll)
            minimiser.setPrintLevel(-1)
            minimiser.setStrategy(0)
            start = time.process_time()
            minimiser.minimize("Minuit2", "Migrad")
            counted += time.process_time() - start
            rows.append(job.values({name: variables[name].getVal() for name in begins}))
        spent.append(time.process_time() - begin - counted)
        return rows

    return fit


spent: list[float] = []
"""CPU seconds of what a user may do once for all experiments (RooFit's likelihood): they are taken off."""


def _state(category: Any, channel: str) -> str:
    """Return the state of the index category that belongs to a channel."""
    labels = [str(state.first) for state in category]
    return next(label for label in labels if label in (channel, f"model_{channel}") or label.endswith(channel))


# --- everwillow: BFGS of optimistix with gradients of jax, many fits side by side ------------------------------------


def everwillow(job: Job) -> Fits:
    """Return fits side by side (vmap) of HistFactory's likelihood, all parameters of single bins among the others."""
    import everwillow as ew
    import jax
    import jax.numpy as jnp
    from everwillow import statelib
    from everwillow.parameters import MinuitTransform

    jax.config.update("jax_enable_x64", True)
    parts = _arrays(job)
    parts = parts._replace(**{name: jnp.array(value) for name, value in parts._asdict().items() if name != "names"})
    flat = [name for name in job.names if name not in ("mu", *parts.names)]

    def expected(mu: Any, alpha: Any, gamma: Any) -> Any:
        inside, y = jnp.abs(alpha) <= 1.0, alpha * alpha
        even = jnp.where(inside, y * (15.0 + y * (3.0 * y - 10.0)), 8.0 * jnp.abs(alpha))
        shapes = parts.nominal + jnp.tensordot(alpha, parts.odd, 1) + jnp.tensordot(even, parts.even, 1)
        powers = jnp.stack([alpha**k for k in range(1, 7)])
        poly = 1.0 + jnp.einsum("kpsc,kp->psc", parts.coefficients, powers)
        outer = jnp.exp(jnp.where(alpha > 0.0, alpha, 0.0)[:, None, None] * parts.up
                        - jnp.where(alpha < 0.0, alpha, 0.0)[:, None, None] * parts.down)  # fmt: skip
        factors = jnp.where(inside[:, None, None], poly, outer).prod(axis=0)
        rates = shapes * factors[:, parts.channel]
        return gamma * (mu * rates[0] + rates[1:].sum(axis=0))

    def nll(parameters: Any, data: Any) -> Any:
        mu, alpha, beta = parameters["mu"], parameters["alpha"], parameters["beta"]
        rate = jnp.maximum(expected(mu, alpha, 1.0 + parts.width * beta), 1e-10)
        constraints = 0.5 * (alpha**2).sum() + 0.5 * (beta**2).sum()
        return (rate - data - data * jnp.log(rate / jnp.maximum(data, 1e-300))).sum() + constraints

    # BFGS begins with a unit matrix: in standard deviations of the constraints it needs a third of the steps.
    start = {"mu": jnp.array(1.0), "alpha": jnp.zeros(len(parts.names)), "beta": jnp.zeros(len(parts.width))}
    bounds = statelib.State.from_pytree({"mu": MinuitTransform(lower=0.0, upper=10.0)})

    @jax.jit
    @jax.vmap
    def best(data: Any) -> Any:
        begin = statelib.State.from_pytree(start)
        return ew.fit(nll, begin, data, bounds=bounds, max_steps=2000, throw=False).params.to_pytree()

    def fit(toys: np.ndarray) -> list[list[float]]:
        found = {name: np.asarray(value) for name, value in best(jnp.array(toys)).items()}
        factors = 1.0 + np.asarray(parts.width) * found["beta"]
        return [job.values({"mu": float(mu), **dict(zip(parts.names, alpha.tolist(), strict=True)),
                            **dict(zip(flat, gamma.tolist(), strict=True))})
                for mu, alpha, gamma in zip(found["mu"], found["alpha"], factors, strict=True)]  # fmt: skip

    return fit


class Arrays(NamedTuple):
    """A workspace as arrays: parameters, samples (the first is the signal), bins, channels; factors as code 4 has them.

    *odd*, *even*: (parameters, samples, bins) of code 4p; *up*, *down* (parameters, samples, channels): logarithms;
    *coefficients*: (6, parameters, samples, channels); *width*: of every bin's factor; *channel* of every bin.
    """

    names: list[str]
    nominal: Any
    odd: Any
    even: Any
    up: Any
    down: Any
    coefficients: Any
    width: Any
    channel: Any


def _arrays(job: Job) -> Arrays:
    """Return a workspace, all of whose channels have the same samples, with staterror, as arrays."""
    channels = job.workspace["channels"]
    sizes = [len(row["samples"][0]["data"]) for row in channels]
    ends, samples = np.cumsum([0, *sizes]), len(channels[0]["samples"])
    kinds = ("normsys", "histosys")
    names = sorted({row["name"] for channel in channels for sample in channel["samples"]
                    for row in sample["modifiers"] if row["type"] in kinds})  # fmt: skip
    shape, places = (len(names), samples, ends[-1]), (len(names), samples, len(channels))
    nominal, variance = np.zeros(shape[1:]), np.zeros(ends[-1])
    odd, even, up, down = np.zeros(shape), np.zeros(shape), np.zeros(places), np.zeros(places)
    for c, channel in enumerate(channels):
        bins = slice(ends[c], ends[c + 1])
        for s, sample in enumerate(channel["samples"]):
            nominal[s, bins] = values = np.array(sample["data"])
            for row in sample["modifiers"]:
                if row["type"] == "staterror":
                    variance[bins] += np.array(row["data"]) ** 2
                if row["type"] not in kinds:
                    continue
                p, data = names.index(row["name"]), row["data"]
                if row["type"] == "normsys":
                    up[p, s, c], down[p, s, c] = math.log(data["hi"]), math.log(data["lo"])
                else:
                    above, below = np.array(data["hi_data"]) - values, values - np.array(data["lo_data"])
                    odd[p, s, bins], even[p, s, bins] = 0.5 * (above + below), 0.0625 * (above - below)
    width = np.sqrt(variance) / nominal.sum(axis=0)
    channel = np.repeat(np.arange(len(channels)), sizes)
    return Arrays(names, nominal, odd, even, up, down, _code4(up, down), width, channel)


def _code4(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the coefficients of the polynomial of sixth order that meets exp(up x) and exp(-down x) at ±1."""
    high, low = np.exp(up), np.exp(down)
    ends = np.array([high - 1.0, low - 1.0, high * up, -low * down, high * up**2, low * down**2])
    k = np.arange(1, 7)
    rows = [
        x ** (k - n) * math.prod((k - i for i in range(n)), start=np.ones(6)) for n in range(3) for x in (1.0, -1.0)
    ]
    return np.einsum("ij,j...->i...", np.linalg.inv(np.array(rows)), ends)


# --- rabbit: trust-krylov of SciPy with gradients of TensorFlow ------------------------------------------------------


def rabbit(job: Job) -> Fits:
    """Return fits as rabbit_fit.py has them by default; variations are log-normal, so that it is another likelihood."""
    import tempfile

    import hist
    import tensorflow as tf
    from rabbit import fitter, inputdata, tensorwriter

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    writer = tensorwriter.TensorWriter()
    for channel, observed in zip(job.workspace["channels"], job.workspace["observations"], strict=True):
        name, data = channel["name"], np.array(observed["data"])
        writer.add_channel([hist.axis.Integer(0, len(data), name="bin", underflow=False, overflow=False)], name)
        writer.add_data(data, name)
        for sample in channel["samples"]:
            _book(writer, name, sample)
    with tempfile.TemporaryDirectory() as folder:
        writer.write(folder, "model.hdf5")
        indata = inputdata.FitInputData(f"{folder}/model.hdf5")
    order = list(writer.channels)
    own = fitter.Fitter(indata, _Options())
    own.defaultassign()
    labels = [str(name, "utf-8") if isinstance(name, bytes) else str(name) for name in own.parms]
    starts = np.cumsum([0, *(len(row["data"]) for row in job.workspace["observations"])])
    names = [row["name"] for row in job.workspace["observations"]]
    place = np.concatenate([np.arange(starts[names.index(c)], starts[names.index(c) + 1]) for c in order])

    def fit(toys: np.ndarray) -> list[list[float]]:
        rows = []
        for main in toys:
            own.defaultassign()
            own.set_nobs(tf.constant(main[place], dtype=indata.dtype))
            own.minimize()
            x = own.x.numpy()
            x[0] = x[0] ** 2
            rows.append(job.values({"mu": float(x[0]), **dict(zip(labels[1:], x[1:].tolist(), strict=True))}))
        return rows

    return fit


def _book(writer: Any, channel: str, sample: dict[str, Any]) -> None:
    """Give rabbit a sample: variations with both sides, errors of the simulation."""
    nominal = np.array(sample["data"])
    kinds = {row["type"]: row for row in sample["modifiers"]}
    variances = np.array(kinds["staterror"]["data"]) ** 2
    writer.add_process(nominal, sample["name"], channel, signal="normfactor" in kinds, variances=variances)
    for row in sample["modifiers"]:
        if row["type"] == "normsys":  # add_norm_systematic takes no asymmetric ones (0.2.5)
            ends = [nominal * row["data"]["hi"], nominal * row["data"]["lo"]]
        elif row["type"] == "histosys":
            ends = [np.array(row["data"]["hi_data"]), np.array(row["data"]["lo_data"])]
        else:
            continue
        writer.add_systematic(ends, row["name"], sample["name"], channel, symmetrize=None)


class _Options:
    """The options of rabbit_fit.py that its fitter reads; the simulation's errors are normal, as in pyhf."""

    globalImpactsDisableJVP = noBinByBinStat = covarianceFit = chisqFit = diagnostics = allowNegativePOI = False
    binByBinStatMode, binByBinStatType, minimizerMethod, POIMode = "lite", "normal-multiplicative", "trust-krylov", "mu"
    prefitUnconstrainedNuisanceUncertainty, expectSignal = 0.0, 1.0
    freezeParameters: tuple[str, ...] = ()
    unblind: tuple[str, ...] = ()


# --- NextStat: L-BFGS-B in Rust --------------------------------------------------------------------------------------


def nextstat(job: Job) -> Fits:
    """Return fits of the minimum alone, which is the faster of its two."""
    import nextstat as ns

    ns.set_threads(1)
    model, estimator = ns.from_pyhf((job.folder / "workspace.json").read_text()), ns.MaximumLikelihoodEstimator()
    names = [row["name"] for row in job.workspace["observations"]]
    edges = np.cumsum([0, *(len(row["data"]) for row in job.workspace["observations"])])
    order = [names.index(row["channel_name"]) for row in model.observed_main_by_channel()]
    place = np.concatenate([np.arange(edges[c], edges[c + 1]) for c in order])
    labels = model.parameter_names()

    def fit(toys: np.ndarray) -> list[list[float]]:
        found = [estimator.fit_minimum(model, data=main[place].tolist()).parameters for main in toys]
        return [job.values(dict(zip(labels, map(float, row), strict=True))) for row in found]

    return fit


PEERS = {"RooFit": roofit, "everwillow": everwillow, "rabbit-fit": rabbit, "NextStat": nextstat}


def main() -> None:
    """Answer until standard input ends; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    folder, patience = Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CPU, (patience, patience + 5))  # SIGXCPU, and 5 seconds later SIGKILL
    job = Job(folder, json.loads((folder / "workspace.json").read_text()),
              json.loads((folder / "names.json").read_text()), np.load(folder / "toys.npy"))  # fmt: skip
    fit = PEERS[sys.argv[1]](job)
    for line in sys.stdin:
        first, last = map(int, line.split())
        spent.clear()
        begin = time.process_time()
        values = fit(job.toys[first:last])
        print(json.dumps({"seconds": time.process_time() - begin - sum(spent), "values": values}), file=answers)


if __name__ == "__main__":
    main()

"""Files of a whole analysis, made from a linear Gaussian model, so that all numbers agree."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hist
import numpy as np
import pandas as pd

from nuisflow.settings import configuration, points
from nuisflow.storage import event_files, files

TRAININGS = {
    "nominal": {"strategy": "nominal"},
    "trees": {"strategy": "boosted_trees", "label": "boosted trees"},
    "augmentation": {"strategy": "augmentation", "label": "data augmentation", "variations": ["energy_1"]},
    "adversarial": {
        "strategy": "adversarial",
        "label": "adversarial (pivot)",
        "variations": ["energy_1"],
        "strength": 3.0,
    },
    "parametrised": {"strategy": "parametrised", "variations": ["energy_1"]},
}
LABELS = ("H→ττ", "Z→ττ", "tt̄", "diboson", "W+jets", "QCD multijet")
NAMES = ("htautau", "ztautau", "ttbar", "diboson", "wjets", "qcd")


class Analysis(NamedTuple):
    """Where the files are and the configuration that they belong to."""

    folder: Path
    settings: configuration.Configuration
    seeds: int

    def each(self, name: str) -> list[Path]:
        """Return the file *name* of every training and seed."""
        return [
            self.folder / "trainings" / training / f"seed{seed}" / name
            for training in self.settings.trainings
            for seed in range(1, self.seeds + 1)
        ]

    def of(self, training: str, name: str, seed: int = 1) -> Path:
        return self.folder / "trainings" / training / f"seed{seed}" / name

    def events(self) -> list[Path]:
        return [
            self.folder / "events" / "nominal" / f"{sample}.parquet"
            for sample in self.settings.samples
            if sample != "data"
        ]


def make(
    folder: Path,
    *,
    trainings: Mapping[str, Any] = TRAININGS,
    seeds: int = 3,
    processes: int = 4,
    variations: int = 6,
    regions: Sequence[str] = ("signal",),
    observed: bool = False,
    bins: int = 12,
) -> Analysis:
    """Write the results of an analysis of this size to *folder*."""
    settings = _configuration(trainings, seeds, processes, variations, regions, observed)
    analysis = Analysis(folder, settings, seeds)
    sizes = _write_events(analysis)
    for index, training in enumerate(trainings):
        for seed in range(1, seeds + 1):
            _write_run(analysis, training, seed, 0.55 + 0.06 * index, bins, sizes)
    return analysis


def _configuration(
    trainings: Mapping[str, Any], seeds: int, processes: int, variations: int, regions: Sequence[str], observed: bool
) -> configuration.Configuration:
    names = [NAMES[i] if i < len(NAMES) else f"rare_{i}" for i in range(processes)]
    labels = [LABELS[i] if i < len(LABELS) else f"rare process {i}" for i in range(processes)]
    kinds = ("energy", "weight", "rate")
    varied = {f"{kinds[i % 3]}_{i // 3 + 1}": i for i in range(variations)}
    forms: dict[str, dict[str, Any]] = {
        "energy": {"kind": "shift", "shift": "tes", "size": 0.01, "group": "energy scales"},
        "weight": {"kind": "weight", "factor": "1 + 0.1 * z", "group": "theory"},
        "rate": {"kind": "rate", "size": 0.05, "group": "background rates"},
    }
    content = {
        "analysis": "synthetic",
        "dataset": {"kind": "ditau"},
        "processes": {
            name: {"role": "background" if i else "signal", "label": label}
            for i, (name, label) in enumerate(zip(names, labels, strict=True))
        },
        "samples": {name: {"process": name, "events": 400, "expected": 100} for name in names}
        | ({"data": {"process": "data", "files": ["data.root"]}} if observed else {}),
        "regions": {name: {"observable": "score", "label": f"{name} region", "axis": "score"} for name in regions},
        "features": ["PRI_had_pt"],
        "variations": {
            name: forms[name.split("_")[0]] | {"label": name.replace("_", " ").replace("energy", "energy scale")}
            for name in varied
        },
        "learning": {"seeds": seeds},
        "trainings": dict(trainings),
        "fit": {"unblind": observed},
        "plots": {"title": "Synthetic", "luminosity": 10, "energy": 13},
    }
    return configuration.Configuration.model_validate(content)


def _generator(*names: str | int) -> np.random.Generator:
    return np.random.default_rng([sum(map(ord, str(name))) for name in names])


# --- events and scores ----------------------------------------------------------------------------------------------


def _write_events(analysis: Analysis) -> dict[str, int]:
    regions = list(analysis.settings.regions)
    sizes = {}
    for path in analysis.events():
        generator = _generator("events", path.stem)
        number = sizes[path.stem] = int(generator.integers(300, 500))
        columns = {
            "entry": np.arange(number),
            "region": generator.integers(0, len(regions), number).astype(np.int8),
            "weight": generator.uniform(0.5, 1.5, number),
            "observable": np.full(number, np.nan, np.float32),
        }
        event_files.write_event_parts(path, iter([columns]), {"region": regions})
    return sizes


def _write_scores(analysis: Analysis, training: str, seed: int, quality: float, sizes: Mapping[str, int]) -> None:
    signal, names = analysis.settings.signal, list(sizes)
    blocks = []
    for variation in (0, 1):
        for index, (sample, number) in enumerate(sizes.items()):
            generator = _generator(training, seed, sample, variation)
            logits = generator.normal(2 * quality * (sample == signal) + 0.3 * variation, 1.0, number)
            scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
            same = np.ones(number, np.int8)
            blocks.append({"variation": variation * same, "sample": index * same, "score": scores})
    categories = {"variation": ["nominal", "energy_1_up"], "sample": names}
    event_files.write_event_parts(analysis.of(training, "scores.parquet", seed), iter(blocks), categories)


# --- the linear model -----------------------------------------------------------------------------------------------


class _Model(NamedTuple):
    """Expected events: nominal per process and bin, their derivatives per variation, and relative MC errors."""

    nominal: np.ndarray
    slopes: np.ndarray
    mc_errors: np.ndarray


def _model(settings: configuration.Configuration, generator: np.random.Generator, quality: float, size: int) -> _Model:
    """Return a model of *size* bins: the better the *quality*, the less the shifts move it."""
    x = (np.arange(size) + 0.5) / size
    number = len(settings.processes)
    slopes_of = [2.5 + 2 * quality, *(-2.5 * (1 + 0.3 * i) for i in range(number - 1))]
    yields = [300.0, *(20000.0 / (i + 1) ** 2 for i in range(number - 1))]
    nominal = np.array([n * (shape := np.exp(s * x)) / shape.sum() for n, s in zip(yields, slopes_of, strict=True)])
    slopes = np.zeros((len(settings.variations), number, size))
    for index, name in enumerate(settings.variations):
        strength = generator.uniform(0.5, 1.0) / (1 + index // 3)
        for process in range(number):
            if name.startswith("rate") and process == 1 + index // 3 % (number - 1):
                slopes[index, process] = 0.05 * nominal[process]
            elif name.startswith("energy"):
                slopes[index, process] = (
                    0.08 * strength * (1.1 - quality) * (x - 0.4) * nominal[process] * (-1) ** process
                )
            elif name.startswith("weight") and process != 0:
                slopes[index, process] = 0.03 * strength * np.sin(3 * x + index) * nominal[process]
    return _Model(nominal, slopes, 0.01 + 0.03 * x)


def _solve(model: _Model, free: np.ndarray, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return best fit and covariance of mu - 1, the variations and the gammas - 1; parameters not *free* are fixed."""
    total = model.nominal.sum(axis=0)
    jacobian = np.vstack([model.nominal[0], model.slopes.sum(axis=1), np.diag(total * model.mc_errors)])[free]
    prior = np.concatenate([[0.0], np.ones(len(model.slopes) + len(total))])[free]
    covariance = np.linalg.inv(jacobian / total @ jacobian.T + np.diag(prior))
    values, matrix = np.zeros(len(free)), np.zeros((len(free), len(free)))
    values[free] = covariance @ (jacobian @ ((data - total) / total))
    matrix[np.ix_(free, free)] = covariance
    return values, matrix


def _write_run(
    analysis: Analysis, training: str, seed: int, quality: float, bins: int, sizes: Mapping[str, int]
) -> None:
    settings, generator = analysis.settings, _generator(training, seed)
    quality += 0.01 * generator.standard_normal()
    regions = list(settings.regions)
    model = _model(settings, _generator("model"), quality, bins * len(regions))
    total = model.nominal.sum(axis=0)
    real = _generator("data").poisson(1 + total) if settings.has_data and settings.fit.unblind else None
    fits = {
        kind: _result(settings, model, data, bins, kind, quality)
        for kind, data in (("asimov", total), ("observed", real))
        if data is not None
    }
    place = {"region": regions[0], "variation": "nominal", "bin": bins - 1, "bins": bins, "events": 400.0 + seed}
    files.write_json(
        analysis.of(training, "fit.json", seed),
        {"observed": None} | {k: fit for k, (fit, _) in fits.items()} | {"simulation": [place]},
    )
    files.write_table(
        analysis.of(training, "impacts.csv", seed), pd.concat([_impacts(settings, k, *fit) for k, fit in fits.items()])
    )
    files.write_table(
        analysis.of(training, "scan.csv", seed), pd.concat([_scan(k, fit) for k, (fit, _) in fits.items()])
    )
    files.write_json(
        analysis.of(training, "coverage.json", seed),
        [_coverage(fits["asimov"][0], t, generator) for t in (0.0, 1.0, 2.0)] + _displaced(settings, model, generator),
    )
    files.write_table(analysis.of(training, "history.csv", seed), _history(training, generator))
    files.write_histograms(analysis.of(training, "templates.json", seed), _templates(settings, model, bins))
    files.write_json(analysis.of(training, "templates_notes.json", seed), _notes(regions[0], seed))
    files.write_json(analysis.of(training, "workspace_notes.json", seed), [])
    _write_scores(analysis, training, seed, quality, sizes)


def _names(settings: configuration.Configuration, bins: int) -> list[str]:
    gammas = [f"staterror_{region}[{i}]" for region in settings.regions for i in range(bins)]
    return ["mu", *settings.variations, *gammas]


def _result(
    settings: configuration.Configuration, model: _Model, data: np.ndarray, bins: int, kind: str, quality: float
) -> tuple[dict[str, Any], np.ndarray]:
    names, variations = _names(settings, bins), len(settings.variations)
    everything = np.ones(len(names), dtype=bool)
    values, covariance = _solve(model, everything, data)

    def without(fixed: Sequence[int]) -> float:
        free = everything.copy()
        free[list(fixed)] = False
        return float(_solve(model, free, data)[1][0, 0])

    variance = covariance[0, 0]
    statistical = without(range(1, len(names)))
    groups: dict[str, list[int]] = {}
    for index, variation in enumerate(settings.variations.values(), start=1):
        groups.setdefault(variation.group, []).append(index)
    groups["MC statistics"] = list(range(1 + variations, len(names)))
    sigma = float(np.sqrt(variance))
    errors = np.sqrt(np.diag(covariance))
    scale = np.concatenate([np.ones(1 + variations), model.mc_errors])
    parameters = [
        {
            "name": name,
            "value": float(values[i] * scale[i] + (name == "mu" or name.endswith("]"))),
            "error": float(errors[i] * scale[i]),
            "pull": None if name == "mu" else float(values[i]),
            "constraint": None if name == "mu" else float(errors[i]),
        }
        for i, name in enumerate(names)
    ]
    return {
        "mu": 1.0 + float(values[0]),
        "sigma": sigma,
        "sigma_up": 1.02 * sigma,
        "sigma_down": 0.98 * sigma,
        "sigma_hessian": sigma,
        "sigma_stat": float(np.sqrt(statistical)),
        "sigma_syst": float(np.sqrt(without(groups["MC statistics"]) - statistical)),
        "sigma_mcstat": float(np.sqrt(variance - without(groups["MC statistics"]))),
        "breakdown": {group: float(np.sqrt(max(variance - without(fixed), 0))) for group, fixed in groups.items()},
        "breakdown_observable": {"statistics": 0.8 * sigma} | dict.fromkeys(groups, 0.6 * sigma / np.sqrt(len(groups))),
        "intervals": {
            "checked": 1 + variations,
            "remarks": {"mu": "the upper error disagrees"} if quality < 0.6 else {},
        },
        "significance": {"q0": sigma**-2, "sigmas": 1 / sigma, "p_value": 0.01},
        "limits": {
            "level": 0.95,
            "observed": 2.5 * sigma if kind == "observed" else None,
            "expected": [1.1 * sigma, 1.4 * sigma, 2 * sigma, 2.8 * sigma, 3.7 * sigma],
        },
        "parameters": parameters,
        "correlation": {"names": names, "matrix": covariance / np.outer(errors, errors)},
        "converged": True,
        "message": "",
        "goodness_of_fit": {
            "chi2": len(data) + 1.0,
            "ndof": len(data) - 1,
            "p_value": 0.4,
            "toys": {"p_value": 0.42, "p_low": 0.41, "p_high": 0.43, "number": 1000, "failed": 0},
        }
        if kind == "observed"
        else None,
        "yields": {
            stage: _yields(settings, model, values * (stage == "postfit"), covariance, stage, data, bins)
            for stage in ("prefit", "postfit")
        },
    }, covariance


def _yields(
    settings: configuration.Configuration, model: _Model, values: np.ndarray, covariance: np.ndarray, stage: str,
    data: np.ndarray, bins: int,
) -> dict[str, Any]:  # fmt: skip
    number = len(model.slopes)
    content = model.nominal + np.einsum("v,vpb->pb", values[1 : 1 + number], model.slopes)
    content = content * (1 + values[1 + number :] * model.mc_errors)
    content[0] *= 1 + values[0]
    jacobian = np.vstack([model.nominal[0], model.slopes.sum(axis=1), np.diag(content.sum(axis=0) * model.mc_errors)])
    prior = np.diag([0.0] + [1.0] * (len(values) - 1))
    matrix = covariance if stage == "postfit" else prior
    error = np.sqrt(np.einsum("ib,ij,jb->b", jacobian, matrix, jacobian))
    shown = {}
    for index, region in enumerate(settings.regions):
        part = slice(index * bins, (index + 1) * bins)
        shown[region] = {
            "edges": _edges(bins),
            "samples": {name: content[i, part] for i, name in enumerate(settings.processes)},
            "total": content.sum(axis=0)[part],
            "error": error[part],
            "data": data[part],
            "sums": _sums(settings, content[:, part], jacobian[:, part], matrix),
        }
    return shown


def _sums(
    settings: configuration.Configuration, content: np.ndarray, jacobian: np.ndarray, matrix: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return the events of a region; errors of single processes are not modelled."""
    slope = jacobian.sum(axis=1)
    total = {"total": (float(content.sum()), float(np.sqrt(slope @ matrix @ slope)))}
    return {name: (float(content[i].sum()), 0.0) for i, name in enumerate(settings.processes)} | total


def _edges(bins: int) -> np.ndarray:
    """Return edges that crowd at both ends, as quantiles of a score do."""
    return 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, bins + 1))


def _impacts(
    settings: configuration.Configuration, kind: str, fit: dict[str, Any], covariance: np.ndarray
) -> pd.DataFrame:
    rows = [
        {
            "data": kind,
            "parameter": parameter["name"],
            "impact_up": covariance[0, i] / np.sqrt(covariance[i, i]),
            "impact_down": -0.95 * covariance[0, i] / np.sqrt(covariance[i, i]),
            "prefit_up": covariance[0, i] / covariance[i, i],
            "prefit_down": -0.95 * covariance[0, i] / covariance[i, i],
            "observable_up": covariance[0, i],
            "observable_down": -covariance[0, i],
            "pull": parameter["pull"],
            "constraint": parameter["constraint"],
        }
        for i, parameter in enumerate(fit["parameters"])
        if i
    ]
    return pd.DataFrame(rows)


def _scan(kind: str, fit: Mapping[str, Any]) -> pd.DataFrame:
    points = np.linspace(-3.2, 3.2, 41)
    return pd.DataFrame(
        {"data": kind, "mu": fit["mu"] + points * fit["sigma"], "delta": points**2 * (1 - 0.02 * points)}
    )


def _coverage(fit: Mapping[str, Any], truth: float, generator: np.random.Generator) -> dict[str, Any]:
    toys = 10_000
    found = generator.binomial(toys, 0.6827) / toys
    error = float(np.sqrt(found * (1 - found) / toys))
    low, high = truth - fit["sigma"], truth + fit["sigma"]
    return {
        **{"variation": None, "point": None, "z": 0.0, "asimov_mu": truth, "asimov_low": low, "asimov_high": high},
        "mu_true": truth,
        "toys": toys,
        "failed": 0,
        "unbounded": 0,
        "limited": 0,
        "coverage": found,
        "coverage_low": found - error,
        "coverage_high": found + error,
        "coverage_error": error,
        "bias": float(generator.normal(0, fit["sigma"] / np.sqrt(toys))),
        "pull_mean": float(generator.normal(0, 1 / np.sqrt(toys))),
        "pull_width": float(generator.normal(1, 1 / np.sqrt(2 * toys))),
        "bias_error": fit["sigma"] / np.sqrt(toys),
        "mean_width": 2 * fit["sigma"],
        "interval_score": float(-np.log(2 * fit["sigma"] + 1e-3)),
        "rmse": fit["sigma"],
        "mae": 0.8 * fit["sigma"],
    }


def _displaced(
    settings: configuration.Configuration, model: _Model, generator: np.random.Generator
) -> list[dict[str, Any]]:
    """Return bias, width and coverage at displaced points; rates have no pseudo-experiments."""
    total = model.nominal.sum(axis=0)
    everything = np.ones(1 + len(model.slopes) + len(total), dtype=bool)
    entries = []
    for name, point in points.displaced(settings).items():
        slope = model.slopes[list(settings.variations).index(point.variation)].sum(axis=0)
        values, covariance = _solve(model, everything, total + point.z * slope)
        sigma, bias = float(np.sqrt(covariance[0, 0])), float(values[0])
        entry = _coverage({"sigma": sigma}, 1.0, generator)
        if point.factor is not None:
            entry = (
                dict.fromkeys(entry) | {"mu_true": 1.0} | dict.fromkeys(("toys", "failed", "unbounded", "limited"), 0)
            )
        place = {"variation": point.variation, "point": name, "z": point.z}
        fitted = {"asimov_mu": 1 + bias, "asimov_low": 1 + bias - sigma, "asimov_high": 1 + bias + sigma}
        entries.append(entry | place | fitted)
    return entries


def _history(training: str, generator: np.random.Generator) -> pd.DataFrame:
    rows = []
    for fold in range(2):
        for epoch in range(1, 21):
            loss = 0.45 + 0.2 * np.exp(-epoch / 4) + generator.normal(0, 0.002)
            row = {
                "fold": fold,
                "epoch": epoch,
                "events_seen": 150_000 * epoch,
                "seconds": 0.4 * epoch,
                "train_loss": loss,
            }
            if training == "adversarial":
                row |= {"train_classifier": loss + 0.02, "train_adversary": 1.42 - 0.2 * np.exp(-epoch / 3)}
            row |= {
                f"validation_{key[6:]}": value + 0.004 + 0.0004 * epoch
                for key, value in row.items()
                if key.startswith("train_")
            }
            rows.append(row | {"auc": 0.85 - 0.2 * np.exp(-epoch / 4), "kept": float(epoch == 15)})
    return pd.DataFrame(rows)


def _templates(settings: configuration.Configuration, model: _Model, bins: int) -> dict[str, Any]:
    shapes = [name for name, variation in settings.variations.items() if variation.kind in ("shift", "weight")]
    names = ["nominal", *(f"{name}_{side}" for name in shapes for side in ("up", "down"))]
    places = {name: index for index, name in enumerate(settings.variations)}
    histograms = {}
    for index, region in enumerate(settings.regions):
        part = slice(index * bins, (index + 1) * bins)
        histogram = hist.Hist(
            hist.axis.StrCategory(list(settings.processes), name="process"),
            hist.axis.StrCategory(names, name="variation"),
            hist.axis.Variable(_edges(bins), name="score"),
            storage=hist.storage.Weight(),
        )
        for column, name in enumerate(names):
            stem, _, side = name.rpartition("_")
            sign = {"up": 1.0, "down": -1.0}.get(side, 0.0)
            values = model.nominal[:, part] + (sign * model.slopes[places[stem]][:, part] if stem else 0)
            histogram.view()["value"][:, column, :] = values
            histogram.view()["variance"][:, column, :] = (model.mc_errors[part] * values) ** 2
        histograms[region] = histogram
    return histograms


def _notes(region: str, seed: int) -> list[dict[str, Any]]:
    common = {"rule": "fill_templates", "region": region, "process": "", "variation": "", "bin": ""}
    notes = [common | {"kind": "merged", "bin": "11", "text": "bins 11 and 12 joined: 8.2 effective background events"}]
    same = {"kind": "same_side", "process": "diboson", "variation": "energy_1"}
    return notes + [common | same | {"text": "up and down change the yield in the same direction"}] * (seed == 1)

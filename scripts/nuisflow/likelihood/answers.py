"""What a user asks of one fitted workspace, answered as numbers, tables and warnings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nuisflow.likelihood import fits, limits, measurements, toys, uncertainties
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress

Row = dict[str, Any]
_DIGITS = 4
_ZERO = 1e-9  # what is smaller is rounding, and printed as 0
CHUNK = 1000  # pseudo-experiments between two reports of progress; part of their seed: more of them begin with the same
# ASSUME: a coverage further than this many binomial standard deviations from 68.27 % is worth a warning.
_COVERAGE_SIGMAS = 3.0
OWN_SOURCES = (
    uncertainties.STATISTICS,
    uncertainties.MC_STATISTICS,
    uncertainties.NORMALISATIONS,
    uncertainties.OTHER,
    "total",
)


class Table(NamedTuple):
    """Rows to print below a title; *name* is their key in JSON."""

    name: str
    title: str
    rows: list[Row]


class Answer(NamedTuple):
    """What a command found: single numbers, tables (a CSV file holds the last one), and what to be careful about."""

    facts: Row
    tables: list[Table]
    warnings: list[str]
    converged: bool


def fit(model: Model, data: Floats, groups: Mapping[str, Sequence[str]], *, observed: bool,
        profiles: int = fits.PROFILES) -> Answer:  # fmt: skip
    """Fit, with errors from the exact Hessian and from the profile, the breakdown by source, and the pulls.

    With more free parameters than *profiles*, only the parameter of interest has a profile interval.
    """
    poi = model.poi
    best, facts, warnings = _fitted(model, data)
    if not best.converged:
        return Answer(facts | {"twice_nll": best.twice_nll}, [], warnings, converged=False)
    rows, found = _parameters(model, data, best, profiles)
    own = next(row for row in rows if row["parameter"] == poi)
    facts |= {"profile_down": own["profile_down"], "profile_up": own["profile_up"], "twice_nll": best.twice_nll}
    parts = uncertainties.breakdown(model, data, groups=groups)
    sources = [{"source": row.group, "frozen": row.frozen, "observables": row.observable} for row in parts.sources]
    sources.append({"source": "total", "frozen": parts.sigma_total, "observables": facts["hessian_error"]})
    if not math.isfinite(parts.sigma_total):
        warnings.append(f"breakdown: the total uncertainty of {poi} is not defined, nor are its parts")
    good = True
    if _signal(model):
        tested, problems = _significance(model, data)
        facts, warnings, good = facts | {"significance": tested.sigmas}, warnings + problems, not problems
    if observed:
        goodness = limits.goodness_of_fit(model, data)
        facts |= {"goodness_of_fit": goodness.statistic, "degrees_of_freedom": goodness.degrees}
        facts |= {"p_value": goodness.p_value}
    title = f"uncertainty of {poi} by source: frozen and subtracted in quadrature; auxiliary measurements shifted"
    told = "parameters; pull and constraint: shift and error in units of the prefit width"
    tables = [Table("breakdown", title, sources), Table("parameters", told, rows)]
    return Answer(facts, tables, warnings + _overlaps(groups) + found, converged=good)


def _significance(model: Model, data: Floats) -> tuple[limits.Significance, list[str]]:
    """Return the significance, and why there is none."""
    found = limits.significance(model, data)
    if math.isfinite(found.q0):
        return found, []
    null = fits.fit(model, data, fixed={model.poi: 0.0})
    return found, [f"significance: there is none; the fit without signal: {null.message}"]


def _signal(model: Model) -> bool:
    """Return whether the parameter of interest is a signal strength that may vanish."""
    parameter = model.parameters[model.index(model.poi)]
    return parameter.kind == "normfactor" and parameter.lower <= 0 < parameter.upper


def _fitted(model: Model, data: Floats) -> tuple[fits.FitResult, Row, list[str]]:
    """Return the best fit, its value and error, and what it says beyond that it converged."""
    best, index = fits.fit(model, data), model.index(model.poi)
    remarks = [f"fit: {remark}" for remark in best.message.split("; ") if remark != "converged"]
    value = best.values[index] if best.converged else math.nan
    return best, {"best_fit": value, "hessian_error": best.errors[index] if best.converged else math.nan}, remarks


def _pull(pulls: Mapping[str, fits.Pull], name: str) -> Row:
    pull = pulls.get(name)
    return {"pull": pull.pull if pull else None, "constraint": pull.constraint if pull else None}


def _overlaps(groups: Mapping[str, Sequence[str]]) -> list[str]:
    members = [member for names in groups.values() for member in set(names)]
    twice = sorted({member for member in members if members.count(member) > 1})
    return [f"breakdown: {member} is in several groups, which therefore count it several times" for member in twice]


def _parameters(model: Model, data: Floats, best: fits.FitResult, most: int) -> tuple[list[Row], list[str]]:
    """Return one row per free parameter, the parameter of interest first, and the warnings of the profiles."""
    pulls = {row.parameter: row for row in fits.pulls(model, best)}
    free = sorted(np.flatnonzero(~model.fixed), key=lambda index: best.names[index] != model.poi)
    profiled = free if len(free) <= most else free[:1]
    rows, warnings, apart = [], [], []
    for index in progress(profiled, "fit: profile intervals", len(profiled)):
        name, value, error = best.names[index], best.values[index], best.errors[index]
        found = fits.interval(model, data, name, result=best)
        ends = {"profile_down": found.low - found.value, "profile_up": found.high - found.value}
        rows.append({"parameter": name, "value": value, "hessian_error": error} | ends | _pull(pulls, name))
        remarks = [remark for remark in found.message.split("; ") if remark]
        warnings += [f"{name}: {remark}" for remark in remarks if "disagrees" not in remark or name == model.poi]
        apart += [(_apart(found), found)] if name != model.poi and "disagrees" in found.message else []
        if abs(found.value - value) > 1e-3 * abs(found.high - found.low):
            warnings.append(f"{name}: its profile has a deeper minimum, at {found.value:.4g}; the best fit is not one")
    for index in free[len(profiled) :]:
        nothing = {"profile_down": None, "profile_up": None}
        row = {"parameter": best.names[index], "value": best.values[index], "hessian_error": best.errors[index]}
        rows.append(row | nothing | _pull(pulls, best.names[index]))
    if len(profiled) < len(free):
        warnings.append(f"fit: only {model.poi} has a profile interval, since there are {len(free)} free parameters; "
                        f"--profiles {len(free)} finds them all")  # fmt: skip
    return rows, warnings + _disagreements(apart, len(profiled))


def _apart(found: fits.Interval) -> float:
    """Return how far an end is from where the Hessian puts it, in standard deviations, at most."""
    sizes = np.abs([found.value - found.low, found.high - found.value]) / found.error - 1.0
    return float(np.nanmax(np.abs(sizes))) if np.isfinite(sizes).any() else 0.0


def _disagreements(apart: Sequence[tuple[float, fits.Interval]], number: int) -> list[str]:
    """Return one line on the nuisance parameters whose profile is not a parabola, with the worst of them."""
    if not apart:
        return []
    worst = max(apart, key=lambda row: row[0])[1]
    return [
        f"{len(apart)} of {number} profile intervals differ from the Hessian's errors by more than "
        f"{100 * fits.DISAGREEMENT:.0f} % of them, most of all {worst.parameter}: "
        f"{worst.low - worst.value:+.3g} {worst.high - worst.value:+.3g} instead of {worst.error:.3g}"
    ]


def rank(model: Model, data: Floats) -> Answer:
    """List the impact of every nuisance parameter on the parameter of interest, largest first."""
    best, facts, warnings = _fitted(model, data)
    pulls = {row.parameter: row for row in fits.pulls(model, best)}
    found = uncertainties.impacts(model, data)
    rows = [{k: v for k, v in row._asdict().items() if k != "group"} | _pull(pulls, row.parameter) for row in found]
    lost = [row["parameter"] for row in rows if not np.isfinite([row["up"], row["down"]]).all()]
    told = "no impact: its shifted fit did not converge, or it is at a bound, where it has no error"
    warnings += [f"{name}: {told}" for name in lost]
    title = (
        f"impacts: changes of {model.poi} when the parameter moves up and down by its postfit error (prefit: by its "
        f"prefit width; observable: when its auxiliary measurement moves by one standard deviation)"
    )
    return Answer(facts, [Table("impacts", title, rows)], warnings, best.converged and not lost)


def scan(model: Model, data: Floats, points: int) -> Answer:
    """Profile -2 ln L within three standard deviations of the best fit (within the bounds)."""
    (best, facts, warnings), index = _fitted(model, data), model.index(model.poi)
    value, error = best.values[index], best.errors[index]
    reach = measurements.SCAN_SIGMAS * error if error > 0 else math.inf
    ends = max(model.lower[index], value - reach), min(model.upper[index], value + reach)
    found = fits.scan(model, data, model.poi, np.linspace(*ends, points))
    rows = [
        {model.poi: point, "twice_delta_nll": delta, "converged": bool(good)}
        for point, delta, good in zip(found.points, found.twice_delta_nll, found.converged, strict=True)
    ]
    if lost := int((~found.converged).sum()):
        warnings.append(f"scan: {lost} of {len(rows)} points did not converge")
    if (found.twice_delta_nll < -1e-6).any():
        warnings.append("scan: points lie below the best fit, which is therefore not the deepest minimum")
    table = Table("scan", f"rise of -2 ln L above its minimum, all other parameters fitted at each {model.poi}", rows)
    return Answer(facts, [table], warnings, best.converged and not lost)


def goodness(model: Model, data: Floats, number: int = 0, seed: int = 1) -> Answer:
    """Compare the best fit with the saturated model: asymptotic p value, and that of *number* pseudo-experiments."""
    best, facts, warnings = _fitted(model, data)
    found = limits.goodness_of_fit(model, data)
    facts |= {"goodness_of_fit": found.statistic, "degrees_of_freedom": found.degrees, "p_value": found.p_value}
    if number:
        thrown = toys.goodness_of_fit_by_toys(model, data, number, seed, "commands")
        facts |= {"p_value_of_toys": thrown.p_value, "p_value_low": thrown.p_low, "p_value_high": thrown.p_high}
        facts |= {"number": thrown.number, "failed": thrown.failed, "seed": seed}
    if found.degrees <= 0:
        warnings.append("goodness: no more bins than free parameters without a constraint: there is no p value")
    return Answer(facts, [], warnings, best.converged and math.isfinite(found.p_value))


def limit(model: Model, data: Floats, *, observed: bool = True, widen: bool = False, level: float = 0.95,
          at: Sequence[float] = ()) -> Answer:  # fmt: skip
    """Return CLs upper limits and the significance of the signal, with asymptotic formulae.

    *level*: of confidence; *at*: signal strengths of which CLs is listed besides.

    Of Asimov data (not *observed*) the significance is that of the nominal expectation, with signal; expected limits
    are those of the expectation without signal (arXiv:1007.1727, section 4.3).
    """
    poi = model.poi
    parameter = model.parameters[model.index(poi)]
    if parameter.kind != "normfactor":
        raise ValueError(f"{poi} is a {parameter.kind}: a limit needs a signal strength (a normfactor), see --poi")
    if not parameter.lower <= 0 < parameter.upper:
        raise ValueError(
            f"{poi}: no signal ({poi} = 0) is outside its bounds [{parameter.lower:g}, {parameter.upper:g}]"
        )
    best, facts, warnings = _fitted(model, data)
    tested_on = data if observed else model.asimov({poi: 0.0})
    found = limits.limits(model, tested_on, level=level, widen=widen)
    named = list(zip(limits.NAMES, (found.observed, *found.expected), strict=True))
    limited = dict(named if observed else named[1:])
    warnings += [f"limit: {problem}" for problem in found.problems]
    tested, problems = _significance(model, data)
    facts |= tested._asdict()
    title = (
        f"{100 * found.level:g} % CLs upper limits on {poi}; expected: without signal, fluctuations of -2 to +2 sigma"
    )
    title += "" if observed else f" (the best fit and significance above: with {poi} = {parameter.init:g})"
    rows = [{"limit": name, poi: value} for name, value in limited.items()]
    good = best.converged and not problems and all(map(math.isfinite, limited.values()))
    tables = [Table("limits", title, rows)]
    if len(at):
        tests = [limits.cls(model, tested_on, value) for value in at]
        listed = [{poi: row.poi} | _named(row, observed=observed) for row in tests]
        tables.insert(0, Table("cls", f"CLs of signal strengths {poi}", listed))
        good &= all(math.isfinite(row.observed) for row in tests)
    return Answer(facts, tables, warnings + problems, good)


def _named(row: limits.Cls, *, observed: bool) -> Row:
    """Return observed (if it is) and expected CLs by name."""
    named = dict(zip(limits.NAMES, (row.observed, *row.expected), strict=True))
    return named if observed else {name: value for name, value in named.items() if name != "observed"}


def throw(model: Model, data: Floats, number: int, seed: int, *, observed: bool) -> Answer:
    """Fit pseudo-experiments thrown at the best fit; return the coverage of the intervals, and how well data fit."""
    best, _, warnings = _fitted(model, data)
    found = toys.coverage(_experiments(model, best.values, number, seed))
    if found.failed:
        warnings.append(f"toys: {found.failed} of {found.number} fits failed; they count as not covered")
    if found.unbounded:
        warnings.append(f"toys: in {found.unbounded} of {found.number} experiments the fit converged, but an end of "
                        f"the interval was not found; they count as not covered")  # fmt: skip
    if found.limited:
        warnings.append(f"toys: in {found.limited} of {found.number} experiments an end of the interval is at a bound "
                        f"of {model.poi}, or where a bin would expect a negative number of events")  # fmt: skip
    if found.pulls < found.number - found.failed:
        warnings.append(f"toys: pulls are those of the {found.pulls} experiments with a Hessian error")
    width = math.sqrt(toys.LEVEL * (1.0 - toys.LEVEL) / found.number)
    if abs(found.coverage - toys.LEVEL) > _COVERAGE_SIGMAS * width:
        side = "fewer" if found.coverage < toys.LEVEL else "more"
        warnings.append(f"toys: the intervals cover {100 * found.coverage:.2f} % of the experiments, {side} than the "
                        f"intended {100 * toys.LEVEL:.2f} %")  # fmt: skip
    facts = found._asdict() | {"seed": seed}
    if observed:
        goodness = toys.goodness_of_fit_by_toys(model, data, number, seed, "commands")
        facts |= {"p_value": goodness.p_value, "p_value_low": goodness.p_low, "p_value_high": goodness.p_high}
    return Answer(facts, [], warnings, best.converged)


def _experiments(model: Model, values: Floats, number: int, seed: int) -> toys.Toys:
    """Throw in chunks, so that progress can be told; the chunks do not depend on the number."""
    starts = range(0, number, CHUNK)
    parts = [
        toys.run(model, values, min(CHUNK, number - first), seed, "commands", first)
        for first in progress(starts, "toys, in thousands", len(starts))
    ]
    thrown = toys.Toys(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    if not (thrown.fitted & thrown.bounded).any():
        raise ValueError(f"all fits of the {number} toys failed: no coverage")
    return thrown


def number(value: Any) -> str:
    """Return a number with the digits that matter, or "-"."""
    if isinstance(value, int | np.integer):
        return str(value)
    if value is None or not math.isfinite(value):
        return "-"
    return f"{0.0 if abs(value) < _ZERO else value:.{_DIGITS + 1}g}"


def aligned(rows: Sequence[Row]) -> list[str]:
    """Return a table as lines: text to the left, numbers to the right with the same decimals in a column."""
    if not rows:
        return ["(none)"]
    columns = [[name.replace("_", " "), *_cells([row[name] for row in rows])] for name in rows[0]]
    left = [isinstance(value, str) for value in rows[0].values()]
    padded = []
    for column, text in zip(columns, left, strict=True):
        width = max(map(len, column))
        padded.append([cell.ljust(width) if text else cell.rjust(width) for cell in column])
    return ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]


def _cells(values: Sequence[Any]) -> list[str]:
    """Return the values of a column as text: four digits of the largest number, three of the middle one."""
    if any(isinstance(value, str | bool) for value in values):
        return [{"True": "yes", "False": "no"}.get(str(value), str(value)) for value in values]
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    sizes = np.abs(numbers[np.isfinite(numbers) & (np.abs(numbers) > _ZERO)])
    sizes = sizes[sizes > 1e-5 * sizes.max(initial=0.0)]
    if len(sizes) and not 1e-4 < sizes.max() < 1e7:
        return [number(value) for value in numbers]
    powers = np.floor(np.log10([sizes.max(), np.median(sizes)])) if len(sizes) else np.zeros(2)
    places = int(np.clip(np.max((3, 2) - powers), 0, 6))
    return [f"{value:.{places}f}" if math.isfinite(value) else "-" for value in np.round(numbers, places) + 0.0]

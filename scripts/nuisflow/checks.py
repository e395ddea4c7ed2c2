"""Check a configuration: every section by its model, then what must agree between sections.

All problems found are reported at once, each as ``file: path: problem; remedy``.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from nuisflow import (
    benchmarks,
    conditioning,
    dask_checks,
    datasets,
    downloads,
    expansions,
    names,
    points,
    published,
    strategies,
    tuning,
    variation_checks,
)
from nuisflow.configuration import Configuration, FileDataset, Learning, Region, Sample

suggest = names.suggest

MAXIMUM_BINS = 1000


class ConfigurationError(ValueError):
    """A configuration that cannot be used, with one line per problem."""


class _Loader(yaml.SafeLoader):
    """Reads YAML and refuses a key that stands twice, which YAML readers otherwise drop without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen and key_node.value != "<<":
                mark = key_node.start_mark
                raise ConfigurationError(f"{mark.name}: line {mark.line + 1}: {key!r} is there twice; remove one")
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(path: Path | str) -> Any:
    """Return the content of the YAML file *path*; a key that stands twice is an error."""
    try:
        with Path(path).open(encoding="utf-8") as handle:
            return yaml.load(handle, _Loader)  # a safe loader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from None


def load(path: Path) -> Configuration:
    """Read and check the configuration file *path*."""
    return check(read(path), str(path))


def check(content: Any, place: str = "config.yaml") -> Configuration:
    """Return the checked configuration, or raise `ConfigurationError` with all problems."""
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{place}: must be a mapping of sections, not {type(content).__name__}")
    try:
        settings = Configuration.model_validate(content)
    except pydantic.ValidationError as error:
        raise ConfigurationError(_lines(place, (_explain(detail) for detail in error.errors()))) from None
    if problems := list(expansions.problems(settings)):
        raise ConfigurationError(_lines(place, problems))
    settings = expansions.expand(settings)
    if problems := list(_problems(settings)):
        raise ConfigurationError(_lines(place, problems))
    return settings


def _lines(place: str, problems: Any) -> str:
    return "\n".join(f"{place}: {problem}" for problem in problems)


def _explain(detail: Any) -> str:
    """Return one line for one error of pydantic."""
    location = [str(part) for part in detail["loc"]]
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{'.'.join(_spoken(location))}: unknown key; {suggest(location[-1], _keys(location[:-1]))}"
    if kind == "union_tag_invalid":
        key = str(context["discriminator"]).strip("'")
        allowed = re.findall(r"'([^']*)'", context["expected_tags"])
        return f"{'.'.join(location)}.{key}: no {key} {context['tag']!r}; {suggest(context['tag'], allowed)}"
    if kind == "union_tag_not_found":
        key = str(context["discriminator"]).strip("'")
        return f"{'.'.join(location)}: needs the key {key!r}"
    if kind == "missing":
        return f"{'.'.join(_spoken(location))}: is required"
    if kind == "string_pattern_mismatch" and location[-1] == "[key]":
        rule = "a name has lower-case letters, digits and underscores, and starts with a letter"
        return f"{'.'.join(location[:-1])}: {rule}"
    return f"{'.'.join(_spoken(location))}: {detail['msg']} (got {detail['input']!r})"


_TAGS = {
    "shift",
    "weight",
    "weight_set",
    "two_point",
    "rate",
    "free_rate",
    "luminosity",
    *datasets.MODULES,
    *strategies.STRATEGIES,
}


def _spoken(location: list[str]) -> list[str]:
    """Return a path as it stands in the file: pydantic adds the tag of a union after the entry's name."""
    depth = {"dataset": 1, "variations": 2, "trainings": 2}.get(location[0])
    if depth is not None and len(location) > depth and location[depth] in _TAGS:
        return location[:depth] + location[depth + 1 :]
    return location


def _keys(location: list[str]) -> list[str]:
    """Return the keys allowed at *location*, found by walking the JSON schema of the configuration."""
    schema = Configuration.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = _resolve(node, schema)
        options = [node, *(_resolve(option, schema) for option in node.get("anyOf", []))]
        mapping = node.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            node = {"$ref": mapping[part]}
            continue
        for option in options:
            if (
                found := option.get("properties", {}).get(part)
                or option.get("additionalProperties")
                or next(iter(option.get("patternProperties", {}).values()), None)
            ):
                node = found
                break
    node = _resolve(node, schema)
    options = [node, *(_resolve(option, schema) for option in node.get("anyOf", []))]
    return [key for option in options for key in option.get("properties", {})]


def _resolve(node: Any, schema: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {}
    if "$ref" in node:
        return dict(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    return node


def _problems(settings: Configuration) -> Iterator[str]:
    yield from getattr(datasets.of(settings.dataset), "problems", tuple)()
    yield from _process_problems(settings)
    for name, sample in settings.samples.items():
        yield from _sample_problems(settings, name, sample)
        yield from _format_problems(settings, name)
    yield from _column_problems(settings)
    for name, region in settings.regions.items():
        yield from _region_problems(settings, name, region)
    for name in settings.variations:
        yield from variation_checks.problems(settings, name)
    for name in settings.trainings:
        yield from _training_problems(settings, name)
    yield from variation_checks.parameter_problems(settings)
    yield from variation_checks.combination_problems(settings)
    yield from points.problems(settings)
    yield from conditioning.problems(settings)
    yield from benchmarks.problems(settings)
    yield from tuning.problems(settings)
    yield from published.problems(settings)
    yield from _other_problems(settings)


def _process_problems(settings: Configuration) -> Iterator[str]:
    signals = [name for name, process in settings.processes.items() if process.role == "signal"]
    if len(signals) != 1:
        yield f"processes: exactly one has role signal; here: {', '.join(signals) or 'none'}"
    if len(signals) == len(settings.processes):
        yield "processes: at least one must be a background"
    if "data" in settings.processes:
        yield "processes.data: 'data' is reserved for collision data; give it as the process of a sample only"
    used = {settings.samples[name].process for name in settings.nominal}
    for name in settings.processes:
        if name not in used:
            yield f"processes.{name}: no sample belongs to it; add one, give 'estimate', or remove the process"


def _sample_problems(settings: Configuration, name: str, sample: Sample) -> Iterator[str]:
    place = f"samples.{name}"
    allowed = [*settings.processes, "data"]
    if sample.process not in allowed:
        yield f"{place}.process: no process {sample.process!r}; {suggest(sample.process, allowed)}"
    available = variation_checks.columns(settings)
    kind, known = settings.dataset.kind, datasets.MODULES[settings.dataset.kind].PROCESSES
    if isinstance(settings.dataset, FileDataset):
        if not sample.files:
            yield f"{place}.files: is required for a {kind} data set: files in dataset.path"
        if known and sample.events is not None:
            yield f"{place}.events: is for simulated data sets; remove it ('expected' scales published events)"
        if not known and (sample.events is not None or sample.expected is not None):
            yield f"{place}: 'events' and 'expected' are for simulated data sets; give 'weight' instead"
        if sample.weight is None and sample.process != "data" and not known:
            yield f"{place}.weight: is required: expected events per row, e.g. an expression over columns"
    else:
        if sample.files:
            yield f"{place}.files: the data set {kind!r} is simulated; give 'events' and 'expected'"
        if sample.events is None or sample.expected is None:
            yield f"{place}: 'events' (to simulate) and 'expected' (what they stand for) are required"
    variants = getattr(datasets.MODULES[kind], "VARIANTS", {})
    if sample.variant is not None and sample.variant not in variants:
        yield f"{place}.variant: {kind} has no variant {sample.variant!r}; {suggest(sample.variant, variants)}"
    if known and sample.process not in known:
        yield f"{place}.process: {kind} does not have {sample.process!r}; {suggest(sample.process, known)}"
    if sample.process == "data" and sample.weight is not None:
        yield f"{place}.weight: collision data have no weight"
    yield from variation_checks.expression_problems(sample.weight, available, f"{place}.weight")
    raw = datasets.raw_columns(settings.dataset)
    yield from variation_checks.expression_problems(sample.selection, raw, f"{place}.selection")


def _format_problems(settings: Configuration, name: str) -> Iterator[str]:
    for file in settings.samples[name].files:
        if settings.dataset.kind == "nanoaod" and not file.lower().endswith(".root"):
            yield f"samples.{name}.files: {file!r}: a nanoaod data set is read from ROOT files only"


def _column_problems(settings: Configuration) -> Iterator[str]:
    available = variation_checks.columns(settings)
    for name, expression in settings.derived.items():
        if name in available:
            yield f"derived.{name}: there is such a column already; choose another name"
        yield from variation_checks.expression_problems(expression, available, f"derived.{name}")
        available.append(name)
    yield from variation_checks.expression_problems(settings.selection, available, "selection")
    for index, feature in enumerate(settings.features):
        if feature not in available:
            yield f"features.{index}: no column {feature!r}; {suggest(feature, available)}"
        if feature in ("entry", "row", "region", "weight", "observable", "true_mass"):
            yield f"features.{index}: {feature!r} is not known in collision data or reserved; leave it out"
    yield from names.duplicates(settings.features, "features")
    yield from names.duplicates(getattr(settings.dataset, "columns", ()), "dataset.columns")


def _region_problems(settings: Configuration, name: str, region: Region) -> Iterator[str]:
    available = variation_checks.all_columns(settings)
    yield from variation_checks.expression_problems(region.selection, available, f"regions.{name}.selection")
    if region.observable != "score":
        yield from variation_checks.expression_problems(region.observable, available, f"regions.{name}.observable")
    binnings = {f"regions.{name}.binning": region.binning, "templates.binning": settings.templates.binning}
    for place, binning in binnings.items():
        if binning is None:
            continue
        if binning.rule == "uniform" and binning.low >= binning.high:
            yield f"{place}: low ({binning.low:g}) must be below high ({binning.high:g})"
        if binning.rule == "edges" and (len(binning.edges) < 2 or list(binning.edges) != sorted(set(binning.edges))):
            yield f"{place}.edges: needs at least two increasing edges"


def _training_problems(settings: Configuration, name: str) -> Iterator[str]:
    training, place = settings.trainings[name], f"trainings.{name}"
    kinds = ("shift", "weight", "rate", *(("two_point",) if training.knows_alternatives else ()))
    usable = [key for key, variation in settings.variations.items() if variation.kind in kinds]
    for variation in training.variations:
        if variation not in usable:
            wanted = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
            yield f"{place}.variations: no {wanted} {variation!r}; {suggest(variation, usable)}"
    for variation in training.variations:
        if variation in usable and (left := _scored(settings) - set(points.acting(settings, variation))):
            yield (
                f"{place}.variations: {variation!r} does not act in region {sorted(left)[0]!r}, whose observable is "
                "the score; a training knows variations that act in all of these: leave it out"
            )
    if training.needs_variations and not training.variations:
        yield f"{place}.variations: the strategy {training.strategy!r} needs at least one; {suggest('', usable)}"
    yield from names.duplicates(training.variations, f"{place}.variations")
    if (training.classes or 0) * settings.learning.folds > MAXIMUM_BINS:
        folds = settings.learning.folds
        yield f"{place}.bins: {training.classes} bins in each of {folds} folds: at most {MAXIMUM_BINS}"
    try:
        Learning.model_validate(settings.learning.model_dump() | training.changes())
    except pydantic.ValidationError as error:
        yield f"{place}: {error.errors()[0]['msg']}"


def _scored(settings: Configuration) -> set[str]:
    return {name for name, region in settings.regions.items() if region.observable == "score"}


def _other_problems(settings: Configuration) -> Iterator[str]:
    for section in ("symmetrise", "smooth"):
        for name in getattr(settings.templates, section):
            if name not in settings.variations:
                yield f"templates.{section}: no variation {name!r}; {suggest(name, settings.variations)}"
    if not settings.fit.bounds[0] < 1 < settings.fit.bounds[1]:
        yield "fit.bounds: must contain 1, where the fit starts"
    yield from _bootstrap_problems(settings)
    if settings.fit.unblind and not any(sample.process == "data" for sample in settings.samples.values()):
        yield "fit.unblind: there are no collision data; add a sample with process: data"
    if all(region.observable != "score" for region in settings.regions.values()):
        yield "regions: at least one region's observable must be 'score', else there is nothing to train for"
    signals = [name for name, process in settings.processes.items() if process.role == "signal"]
    if not any(sample.train and sample.process in signals for sample in settings.samples.values()):
        yield "samples: no signal sample has train: true"
    yield from dask_checks.problems(settings.dask)


def _bootstrap_problems(settings: Configuration) -> Iterator[str]:
    """Yield what is wrong with ``toys.bootstrap``."""
    if (bootstrap := settings.toys.bootstrap) is None:
        return
    low, high = bootstrap.mu
    if low > high:
        yield f"toys.bootstrap.mu: from {low:g} to {high:g} is no range; write the smaller number first"
    if high >= settings.fit.bounds[1]:
        yield f"toys.bootstrap.mu: {high:g} is outside fit.bounds, where no fit would find it; widen them or lower it"
    if set(conditioning.trainings(settings)) == set(settings.trainings):
        yield "toys.bootstrap: trainings of the strategy 'conditional' take no part, and there are no others; remove it"


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(path: str, place: str) -> str:
    """Return *path* with ``${NAME}`` replaced by the environment variable; one that is not set is an error."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not os.environ.get(name):
            remedy = "export it (the folder of the data) or write the path"
            raise ConfigurationError(f"{place}: the environment variable {name} is not set; {remedy}")
        return os.environ[name]

    return _VARIABLE.sub(value, path)


def folder(settings: Configuration) -> str:
    """Return the folder of the user's files."""
    return expand(getattr(settings.dataset, "path", "."), "dataset.path")


def raw_files(settings: Configuration, sample: str) -> list[str]:
    """Return the paths of the files of *sample*, those to be fetched included; none for simulated data sets."""
    place, found = f"samples.{sample}.files", []
    for name in (expand(name, place) for name in settings.samples[sample].files):
        if not (paths := downloads.matching(folder(settings), name, getattr(settings.dataset, "download", {}))):
            remedy = "put the file there, or correct the pattern or dataset.path"
            raise ConfigurationError(f"{place}: no file matches {name!r} in {folder(settings)}; {remedy}")
        found += paths
    return list(dict.fromkeys(found))


def missing_files(settings: Configuration) -> list[str]:
    """Return the names in ``dataset.download`` of the files that some sample needs and that are not there."""
    paths = {path for sample in settings.samples for path in raw_files(settings, sample)}
    known = getattr(settings.dataset, "download", {})
    return [
        name for name in known if (path := Path(folder(settings)) / name) and str(path) in paths and not path.exists()
    ]


def converted(settings: Configuration, sample: str) -> bool:
    """Return whether the files of *sample* are read once and written anew, since reading pieces of them is slow."""
    text = any(name.lower().endswith((".csv", ".csv.gz")) for name in settings.samples[sample].files)
    return text or hasattr(datasets.MODULES[settings.dataset.kind], "convert")


def schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Configuration.model_json_schema()

"""Check the section ``correlations``: names, coefficients, and whether all together are a covariance."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from nuisflow import names
from nuisflow.likelihood.constraints import correlations
from nuisflow.settings import conditional, points
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.systematics import Correlated


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what is wrong with every entry, then with all of them, then where they have no meaning."""
    known, owners = points.constrained(settings), dict[tuple[str, str], str]()
    found = []
    for number, entry in enumerate(settings.correlations):
        place = f"correlations.{number}"
        found += [*_name_problems(settings, known, entry, f"{place}.between"), *_number_problems(entry, place)]
        for pair in combinations([known.get(name, name) for name in entry.between], 2):
            key = min(pair), max(pair)
            if (other := owners.setdefault(key, place)) != place:
                found.append(f"{place}.between: {pair[0]} with {pair[1]} stands in {other} already; remove one")
    if not found:
        for block in points.blocks(settings):
            together = correlations.flaws(np.array(block.correlation), block.parameters)
            found += [f"correlations: {', '.join(block.parameters)} together: {flaw}" for flaw in together]
        found += _elsewhere(settings, known) if settings.correlations else []
    yield from found


def _name_problems(settings: Configuration, known: Mapping[str, str], entry: Correlated, place: str) -> Iterator[str]:
    for name in entry.between:
        chosen = settings.variations.get(name)
        if chosen is not None and chosen.kind == "free_rate":
            yield f"{place}: {name!r} has no prior that could be correlated; leave it out"
        elif chosen is not None and name not in known:
            own = ", ".join(points.parameters(settings, name))
            yield f"{place}: {name!r} is decorrelated, so that it is several parameters; name them: {own}"
        elif name not in known:
            yield f"{place}: no nuisance parameter {name!r}; {names.suggest(name, known)}"
    yield from names.duplicates([known.get(name, name) for name in entry.between], place)


def _number_problems(entry: Correlated, place: str) -> Iterator[str]:
    size = len(entry.between)
    if (entry.coefficient is None) == (entry.matrix is None):
        yield f"{place}: give either 'coefficient' (of two) or 'matrix' (of two or more)"
    elif entry.coefficient is not None and size != 2:
        yield f"{place}.coefficient: is that of two, but 'between' names {size}; write a 'matrix', or one entry a pair"
    elif entry.matrix is not None:
        if len(entry.matrix) != size or any(len(row) != size for row in entry.matrix):
            yield f"{place}.matrix: {size} rows of {size} numbers are needed, in the order of 'between'"
            return
        yield from (f"{place}.matrix: {flaw}" for flaw in correlations.flaws(np.array(entry.matrix), entry.between))


def _elsewhere(settings: Configuration, known: Mapping[str, str]) -> Iterator[str]:
    """Yield where constraints are taken as independent."""
    for name in conditional.trainings(settings):
        yield (
            f"correlations: training {name!r} is conditional, whose fits over z take constraints as independent; "
            "leave this training or the correlations out"
        )
    pairs = {frozenset(map(known.get, pair)) for entry in settings.correlations for pair in entry.pairs()}
    for name, scenario in settings.scenarios.items():
        for pair in combinations(scenario.constrained, 2):
            if frozenset(map(known.get, pair)) in pairs:
                yield (
                    f"scenarios.{name}.constrained: scenarios take priors as independent, as published ones do, but "
                    f"{pair[0]} and {pair[1]} are correlated; name one of them, or remove their correlation"
                )

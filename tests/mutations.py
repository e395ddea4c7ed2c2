"""Random mistakes in configuration files: keys dropped, doubled, renamed, values of other types and sizes."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path

import yaml

WORDS = {
    "null": ["~"],
    "bool": ["true", "no"],
    "int": ["0", "-1", "3", "2000", "99999999999999999999999999", "1" + "0" * 400],
    "float": ["0.0", "-0.5", "1.0e+308", "1.0e-320", ".nan", ".inf", "-.inf"],
    "str": [
        "",
        " ",
        "x",
        "nominal",
        "data",
        "score",
        "{}",
        "../a",
        "a b",
        "τ",
        "1e308",
        "2026-01-01x",
        "x\ny",
        "%",
        "*",
    ],
    "timestamp": ["2026-01-01"],
}
"""Texts that YAML takes for values of these types."""
NUMBERS = ["0", "1", "-1", "0.5", "1.0e-3", "1e-3", "30", "1000000", "1.0e+20", "1.0e+308"]
KEYS = [
    "",
    "x",
    "no",
    "1",
    "label",
    "kind",
    "selection",
    "Signal",
    "a.b",
    "a b",
    "~",
    "nominal",
    "total",
    "z",
    "mu",
    "data",
]


def scalar(chosen: random.Random) -> yaml.Node:
    """Return a value of any type and size."""
    kind = chosen.choice(list(WORDS))
    return yaml.ScalarNode(f"tag:yaml.org,2002:{kind}", chosen.choice(WORDS[kind]))


def value(chosen: random.Random, depth: int = 2) -> yaml.Node:
    """Return a scalar, or a list or mapping of some."""
    form = chosen.random()
    number = chosen.randrange(3)
    if form < 0.7 or not depth:
        return scalar(chosen)
    parts = [value(chosen, depth - 1) for _ in range(number)]
    if form < 0.85:
        return yaml.SequenceNode("tag:yaml.org,2002:seq", parts)
    keys = [text(key) for key in chosen.sample(KEYS, number)]
    return yaml.MappingNode("tag:yaml.org,2002:map", list(zip(keys, parts, strict=True)))


def text(content: str) -> yaml.Node:
    """Return a plain text, of the type that YAML takes it for."""
    return yaml.ScalarNode(yaml.SafeLoader("").resolve(yaml.ScalarNode, content, (True, False)), content)


def places(node: yaml.Node) -> Iterator[tuple[yaml.Node, int]]:
    """Yield every mapping or list in *node* with the number of each of its entries."""
    if isinstance(node, yaml.CollectionNode):
        for index, entry in enumerate(node.value):
            yield node, index
            yield from places(entry[1] if isinstance(entry, tuple) else entry)


def mutate(node: yaml.Node, chosen: random.Random) -> str:
    """Make one mistake somewhere in *node*; return what was done."""
    every = list(places(node))
    parent, index = chosen.choice(every)
    entry = parent.value[index]
    kind = chosen.choice(["drop", "double", "rename", "replace", "swap", "move", *["nudge"] * 4])
    if kind == "drop":
        del parent.value[index]
    elif kind == "double":
        parent.value.insert(chosen.randrange(len(parent.value) + 1), copy.deepcopy(entry))
    elif kind == "rename" and isinstance(entry, tuple):
        old = str(entry[0].value)
        names = [*KEYS, old[:-1], old + "s", old.upper(), old + old, old + "_up"]
        parent.value[index] = text(chosen.choice(names)), entry[1]
    elif kind == "nudge" and isinstance(_value(parent, index), yaml.ScalarNode):
        _put(parent, index, _nudged(node, _value(parent, index), chosen))
    elif kind in ("swap", "move"):
        other, place = chosen.choice(every)
        if kind == "swap":
            _put(parent, index, copy.deepcopy(_value(other, place)))
        else:
            _put(other, place, copy.deepcopy(_value(parent, index)))
    else:
        _put(parent, index, value(chosen))
    return f"{kind} of {_name(parent, index)}"


def _nudged(whole: yaml.Node, old: yaml.ScalarNode, chosen: random.Random) -> yaml.Node:
    """Return another value of the same type: a number of another size, or a text that stands somewhere else."""
    kind = old.tag.rpartition(":")[2]
    if kind in ("int", "float", "bool"):
        return text(chosen.choice([*WORDS[kind], *NUMBERS]))
    texts = [entry for parent, index in places(whole) for entry in _texts(parent, index)]
    return text(chosen.choice(texts))


def _texts(parent: yaml.Node, index: int) -> Iterator[str]:
    """Yield the name and the text of an entry."""
    entry = parent.value[index]
    for part in entry if isinstance(entry, tuple) else (entry,):
        if isinstance(part, yaml.ScalarNode):
            yield part.value


def _value(parent: yaml.Node, index: int) -> yaml.Node:
    entry = parent.value[index]
    return entry[1] if isinstance(entry, tuple) else entry


def _name(parent: yaml.Node, index: int) -> str:
    if index >= len(parent.value):
        return "the last entry"
    entry = parent.value[index]
    return str(entry[0].value) if isinstance(entry, tuple) else str(index)


def _put(parent: yaml.Node, index: int, new: yaml.Node) -> None:
    entry = parent.value[index]
    parent.value[index] = (entry[0], new) if isinstance(entry, tuple) else new


def mutants(path: Path, number: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield *number* texts of the configuration *path* with one to three mistakes, and what these are."""
    content = path.read_text(encoding="utf-8")
    for index in range(number):
        chosen = random.Random(f"{path.name} {seed} {index}")
        node = yaml.compose(content, Loader=yaml.CSafeLoader)
        done = [mutate(node, chosen) for _ in range(chosen.choice([1, 1, 1, 2]))]
        yield ", ".join(done), yaml.serialize(node, Dumper=yaml.CSafeDumper, allow_unicode=True)

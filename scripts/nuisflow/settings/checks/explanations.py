"""What is wrong with one value of a configuration, in the words of the file: its path, the problem and the remedy."""

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nuisflow.names import suggest
from nuisflow.settings.configuration import Configuration

_SHOWN = 60
"""Characters of a wrong value that are shown."""
_NAMES = {
    "^[a-z][a-z0-9_]*$": "a name has lower-case letters, digits and underscores, and starts with a letter",
    "^[A-Za-z_][A-Za-z0-9_]*$": "the name of a column has letters, digits and underscores, and no digit first",
}
_UNITS = {"%": 0.01, "k": 1e3, "K": 1e3, "M": 1e6}
"""What people write behind numbers, and what it is."""
_FORMS = {
    "dict_type": "must be a section of names and values",
    "model_type": "must be a section of keys and values",
    "model_attributes_type": "must be a section of keys and values",
    "tuple_type": "must be a list, such as [a, b]",
}
_SCALARS = {"bool": "true or false", "int": "a number", "float": "a number", "string": "text"}


def lines(details: Iterable[Any], content: Any) -> list[str]:
    """Return a line for every wrong place in *content*: pydantic has an error for each type that is allowed there."""
    found: dict[str, list[str]] = {}
    scalars: dict[str, dict[str, None]] = {}
    for detail in details:
        line = explain(detail, content)
        place = line.partition(": ")[0]
        found.setdefault(place, []).append(line)
        if word := _SCALARS.get(detail["type"].partition("_")[0]):
            scalars.setdefault(place, {}).setdefault(word)
    return [line for place, same in found.items() for line in _one(place, same, list(scalars.get(place, ())))]


def _one(place: str, same: Sequence[str], allowed: Sequence[str]) -> list[str]:
    """Return the lines about one place: a single one, if a value of any of several types would do."""
    if len(allowed) < 2:
        return list(dict.fromkeys(same))
    got = re.search(r" \(got .*\)$", same[-1], re.DOTALL)
    return [f"{place}: must be {' or '.join(allowed)}{got[0] if got else ''}"]


def truths(content: Any, made: Any, place: str = "") -> Iterator[str]:
    """Yield the places of truth values in *content* that became numbers in *made*: pydantic takes yes for 1."""
    if isinstance(content, Mapping) and isinstance(made, Mapping):
        for key in content.keys() & made.keys():
            yield from truths(content[key], made[key], f"{place}.{key}" if place else str(key))
    elif isinstance(content, list | tuple) and isinstance(made, list | tuple):
        for index, pair in enumerate(zip(content, made, strict=False)):
            yield from truths(*pair, f"{place}.{index}")
    elif isinstance(content, bool) and not isinstance(made, bool):
        words = "yes, on and true mean true" if content else "no, off and false mean false"
        yield f"{place}: must be a number, but {words} in YAML; write a number"


def explain(detail: Any, content: Any) -> str:
    """Return one line for one error of pydantic about *content*."""
    location, kind, context = [str(part) for part in detail["loc"]], detail["type"], detail.get("ctx", {})
    place = ".".join(_spoken(detail["loc"], content, kind))
    match kind:
        case "extra_forbidden":
            return f"{place}: unknown key; {suggest(location[-1], _keys(location[:-1]))}"
        case "union_tag_invalid":
            key = str(context["discriminator"]).strip("'")
            allowed = re.findall(r"'([^']*)'", context["expected_tags"])
            return f"{place}.{key}: no {key} {_shown(context['tag'])}; {suggest(context['tag'], allowed)}"
        case "union_tag_not_found":
            return f"{place}: needs the key {context['discriminator']}"
        case "missing":
            return f"{place}: is required"
        case "string_type" | "invalid_key":
            return f"{place or 'a name'}: {_not_text(detail['input'])}"
        case "value_error":  # of a check of ours, which may begin with the rest of the path
            words = str(context["error"])
            return f"{place}.{words}" if re.match(r"[a-z_0-9.]+: ", words) else f"{place}: {words}"
        case "too_short":
            return f"{place}: needs at least {context['min_length']} entries; it has {context['actual_length']}"
        case "too_long":
            return f"{place}: has {context['actual_length']} entries; at most {context['max_length']} are allowed"
        case "float_parsing" | "int_parsing" | "int_from_float":
            return f"{place}: {_number(detail['input'], whole=kind != 'float_parsing')}"
    words = _NAMES.get(str(context.get("pattern"))) or _FORMS.get(kind) or detail["msg"]
    return f"{place}: {words} (got {_shown(detail['input'])})"


def _number(value: Any, *, whole: bool) -> str:
    """Return what is wrong with a *value* that is no number, or no *whole* one, and how it is written if it can be."""
    text = str(value).strip()
    factor = _UNITS.get(text[-1:], 1.0)
    try:
        number = float(text.rstrip("".join(_UNITS))) * factor
    except ValueError:
        number = math.nan
    can_be = math.isfinite(number) and (number.is_integer() or not whole)
    words = "must be a whole number" if whole else "must be a number"
    return f"{words} (got {_shown(value)}){f'; write {number:.12g}' if can_be else ''}"


def _shown(value: Any) -> str:
    """Return *value* as it is shown in an error."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _not_text(value: Any) -> str:
    """Return what to do about a value, or a name, that YAML does not read as text."""
    if isinstance(value, bool):
        words = "no, off and false" if value is False else "yes, on and true"
        return f"must be text, but {words} mean {str(value).lower()} in YAML; put the word in quotes"
    if isinstance(value, int | float):
        return f'must be text; put the number in quotes: "{value}"'
    return f"must be text (got {_shown(value)})"


def _spoken(location: Sequence[str | int], content: Any, kind: str) -> list[str]:
    """Return a path as it stands in the file.

    Of a wrong name it is the path of the section; a key that is missing stands at the end.
    """
    if kind == "invalid_key" or (kind == "string_type" and location[-1] == "[key]"):
        location = location[: -1 - (location[-1] == "[key]")]
    if kind == "missing":
        return [*_found(location[:-1], content), str(location[-1])]
    return _found(location, content)


def _found(location: Sequence[str | int], content: Any) -> list[str]:
    """Return the parts of a path that *content* has: pydantic puts the tags of unions between them."""
    if not location:
        return []
    part, *rest = location
    without = _found(rest, content)
    is_entry = isinstance(content, Mapping) and part in content
    if is_entry or (isinstance(content, list | tuple) and isinstance(part, int) and part < len(content)):
        return max(without, [str(part), *_found(rest, content[part])], key=len)
    return without


def _keys(location: list[str]) -> list[str]:
    """Return the keys allowed at *location*, found by walking the JSON schema of the configuration."""
    schema = _schema()
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


@functools.lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return Configuration.model_json_schema()


def _resolve(node: Any, schema: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {}
    if "$ref" in node:
        return dict(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    return node

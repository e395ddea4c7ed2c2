"""From a file to a configuration, or to errors with a place and a remedy."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from nuisflow import datasets, strategies
from nuisflow.settings import expansions
from nuisflow.settings.checks.analysis import _problems, suggest
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.systematics import SIZES


class ConfigurationError(ValueError):
    """A configuration that cannot be used, with one line per problem."""


class _Loader(yaml.SafeLoader):
    """Reads YAML and refuses two kinds of keys that YAML readers take without a word.

    One that stands twice, of which they keep the last; and ``no``, ``off``, ``yes``, ``on``, which are truth values.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen and key_node.value != "<<":
                raise ConfigurationError(f"{_at(key_node.start_mark)}: {key!r} is there twice; remove one")
            if isinstance(key, bool):
                word = key_node.value
                raise ConfigurationError(
                    f"{_at(key_node.start_mark)}: the name {word} means {str(key).lower()} in YAML; "
                    f'put it in quotes, "{word}", here and wherever else it stands'
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _at(mark: yaml.Mark) -> str:
    return f"{mark.name}: line {mark.line + 1}, column {mark.column + 1}"


_HINTS = {
    "found character '\\t' that cannot start any token": "a tab: indent with spaces",
    "found character '%' that cannot start any token": "a text that begins with % needs quotes",
    "found character '@' that cannot start any token": "a text that begins with @ needs quotes",
    "found character '`' that cannot start any token": "a text that begins with ` needs quotes",
    "mapping values are not allowed here": "a second ': ' in one entry (put the text in quotes), or wrong indentation",
}


def _invalid(path: Path | str, error: yaml.YAMLError) -> str:
    """Return what is wrong with a file that is not YAML: the place, the reason, and the line with a mark below it."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{path}: not valid YAML: {error}"
    mark, context = error.problem_mark, error.context_mark
    since = f", {error.context} from line {context.line + 1} on" if context and context.line != mark.line else ""
    reason = _HINTS.get(str(error.problem), error.problem)
    return f"{_at(mark)}: not valid YAML: {reason}{since}\n{mark.get_snippet(indent=4, max_length=100)}"


def read(path: Path | str) -> Any:
    """Return the content of the YAML file *path*; a key that stands twice is an error."""
    try:
        loader = _Loader(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not text in UTF-8 ({error}); save it with this encoding") from None
    except yaml.YAMLError as error:  # characters that no YAML has
        raise ConfigurationError(_invalid(path, error)) from None
    loader.name = str(path)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ConfigurationError(_invalid(path, error)) from None
    finally:
        loader.dispose()


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
    if kind == "string_type":
        return _not_text(_spoken(location), detail["input"])
    return f"{'.'.join(_spoken(location))}: {detail['msg']} (got {detail['input']!r})"


def _not_text(location: list[str], value: Any) -> str:
    """Return what to do about a value, or a name, that YAML does not read as text."""
    if location[-1] == "[key]":
        location = location[:-2]
    place = ".".join(location)
    if isinstance(value, bool):
        words = "no, off and false" if value is False else "yes, on and true"
        return f"{place}: must be text, but {words} mean {str(value).lower()} in YAML; put the word in quotes"
    if isinstance(value, int | float):
        return f'{place}: must be text; put the number in quotes: "{value}"'
    return f"{place}: must be text (got {value!r})"


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
    location = [part for part in location if part not in SIZES]
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


def schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Configuration.model_json_schema()

"""From a file to a configuration, or to errors with a place and a remedy."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import yaml

from nuisflow.settings import expansions
from nuisflow.settings.checks import explanations
from nuisflow.settings.checks.analysis import _problems
from nuisflow.settings.configuration import Configuration


class ConfigurationError(ValueError):
    """A configuration that cannot be used, with one line per problem."""


class _Names(yaml.constructor.SafeConstructor):
    """A reader of YAML that refuses two kinds of keys which readers take without a word.

    One that stands twice, of which they keep the last; and one that is no text, such as ``no``, which means false.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ConfigurationError):
                raise
            kind = {"int": "whole number", "timestamp": "date"}.get(tag := node.tag.rpartition(":")[2], tag)
            raise ConfigurationError(
                f"{_at(node.start_mark)}: {node.value!r} looks like a {kind} and is none ({error}); correct it, or put "
                "it in quotes if it is text"
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key, word = self.construct_object(key_node, deep=True), key_node.value
            if not isinstance(key, str) and word != "<<":
                raise ConfigurationError(f"{_at(key_node.start_mark)}: {_no_name(key, word)}")
            if key in seen and word != "<<":
                raise ConfigurationError(f"{_at(key_node.start_mark)}: {key!r} is there twice; remove one")
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Loader(_Names, yaml.SafeLoader):
    """Knows the line of every mistake."""


class _FastLoader(_Names, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads what is right in a tenth of the time."""


def _no_name(key: Any, word: Any) -> str:
    """Return what to do about a key that YAML does not read as text."""
    if not isinstance(word, str):
        return "a name must be text, not a list or a mapping"
    if isinstance(key, bool):
        return (
            f'the name {word} means {str(key).lower()} in YAML; put it in quotes, "{word}", here and wherever else it '
            "stands"
        )
    kind = "nothing" if key is None else "a number" if isinstance(key, int | float) else f"a {type(key).__name__}"
    return f'the name {word} is {kind} in YAML, not text; put it in quotes, "{word}"'


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
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not text in UTF-8 ({error}); save it with this encoding") from None
    with contextlib.suppress(yaml.YAMLError, ConfigurationError):
        return yaml.load(text, _FastLoader)
    return _explained(text, path)


def _explained(text: str, path: Path | str) -> Any:
    """Return what *text* says, read by the loader that knows where a mistake is."""
    try:
        loader = _Loader(text)
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
        raise ConfigurationError(_lines(place, explanations.lines(error.errors(), content))) from None
    if problems := list(explanations.truths(content, settings.model_dump())):
        raise ConfigurationError(_lines(place, problems))
    if problems := list(expansions.problems(settings)):
        raise ConfigurationError(_lines(place, problems))
    written, settings = settings, expansions.expand(settings)
    if problems := [*expansions.expression_problems(written), *_problems(settings)]:
        raise ConfigurationError(_lines(place, problems))
    return settings


def _lines(place: str, problems: Any) -> str:
    return "\n".join(f"{place}: {problem}" for problem in problems)


def schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Configuration.model_json_schema()

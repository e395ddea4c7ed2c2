"""A strategy from a file of the user."""

import difflib
import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError

from nuisflow.storage import plugins
from nuisflow.strategies.strategy import Strategy


class User(Strategy):
    """The strategy that the Python file *file* defines: one class that is a child of ``Strategy`` (or of ``Varied``).

    Everything that the training loop asks a strategy is answered by this class. The path is relative to the folder in
    which Snakemake runs. The keys of *options* are the fields of the class; those that all strategies have (label,
    variations, hidden, …) stand beside *file*. The file is read when the configuration is checked, so that heavy
    imports belong into its functions. Example: ``config/examples/user_strategy.py``.
    """

    strategy: Literal["user"] = "user"
    file: str = Field(min_length=1, description="Python file with one class that is a child of Strategy")
    options: dict[str, Any] = Field({}, description="values of the fields of this class")
    _chosen: Strategy = PrivateAttr()

    def model_post_init(self, context: Any) -> None:  # noqa: ARG002
        """Make the user's strategy, so that wrong options are found when the configuration is checked."""
        common = {name: getattr(self, name) for name in Strategy.model_fields}
        self._chosen = _made(_load(self.file), self.file, self.options, common)

    def __getattribute__(self, name: str) -> Any:
        """Let the user's strategy answer what any strategy is asked."""
        if name in _ASKED:  # private fields are found by __getattr__ only, which comes after this
            return getattr(super().__getattribute__("__pydantic_private__")["_chosen"], name)
        return super().__getattribute__(name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options only: another process reads the file again."""
        return User.model_validate, (self.model_dump(),)

    @property
    def modules(self) -> tuple[str, ...]:
        """The files that hold its code: this one and the user's."""
        return ("strategies/user.py", str(Path(self.file).resolve()))

    def constants(self) -> None:
        """Return None: only the user's class knows what a score is."""
        return

    def ignored(self) -> dict[str, Any]:
        """Return what training does not depend on, with the user's own options in *options*."""
        ignored = self._chosen.ignored()
        own = {name: value for name, value in ignored.items() if name not in Strategy.model_fields}
        common = {name: value for name, value in ignored.items() if name not in own}
        return common | ({"options": self.options | own} if own else {})

    def informed(self, acting: Mapping[str, Sequence[str]], signal: str) -> Self:  # noqa: ARG002
        """Return the strategy itself: one of a user's own is told nothing of the analysis."""
        return self


_ALIKE = 0.75
"""Names are alike beyond this ratio (`difflib`): los and loss, netwoks and networks; not score and store_history."""
_ASKED = frozenset(
    name
    for name in vars(Strategy)
    if not name.startswith(("_", "model_")) and name not in Strategy.model_fields and name not in vars(User)
)


def _load(file: str) -> type[Strategy]:
    """Return the one strategy that *file* defines; the same content always gives the same class."""
    try:
        module = plugins.load(file)
    except plugins.PluginError as error:
        raise ValueError(f"file: {error}") from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(value.__name__ for value in found) or "none"
        raise ValueError(
            f"file: {file!r} must define exactly one class that is a child of Strategy or Varied "
            f"(from nuisflow.strategies.strategy); found: {names}"
        )
    if problems := list(_misspelt(found[0])) or list(_unlike(found[0])):
        raise ValueError(f"file: {file!r}: {'; '.join(problems)}")
    return found[0]


def _own(chosen: type[Strategy]) -> Iterator[tuple[str, Any]]:
    """Yield what *chosen* and its parents in the user's file define beside fields and private names."""
    for parent in chosen.__mro__:
        if parent.__module__ == chosen.__module__:
            fixed = set(getattr(parent, "__class_vars__", ()))
            yield from (
                (name, value)
                for name, value in vars(parent).items()
                if not name.startswith(("_", "model_"))
                and (name in fixed or callable(value) or isinstance(value, _DEFINED))
            )


_DEFINED: tuple[type, ...] = (property, functools.cached_property, staticmethod, classmethod)


def _misspelt(chosen: type[Strategy]) -> Iterator[str]:
    """Name what training never asks for and what it resembles; or say that nothing is changed at all."""
    own = [name for name, _ in _own(chosen)]
    for name in own:
        close = difflib.get_close_matches(name, _ASKED, n=1, cutoff=_ALIKE)
        if close and close[0] != name:
            yield (
                f"{chosen.__name__}.{name}: training never asks for it; did you mean {close[0]!r}? "
                "(A helper of your own may begin with '_'.)"
            )
    if not _ASKED & set(own):
        yield (
            f"{chosen.__name__} defines nothing that training asks for, so that it would train as its parent does; "
            f"it asks for {', '.join(sorted(_ASKED))}"
        )


def _unlike(chosen: type[Strategy]) -> Iterator[str]:
    """Name methods that cannot be called as training calls them."""
    for name, value in _own(chosen):
        asked = inspect.getattr_static(Strategy, name, None)
        if not (inspect.isfunction(value) and inspect.isfunction(asked)):
            continue
        wanted = list(inspect.signature(asked).parameters)
        try:
            inspect.signature(value).bind(*wanted)
        except TypeError as error:
            yield f"{chosen.__name__}.{name}: is called with ({', '.join(wanted)}): {error}"


def _made(chosen: type[Strategy], file: str, options: dict[str, Any], common: dict[str, Any]) -> Strategy:
    """Return *chosen* with *options*; say what is wrong with them in terms of the configuration."""
    own = [name for name in chosen.model_fields if name not in Strategy.model_fields]
    for name in options:
        if name in Strategy.model_fields:
            raise ValueError(f"options.{name}: all strategies have this key; write it beside 'file'")
    if not chosen.model_fields["strategy"].is_required():
        common = {name: value for name, value in common.items() if name != "strategy"}
    try:
        return chosen.model_validate(common | options)
    except ValidationError as error:
        raise ValueError(f"{'; '.join(_explained(detail, own) for detail in error.errors())} ({file!r})") from None


def _explained(detail: Any, own: list[str]) -> str:
    """Return one line for one error of pydantic."""
    place = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place, own, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(own) or 'none'}"
        return f"options.{place}: no such option; {hint}"
    if detail["type"] == "missing":
        return f"options.{place}: is required"
    value = f" (got {detail['input']!r})" if place else ""
    message = str(detail["msg"]).removeprefix("Value error, ")
    return (f"options.{place}: " if place in own else "") + message + value

"""From files to a model: workspaces, patches of them, and other settings of their parameters."""

import copy
import hashlib
import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nuisflow.likelihood import histfactory
from nuisflow.likelihood.constraints.parameters import Parameter
from nuisflow.likelihood.dialects import files
from nuisflow.likelihood.histfactory import Setting
from nuisflow.likelihood.model import Model
from nuisflow.names import suggest

STDIN = Path("-")


def load(
    path: Path,
    measurement: str | None = None,
    poi: str | None = None,
    *,
    patches: Sequence[str] = (),
    settings: Mapping[str, Setting] | None = None,
    needs_poi: bool = True,
) -> Model:
    """Return the model of a workspace file, with *poi* in place of the measurement's parameter of interest.

    *patches*: FILE or FILE:NAME each, applied in this order; *settings* of parameters in place of the workspace's.
    Raise ValueError with the file, the place in it and the remedy.
    """
    text = text_of(path)
    content = read(path, measurement, text=text)
    measurement = None if files.dialect(text) == files.HS3 else measurement
    for patch in patches:
        content = patched(content, patch)
    try:
        names = [str(entry.get("name")) for entry in content.get("measurements", [])]
        if measurement is not None and names and measurement not in names:
            raise ValueError(f"no measurement {measurement!r} in the workspace; {hint(measurement, names)}")
        structure = histfactory.changed(histfactory.read(content, measurement, poi=""), settings or {})
        wanted = histfactory.settings_of(content, measurement)["poi"] if poi is None else poi
        if wanted or needs_poi:
            structure = structure._replace(poi=_known_poi(structure.parameters, wanted))
        return Model(structure)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except OverflowError as error:
        raise ValueError(f"{path}: a number is too large ({error})") from None
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"{path}: not a workspace: {_schema_problem(content, error)}") from None


def read(
    path: Path, measurement: str | None = None, mass: str | None = None, *, text: str | None = None
) -> dict[str, Any]:
    """Read a workspace, or a file of another dialect as one; raise ValueError or OSError where *path* holds none.

    *measurement*: analysis of an HS3 file; *mass*: for a datacard; *text*: what was read of the file before.
    """
    text = text_of(path) if text is None else text
    content = files.read(path, text, measurement, mass) or _parsed(path, lambda: text, "a workspace")
    if "patches" in content and "channels" not in content:
        raise ValueError(f"{path}: a patch set, not a workspace; give it to a workspace with --patch {path}:NAME")
    return content


def text_of(path: Path) -> str:
    """Return the text of a file (or of the standard input)."""
    if path == STDIN:
        return sys.stdin.read()
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, not a file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None


def _content(path: Path, what: str) -> dict[str, Any]:
    """Return the JSON object that a file (or the standard input) is."""
    return _parsed(path, lambda: text_of(path), what)


def _parsed(path: Path, text: Callable[[], str], what: str) -> dict[str, Any]:
    """Return the JSON object that a text is."""
    try:
        content = json.loads(text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if isinstance(content, list) and what == "a patch":
        return {"patches": [{"patch": content, "metadata": {"name": ""}}], "metadata": {}}
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not {what}: a JSON object is needed, not a {type(content).__name__}")
    return content


# --- patches ----------------------------------------------------------------------------------------------------------


def patched(workspace: Mapping[str, Any], patch: str) -> dict[str, Any]:
    """Return *workspace* with a patch: FILE:NAME of pyhf's patch sets, or the FILE of a list of operations (RFC 6902).

    A patch set knows digests of the workspace that it is for; those that the set gives must be right.
    """
    path, name = Path(patch), ""
    if not path.exists() and ":" in patch:
        head, name = patch.rsplit(":", 1)
        path = Path(head)
    content = _content(path, "a patch")
    try:
        known = {str(entry["metadata"]["name"]): entry["patch"] for entry in content["patches"]}
        digests = dict(content["metadata"].get("digests") or {})
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError(f"{path}: not a patch set: 'patches', each with 'patch' and 'metadata': 'name', and "
                         f"'metadata' are needed") from None  # fmt: skip
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        raise ValueError(f"{path}: no patch {name!r} (--patch {path}:NAME); {hint(name, list(known))}")
    for algorithm, digest in digests.items():
        if (own := _digest(workspace, algorithm)) != digest:
            raise ValueError(f"{path}: it is for a workspace with {algorithm} {digest}, not {own}")
    changed: dict[str, Any] = copy.deepcopy(dict(workspace))
    for number, operation in enumerate(known[name]):
        try:
            _apply(changed, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: patch {name!r}, operation {number}: it does not apply: "
                             f"{error.args[0] if error.args else error}") from None  # fmt: skip
    return changed


def _digest(content: Any, algorithm: str) -> str:
    """Return the digest of a workspace as pyhf makes it: of its JSON with sorted keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
    if algorithm not in hashlib.algorithms_available:
        raise ValueError(f"the digest {algorithm!r} of the patch set is not known; known: md5, sha256, …")
    return hashlib.new(algorithm, text).hexdigest()


def _apply(content: Any, operation: Mapping[str, Any]) -> None:
    """Apply one operation of a JSON patch (RFC 6902) in place."""
    kind, path = operation["op"], operation["path"]
    if kind == "test":
        if _at(content, path) != operation["value"]:
            raise ValueError(f"the test of {path!r} fails")
        return
    if kind in ("move", "copy"):
        value = copy.deepcopy(_at(content, operation["from"]))
        _change(content, operation["from"], "remove") if kind == "move" else None
        _change(content, path, "add", value)
    elif kind in ("add", "replace"):
        _change(content, path, kind, copy.deepcopy(operation["value"]))
    elif kind == "remove":
        _change(content, path, kind)
    else:
        known = ["add", "remove", "replace", "move", "copy", "test"]
        raise ValueError(f"no operation {kind!r}; {hint(str(kind), known)}")


def _steps(path: str) -> list[str]:
    """Return the parts of a JSON pointer (RFC 6901)."""
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} must begin with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _at(content: Any, path: str) -> Any:
    for part in _steps(path):
        content = content[_key(content, part, path)]
    return content


def _key(content: Any, part: str, path: str) -> Any:
    """Return the key or the index that a part of a pointer is."""
    if isinstance(content, dict):
        if part not in content:
            raise KeyError(f"there is no {path!r}")
        return part
    if not isinstance(content, list) or not part.isdecimal() or int(part) >= len(content):
        raise KeyError(f"there is no {path!r}")
    return int(part)


def _change(content: Any, path: str, kind: str, value: Any = None) -> None:
    """Add, replace or remove what a pointer leads to."""
    *way, last = _steps(path)
    for part in way:
        content = content[_key(content, part, path)]
    if kind == "add" and isinstance(content, list):
        if last != "-" and not (last.isdecimal() and int(last) <= len(content)):
            raise KeyError(f"there is no {path!r}")
        content.insert(len(content) if last == "-" else int(last), value)
    elif kind == "add" and isinstance(content, dict):
        content[last] = value
    elif kind == "remove":
        del content[_key(content, last, path)]
    else:
        content[_key(content, last, path)] = value


# --- what may be wrong ------------------------------------------------------------------------------------------------


def _known_poi(parameters: Sequence[Parameter], wanted: Any) -> str:
    known = [row.name for row in parameters]
    free = [row.name for row in parameters if row.kind == "normfactor"]
    if not wanted:
        raise ValueError(f"the measurement names no parameter of interest; give one with --poi, such as "
                         f"{', '.join(free or known)}")  # fmt: skip
    if wanted not in known:
        raise ValueError(f"no parameter {wanted!r} to be of interest (--poi); {hint(str(wanted), known)}")
    if parameters[known.index(wanted)].fixed:
        raise ValueError(f"the parameter of interest {wanted!r} is fixed by the measurement: nothing to fit")
    return str(wanted)


def hint(name: str, known: Sequence[str]) -> str:
    """Return what may have been meant, not longer than a few lines."""
    return textwrap.shorten(suggest(name, known), 400, placeholder=f" … ({len(known)} in all)")


def _schema_problem(content: Mapping[str, Any], error: Exception) -> str:
    """Return what pyhf's schema says of a workspace that our reader stumbled over."""
    try:
        import pyhf

        pyhf.schema.validate(content, "workspace.json")
    except ImportError:
        return f"{type(error).__name__}: {error} (with pyhf installed, its schema says more)"
    except pyhf.exceptions.InvalidSpecification as invalid:
        return " ".join(str(invalid).split())
    return f"{type(error).__name__}: {error}"

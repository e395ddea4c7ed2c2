"""Look at the files of the user before anything runs: at the head of each, and the first rows.

What these tell is said at once, for all files, in the words of the jobs that would fail otherwise: the same code
judges. A file that was looked at and did not change since is not looked at again.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import expressions, slices
from nuisflow.events import ingestion, selection
from nuisflow.progress import Reporter
from nuisflow.settings import points, sections
from nuisflow.settings.configuration import Configuration
from nuisflow.slices import training
from nuisflow.slices.events import Ingestion, Processing
from nuisflow.storage import disks, user_files
from nuisflow.storage.ingested import LISTS, Kind
from nuisflow.storage.user_files import DOUBLE, WHOLE

ROWS = 100
"""Rows at the beginning of every file that are read and processed."""
FILES = 50
"""Files of a sample whose first rows are processed; of more, as many at equal distances."""
LINES = 20
"""Lines of problems that are shown at most."""
Kinds = dict[str, Kind | None]
Known = dict[str, Any]
"""What was found in a file for a sample: its *state*, what was done with it (*view*), the *kinds* of its columns."""


class _View(NamedTuple):
    """What is done with the files of one sample: how they are read, and processed at nominal and at every shift.

    *learned*: whether classifiers learn of it. *unused*: columns that are listed for nothing: they need not be
    there, but if they are, they are numbers.
    """

    reading: list[Ingestion]
    processing: list[Processing]
    learned: bool
    unused: list[str]

    def digest(self, code: str) -> str:
        """Return a hash of all that decides what is found in a file."""
        plain = [code, ROWS, self.learned, self.unused, *map(sections.plain, (*self.reading, *self.processing))]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def problems(
    settings: Configuration,
    files: Mapping[str, Sequence[str]],
    memory: Path,
    code: str,
    say: Callable[[str], None] | None = None,
) -> list[str]:
    """Return what is wrong with the *files* of every sample, as far as head and first rows tell, one line each.

    *memory*: a file that remembers which were looked at; *code*: a hash of what processes them; *say* tells how far
    this is. Files that are not there are left to others.
    """
    known = _remembered(memory)
    chosen = [name for name in settings.samples if files.get(name) and not _is_made(settings, name)]
    reporter = Reporter("files looked at before the first job", sum(len(files[name]) for name in chosen), say)
    found: dict[str, list[str]] = {}
    fine: dict[str, Known] = {}
    done = 0
    for name in chosen:
        view = _view(settings, name)
        there = {
            path: {"state": _state(path), "view": view.digest(code)}
            for path in map(Path, files[name])
            if path.is_file()
        }
        for path, error in _look(name, view, there, known):
            if error is None:
                fine[f"{name} {path.absolute()}"] = there[path]
            else:
                text = str(error) if str(path) in str(error) else f"{path}: {error}"
                found.setdefault(text.replace(str(path), "{}"), []).append(f"samples.{name}.files: {text}")
            done += 1
            reporter.tell(done)
    if fine.keys() - known.keys() or any(fine[key] != known[key] for key in fine):
        _remember(memory, known | fine)
    return _shortened(found)


def _is_made(settings: Configuration, sample: str) -> bool:
    """Tell whether an estimate has made *sample*, from files of others."""
    chosen = settings.samples[sample]
    return chosen.recorded or chosen.process in points.parts(settings)


def _view(settings: Configuration, sample: str) -> _View:
    return _View(
        [slices.events.ingestion(settings, sample, part) for part in slices.events.parts(settings, sample)],
        [slices.events.processing(settings, sample, name) for name in slices.events.shifted_names(settings, sample)],
        any(
            chosen.learns and sample in training.training_samples(settings, name)
            for name, chosen in settings.trainings.items()
        ),
        slices.events.unused(settings, sample),
    )


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _look(
    sample: str, view: _View, there: Mapping[Path, Known], known: Mapping[str, Known]
) -> Iterator[tuple[Path, Exception | None]]:
    """Yield every file with what is wrong with it, if anything is; put the types of its columns into *there*."""
    fresh, heads = [], dict[Path, Kinds]()
    for path, found in there.items():
        old = known.get(f"{sample} {path.absolute()}", {})
        if {key: old.get(key) for key in found} == found:
            found["kinds"] = old["kinds"]
            heads[path] = {name: _kind(text) for name, text in old["kinds"].items()}
            continue
        fresh.append(path)
        try:
            heads[path] = ingestion.file_kinds(path, view.reading[-1], ingestion.HEAD, view.unused)
            found["kinds"] = {name: None if kind is None else str(kind) for name, kind in heads[path].items()}
        except (ValueError, OSError) as error:
            yield path, error
    yield from ((path, None) for path in there if path not in fresh)
    try:
        kinds = [ingestion.joined_kinds(heads, reading) for reading in view.reading]
    except ValueError as error:
        yield next(iter(heads)), error
        return
    whole = [path for path in fresh if path in heads]
    step = -(-len(whole) // FILES)
    for index, path in enumerate(whole):
        if index % step:
            yield path, None
            continue
        try:
            _try_rows(path, kinds, view, view.processing[: None if index == 0 else 1])
        except (ValueError, OSError) as error:
            yield path, error
        else:
            yield path, None


def _kind(text: str | None) -> Kind | None:
    return None if text is None else LISTS if text == LISTS else np.dtype(text)


def _try_rows(path: Path, kinds: Sequence[Mapping[str, Kind]], view: _View, processing: Sequence[Processing]) -> None:
    """Read the first rows of *path* and process them; raise what a job would raise.

    Whole numbers of a file that does not say so itself may turn out to have fractions further down: where they alone
    are the problem it is none.
    """
    try:
        _process(path, kinds, view, processing)
    except expressions.ExpressionError:
        wide = [{name: DOUBLE if kind == WHOLE else kind for name, kind in part.items()} for part in kinds]
        if path.name.lower().endswith(".root") or wide == kinds:
            raise
        _process(path, wide, view, processing)


def _process(path: Path, kinds: Sequence[Mapping[str, Kind]], view: _View, processing: Sequence[Processing]) -> None:
    columns: dict[str, Any] = {}
    for reading, known in zip(view.reading, kinds, strict=True):
        chosen = dict(known)
        while True:
            try:
                columns |= ingestion.first_rows(path, chosen, reading, ROWS)
                break
            except user_files.Wider as found:
                chosen[found.column] = DOUBLE
    if not columns or not (size := len(next(iter(columns.values())))):
        return
    sample = processing[0].sample
    raw = selection.grouped(columns, processing[0].events) | {"entry": np.arange(size)}
    raw |= {f"ratio_{Path(ratio).parent.name}": np.ones(size) for ratio in sample.ratios}
    if sample.selection is not None:
        belongs = expressions.decide(sample.selection, raw, "selection of the sample")
        raw = {name: values[belongs] for name, values in raw.items()}
    for settings in processing:
        selected = selection.processed(raw, settings)
        if view.learned and settings.variation is None:
            scored = [region.observable == "score" for region in settings.events.regions.values()]
            rows = np.asarray(scored)[selected["region"]]
            selection.check_learnable({key: selected[key][rows] for key in ("entry", "weight")}, settings.name)


def _shortened(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line for what is alike in several files, and the first `LINES` of all."""
    lines = [
        same[0] + (f" (and {len(same) - 1} more files or samples alike)" if len(same) > 1 else "")
        for same in found.values()
    ]
    left = len(lines) - LINES
    return [*lines[:LINES], *([f"and {left} more files with other problems"] if left > 0 else [])]


def _remembered(memory: Path) -> dict[str, Known]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(memory.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _remember(memory: Path, known: Mapping[str, Known]) -> None:
    """Write what is *known*; where that is not possible, files are looked at again."""
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        with disks.replacing(memory) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")

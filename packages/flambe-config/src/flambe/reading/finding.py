"""Where runs are: below a folder, and by a number or the beginning of an id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flambe.errors import ConfigError, UsageError
from flambe.reading.inside import folders
from flambe.reading.natural import natural
from flambe.reading.whole_run import is_whole_run
from flambe.record.layout import RUN, STAGES


def may_hold_runs(name: str) -> bool:
    """Whether a folder is looked into: the stages of a run hold no runs, and hidden folders are somebody's scratch."""
    return not name.startswith(".") and name != STAGES


def find_runs(root: Path, problems: list[str]) -> Iterator[Path]:
    """Yield the folders of our runs at and below ``root``, and read nothing else; what cannot be read is added to ``problems``."""
    try:
        if is_whole_run(root):
            yield root
            return
        children = folders(root)
    except (OSError, ConfigError) as error:
        problems.append(str(error))
        return
    for name in sorted(children, key=natural):
        if may_hold_runs(name):
            yield from find_runs(root / name, problems)


def find_run(text: str, folder: Path) -> Path:
    """Return the run that a text names: its folder, or the beginning of its id or of its number (``exp.3``) below ``folder``.

    Raises UsageError when there is none, or more than one.
    """
    from flambe.record import run  # who only asks many runs starts without it

    if (Path(text) / RUN).is_file():
        return Path(text).absolute()
    found: list[Path] = []
    near: list[str] = []
    for path in find_runs(folder, []) if folder.is_dir() else ():
        try:
            record = run.read_record(path / RUN, run.RunRecord)
        except (OSError, ConfigError):
            continue
        if path.name == text or (text and record.id.lower().startswith(text.lower())):
            found.append(path)
        near.append(str(path))
    if len(found) == 1:
        return found[0].absolute()
    expected = "the folder of a run, its id, or the beginning of it"
    if found:
        shown = ", ".join(str(path) for path in found[:5])
        raise UsageError(f"{len(found)} runs are called {text!r}: {shown}", expected=expected)
    there = f"The newest one is {near[-1]}." if near else None
    raise UsageError(f"there is no run {text!r} below {folder}", expected=expected, hint=there)

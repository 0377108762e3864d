"""The check of paths in plain text: files that are read are there, or may be made before."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flambe.errors import near_file
from flambe.spec.nodes import GRID, NEW, SCRIPT, Stage, kind_of

if TYPE_CHECKING:
    from flambe.compile.annotations import Type
    from flambe.compile.check import Checker
    from flambe.compile.library import Library
    from flambe.compile.lowering import Where

_INPUT_PATH = ("flambe.build.input_path", "InputPath")
# Objects of these write nothing that a path of the config could name.
_WRITE_NOTHING = ("flambe", "torch")


def check_paths(stages: Sequence[Stage], checker: Checker, library: Library, folder: str) -> None:
    """Warn of files that arguments name, by their annotation ``InputPath``, and that are not there. folder: of the YAML file."""
    for at, (value, type_) in checker.paths.items():
        for place, path in _paths(value, type_, at, library):
            if path and "://" not in path and not path.startswith("package:"):
                tell_missing(path, place, stages, checker, folder, what=f"there is no {path}")


def tell_missing(path: str, at: Where, stages: Sequence[Stage], checker: Checker, folder: str, *, what: str) -> None:
    """Warn of a path that is not there. It may be there on another machine, so no more than that.

    Of one that an earlier stage may make, a program or a class of the user's, only where one that is there has nearly its name.
    """
    here = os.path.expanduser(path)
    if os.path.exists(here):
        return
    near = near_file(os.path.abspath(here))
    if any(map(_may_write, stages[: _stage(at)])) and not (near or "").startswith("Did"):
        return
    what = what if os.path.isabs(here) else f"{what} in {os.getcwd()}, where a relative path begins"
    if not os.path.isabs(here) and os.path.exists(os.path.join(folder, here)):
        near = f"From the folder of this file, wherever it is run: !file {path}"
    checker.warn(at, "missing-file", what if near is None else f"{what}. {near}")


def _stage(at: Where) -> int:
    return at[1] if len(at) > 1 and isinstance(at[1], int) else 0


def _may_write(stage: Stage) -> bool:
    target = stage.body.get(NEW, "")
    return target == SCRIPT or target.partition(".")[0].partition(":")[0] not in _WRITE_NOTHING


def _paths(value: Any, type_: Type, at: Where, library: Library) -> Iterator[tuple[Where, str]]:
    """Yield the texts in a value where its type says ``InputPath``."""
    if kind_of(value) == GRID:
        for index, option in enumerate(value[GRID]):
            yield from _paths(option, type_, (*at, GRID, index), library)
        return
    for one in type_[1:] if isinstance(type_, list) and type_[0] == "union" else [type_]:
        if not isinstance(one, list):
            continue
        if one[0] == "class" and isinstance(value, str):
            module, _, name = one[1].partition(":")
            found = library.find(module, name)
            if found is not None and (found.module, found.name) == _INPUT_PATH:
                yield at, value
        elif one[0] == "list" and isinstance(value, list):
            for index, item in enumerate(value):
                yield from _paths(item, one[1], (*at, index), library)


__all__ = ["check_paths", "tell_missing"]

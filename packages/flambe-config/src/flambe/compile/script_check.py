"""The check of ``!Script``: its program is there, and so is the function that reads its metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flambe.compile.path_check import tell_missing
from flambe.errors import did_you_mean
from flambe.spec.nodes import GRID, NEW, SCRIPT, Stage, kind_of

if TYPE_CHECKING:
    from flambe.compile.check import Checker
    from flambe.compile.library import Library
    from flambe.compile.lowering import Where


def check_scripts(stages: Sequence[Stage], checker: Checker, library: Library, folder: str) -> None:
    """Note programs and metric functions that are not there. folder: of the YAML file, where people look for a path to begin."""
    for index, stage in enumerate(stages):
        if stage.body.get(NEW) != SCRIPT:
            continue
        at: Where = ("stages", index, "body")
        for place, script in _texts(stage.body.get("script"), (*at, "script")):
            _program(script, place, stages, checker, folder)
        for place, function in _texts(stage.body.get("metric_fn"), (*at, "metric_fn")):
            _function(function, place, checker, library)


def _texts(node: Any, at: Where) -> Iterator[tuple[Where, str]]:
    if isinstance(node, str):
        yield at, node
    elif kind_of(node) == GRID:
        for index, option in enumerate(node[GRID]):
            yield from _texts(option, (*at, GRID, index))


def _program(script: str, at: Where, stages: Sequence[Stage], checker: Checker, folder: str) -> None:
    # A module may be one of another environment.
    if script.endswith(".py") or "/" in script:
        tell_missing(script, at, stages, checker, folder, what=f"there is no program {script}")


def _function(target: str, at: Where, checker: Checker, library: Library) -> None:
    module, colon, name = target.partition(":")
    if not colon:
        what = f"metric_fn of Script is {target!r}"
        checker.fault(at, "missing-function", what, expected="module:function")
    elif library.module(module) is not None and not library.may_export(module, name):
        hint = did_you_mean(name, library.names(module))
        checker.fault(at, "missing-function", f"{module} has no function {name!r}, which metric_fn names", hint=hint)


__all__ = ["check_scripts"]

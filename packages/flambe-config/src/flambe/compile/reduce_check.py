"""The check of ``reduce``: a stage of which only the best variants stay has to measure them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flambe.spec.nodes import GRID, NEW, SCRIPT, SEARCHES, Stage, kind_of, links, walk

if TYPE_CHECKING:
    from flambe.compile.check import Checker


def check_reduced(stages: Sequence[Stage], checker: Checker) -> None:
    """Note stages with several variants and a ``reduce`` whose source shows that they have no ``metric()``."""
    varied: set[str] = set()
    for index, stage in enumerate(stages):
        if any(map(_is_choice, walk(stage.body))) or any(link.path[0] in varied for _, link in links(stage.body)):
            varied.add(stage.name)
        if not stage.reduce or stage.name not in varied:
            continue
        what, hint = None, None
        own = checker.kinds.own(stage.body, "metric")
        if own is not None and not own[1]:
            what = f"{own[0]} has no metric()"
            hint = _meant(stages, index, checker) or "Give it one that returns a number."
        elif stage.body.get(NEW) == SCRIPT and stage.body.get("metric_fn") is None:
            what = "its Script has no metric_fn"
            hint = "Name the function that reads the number: 'metric_fn: module:function'."
        if what is not None:
            what = f"reduce of {stage.name!r} has nothing to compare: {what}"
            checker.fault(("stages", index, "reduce"), "no-metric", what, key=True, hint=hint)


def _is_choice(found: tuple[Any, Any]) -> bool:
    kind = kind_of(found[1])
    return kind in SEARCHES and not (kind == GRID and len(found[1][GRID]) < 2)


def _meant(stages: Sequence[Stage], index: int, checker: Checker) -> str | None:
    """Return the question for another stage, below or above, which measures its variants."""
    for other in (*stages[index + 1 :], *reversed(stages[:index])):
        own = checker.kinds.own(other.body, "metric")
        if own is not None and own[1] and not other.reduce:
            return f"Did you mean {other.name!r}, whose {own[0]} has one?"
    return None


__all__ = ["check_reduced"]

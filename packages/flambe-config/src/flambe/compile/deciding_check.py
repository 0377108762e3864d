"""The check of ``search`` and ``schedulers``: what chooses needs a budget and something to choose, what stops needs steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.compile.search import dimensions
from flambe.compile.trials import OF_SEARCHERS, algorithm_name, searched_together
from flambe.spec.nodes import NEW, SCRIPT, Spec, Stage

if TYPE_CHECKING:
    from flambe.compile.check import Checker

_BUDGET = OF_SEARCHERS[0]


def check_deciding(spec: Spec, checker: Checker) -> None:
    """Note searches of Tune without a budget, and warn of searches with nothing to choose and schedulers of what has no steps."""
    for index, stage in enumerate(spec.stages):
        name = algorithm_name(stage)
        if name.startswith("ray.") and stage.search.get(_BUDGET) is None:
            name = name.rpartition(":")[2]
            hint = f"How many choices are tried: !ray.{name} {{{_BUDGET}: 20}}."
            checker.fault(("stages", index, "search"), "missing-argument", f"{name} has no {_BUDGET}", hint=hint)
        if stage.scheduler is not None and (what := _ends_at_once(stage, checker)):
            said = (
                f"the scheduler of {stage.name!r} has nothing to decide: {what}, so every variant ends after one step"
            )
            checker.warn(("stages", index, "scheduler"), "unused-value", said)
    for index, together in searched_together(spec).items():
        stage = spec.stages[index]
        if not any(dimensions(spec.stages[one].body) for one in together):
            said = f"the search of {stage.name!r} has nothing to choose: there is no search in its arguments"
            checker.warn(("stages", index, "search"), "unused-value", said)


def _ends_at_once(stage: Stage, checker: Checker) -> str | None:
    if stage.body.get(NEW) == SCRIPT:
        return "a Script runs as a whole"
    own = checker.kinds.own(stage.body, "run")
    return f"{own[0]} has no run()" if own is not None and not own[1] else None


__all__ = ["check_deciding"]

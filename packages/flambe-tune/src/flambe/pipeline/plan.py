"""The plan of a run: every unit there will be, and which of them are taken from earlier results. Nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flambe.compile.trials import searched_together
from flambe.pipeline.graph import StageGraph
from flambe.pipeline.reduce import Candidate, best_of, group_of
from flambe.pipeline.variants import Variant, choices_of, expand
from flambe.record.result import Found
from flambe.runner.plan import make_unit
from flambe.runner.unit import Unit
from flambe.search.budget import read_budget
from flambe.spec.nodes import Spec

RUN, REUSE, SEARCH = "run", "reuse", "search"


class PlannedUnit(NamedTuple):
    """A unit that a run will have. source: the folder (in a store: the file) of the result that is taken. is_guess: which variants stay after
    a ``reduce`` is not known before they ran, so this one stands for whichever it will be. needs_that_run: the stages that it
    links to whose units run. why: it runs, as far as somebody found out."""

    unit: Unit
    action: str
    source: str | None
    is_guess: bool
    needs_that_run: list[str]
    why: str | None = None

    def row(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        row: dict[str, Any] = {
            "stage": self.unit.stage,
            "variant": self.unit.variant,
            "action": self.action,
            "params": self.unit.params,
            "key": self.unit.key,
        }
        if self.source is not None:
            row["source"] = self.source
        if self.is_guess:
            row["is_guess"] = True
        if self.why is not None:
            row["why"] = self.why
        return row


class PlannedSearch(NamedTuple):
    """A stage whose variants are not known before a search has made them. search: the stage of that search; at_most: how many
    choices it makes."""

    stage: str
    search: str
    at_most: int
    action: str = SEARCH

    def row(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return self._asdict()


def plan_units(
    spec: Spec, run_root: Path, find: Callable[[str], Found | None]
) -> Iterator[PlannedUnit | PlannedSearch]:
    """Yield the units of ``spec`` in file order of the stages. find: looks for an earlier result by key.

    A unit of a stage with a scheduler is planned to run: such stages are reused as a whole, which is decided when the
    run begins.
    """
    graph = StageGraph(spec)
    survivors: dict[str, list[Variant]] = {}
    guessed: set[str] = set()
    unit_of: dict[Variant, Unit] = {}
    choices = choices_of(spec)
    running: set[str] = set()
    searched: dict[str, tuple[str, int]] = {}  # of every stage that a search makes, or that rests on one
    for index, group in searched_together(spec).items():
        stage = spec.stages[index]
        if stage.name not in choices:
            together = {spec.stages[place].name for place in group}
            for name in graph.stages:
                if name in together or together.intersection(graph.ancestors[name]):
                    searched[name] = stage.name, read_budget(stage).trials
    for name, stage in graph.stages.items():
        if name in searched:
            yield PlannedSearch(name, *searched[name])
            continue
        is_guess = any(need in guessed for need in graph.needs[name])
        results: dict[Variant, Found | None] = {}
        for variant in expand(graph, name, survivors, choices[name], spec.seeds):
            concrete = msgspec.structs.replace(stage, body=variant.body)
            needs = {need: unit_of[variant.above[need]] for need in variant.needs}
            unit = unit_of[variant] = make_unit(spec, concrete, variant.params, needs, run_root)
            found = results[variant] = find(unit.key) if stage.scheduler is None and graph.may_reuse(name) else None
            above = [need for need, one in needs.items() if one.id in running]
            if found is None:
                running.add(unit.id)
            source = None if found is None else found.address or str(found.folder)
            yield PlannedUnit(unit, REUSE if found else RUN, source, is_guess, above)
        survivors[name] = list(results)
        if graph.reduces(name):
            survivors[name], known = _kept(results, stage.reduce or 0)
            if not known:
                guessed.add(name)
        if is_guess:
            guessed.add(name)


def _kept(results: dict[Variant, Found | None], count: int) -> tuple[list[Variant], bool]:
    """Return which variants stay after a reduce, and whether that is known."""
    groups = {variant: group_of(variant.params) for variant in results}
    names = list(dict.fromkeys(group or str(variant.index) for variant, group in groups.items()))
    if len(names) <= count:
        return list(results), True
    candidates = {
        str(variant.index): Candidate(
            str(variant.index),
            variant.index,
            found.record.metric,
            found.record.lower_is_better,
            group=groups[variant],
        )
        for variant, found in results.items()
        if found is not None
    }
    if len(candidates) < len(results):
        first = set(names[:count])
        return [variant for variant in results if (groups[variant] or str(variant.index)) in first], False
    kept = {candidate.unit for candidate in best_of(candidates.values(), count)}
    return [variant for variant in results if str(variant.index) in kept], True

"""The plan of a run: every unit there will be, and which of them are taken from earlier results. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from flambe.compile.trials import searched_together
from flambe.pipeline.graph import StageGraph
from flambe.pipeline.grown import GrownVariants, stages_of, units_again
from flambe.pipeline.population import check_population, explored
from flambe.pipeline.reduce import Candidate, best_of, group_of
from flambe.pipeline.settled_key import grown_key, listed_key
from flambe.pipeline.variants import Variant, choices_of, expand
from flambe.record.ledger import EXPLOIT
from flambe.record.result import Found
from flambe.record.settled import Settled
from flambe.runner.plan import make_unit
from flambe.runner.unit import Unit
from flambe.search.budget import read_budget, scheduler_of
from flambe.search.tune_adapter import is_population
from flambe.spec.nodes import Spec, Stage

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
            "params": self.unit.made_with,
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
    choices it makes, None where it knows itself when it is done. why: it has to, as far as somebody found out."""

    stage: str
    search: str
    at_most: int | None
    action: str = SEARCH
    why: str | None = None

    def row(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Store(Protocol):
    """Earlier results by key (``flambe.record.result.ResultStore``)."""

    def find(self, key: str) -> Found | None: ...
    def find_settled(self, key: str) -> Settled | None: ...


def plan_units(spec: Spec, run_root: Path, store: Store | None) -> Iterator[PlannedUnit | PlannedSearch]:
    """Yield the units of ``spec`` in file order of the stages. store: earlier results, None to take none.

    The units of a stage with a scheduler, or with a search by results, are taken all together or not at all.
    """
    planner = _Planner(spec, run_root, store)
    for name in planner.graph.stages:
        yield from planner.stage(name)


class _Planner:
    """Plans one stage after another; a search together with all stages that it makes, when what these link to is planned."""

    def __init__(self, spec: Spec, run_root: Path, store: Store | None) -> None:
        self.graph = StageGraph(spec)
        self._spec = spec
        self._root = run_root
        self._store = store
        self._choices = choices_of(spec)
        self._survivors: dict[str, list[Variant]] = {}
        self._guessed: set[str] = set()
        self._unit_of: dict[Variant, Unit] = {}
        self._running: set[str] = set()
        self._planned: dict[str, list[PlannedUnit | PlannedSearch]] = {}
        self._unknown: dict[str, PlannedSearch] = {}
        self._searches: dict[str, _Search] = {}
        for index, group in searched_together(spec).items():
            leader = spec.stages[index]
            if leader.name not in self._choices:
                searched = [spec.stages[place].name for place in group]
                stages = stages_of(self.graph, leader.name, searched)
                self._searches.update(dict.fromkeys(stages, _Search(leader, searched, stages)))

    def stage(self, name: str) -> list[PlannedUnit | PlannedSearch]:
        """Return what there is to be for a stage."""
        if name not in self._planned:
            search = self._searches.get(name)
            together = [name] if search is None else search.stages
            outside = [need for one in together for need in self.graph.needs[one] if need not in together]
            for need in outside:
                self.stage(need)
            unknown = next((self._unknown[need] for need in outside if need in self._unknown), None)
            if unknown is not None:
                for one in together:
                    self._leave_open(one, unknown)
            elif search is not None:
                self._plan_search(search, outside)
            else:
                self._plan_listed(name)
        return self._planned[name]

    def _leave_open(self, name: str, unknown: PlannedSearch) -> None:
        self._unknown[name] = unknown._replace(stage=name)
        self._planned[name] = [self._unknown[name]]

    def _plan_listed(self, name: str) -> None:
        stage = self.graph.stages[name]
        units: dict[Variant, Unit] = {}
        for variant in expand(self.graph, name, self._survivors, self._choices[name], self._spec.seeds):
            concrete = msgspec.structs.replace(stage, body=variant.body)
            needs = {need: self._unit_of[variant.above[need]] for need in variant.needs}
            units[variant] = make_unit(self._spec, concrete, variant.params, needs, self._root)
        self._unit_of.update(units)
        if is_population(stage.scheduler):
            check_population(self._spec, stage, units)
        found: dict[Variant, Found | None] = dict.fromkeys(units)
        if stage.scheduler is None:
            if self._store is not None and self.graph.may_reuse(name):
                found = {variant: self._store.find(unit.key) for variant, unit in units.items()}
        elif not self._is_guess(name):
            settled = self._find_settled([name], listed_key(self._spec, stage, units.values()))
            taken = {} if settled is None else {unit.key: unit.found for unit in settled.units}
            found = {variant: taken.get(unit.key) for variant, unit in units.items()}
            if settled is not None:
                self._explore(stage, units, settled)
        self._plan_units(name, found)

    def _explore(self, stage: Stage, units: Mapping[Variant, Unit], settled: Settled) -> None:
        """Let the units of a population be what they have become: what rests on them has that in its key."""
        variants = {unit.id: variant for variant, unit in units.items()}
        for event in settled.decisions:
            variant = variants.get(event["unit"])
            if event["decision"] == EXPLOIT and variant is not None:
                self._unit_of[variant] = explored(self._unit_of[variant], stage.body, event["choice"], event["key"])

    def _plan_search(self, search: _Search, outside: Iterable[str]) -> None:
        leader = search.leader.name
        if not any(need in self._guessed for need in outside):
            stages = [
                msgspec.structs.replace(stage, scheduler=stage.scheduler or scheduler_of(stage.search))
                for stage in map(self.graph.stages.__getitem__, search.stages)
            ]
            above = {need: [self._unit_of[one] for one in self._survivors[need]] for need in outside}
            settled = self._find_settled(search.stages, grown_key(self._spec, stages, above))
            variants = GrownVariants(self.graph, leader, search.searched, self._survivors, self._spec.seeds)
            units = settled and units_again(
                self._spec, variants, search.searched, settled, self._unit_of.__getitem__, self._root
            )
            if settled and units:
                self._unit_of.update(units)
                taken = {(unit.stage, unit.key): unit.found for unit in settled.units}
                for name in search.stages:
                    mine = [variant for variant in units if variant.stage == name]
                    self._plan_units(name, {variant: taken[name, units[variant].key] for variant in mine})
                return
        budget = read_budget(search.leader)
        for name in search.stages:
            self._leave_open(name, PlannedSearch(name, leader, budget.trials if budget.is_given else None))

    def _find_settled(self, stages: Sequence[str], key: str) -> Settled | None:
        may = self._store is not None and all(self.graph.may_reuse(name) for name in stages)
        settled = self._store.find_settled(key) if may and self._store is not None else None
        return settled and settled.with_files_of([self.graph.stages[name].body for name in stages])

    def _is_guess(self, name: str) -> bool:
        return any(need in self._guessed for need in self.graph.needs[name])

    def _plan_units(self, name: str, results: Mapping[Variant, Found | None]) -> None:
        planned = self._planned[name] = []
        for variant, found in results.items():
            unit = self._unit_of[variant]
            needs = {need: self._unit_of[variant.above[need]] for need in variant.needs}
            above = [need for need, one in needs.items() if one.id in self._running]
            if found is None:
                self._running.add(unit.id)
            source = None if found is None else found.address or str(found.folder)
            planned.append(PlannedUnit(unit, REUSE if found else RUN, source, self._is_guess(name), above))
        if self._is_guess(name):
            self._guessed.add(name)
        self._survivors[name] = list(results)
        if self.graph.reduces(name):
            self._survivors[name], known = _kept(results, self.graph.stages[name].reduce or 0)
            if not known:
                self._guessed.add(name)


class _Search(NamedTuple):
    """A search by results: the stage that it belongs to, those that it chooses for, and all whose variants it makes."""

    leader: Stage
    searched: list[str]
    stages: list[str]


def _kept(results: Mapping[Variant, Found | None], count: int) -> tuple[list[Variant], bool]:
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

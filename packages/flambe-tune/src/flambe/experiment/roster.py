"""``Roster``: the stages of a run and their units: how they are made, and how they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from flambe.compile.trials import searched_together
from flambe.experiment.deciders import algorithm_of, proposer_of
from flambe.experiment.growth import REPEATS, Growth, GrowthRulings
from flambe.experiment.recall import Recall
from flambe.experiment.stage_state import StageState
from flambe.experiment.work import Phase, Work
from flambe.pipeline.graph import StageGraph
from flambe.pipeline.grown import GrownVariants, stages_of, units_again
from flambe.pipeline.population import check_population
from flambe.pipeline.reduce import Candidate, best_of, group_of
from flambe.pipeline.settled_key import grown_key, listed_key
from flambe.pipeline.variants import Variant, choices_of, expand
from flambe.record.declared import by_content, declared_files
from flambe.record.keeper import Keeper
from flambe.record.layout import UnitPaths
from flambe.record.result import Found
from flambe.record.run import StageRecord, read_record
from flambe.record.settled import Settled
from flambe.runner.plan import make_unit
from flambe.runner.unit import Unit
from flambe.search.budget import class_name, is_own, read_budget, scheduler_of
from flambe.search.schedule import Keen, StageSchedule
from flambe.search.tune_adapter import Algorithm, is_population
from flambe.spec.digest import digest_of
from flambe.spec.nodes import NEW, Spec, Stage


class Store(Protocol):
    """Earlier results by key (``flambe.record.result.ResultStore``)."""

    def find(self, key: str) -> Found | None: ...
    def find_settled(self, key: str) -> Settled | None: ...
    def offer_settled(self, key: str, run: Path) -> None: ...


class Roster:
    """The stages of ``spec`` (``states``), all units known so far (``works``, by id), and the unit of each variant.

    store: earlier results, or None to reuse nothing. algorithm: makes the scheduler of a stage from the stage, whether a
    lower metric is better, and the number of its variants; Ray Tune's schedulers by default. note: told what people should
    know. asked_to_stop: looked at before each choice of a search.
    """

    def __init__(
        self,
        spec: Spec,
        keeper: Keeper,
        store: Store | None,
        algorithm: Callable[[Stage, bool, int], Algorithm] | None = None,
        *,
        note: Callable[[str], None],
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self.graph = StageGraph(spec)
        self.states = {
            name: StageState(
                msgspec.structs.replace(
                    stage,
                    scheduler=stage.scheduler or scheduler_of(stage.search),
                    reuse=self.graph.may_reuse(name),
                )
            )
            for name, stage in self.graph.stages.items()
        }
        self.works: dict[str, Work] = {}
        self.unit_of: dict[Variant, Work] = {}
        self._choices = choices_of(spec)
        self._leaders = {
            spec.stages[index].name: [spec.stages[place].name for place in group]
            for index, group in searched_together(spec).items()
            if spec.stages[index].name not in self._choices
        }
        self._grown = {
            name: leader for leader, group in self._leaders.items() for name in stages_of(self.graph, leader, group)
        }
        self._fresh: list[Work] = []
        self._keys: dict[tuple[str, ...], str] = {}
        """Stages that are settled together → the key of what they rest on."""
        self._taken: list[str] = []
        self._store = store
        self._spec = spec
        self._keeper = keeper
        self._note = note
        self._asked_to_stop = asked_to_stop
        self._algorithm = algorithm or self._tune_algorithm
        self._recall = Recall(spec, keeper, self.works)

    def expand(self, name: str) -> bool:
        """Make the units of a stage, as the ledger knows them, once the variants of all that it links to are known.

        The stages that a search makes are begun together, by that of the search. Returns whether there is anything new: see
        ``take_fresh``.
        """
        state = self.states[name]
        if state.expanded or (name in self._grown and name not in self._leaders):
            return False
        together = [one for one, leader in self._grown.items() if leader == name] or [name]
        needs = {need for one in together for need in self.graph.needs[one] if need not in together}
        if not all(self._is_settled(need) for need in needs):
            return False
        if self._spec.stop_on_failure:
            # Which later units had begun when one failed must not depend on who was faster.
            before = list(self.states)[: min(self.graph.index(one) for one in together)]
            if not all(self.states[one].finished for one in before):
                return False
        if name in self._leaders:
            self._begin_growth(name, together)
            return True
        state.expanded = True
        survivors = {need: self.states[need].survivors for need in self.graph.needs[name]}
        for variant in expand(self.graph, name, survivors, self._choices[name], self._spec.seeds):
            self._enlist(variant)
        self._recall.give_up_others(state)
        if is_population(state.stage.scheduler):
            check_population(self._spec, state.stage, state.survivors)
        settled = None
        if state.stage.scheduler is not None:
            settled = self._settled([name], listed_key(self._spec, state.stage, [work.unit for work in state.works]))
            self._recall.remember(state)
            state.schedule = self._schedule(state, len(state.works))
        for work in state.works:
            self._recall.restore(state, work)
        if settled is not None:
            self._recall.take([state], settled)
        elif state.schedule is not None:
            self._recall.replay(state)
        return True

    def take_fresh(self) -> list[Work]:
        """Return, once, the units that were made since the last time."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def take_grown(self) -> list[str]:
        """Return, once, the stages whose search has made its last choice since the last time."""
        over = {leader for leader in self._leaders if (growth := self.states[leader].growth) and growth.is_over}
        names = [
            name for name, leader in self._grown.items() if leader in over and self.states[name].growth is not None
        ]
        for name in names:
            self.states[name].growth = None
            self._recall.give_up_others(self.states[name])
        taken, self._taken = self._taken, []
        return names + taken

    def _begin_growth(self, leader: str, together: list[str]) -> None:
        state = self.states[leader]
        stages = [self.states[name].stage for name in together]
        outside = {need for name in together for need in self.graph.needs[name] if need not in together}
        above = {name: [self.unit_of[one].unit for one in self.states[name].survivors] for name in outside}
        for name in together:
            self.states[name].expanded = True
        settled = self._settled(together, grown_key(self._spec, stages, above))
        if settled is not None and self._take_grown(leader, together, settled):
            return
        growth = Growth(
            self._variants_grown(leader, together),
            read_budget(self._spec.stage(leader)),
            proposer_of(self._spec, [self._spec.stage(name) for name in self._leaders[leader]]),
            has_scheduler=state.stage.scheduler is not None,
            enlist=self._enlist_grown,
            steps_in_all=lambda: state.schedule.steps_in_all if state.schedule is not None else 0,
            asked_to_stop=self._asked_to_stop,
            exhausted=lambda asked: self._note(_exhausted(state.stage, asked)),
        )
        state.rules = growth.rules
        state.schedule = self._schedule(state, 0, growth)
        for name in together:
            self.states[name].growth = growth
            if self.states[name].scheduled:
                self._recall.remember_grown(self.states[name])
        growth.begin()

    def _variants_grown(self, leader: str, together: list[str]) -> GrownVariants:
        survivors = {name: one.survivors for name, one in self.states.items() if name not in together}
        return GrownVariants(self.graph, leader, self._leaders[leader], survivors, self._spec.seeds)

    def _take_grown(self, leader: str, together: list[str], settled: Settled) -> bool:
        """Make the units that a search has made in another run, and take them. Returns False if they are others here."""
        units = units_again(
            self._spec,
            self._variants_grown(leader, together),
            self._leaders[leader],
            settled,
            lambda variant: self.unit_of[variant].unit,
            self._keeper.paths.root,
        )
        if units is None:
            return False
        for name in together:
            self._recall.remember_grown(self.states[name])
        for variant in units:
            work = self._enlist(variant)
            self._recall.restore(self.states[variant.stage], work)
        for name in together:
            self._recall.give_up_others(self.states[name])
        self._recall.take([self.states[name] for name in together], settled)
        self._taken += together
        return True

    def _settled(self, together: list[str], key: str) -> Settled | None:
        """Return what a run has settled under the key of these stages, if they may be taken from one."""
        self._keys[tuple(together)] = key
        settled = None
        may = all(self.states[name].stage.reuse for name in together)
        if self._store is not None and may and not self._recall.has_begun(together):
            settled = self._store.find_settled(key)
        if settled is None:
            self._recall.forget_taken([name for name in together if self._may_end(self.states[name].stage)])
        return settled and settled.with_files_of([self.states[name].stage.body for name in together])

    @staticmethod
    def _may_end(stage: Stage) -> bool:
        """Whether something may end units of a stage: its scheduler, or a search of one's own."""
        return stage.scheduler is not None or is_own(stage.search)

    def _settle(self, name: str) -> None:
        """Write it down when the last stage has ended of those that were decided about together, and none of their units failed."""
        for together, key in self._keys.items():
            states = [self.states[one] for one in together]
            ended = name in together and all(state.finished for state in states)
            if ended and all(work.phase is Phase.DONE for state in states for work in state.works):
                self._keeper.settle(together, key)
                if self._store is not None and all(state.stage.reuse for state in states):
                    self._store.offer_settled(key, self._keeper.paths.root)

    def _enlist_grown(self, variant: Variant) -> Work:
        if variant in self.unit_of:
            return self.unit_of[variant]
        work = self._enlist(variant)
        if work.variant is not variant:
            return work
        state = self.states[variant.stage]
        if state.schedule is not None:
            position = state.schedule.join()
            assert position == work.position
        self._recall.restore(state, work)
        if state.schedule is not None:
            self._recall.replay_unit(state, work)
        return work

    def _enlist(self, variant: Variant) -> Work:
        """Make the unit of a variant and expect it; the same choice twice is one unit."""
        state = self.states[variant.stage]
        needs = {need: self.unit_of[variant.above[need]] for need in variant.needs}
        stage = msgspec.structs.replace(state.stage, body=variant.body)
        units = {need: work.unit for need, work in needs.items()}
        unit = make_unit(self._spec, stage, variant.params, units, self._keeper.paths.root)
        place = (self.graph.index(variant.stage), variant.index)
        work = self._add(unit, variant, place, state.scheduled)
        self.unit_of[variant] = work
        if work.variant is not variant:
            return work
        work.needs = needs
        work.position = len(state.works)
        state.works.append(work)
        state.survivors.append(variant)
        state.open += 1
        self._fresh.append(work)
        for need in needs.values():
            if need.phase is not Phase.DONE:
                work.blockers += 1
                need.dependents.append(work)
        self._recall.plan(work)
        return work

    def _schedule(self, state: StageState, count: int, growth: Growth | None = None) -> StageSchedule:
        def build(lower_is_better: bool) -> Algorithm:
            if state.stage.scheduler is None:
                return GrowthRulings(growth) if growth is not None and growth.rules else Keen()
            return self._algorithm(state.stage, lower_is_better, len(state.works))

        return StageSchedule(build, count, arrival=self._spec.ordering == "arrival", listener=growth)

    def finish(self, name: str) -> bool:
        """Close a stage of which all units have ended: reduce it, and point at its best unit.

        Returns whether it should have been reduced and could not, as nothing says which variants are good.
        """
        state = self.states[name]
        state.finished = True
        self._settle(name)
        ranking = self.ranking(name)
        done = [work for work in state.works if work.phase is Phase.DONE]
        if not self.graph.reduces(name):
            if ranking or len(state.works) == len(done) == 1:
                self._keeper.mark_best(name, ranking[0].unit if ranking else done[0].unit.id)
            return False
        count = state.stage.reduce or 0
        kept = [self.works[candidate.unit] for candidate in self.ranking(name, count)]
        if not ranking and len({group_of(one.unit.params) or one.unit.id for one in done}) <= count:
            kept = done  # nothing to compare, and nothing to leave out
        # What nothing measures may still have one variant only, and then a path through "best" holds.
        best = kept[0].unit.id if kept and (ranking or len(state.works) == 1) else None
        self._keeper.reduce(name, [work.unit.id for work in kept], best)
        state.survivors = [work.variant for work in sorted(kept, key=lambda one: one.place)]
        state.unreduced = bool(done) and not kept
        return state.unreduced

    def key_after(self, donor: Work, step: int, work: Work, choice: Mapping[str, Any]) -> str:
        """Return the key of what a unit makes of the state that ``donor`` had after ``step`` steps."""
        chosen = by_content(dict(choice), declared_files(dict(choice)))
        return digest_of([donor.unit.key, step, work.unit.seed, chosen])

    def folder(self, work: Work) -> UnitPaths:
        """Return the paths of a unit in the run directory."""
        return self._keeper.paths.unit(work.unit.stage, work.unit.variant)

    def result_of(self, work: Work) -> Found:
        """Return the result of a unit that is done."""
        paths = self.folder(work)
        return Found(paths.root, self._keeper.state.done[work.unit.id], read_record(paths.record, StageRecord))

    def folders_above(self, work: Work) -> dict[str, str]:
        """Return the folder of every result above a unit, by stage."""
        return {name: str(self.folder(self.unit_of[one]).root) for name, one in work.variant.above.items()}

    def ranking(self, name: str, count: int | None = None) -> list[Candidate]:
        """Return the units of a stage that are done and have a metric, best first. count: of how many choices at most."""
        return best_of(
            (
                Candidate(
                    work.unit.id,
                    work.place[1],
                    work.metric,
                    work.lower_is_better,
                    work.phase is Phase.DONE,
                    group_of(work.unit.params),
                )
                for work in self.states[name].works
            ),
            count,
        )

    def by_choice(self, name: str) -> list[list[Work]]:
        """Return the ranking of a stage with the units together that differ in their seed only; none without seeds."""
        groups: dict[str, list[Work]] = {}
        for candidate in self.ranking(name):
            if candidate.group:
                groups.setdefault(candidate.group, []).append(self.works[candidate.unit])
        return list(groups.values())

    def _is_settled(self, name: str) -> bool:
        state = self.states[name]
        if not state.expanded or state.growth is not None:
            return False
        # What a population ends with is known at its end only: a variant may go on from the state of another.
        return state.finished or not (self.graph.reduces(name) or is_population(state.stage.scheduler))

    def _add(self, unit: Unit, variant: Variant, place: tuple[int, int], scheduled: bool) -> Work:
        known = self.works.get(unit.id)
        if known is not None and known.unit.key != unit.key:
            # Two values that are written alike (1 and "1") need folders of their own, whose names no change of code moves.
            unit = msgspec.structs.replace(unit, variant=f"{unit.variant}~{digest_of(unit.params)[:8]}")
            known = self.works.get(unit.id)
        if known is not None:
            return known
        work = self.works[unit.id] = Work(unit, variant, place, scheduled)
        return work

    def _tune_algorithm(self, stage: Stage, lower_is_better: bool, count: int) -> Algorithm:
        choices = [dict(work.variant.own) for work in self.states[stage.name].works]
        return algorithm_of(self._spec, stage, choices, lower_is_better=lower_is_better)


def _exhausted(stage: Stage, asked: int) -> str:
    return (
        f"stage {stage.name}: its search {class_name(stage.search[NEW])} has proposed nothing new {REPEATS:,} times in a row, "
        f"so it is over after {asked:,} choices: let its is_done() say when, or give it a trial_budget"
    )

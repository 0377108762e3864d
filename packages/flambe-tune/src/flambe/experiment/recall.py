"""``Recall``: where the ledger, and earlier runs, say that the units of a stage were."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flambe.experiment.stage_state import StageState
from flambe.experiment.work import Phase, Work
from flambe.record.keeper import Keeper
from flambe.record.ledger import Event
from flambe.record.settled import Settled
from flambe.runner.unit import Unit
from flambe.search.schedule import StageSchedule
from flambe.search.tune_adapter import EXPLOIT
from flambe.spec.nodes import Spec


class Recall:
    """Takes up what earlier processes wrote about the units of a run. works: those that are known so far, by id, which
    whoever makes them adds to.
    """

    def __init__(self, spec: Spec, keeper: Keeper, works: Mapping[str, Work]) -> None:
        self._spec = spec
        self._keeper = keeper
        self._works = works

    def plan(self, work: Work, *, anew: bool = False) -> None:
        """Expect a unit: see ``Keeper.plan``."""
        self._keeper.plan(work.unit, {need: one.unit.id for need, one in work.needs.items()}, anew=anew)

    def give_up_others(self, state: StageState) -> None:
        """Prune the units of a stage that an earlier process expected, and that other code does not lead to."""
        known = self._keeper.state
        for unit, event in list(known.planned.items()):
            if event["stage"] == state.stage.name and unit not in self._works and unit not in known.pruned:
                gone = Unit(stage=event["stage"], variant=event["variant"], body=None, key=event["key"], seed=0)
                self._keeper.prune(gone, "the code was changed, and what it linked to is not kept any more")

    def remember(self, state: StageState) -> None:
        """Take up the history of a stage with a scheduler: its decisions, if what they rest on is as it was.

        A decision about one unit rests on the results of all. When one of them began anew, as its code was changed, the
        others do so too: whatever happened to a unit of the stage before the last ``plan`` in it is history.
        """
        works = {work.unit.id: work for work in state.works}
        touched: set[str] = set()
        stale: set[str] = set()
        for event in self._keeper.state.events:
            unit = event.get("unit")
            if unit not in works:
                continue
            if event["event"] == "plan":
                touched.discard(unit)
                stale = (stale | touched) - {unit}
                state.since = event["n"]
                state.recorded.clear()
            else:
                touched.add(unit)
                if event["event"] == "decision":
                    state.recorded.append(event)
        for unit in works:
            if unit in stale:
                self._plan_anew(state, works[unit])

    def remember_grown(self, state: StageState) -> None:
        """Take up the decisions of a stage whose units are not known yet. When one of them began anew, as its code was
        changed, those of all did."""
        planned: set[str] = set()
        for event in self._keeper.state.events:
            unit = str(event.get("unit", ""))
            if event["event"] == "plan" and event["stage"] == state.stage.name:
                if unit in planned:
                    state.recorded.clear()
                    planned.clear()
                planned.add(unit)
            elif event["event"] == "decision" and unit in planned:
                state.recorded.append(event)

    def restore(self, state: StageState, work: Work) -> None:
        """Put a unit where the ledger says it was. A plan with another key has made it begin anew there."""
        known, unit = self._keeper.state, work.unit.id
        work.attempt = known.attempts.get(unit, 0)
        work.failures = known.failures.get(unit, 0)
        if unit in known.done:
            work.take_result(known.done[unit])
            work.phase = Phase.DONE
        elif unit in known.failed:
            work.phase, work.error = Phase.FAILED, known.failed[unit]["error"]
        elif unit in known.pruned:
            work.phase, work.why = Phase.PRUNED, known.pruned[unit]["why"]
        else:
            work.step = known.steps.get(unit, 0)
        for event in state.recorded:
            # What it took over so far; the scheduler, which hears all results again, decides so again.
            if event["unit"] == unit and event["decision"] == EXPLOIT and event["step"] <= work.step:
                state.explore(work, event["choice"], event["key"])

    def has_begun(self, stages: Collection[str]) -> bool:
        """Whether anything was done in this run for units of these stages, beside taking results of others."""
        known = self._keeper.state
        for unit, plan in known.planned.items():
            done = known.done.get(unit)
            if plan["stage"] in stages and (
                known.reports.get(unit) or unit in known.failed or (done is not None and done["event"] == "commit")
            ):
                return True
        return False

    def forget_taken(self, stages: Collection[str]) -> None:
        """Let the units of these stages begin anew if a process that was killed took some of them from a run that is gone since: the
        scheduler of their stage knows nothing of those, and its decisions rest on all.
        """
        known = self._keeper.state
        units = [unit for unit, plan in known.planned.items() if plan["stage"] in stages and unit not in known.pruned]
        taken = {unit for unit in units if unit in known.done and known.done[unit]["event"] == "reuse"}
        # Those that were taken come last: while there is one, the next process knows that it has to do this again.
        for unit in sorted(units, key=taken.__contains__) if taken else ():
            plan = known.planned[unit]
            fields = {name: plan[name] for name in ("stage", "variant", "params", "key")}
            gone = Unit(**fields, body=None, seed=0, code=plan.get("code", {}))
            self._keeper.plan(gone, plan["needs"], anew=True)

    def take(self, states: Sequence[StageState], settled: Settled) -> None:
        """Take whole stages that a run has settled: their results, and the decisions about them as they were."""
        found = {(unit.stage, unit.key): unit.found for unit in settled.units}
        planned = {work.unit.id: (work.stage, work.unit.key) for state in states for work in state.works}
        for state in states:
            decisions = [event for event in settled.decisions if event["unit"].partition("/")[0] == state.stage.name]
            for event in decisions[len(state.recorded) :]:
                self._keeper.ledger.append(**{name: value for name, value in event.items() if name not in ("n", "t")})
            for event in decisions:
                if event["decision"] == EXPLOIT:
                    state.explore(self._works[event["unit"]], event["choice"], event["key"])
            for work in state.works:
                if work.phase is not Phase.DONE:
                    work.take_result(self._keeper.reuse(work.unit, found[planned[work.unit.id]]))
                    work.phase = Phase.DONE
            state.schedule = None

    def replay(self, state: StageState) -> None:
        """Let the scheduler of a stage hear again what earlier processes told it."""
        assert state.schedule is not None
        known = {work.unit.id: work for work in state.works}
        for event in self._keeper.state.events if self._spec.ordering == "arrival" else self._reports_of(state):
            if event["event"] == "report" and event["unit"] in known and event["n"] > state.since:
                _tell(state.schedule, known[event["unit"]], event)
        for work in state.works:
            if work.phase in (Phase.FAILED, Phase.PRUNED):
                state.schedule.gone(work.position)

    def replay_unit(self, state: StageState, work: Work) -> None:
        """Let a search, and the scheduler beside it, hear again what earlier processes told them of a unit."""
        assert state.schedule is not None
        for event in self._keeper.state.reports.get(work.unit.id, ()):
            if event["more"] or work.scheduled:
                _tell(state.schedule, work, event)
        if work.phase is Phase.DONE and not work.scheduled:
            state.tell_end(work)
        elif work.phase in (Phase.FAILED, Phase.PRUNED):
            state.schedule.gone(work.position)

    def _plan_anew(self, state: StageState, work: Work) -> None:
        self.plan(work, anew=True)
        state.since = self._keeper.state.planned[work.unit.id]["n"]
        state.recorded.clear()

    def _reports_of(self, state: StageState) -> list[dict[str, Any]]:
        reports = self._keeper.state.reports
        return [event for work in state.works for event in reports.get(work.unit.id, ())]


def _tell(schedule: StageSchedule, work: Work, event: Event) -> None:
    """Let a schedule hear a report as the ledger has it."""
    schedule.report(
        work.position, event["step"], event["metric"], lower_is_better=event["lower_is_better"], more=event["more"]
    )

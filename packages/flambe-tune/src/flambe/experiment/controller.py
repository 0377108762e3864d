"""``Controller``: one deterministic event loop that takes every variant of every stage to its end.

It knows the keeper (the only writer), a pool (where units run), a store of earlier results and the schedulers behind
``StageSchedule``; it knows neither torch nor Ray nor a clock, so a simulation can drive it through any order of events.

A unit starts the moment what it needs is committed; ``reduce`` is the only barrier. After a crash the same loop begins
with what the ledger says: units are where they were, and schedulers hear all results again.
"""

from __future__ import annotations

from collections.abc import Callable

from flambe.cli.console import VERBOSE, say
from flambe.errors import FlambeError
from flambe.experiment.check import check_resources, check_spec
from flambe.experiment.crew import Crew
from flambe.experiment.deciders import check_deciders
from flambe.experiment.outcome import Outcome, outcome_of
from flambe.experiment.pool import COMMIT, STEP, Failed, Pool, Reported, Task
from flambe.experiment.ready_queue import ReadyQueue
from flambe.experiment.roster import Roster, Store
from flambe.experiment.rulings import Rulings
from flambe.experiment.stage_state import StageState
from flambe.experiment.work import ENDED, ON_A_WORKER, Phase, Work
from flambe.pipeline.graph import StageGraph
from flambe.record.keeper import Keeper
from flambe.runner.failure import told_of
from flambe.runner.unit import StepReport
from flambe.search.schedule import Verdict
from flambe.search.tune_adapter import CONTINUE, PAUSE, STOP, Algorithm
from flambe.spec.nodes import Spec, Stage

_HEARTBEAT_S = 0.5


class Observer:
    """Told what happens, for people: a unit changed its phase; or a line of text. This one tells nobody."""

    def changed(self, work: Work) -> None: ...
    def note(self, text: str) -> None: ...


class Controller:
    """Runs ``spec`` into ``keeper``'s run directory.

    make_pool: called at most once, when the first unit has to run, with the number of units that could run at once.
    store: earlier results, or None to reuse nothing. algorithm: makes the scheduler of a stage (tests give their own).
    step_limit_s: a step that takes longer is a failed attempt. asked_to_stop: looked at before each event and each choice of a search; what was kept stays, the rest is done again by the next process.

    Raises ConfigError for schedulers that cannot be driven, searches that cannot be done and resources that are not
    there; ProvenanceError when a scheduler decides otherwise than recorded.
    """

    def __init__(
        self,
        spec: Spec,
        keeper: Keeper,
        make_pool: Callable[[int], Pool],
        *,
        store: Store | None = None,
        observer: Observer = Observer(),  # noqa: B008 - it has no state
        algorithm: Callable[[Stage, bool, int], Algorithm] | None = None,
        asked_to_stop: Callable[[], bool] = lambda: False,
        step_limit_s: float | None = None,
    ) -> None:
        check_spec(spec, StageGraph(spec))
        self.spec = spec
        self.keeper = keeper
        self._asked_to_stop = asked_to_stop
        self._stop = False
        self._roster = Roster(spec, keeper, store, algorithm, note=observer.note, asked_to_stop=self._is_stopped)
        self._states = self._roster.states
        self.graph = self._roster.graph
        self.works = self._roster.works
        self._crew = Crew(make_pool, self._at_once, step_limit_s)
        self._rulings = Rulings(keeper, self._roster)
        self._store = store
        self._observer = observer
        self._ready = ReadyQueue()
        self._owners: dict[str, Work] = {}
        self._news = False
        self._warned: set[str] = set()
        self._last_stage: int | None = None
        self._has_started = False
        self._makes_algorithms = algorithm is None

    # -- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run until every unit has ended, or it is asked to stop. The pool is closed, the keeper is not."""
        try:
            for name in self.graph.stages:
                self._expand(name)
            while not self._is_stopped():
                self._decide()
                self._launch()
                if not self._crew:
                    if self._news or self._ready.first() is not None:
                        continue
                    break
                event = self._crew.next_event(_HEARTBEAT_S)
                if isinstance(event, Reported):
                    self._on_report(event)
                elif isinstance(event, Failed):
                    self._on_failure(event)
        finally:
            self._crew.close()
        waiting = [work.unit.id for work in self.works.values() if work.phase not in ENDED]
        if waiting and not self._stop:
            raise FlambeError(f"nothing can run, though {len(waiting)} units have not ended, the first is {waiting[0]}")
        return outcome_of(self._roster, stopped=self._stop)

    def _is_stopped(self) -> bool:
        self._stop = self._stop or self._asked_to_stop()
        return self._stop

    # -- stages -------------------------------------------------------------------------------------------------------

    def _expand(self, name: str) -> None:
        if not self._roster.expand(name):
            return
        self._news = True
        self._begin_fresh()
        if not self._states[name].works:
            self._observer.note(f"stage {name}: no variant of what it links to is left, so there is nothing to run")
        self._check_stage(name)

    def _begin_fresh(self) -> None:
        """Let the units that were just made take their places, and look whether a search is over."""
        for work in self._roster.take_fresh():
            self._news = True
            self._begin(work)
        for name in self._roster.take_grown():
            self._news = True
            self._check_stage(name)
            for later in self.graph.stages:
                if name in self.graph.needs[later]:
                    self._expand(later)

    def _begin(self, work: Work) -> None:
        """Let a unit that was just made take its place."""
        if work.phase in ENDED:
            self._states[work.stage].open -= 1
            self._observer.changed(work)
            if work.phase is Phase.FAILED and self.spec.stop_on_failure:
                self._stop_after(work.place[0])
            return
        lost = next((need for need in work.needs.values() if need.phase in (Phase.FAILED, Phase.PRUNED)), None)
        if lost is not None:
            self._prune(work, f"{lost.unit.id} {lost.phase.value}")
        elif self._is_too_late(work):
            self._prune(work, "an earlier stage failed")
        elif work.blockers == 0:
            self._be_ready(work)

    def _be_ready(self, work: Work) -> None:
        if work.scheduled and work.step > 0 and work.action == STEP and work.verdict != CONTINUE:
            work.phase = Phase.PARKED
        else:
            self._ready.add(work)
        self._observer.changed(work)

    # -- decisions ----------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Pass on every result whose turn has come, and do what the schedulers say."""
        self._news = False
        for state in self._states.values():
            if state.schedule is not None:
                for verdict in state.schedule.deliver():
                    if self._is_stopped():
                        return  # a search that was left off in the middle says other things from here on
                    self._begin_fresh()  # a verdict may be about one of them, heard again after a crash
                    self._apply(state, verdict)
                self._begin_fresh()
                self._rulings.hold(state)

    def _apply(self, state: StageState, verdict: Verdict) -> None:
        work = self._rulings.hear(state, verdict)
        if work is None:
            return
        if verdict.exploit is not None or verdict.decision == PAUSE:
            if work.phase is Phase.HELD:
                self._park(work)
        elif work.phase in (Phase.HELD, Phase.PARKED):
            work.action = COMMIT if verdict.decision == STOP else STEP
            if work.phase is Phase.PARKED:
                self._be_ready(work)
            else:
                self._submit(work)

    def _park(self, work: Work) -> None:
        """Free the worker of a unit that waits; it goes on from its last step, on any worker."""
        self.keeper.pause(work.unit, work.step)
        self._crew.release(work)
        work.phase = Phase.PARKED
        self._observer.changed(work)

    # -- starting -----------------------------------------------------------------------------------------------------

    def _launch(self) -> None:
        """Give work to every free worker, first things first."""
        while not self._is_stopped() and (work := self._ready.first()) is not None:
            if self._is_too_late(work):
                self._prune(work, "an earlier stage failed")
            elif not self._take_elsewhere(work):
                if not self._has_started:
                    self._check_later_stages()
                if not self._crew.has_room(work) and not self._make_room(work):
                    return
                self._start(work)

    def _take_elsewhere(self, work: Work) -> bool:
        """Take an equal result that exists, or wait for the unit of this run that is making it."""
        if work.scheduled or work.step > 0:
            # What a scheduler decides depends on all variants of its stage together, so they all run.
            return False
        owner = self._owners.get(work.unit.key)
        if owner is not None and owner is not work:
            if owner.phase not in ENDED:
                owner.twins.append(work)
                work.phase = Phase.WAITING
                return True
            found = self._roster.result_of(owner) if owner.phase is Phase.DONE else None
        else:
            found = self._store.find(work.unit.key) if self._store is not None and work.unit.reuse else None
        if found is None:
            return False
        work.take_result(self.keeper.reuse(work.unit, found))
        self._owners.setdefault(work.unit.key, work)
        self._end(work, Phase.DONE)
        return True

    def _start(self, work: Work) -> None:
        worker = self._crew.seat(work)
        if work.is_new_attempt:
            work.attempt += 1
            work.is_new_attempt = False
        if not work.scheduled:  # what may be ended early answers for nothing else
            self._owners.setdefault(work.unit.key, work)
        work.scratch = str(self.keeper.start(work.unit, work.attempt, worker, work.step))
        self._submit(work)

    def _check_later_stages(self) -> None:
        """Look, before the first unit runs, at what could keep those of a later stage from it hours later."""
        self._has_started = True
        later = {name for name, state in self._states.items() if not state.finished}
        check_resources(self.spec, later, self._crew.capacity())
        if self._makes_algorithms:
            check_deciders(self.spec, later)

    def _submit(self, work: Work) -> None:
        resume = str(self._roster.folder(work).step(work.step)) if work.step else None
        work.phase, work.verdict = Phase.RUNNING, None
        self._crew.submit(
            Task(
                unit=work.unit,
                attempt=work.attempt,
                scratch=work.scratch,
                resume=resume,
                above=self._roster.folders_above(work),
                action=work.action,
            )
        )
        self._observer.changed(work)

    def _make_room(self, work: Work) -> bool:
        """Park units that wait for a decision: others have to report before it can be made. The farthest one first."""
        for other in self._crew.held():
            self._park(other)
            if self._crew.has_room(work):
                return True
        return False

    def _at_once(self) -> int:
        return max(sum(one.phase not in ENDED for one in state.works) for state in self._states.values())

    # -- events -------------------------------------------------------------------------------------------------------

    def _on_report(self, event: Reported) -> None:
        work = self._crew.get(event.unit, event.attempt)
        if work is None:
            return  # an attempt that was given up
        work.seconds += event.seconds
        if event.report is not None:
            report = event.report
            self.keeper.report(work.unit, work.attempt, report, event.step_source)
            work.metric, work.lower_is_better = report.metric, report.lower_is_better
            if report.more:
                work.step = report.step
            self._hear(work, report)
            for warning in report.warnings:
                if warning not in self._warned:  # every variant may say it
                    self._warned.add(warning)
                    self._observer.note(f"{work.unit.id}: {warning}")
        if event.result is not None:
            ended = self.keeper.commit(
                work.unit, work.attempt, event.result_source, event.result, complete=event.report is not None
            )
            work.take_result(ended)
            self._crew.leave(work)
            self._end(work, Phase.DONE)
        elif work.scheduled:
            work.phase = Phase.HELD
            self._observer.changed(work)
        else:
            self._submit(work)

    def _hear(self, work: Work, report: StepReport) -> None:
        schedule = self._states[work.stage].schedule
        if schedule is not None and (report.more or work.scheduled):
            self._news = True
            schedule.report(
                work.position,
                report.step,
                report.metric,
                lower_is_better=report.lower_is_better,
                more=report.more,
            )

    def _on_failure(self, event: Failed) -> None:
        work = self._crew.get(event.unit, event.attempt)
        if work is None:
            return
        work.seconds += event.seconds
        work.failures += 1
        final = not event.retry or work.failures > self.spec.max_failures
        self.keeper.fail(work.unit, work.attempt, event.error, final=final, streams=event.streams)
        self._crew.leave(work)
        if event.trace and event.error != work.error:
            say(event.trace, level=VERBOSE)
        work.alone = work.alone or event.memory
        again = "is tried again beside no other" if event.memory else "is tried again"
        self._observer.note(f"{work.unit.id} {told_of(event.error, work.error, final=final, again=again)}")
        work.error = event.error
        if final:
            self._end(work, Phase.FAILED)
        else:
            work.is_new_attempt = True
            work.step = self.keeper.state.steps.get(work.unit.id, 0)
            self._ready.add(work)
            self._observer.changed(work)

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _prune(self, work: Work, why: str) -> None:
        if work.phase not in ENDED:
            work.why = why
            self.keeper.prune(work.unit, why)
            self._end(work, Phase.PRUNED)

    def _end(self, work: Work, phase: Phase) -> None:
        """A unit has ended: whoever waited for it is told."""
        work.phase = phase
        state = self._states[work.stage]
        state.open -= 1
        if state.schedule is not None and not (phase is Phase.DONE and work.scheduled):
            self._news = True
            if phase is Phase.DONE:
                state.tell_end(work)
            else:
                state.schedule.gone(work.position)
        if phase is not Phase.DONE and self._owners.get(work.unit.key) is work:
            del self._owners[work.unit.key]
        self._observer.changed(work)
        for twin in work.twins:
            self._be_ready(twin)
        for other in work.dependents:
            other.blockers -= 1
            if phase is not Phase.DONE:
                self._prune(other, f"{work.unit.id} {phase.value}")
            elif other.blockers == 0 and other.phase is Phase.WAITING:
                self._be_ready(other)
        if phase is Phase.FAILED and self.spec.stop_on_failure:
            self._stop_after(work.place[0])
        self._check_stage(work.stage)

    def _stop_after(self, position: int) -> None:
        if self._last_stage is None or position < self._last_stage:
            self._last_stage = position
        for other in list(self.works.values()):
            if other.phase not in ON_A_WORKER and self._is_too_late(other):
                self._prune(other, "an earlier stage failed")

    def _is_too_late(self, work: Work) -> bool:
        return self._last_stage is not None and work.place[0] > self._last_stage

    def _check_stage(self, name: str) -> None:
        """When all of a stage has ended: reduce, point at the best, and let later stages begin."""
        state = self._states[name]
        if not state.expanded or state.growth is not None or state.open or state.finished:
            return
        self._rulings.end(state)
        if self._roster.finish(name):
            self._observer.note(f"stage {name}: reduce keeps none, for no variant has a metric()")
        if state.stage.scheduler and state.schedule and state.works and state.schedule.steps_taken == 1:
            self._observer.note(
                f"stage {name}: its scheduler had nothing to decide, every variant ended after one step"
            )
        for later in self.graph.stages:
            if name in self.graph.needs[later] or self.spec.stop_on_failure:
                self._expand(later)

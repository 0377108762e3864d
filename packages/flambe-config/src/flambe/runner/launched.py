"""The runs of a decorated function: one in this process or in one of its own, or a sweep of them, in one run directory."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flambe.cli.console import say, tell
from flambe.errors import ProvenanceError
from flambe.reading.finished import enlist
from flambe.record.claim import NEXT, Wish
from flambe.record.code_copy import code_folder, folder_to_run, listed
from flambe.record.keeper import Keeper
from flambe.record.layout import CONFIG, OUTPUTS
from flambe.record.ledger import Event
from flambe.record.loaded import imports_from, other_than
from flambe.record.opening import open_run
from flambe.record.provenance import code_again, spec_to_yaml
from flambe.record.run import COMPLETE, ENDING, FAILED, RunRecord, StageRecord, read_record, replace_file
from flambe.runner.execute import run_unit
from flambe.runner.failure import told_of
from flambe.runner.interrupt import Interrupt, Stopped, catch_signals, interruptible
from flambe.runner.own_process import Outcome, OwnProcess
from flambe.runner.plan import make_unit
from flambe.runner.unit import Unit
from flambe.spec.codec import unescape
from flambe.spec.nodes import Spec

_PATIENCE_S = 10.0
"""A function that is told to end may save what it has."""


class How(NamedTuple):
    """How a function is run. jobs: at once. fail_fast: end all when one fails. wish: into which folder. here: whether this process
    is one of a program that has the function loaded, and may run it.
    """

    jobs: int = 1
    fail_fast: bool = False
    wish: Wish = NEXT
    here: bool = True


class Ended(NamedTuple):
    """What came of it. root: the run directory. record: its state. failed: ids of the units that did. results: what each returned,
    None where it failed or was no plain data.
    """

    root: Path
    record: RunRecord
    failed: list[str]
    results: list[Any]


def run_launched(
    spec: Spec,
    variants: Sequence[Spec],
    *,
    how: How,
    argv: Sequence[str],
    ready: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Ended:
    """Run a function: ``spec`` is what was asked for, ``variants`` its concrete specs (one, or those of a sweep).

    ready: entered around a run in this process. Raises ``Stopped`` after a signal, with the record written, and whatever ``open_run`` raises.
    """
    with catch_signals() as interrupt:
        keeper = Keeper(open_run(spec, tool="flambe.launch", argv=argv, fresh=True, wish=how.wish), when_closed=enlist)
        try:
            units, failed = _run_all(keeper, spec, variants, how, interrupt, ready)
            results = [_result(keeper, unit) for unit in units]
        except BaseException as error:
            keeper.give_up(error)
            raise
        record = keeper.close(FAILED if failed else COMPLETE)
        interrupt.check()
    return Ended(keeper.paths.root, record, failed, results)


def _result(keeper: Keeper, unit: Unit) -> Any:
    try:
        return unescape(read_record(keeper.paths.folder(unit.id).record, StageRecord).result)
    except FileNotFoundError:
        return None  # it never began


def _run_all(
    keeper: Keeper,
    spec: Spec,
    variants: Sequence[Spec],
    how: How,
    interrupt: Interrupt,
    ready: Callable[[], contextlib.AbstractContextManager[None]],
) -> tuple[list[Unit], list[str]]:
    units = [_unit(keeper, variant, alone=len(variants) == 1) for variant in variants]
    if how.wish.resume is not None and all(keeper.state.is_done(unit.id, unit.key) for unit in units):
        then = (
            "nothing is left to run" if len(units) > 1 else "its function is called once more, and goes on from there"
        )
        say(f"{keeper.paths.root.name} is {COMPLETE}; {then}")
    for unit, variant in zip(units, variants, strict=True):
        # Of a run that is gone on with, what was done stays, but for a function that ran alone: it is asked to run again.
        again = unit.id in keeper.state.failed or (len(units) == 1 and how.wish.resume is not None)
        keeper.plan(unit, anew=again)
        if len(units) > 1:
            _write_config(keeper, unit, variant)
    copy = None if keeper.record.code is None else folder_to_run(keeper.paths.root, keeper.record.code)
    if how.here and (spec.debug or (len(units) == 1 and _is_loaded(keeper, spec, copy))):
        with ready(), contextlib.nullcontext() if copy is None else imports_from(copy, code_folder(spec)):
            ended = [run_unit(keeper, spec, unit, interrupt, launched=True) for unit in units]
    else:
        ended = list(_Crew(keeper, spec, how, interrupt).run(units))
    if len(units) == 1 and ended[0]["event"] != "fail":
        keeper.mark_best(units[0].stage, units[0].id)
    return units, [event["unit"] for event in ended if event["event"] == "fail"]


def _unit(keeper: Keeper, variant: Spec, *, alone: bool) -> Unit:
    """Return the unit of a variant; each of several has its own folder in the run directory, and its own log."""
    stage = variant.stages[0]
    params = {f"{stage.name}.{path}": value for path, value in stage.params.items()}
    unit = make_unit(variant, stage, params, {}, keeper.paths.root)
    if alone:
        return unit
    folder = keeper.paths.unit(unit.stage, unit.variant)
    folder.root.mkdir(parents=True, exist_ok=True)
    takes_context = unit.body.get("settings", {}).get("context")
    return msgspec.structs.replace(unit, log=str(folder.outputs), folder="" if takes_context else str(folder.root))


def _write_config(keeper: Keeper, unit: Unit, variant: Spec) -> None:
    """Write the config of one of several variants, which can be run again by itself."""
    folder = keeper.paths.folder(unit.id).root
    code = None
    if keeper.record.code is not None:
        code = code_again(variant, keeper.record.code)
        if not os.path.isabs(code):
            code = Path(os.path.relpath(keeper.paths.root / code, folder)).as_posix()
    replace_file(folder / CONFIG, spec_to_yaml(variant, code=code).encode())


def _is_loaded(keeper: Keeper, spec: Spec, copy: Path | None) -> bool:
    """Whether what this process has loaded is what the record says that it runs."""
    others = [] if copy is None else other_than(copy, code_folder(spec))
    if others:
        keeper.note(f"runs in a new process: the copy of {listed(others)} may be newer than what this one has loaded")
    return not others


class _Crew:
    """Units in processes of their own, ``how.jobs`` at once, in the order in which they stand."""

    def __init__(self, keeper: Keeper, spec: Spec, how: How, interrupt: Interrupt) -> None:
        self._keeper = keeper
        self._spec = spec
        self._how = how
        self._interrupt = interrupt
        self._running: dict[str, OwnProcess] = {}
        self._errors: dict[str, str] = {}  # of units that are tried again
        self._selector = selectors.DefaultSelector()

    def run(self, units: Sequence[Unit]) -> Iterator[Event]:
        """Run the units and yield the last event of each as it ends."""
        state = self._keeper.state
        waiting = []
        for unit in units:
            if unit.id in state.done:
                yield state.done[unit.id]
            else:
                waiting.append(unit)
        try:
            while waiting or self._running:
                self._interrupt.check()
                while waiting and len(self._running) < self._how.jobs:
                    self._start(waiting.pop(0), alone=len(units) == 1)
                with interruptible():
                    ready = [key.data for key, _ in self._selector.select()]
                for process in ready:
                    event = self._take(process, waiting, len(units))
                    if event is None:
                        continue
                    yield event
                    if event["event"] == "fail" and self._how.fail_fast:
                        for unit in waiting:
                            self._keeper.prune(unit, f"{event['unit']} failed")
                        waiting.clear()
                        self._end_all(signal.SIGTERM)
        except BaseException as error:
            self._end_all(getattr(error, "number", signal.SIGTERM))
            raise
        finally:
            self._selector.close()

    def _start(self, unit: Unit, *, alone: bool) -> None:
        attempt = self._keeper.state.attempts.get(unit.id, 0) + 1
        scratch = self._keeper.start(unit, attempt, "its own process", again=unit.id in self._errors)
        # The lines of several at once would not be told apart.
        process = OwnProcess(unit, scratch, attempt=attempt, echo=self._how.jobs == 1)
        self._running[unit.id] = process
        self._selector.register(process.events, selectors.EVENT_READ, process)
        self._keeper.note(f"{unit.id}: starts (process {process.pid})")
        if not alone:
            say(f"{unit.id}: starts")

    def _take(self, process: OwnProcess, waiting: list[Unit], expected: int) -> Event | None:
        """Take what came of a process into the run directory; None when the unit is tried again."""
        self._selector.unregister(process.events)
        outcome = process.outcome()
        del self._running[process.unit.id]
        unit, attempt = process.unit, process.attempt
        if outcome.error is None:
            step, last = outcome.reports
            for report in outcome.reports:
                report.streams = self._others(unit, report.streams)
            self._keeper.report(unit, attempt, step)
            event = self._keeper.commit(unit, attempt, process.scratch, last)
            self._note(unit, f"done ({step.seconds:.1f} s)", expected)
            return event
        return self._fail(unit, attempt, outcome, waiting, expected)

    def _fail(self, unit: Unit, attempt: int, outcome: Outcome, waiting: list[Unit], expected: int) -> Event | None:
        keeper, error = self._keeper, outcome.error or ""
        by = outcome.end.signal if outcome.end is not None and outcome.end.signal in ENDING else None
        failures = keeper.state.failures.get(unit.id, 0)
        is_last = outcome.is_permanent or by is not None or failures >= self._spec.max_failures
        if outcome.trace:
            with open(unit.log, "a", encoding="utf-8", errors="replace") as log:
                log.write(outcome.trace)
            if by is None and error != self._errors.get(unit.id):
                tell(outcome.trace.rstrip("\n"))
        streams = self._others(unit, outcome.streams)
        keeper.fail(unit, attempt, error, final=is_last, streams=streams, end=outcome.end)
        told = told_of(error, self._errors.get(unit.id), final=is_last)
        self._note(unit, told if by is None else f"cancelled by {by}", expected)
        if not is_last:
            self._errors[unit.id] = error
            waiting.insert(0, unit)
            return None
        return keeper.state.failed[unit.id]

    def _others(self, unit: Unit, streams: dict[str, bytes]) -> dict[str, bytes]:
        """Return streams without what the process itself has written to the log of the unit."""
        is_own = unit.log == str(self._keeper.paths.folder(unit.id).outputs)
        return {name: data for name, data in streams.items() if not (is_own and name == OUTPUTS)}

    def _note(self, unit: Unit, text: str, expected: int) -> None:
        self._keeper.note(f"{unit.id}: {text}")
        if expected > 1:
            say(f"{unit.id}: {text}")

    def _end_all(self, number: int) -> None:
        for process in self._running.values():
            process.send(number)
        until = time.monotonic() + _PATIENCE_S
        for process in self._running.values():
            self._selector.unregister(process.events)
            process.end(max(0.1, until - time.monotonic()))
        self._running.clear()


def refuse_inside() -> None:
    """Raise ProvenanceError when a run in this process has begun: its own code must not begin another."""
    from flambe.runner.environment import active

    if active() is not None:
        raise ProvenanceError(
            "a decorated function was called by the code of a run, without arguments",
            hint="Call it below 'if __name__ == \"__main__\":', so that importing its file does not run it.",
        )


__all__ = ["Ended", "How", "Stopped", "refuse_inside", "run_launched"]

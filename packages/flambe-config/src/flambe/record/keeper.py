"""``Keeper``: the one writer of a run directory.

Workers write to a scratch folder and hand over; the keeper checks the attempt, writes, renames. So no shared disk is
needed, and a worker that was given up cannot commit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from flambe.errors import FlambeError
from flambe.record import run
from flambe.record.inputs import declared_input, input_here, joined, moved_files
from flambe.record.kept_steps import KeptSteps
from flambe.record.ledger import Event, LedgerState
from flambe.record.opening import Opening
from flambe.record.parcel import take, unpack
from flambe.record.pulse import Pulse
from flambe.record.refused import DiskRefused, on_disk
from flambe.record.result import Found, run_digest
from flambe.record.run import RunRecord, StageRecord
from flambe.record.scratch import Scratch
from flambe.record.streams import Streams
from flambe.record.unit_records import UnitRecords
from flambe.record.unit_results import UnitResults
from flambe.runner.unit import StepReport, Unit
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import is_concrete

_SYNC_EVERY_S = 0.2


class Keeper:
    """The one writer of a run directory, from ``open_run`` to ``close``; every method but the heartbeat is for one thread.

    when_closed: is given the run directory when nothing more will be written. Every method raises DiskRefused when the disk does
    not take it.
    """

    def __init__(self, opening: Opening, *, when_closed: Callable[[Path], None] | None = None) -> None:
        self.paths = opening.paths
        self.spec = opening.spec
        self.record = opening.record
        self.ledger = opening.ledger
        self._units = UnitRecords(self.paths, self.state, opening.begun)
        self._streams = Streams(self.paths)
        self._scratch = Scratch(self.paths.scratch)
        self._results = UnitResults(self.paths, self._scratch, shared=self.spec.kind == "function")
        self._pulse = Pulse(self.paths.record, self.record, self.state.counts)
        self._steps = KeptSteps(self.paths, self.state, self._scratch)
        self.held = self._steps.held
        self._when_closed = when_closed
        self._last_sync = 0.0
        try:
            for text in opening.notes:
                self.note(text)
        except BaseException:
            self.ledger.close()
            raise
        self._pulse.begin()

    # -- opening and closing ------------------------------------------------------------------------------------------

    @property
    def state(self) -> LedgerState:
        """What the events so far amount to, those of earlier processes included."""
        return self.ledger.state

    def note(self, text: str) -> None:
        """Add a line for people to the run's ``outputs.log``."""
        self.log(f"{time.strftime('%H:%M:%S')} | {text}\n")

    @on_disk
    def log(self, text: str) -> None:
        """Add a text to the run's ``outputs.log`` as it is."""
        with self.paths.outputs.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(text)

    @on_disk
    def close(self, status: str, *, reason: str | None = None, error: str | None = None) -> RunRecord:
        """End the run with a final state and return its record. The scratch folder goes away.

        Whatever the disk says, the lock is given back and the heartbeat ends: a run that could not write how it ended goes on
        with the same command.
        """
        try:
            for unit in list(self.state.running):
                self._units.set_status(unit, run.CANCELLED, reason=reason)
            counts = self.state.counts()
            finished = status in (run.COMPLETE, run.FAILED)
            digest = run_digest(spec_digest(self.spec, placed=False), self.state) if finished else None
            self.ledger.append("close", status=status, counts=counts, result_digest=digest)
            self.ledger.sync()
            self._pulse.end()
            self._scratch.end()
            self.record.status = status
            self.record.status_reason = reason
            self.record.result_digest = digest
            self.record.exit = run.Exit(code={run.COMPLETE: 0, run.FAILED: 1}.get(status), error=error)
            if status == run.FAILED and self.spec.kind == "function" and len(self.state.planned) == 1:
                only = self._units.find(next(iter(self.state.planned)))
                self.record.exit = (only.exit if only is not None else None) or self.record.exit
            if status == run.CANCELLED and reason is not None and reason in signal.Signals.__members__:
                self.record.exit.signal, self.record.exit.code = reason, 128 + signal.Signals[reason]
            self.record.time.ended = run.now()
            self._pulse.write(durable=True)
        finally:
            self._pulse.end()
            self.ledger.close()
        if self._when_closed is not None:
            self._when_closed(self.paths.root)
        return self.record

    def give_up(self, error: BaseException, status: str = run.CANCELLED) -> None:
        """End the run because of ``error``, as far as the disk allows: the error itself is what is told."""
        with contextlib.suppress(DiskRefused):
            self.close(status, reason=str(error) or type(error).__name__)

    # -- units --------------------------------------------------------------------------------------------------------

    @on_disk
    def plan(self, unit: Unit, needs: Mapping[str, str] | None = None, *, anew: bool = False) -> None:
        """Expect a unit. needs: linked stage → unit id. Planning it again changes nothing, unless its key is another (what
        there is of it was made by other code), or something it needs has begun anew since: then it begins anew too.

        anew: let it begin anew in any case.
        """
        above = dict(needs) if needs is not None else {s: f"{s}/{Path(f).name}" for s, f in unit.needs.items()}
        if anew or not self.state.is_planned(unit.id, unit.key, above.values()):
            self.ledger.append(
                "plan", unit=unit.id, stage=unit.stage, variant=unit.variant, params=unit.made_with, key=unit.key,
                needs=above, **({"code": unit.code} if unit.code else {}), **({"files": unit.files} if unit.files else {}),
            )  # fmt: skip

    @on_disk
    def start(self, unit: Unit, attempt: int, worker: str, from_step: int = 0, *, again: bool = False) -> Path:
        """Begin an attempt and return its empty scratch folder. Streams are cut back to what ``from_step`` had, but for those of a
        function that goes on: how far it is only it knows, so whatever it has written stays.

        again: it goes on from what an attempt of this process has left.
        """
        folder = self.paths.unit(unit.stage, unit.variant)
        resumes = self._units.resumes(unit.id)
        stays = again or resumes > 0
        if not _is_new(folder.root):
            self._results.clear(unit.id, keep_artifacts=stays)
            if not stays:
                self._streams.cut(unit.id, self.state.reports.get(unit.id, ()), from_step)
        inputs = joined(self._units.inputs_above(unit.id), self._units.inputs(unit.id) if from_step else [])
        record = StageRecord(
            stage=unit.stage, variant=unit.variant, params=unit.made_with, key=unit.key, seed=unit.seed, step=from_step,
            takeovers=self.state.taken_over(unit.id),
            attempt=attempt, time=run.Times(started=run.now()), needs={s: Path(f).name for s, f in unit.needs.items()},
            inputs=inputs, resumes=resumes,
        )  # fmt: skip
        self._units.begin(unit.id, record)
        self.ledger.append("start", unit=unit.id, attempt=attempt, worker=worker, from_step=from_step)
        return self._scratch.make(self.state.running[unit.id])

    @on_disk
    def report(self, unit: Unit, attempt: int, report: StepReport, step_source: Path | bytes | None = None) -> None:
        """Take the report of one step: its streams, then its checkpoint (best and last are kept), then the event.

        A report of an attempt that is over is refused with FlambeError.
        """
        self._check_attempt(unit, attempt)
        record = self._units.running(unit.id)
        folder = self.paths.unit(unit.stage, unit.variant)
        self._streams.append(unit.id, report.streams)
        if step_source is not None:
            take(step_source, folder.step(report.step))
        record.step, record.metric, record.metric_name = report.step, report.metric, report.metric_name
        record.lower_is_better = report.lower_is_better
        record.inputs = joined(record.inputs, report.inputs)
        self.ledger.append(
            "report", unit=unit.id, attempt=attempt, step=report.step, metric=report.metric, more=report.more,
            lower_is_better=report.lower_is_better, kept=step_source is not None,
            offsets=self._streams.offsets(unit.id),
        )  # fmt: skip
        if report.more:
            self._units.write(unit.id)  # else the commit, which comes next, writes it
        if step_source is not None:
            self._steps.drop_old(unit.id)

    @on_disk
    def decision(self, unit: Unit, step: int, decision: str) -> None:
        """Record what the scheduler said about a step: ``continue``, ``pause`` or ``stop``."""
        self.ledger.append("decision", unit=unit.id, step=step, decision=decision)

    @on_disk
    def pause(self, unit: Unit, step: int) -> None:
        """Record that a unit waits with its state in ``steps/``."""
        self._units.set_status(unit.id, run.PAUSED)
        self.ledger.append("pause", unit=unit.id, step=step)

    @on_disk
    def commit(
        self, unit: Unit, attempt: int, source: Path | bytes, report: StepReport, *, complete: bool = True
    ) -> Event:
        """Take the result of an attempt into the run directory. complete: whether it ran to its own end."""
        self._check_attempt(unit, attempt)
        folder = self.paths.unit(unit.stage, unit.variant)
        self._streams.append(unit.id, report.streams)
        if isinstance(source, bytes):
            # The worker does not see this disk, so nothing is in the folder that it was given.
            aside = self._scratch.of_attempt(self.state.running[unit.id])
            unpack(source, aside)
            source = aside
        self._results.take(unit.id, source)
        # A program may have left something running that works in this folder.
        self._scratch.give_back(source, keep=not unit.is_program)
        record = self._units.running(unit.id)
        record.status, record.complete = run.COMPLETE, complete
        record.step, record.metric, record.metric_name = report.step, report.metric, report.metric_name
        record.lower_is_better, record.inputs = report.lower_is_better, joined(record.inputs, report.inputs)
        record.result = report.result
        if self.spec.kind == "function" and is_concrete(self.spec):
            self.record.result = report.result
        record.time.ended = run.now()
        self._units.write(unit.id)
        self._units.keep_inputs(unit.id, record)
        event = self.ledger.append(
            "commit", unit=unit.id, attempt=attempt, key=unit.key, step=report.step, complete=complete,
            metric=report.metric, lower_is_better=report.lower_is_better, **self._results.digests(unit.id, record),
        )  # fmt: skip
        self._forget(unit.id)
        self._sync_sometimes()
        if unit.id in self.held:
            self._steps.drop_old(unit.id)
        else:
            shutil.rmtree(folder.steps, ignore_errors=True)
        return event

    @on_disk
    def reuse(self, unit: Unit, found: Found) -> Event:
        """Take an earlier result, by hard link or copy."""
        # Where they lie here: the other run may be one of another folder, or another machine.
        here = joined(
            self._units.inputs_above(unit.id), [declared_input(path, digest) for path, digest in unit.files.items()]
        )
        besides = [input_here(one) for one in found.record.inputs if "declared" not in one]
        record = msgspec.structs.replace(
            found.record, stage=unit.stage, variant=unit.variant, params=unit.made_with, key=unit.key, seed=unit.seed,
            attempt=0, needs={s: Path(f).name for s, f in unit.needs.items()},
            reused_from=found.address or os.path.relpath(found.folder, self.paths.root),
            inputs=joined(here, besides),
        )  # fmt: skip
        self._units.keep_inputs(unit.id, record)
        above, moved = self.state.above(unit.id), moved_files(found.record.inputs, here)
        self._results.copy(unit.id, found.folder, record, above, moved)
        self._forget(unit.id)
        return self.ledger.append(
            "reuse", unit=unit.id, key=unit.key, source=record.reused_from, step=record.step, complete=record.complete,
            metric=found.event.get("metric", record.metric), lower_is_better=record.lower_is_better,
            **self._results.digests(unit.id, record),
        )  # fmt: skip

    @on_disk
    def fail(
        self,
        unit: Unit,
        attempt: int,
        error: str,
        *,
        final: bool,
        streams: Mapping[str, bytes] | None = None,
        end: run.Exit | None = None,
    ) -> None:
        """Record that an attempt raised; ``final`` when it is not tried again. end: how its process ended, of a function: one that
        somebody has ended by a signal is CANCELLED.
        """
        if streams:
            self._streams.append(unit.id, streams)
        if final and unit.is_program and unit.id in self.state.running:
            # What it has written, perhaps for hours, before it failed, or what reads its metric did.
            made = self._scratch.of_attempt(self.state.running[unit.id])
            if made.is_dir():
                self._results.take(unit.id, made, artifacts_only=True)
        record = self._units.find(unit.id)
        if record is not None:
            record.exit = end
        by = end.signal if final and end is not None and end.signal in run.ENDING else None
        status = run.CREATED if not final else run.FAILED if by is None else run.CANCELLED
        # The record first, as everywhere: should this process die in between, the next attempt writes it again.
        self._units.set_status(unit.id, status, reason=by, error=error)
        more = {} if by is None else {"signal": by}
        self.ledger.append("fail", unit=unit.id, attempt=attempt, error=error, final=final, **more)
        if final:
            self._forget(unit.id)

    @on_disk
    def prune(self, unit: Unit, why: str) -> None:
        """Record that a unit is not wanted any more."""
        self._units.set_status(unit.id, run.PRUNED, reason=why)
        self.ledger.append("prune", unit=unit.id, why=why)

    @on_disk
    def reduce(self, stage: str, kept: Sequence[str], best: str | None = None) -> None:
        """Record which units (ids, best first) later stages will see, and point ``stages/<stage>/best`` at the best."""
        if stage not in self.state.reduced:
            self.ledger.append("reduce", stage=stage, kept=list(kept))
        if best is not None:
            self.mark_best(stage, best)

    @on_disk
    def settle(self, stages: Sequence[str], key: str) -> None:
        """Record that all units are done of stages that a scheduler or a search has decided about together. key: of what they rest
        on, see ``flambe.record.settled``.
        """
        if self.state.settled.get(stages[0], {}).get("key") != key:
            self.ledger.append("settle", stages=list(stages), key=key)

    @on_disk
    def mark_best(self, stage: str, unit: str) -> None:
        """Point ``stages/<stage>/best`` at a unit."""
        link = self.paths.best(stage)
        aside = link.with_name(".best")
        aside.unlink(missing_ok=True)
        aside.symlink_to(unit.partition("/")[2])
        os.replace(aside, link)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _check_attempt(self, unit: Unit, attempt: int) -> None:
        running = self.state.running.get(unit.id)
        if running is None or running["attempt"] != attempt:
            raise FlambeError(f"attempt {attempt} of {unit.id} is over; what it hands in is refused")

    def _forget(self, unit: str) -> None:
        self._units.forget(unit)
        self._streams.forget(unit)

    def _sync_sometimes(self) -> None:
        if time.monotonic() - self._last_sync > _SYNC_EVERY_S:
            self.ledger.sync()
            self._last_sync = time.monotonic()


def _is_new(folder: Path) -> bool:
    """Make a folder, and say whether it was not there."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


__all__ = ["Keeper"]

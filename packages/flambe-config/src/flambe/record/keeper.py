"""``Keeper``: the one writer of a run directory.

Workers write to a scratch folder and hand over; the keeper checks the attempt, writes, renames. So no shared disk is
needed, and a worker that was given up cannot commit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flambe import __version__
from flambe.errors import ConfigError, FlambeError
from flambe.record import layout, run
from flambe.record.artifacts import sweep_artifacts
from flambe.record.claim import NEXT, Wish, can_go_on, claim, code_opened, home_of, resumed, unfinished
from flambe.record.code import forget_code
from flambe.record.code_copy import CodeCopy, code_to_copy, mend_copy
from flambe.record.damage import may_be_damaged, report_is_whole, result_is_whole, sources_are_whole
from flambe.record.gpus import measured_gpus, named_gpus
from flambe.record.ledger import PENDING, Event, Ledger, LedgerState
from flambe.record.parcel import take, unpack
from flambe.record.provenance import command_of, this_python, write_sources
from flambe.record.reference import move_references
from flambe.record.refused import DiskRefused, kept_in, on_disk
from flambe.record.result import Found, artifacts_digest, copy_result, exports_digest, run_digest, unit_digest
from flambe.record.run import RunRecord, StageRecord, needed_version, read_record, write_record
from flambe.record.scratch import Scratch
from flambe.record.streams import Streams
from flambe.runner.unit import StepReport, Unit
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import Spec, is_concrete
from flambe.spec.shape import check_names

_SYNC_EVERY_S = 0.2
_SHOWN = 10
_ENDED = ("done", "failed", "pruned")
_PLAN = ("unit", "stage", "variant", "params", "key", "needs")
_RESULT = (layout.ARTIFACTS, layout.ARTIFACT_INDEX, layout.EXPORT_TENSORS, layout.EXPORTS, layout.CHECKPOINT)
"""What a result is made of, in the order in which it is taken into its unit's folder."""


class Keeper:
    """The one writer of a run directory. Made by ``Keeper.open``; every method but the heartbeat is for one thread."""

    def __init__(self, paths: layout.RunPaths, spec: Spec, record: RunRecord, ledger: Ledger) -> None:
        self.paths = paths
        self.spec = spec
        self.record = record
        self.ledger = ledger
        self._units: dict[str, StageRecord] = {}
        self._streams = Streams(paths)
        self._scratch = Scratch(paths.scratch)
        self.held: dict[str, set[int]] = {}
        """Steps of units that others may take over (``flambe.record.takeover``): a commit leaves them."""
        self._last_sync = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._measuring = threading.Thread(target=self._measure_gpus, name="gpus", daemon=True)

    # -- opening and closing ------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        spec: Spec,
        *,
        tool: str,
        argv: Sequence[str] = (),
        output_dir: str | Path | None = None,
        fresh: bool = False,
        wish: Wish = NEXT,
    ) -> Keeper:
        """Take the run directory of ``spec``: the newest unfinished one with an equal digest, else the next number.

        fresh: take the next number in any case. wish: take the folder that it names.
        Raises ProvenanceError when another process is writing the unfinished one, DiskRefused (as every method does) when the
        disk does not take it.
        """
        check_names(spec)
        if output_dir is not None:
            spec = msgspec.structs.replace(spec, output_dir=str(output_dir))
        home = home_of(spec)
        forget_code()
        copy = code_to_copy(spec, Path(spec.output_dir).expanduser().absolute()) if wish.resume is None else None
        with kept_in(home):
            home.mkdir(parents=True, exist_ok=True)
            found = None if fresh or wish != NEXT else unfinished(home, spec_digest(spec))
            if found is not None and spec.kind == "function" and not can_go_on(found, spec, copy):
                found = None
            if wish.resume is not None:
                paths = resumed(wish.resume, spec, allow_change=wish.allow_change)
            else:
                paths = layout.RunPaths(found) if found is not None else claim(home, wish.number)
            ledger = Ledger(paths.ledger)
            try:
                return cls._opened(spec, paths, ledger, tool, argv, copy, wish)
            except BaseException:
                ledger.close()
                raise

    @classmethod
    def _opened(
        cls,
        spec: Spec,
        paths: layout.RunPaths,
        ledger: Ledger,
        tool: str,
        argv: Sequence[str],
        copy: CodeCopy | None,
        wish: Wish,
    ) -> Keeper:
        old = None
        with contextlib.suppress(FileNotFoundError, ConfigError):
            old = read_record(paths.record, RunRecord)
        damaged = (bool(ledger.state.events) or old is not None) and may_be_damaged(
            old.host if old else None, run.this_host()
        )
        times = run.Times(created=old.time.created if old else run.now(), started=run.now(), heartbeat=run.now())
        digest = spec_digest(spec)
        # What went on before executed the copy that is there, and so does what goes on now.
        code = old.code if old is not None and paths.spec.exists() else None if copy is None else copy.write(paths.root)
        if code is None and old is None and wish.resume is not None:
            code = code_opened(ledger.state.events)
        if damaged and code is not None:
            mend_copy(paths.root, code, spec)
        # With a changed spec they are written beside the first ones, whatever those are.
        unchanged = old is None or (old.spec_digest == digest and not old.resumes)
        if damaged and unchanged and not sources_are_whole(paths, digest):
            paths.spec.unlink(missing_ok=True)  # it comes last, so all of them are written again
        record = RunRecord(
            id=old.id if old else run.new_id(),
            kind=spec.kind,
            name=spec.name,
            index=int(paths.root.name.partition(".")[2]),
            status=run.RUNNING,
            time=times,
            tool={"name": tool, "version": __version__},
            command=command_of(spec, argv),
            spec_digest=digest,
            seed=spec.seed,
            python=this_python(),
            host=run.this_host(),
            counts=ledger.state.counts(),
            code=code,
            entry=str(spec.stages[0].body["main"]) if spec.kind == "function" else None,
            resumes=(old.resumes if old else 0) + (wish.resume is not None),
        )
        record.flambe_record = needed_version(record)
        if record.host is not None:
            record.host.gpus = named_gpus()
        if not paths.spec.exists():
            write_sources(paths, spec, code)
        elif old is not None and old.spec_digest != digest:
            write_sources(paths, spec, code, number=record.resumes)
        keeper = cls(paths, spec, record, ledger)
        # Scratch folders of an earlier process belong to attempts that are over.
        keeper._scratch.end()
        run.sweep(paths.root)
        if wish.resume is not None:  # where a function itself writes
            sweep_artifacts(paths.root)
        state = ledger.state
        going_on = {event["stage"] for unit, event in state.planned.items() if state.status_of(unit) not in _ENDED}
        for unit in state.done:  # a commit that could not tidy up
            run.sweep(paths.folder(unit).root)
            if unit.partition("/")[0] not in going_on:  # else another variant may go on from one of its steps
                shutil.rmtree(paths.folder(unit).steps, ignore_errors=True)
        keeper._write_record()
        if code is not None and code.left_out and old is None:
            shown = [*code.left_out[:_SHOWN], *(["…"] if len(code.left_out) > _SHOWN else [])]
            keeper.note(f"out of the snapshot: {', '.join(shown)}")
        more = {} if code is None else {"code": msgspec.to_builtins(code)}
        ledger.append("open", spec=digest, tool=tool, pid=os.getpid(), **more)
        keeper._mend(verify=damaged)
        keeper._pulse.start()
        keeper._measuring.start()
        return keeper

    def _mend(self, *, verify: bool) -> None:
        """Let units whose last checkpoint is gone or torn go on from an earlier one, or from the beginning.

        verify: the machine may have lost its power: look at results too, at every byte.
        """
        for unit, event in list(self.state.done.items()) if verify else ():
            if not result_is_whole(self.paths.folder(unit).root, event):
                self.note(f"{unit}: its result is not whole, so it is made again")
                planned = self.state.planned[unit]
                self.ledger.append("plan", **{name: planned[name] for name in _PLAN})
        for unit, step in list(self.state.steps.items()):
            if self.state.status_of(unit) not in (PENDING, "paused"):
                continue
            folder = self.paths.folder(unit)
            kept = [report for report in self.state.reports.get(unit, ()) if report["kept"]]
            good = (report for report in reversed(kept) if report_is_whole(folder.root, report, verify=verify))
            whole = next(good, {"step": 0})["step"]
            if whole != step:
                self.note(f"{unit}: steps/{step} is not whole, so it goes on from step {whole}")
                self.state.fall_back(unit, whole)

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
                self._set_status(unit, run.CANCELLED, reason=reason)
            counts = self.state.counts()
            finished = status in (run.COMPLETE, run.FAILED)
            digest = run_digest(self.record.spec_digest, self.state) if finished else None
            self.ledger.append("close", status=status, counts=counts, result_digest=digest)
            self.ledger.sync()
            self._end_pulse()
            self._scratch.end()
            self.record.status = status
            self.record.status_reason = reason
            self.record.result_digest = digest
            self.record.exit = run.Exit(code={run.COMPLETE: 0, run.FAILED: 1}.get(status), error=error)
            if status == run.FAILED and self.spec.kind == "function" and len(self.state.planned) == 1:
                only = self._record_of(next(iter(self.state.planned)))
                self.record.exit = (only.exit if only is not None else None) or self.record.exit
            if status == run.CANCELLED and reason is not None and reason in signal.Signals.__members__:
                self.record.exit.signal, self.record.exit.code = reason, 128 + signal.Signals[reason]
            self.record.time.ended = run.now()
            self._write_record(durable=True)
        finally:
            self._end_pulse()
            self.ledger.close()
        return self.record

    def give_up(self, error: BaseException) -> None:
        """End the run as cancelled because of ``error``, as far as the disk allows: the error itself is what is told."""
        with contextlib.suppress(DiskRefused):
            self.close(run.CANCELLED, reason=str(error) or type(error).__name__)

    def _end_pulse(self) -> None:
        self._stop.set()
        if self._pulse.is_alive():
            self._pulse.join()

    def _write_record(self, *, durable: bool = False) -> None:
        with self._lock:
            self.record.time.heartbeat = run.now()
            self.record.counts = self.state.counts()
            write_record(self.paths.record, self.record, durable=durable)

    def _measure_gpus(self) -> None:
        # Aside: the driver may take a second to answer, and no run waits for it longer than it takes itself.
        found = measured_gpus()
        if found is not None and self.record.host is not None:
            self.record.host.gpus = found

    def _beat(self) -> None:
        while not self._stop.wait(run.HEARTBEAT_S):
            # A full disk for a moment must not make a live run look dead: the next beat tries again.
            with contextlib.suppress(OSError):
                self._write_record()

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
                "plan", unit=unit.id, stage=unit.stage, variant=unit.variant, params=unit.params, key=unit.key,
                needs=above, **({"code": unit.code} if unit.code else {}),
            )  # fmt: skip

    @on_disk
    def start(self, unit: Unit, attempt: int, worker: str, from_step: int = 0) -> Path:
        """Begin an attempt and return its empty scratch folder. Streams are cut back to what ``from_step`` had."""
        folder = self.paths.unit(unit.stage, unit.variant)
        if not _is_new(folder.root):
            # A torn commit may have left parts of a result. Lists go before what they list.
            for path in (folder.exports, folder.export_tensors, folder.root / layout.ARTIFACT_INDEX):
                path.unlink(missing_ok=True)
            for path in (folder.checkpoint, folder.root / layout.ARTIFACTS):
                shutil.rmtree(path, ignore_errors=True)
            run.sweep(folder.root)
            self._streams.cut(unit.id, self.state.reports.get(unit.id, ()), from_step)
        inputs = self._inputs_so_far(unit.id) if from_step else []
        record = StageRecord(
            stage=unit.stage, variant=unit.variant, params=unit.params, key=unit.key, seed=unit.seed, step=from_step,
            attempt=attempt, time=run.Times(started=run.now()), needs={s: Path(f).name for s, f in unit.needs.items()},
            inputs=inputs,
        )  # fmt: skip
        self._units[unit.id] = record
        write_record(folder.record, record)
        self.ledger.append("start", unit=unit.id, attempt=attempt, worker=worker, from_step=from_step)
        return self._scratch.make(unit.id, f"{attempt}.{from_step}")

    @on_disk
    def report(self, unit: Unit, attempt: int, report: StepReport, step_source: Path | bytes | None = None) -> None:
        """Take the report of one step: its streams, then its checkpoint (best and last are kept), then the event.

        A report of an attempt that is over is refused with FlambeError.
        """
        self._check_attempt(unit, attempt)
        record = self._units[unit.id]
        folder = self.paths.unit(unit.stage, unit.variant)
        self._streams.append(unit.id, report.streams)
        if step_source is not None:
            take(step_source, folder.step(report.step))
        record.step, record.metric, record.metric_name = report.step, report.metric, report.metric_name
        record.lower_is_better = report.lower_is_better
        record.inputs = _joined(record.inputs, report.inputs)
        self.ledger.append(
            "report", unit=unit.id, attempt=attempt, step=report.step, metric=report.metric, more=report.more,
            lower_is_better=report.lower_is_better, kept=step_source is not None,
            offsets=self._streams.offsets(unit.id),
        )  # fmt: skip
        if report.more:
            write_record(folder.record, record)  # else the commit, which comes next, writes it
        if step_source is not None:
            self._drop_old_steps(unit)

    @on_disk
    def decision(self, unit: Unit, step: int, decision: str) -> None:
        """Record what the scheduler said about a step: ``continue``, ``pause`` or ``stop``."""
        self.ledger.append("decision", unit=unit.id, step=step, decision=decision)

    @on_disk
    def pause(self, unit: Unit, step: int) -> None:
        """Record that a unit waits with its state in ``steps/``."""
        self._set_status(unit.id, run.PAUSED)
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
            aside = self._scratch.path(unit.id, f"{attempt}.{self.state.running[unit.id]['from_step']}")
            unpack(source, aside)
            source = aside
        there = {entry.name for entry in os.scandir(source)}
        for name in _RESULT:
            if name in there and not (name == layout.ARTIFACTS and _is_empty(source / name)):
                take(source / name, folder.root / name)
        # A program may have left something running that works in this folder.
        self._scratch.give_back(source, keep=not unit.is_program)
        record = self._units[unit.id]
        record.status, record.complete = run.COMPLETE, complete
        record.step, record.metric, record.metric_name = report.step, report.metric, report.metric_name
        record.lower_is_better, record.inputs = report.lower_is_better, _joined(record.inputs, report.inputs)
        record.result = report.result
        if self.spec.kind == "function" and is_concrete(self.spec):
            self.record.result = report.result
        record.time.ended = run.now()
        write_record(folder.record, record)
        event = self.ledger.append(
            "commit", unit=unit.id, attempt=attempt, key=unit.key, step=report.step, complete=complete,
            metric=report.metric, lower_is_better=report.lower_is_better,
            digest=unit_digest(folder.root, params=unit.params, step=report.step, complete=complete),
            exports=exports_digest(folder), artifacts=artifacts_digest(folder),
        )  # fmt: skip
        self._forget(unit.id)
        self._sync_sometimes()
        if unit.id in self.held:
            self._drop_old_steps(unit)
        else:
            shutil.rmtree(folder.steps, ignore_errors=True)
        return event

    @on_disk
    def reuse(self, unit: Unit, found: Found) -> Event:
        """Take an earlier result, by hard link or copy."""
        folder = self.paths.unit(unit.stage, unit.variant)
        record = msgspec.structs.replace(
            found.record, stage=unit.stage, variant=unit.variant, params=unit.params, key=unit.key, seed=unit.seed,
            attempt=0, needs={s: Path(f).name for s, f in unit.needs.items()},
            reused_from=found.address or os.path.relpath(found.folder, self.paths.root),
        )  # fmt: skip
        if found.folder.resolve() != folder.root.resolve():
            aside = self._scratch.place(unit.id, "reuse")
            copy_result(found.folder, aside)
            move_references(aside, self._above(unit.id))
            write_record(aside / layout.RUN, record)
            # All at once: a torn copy would be files that belong to the other run too.
            shutil.rmtree(folder.root, ignore_errors=True)
            folder.root.parent.mkdir(parents=True, exist_ok=True)
            os.rename(aside, folder.root)
        self._forget(unit.id)
        return self.ledger.append(
            "reuse", unit=unit.id, key=unit.key, source=record.reused_from, step=record.step, complete=record.complete,
            metric=found.event.get("metric", record.metric), lower_is_better=record.lower_is_better,
            digest=unit_digest(folder.root, params=unit.params, step=record.step, complete=record.complete),
            exports=exports_digest(folder), artifacts=artifacts_digest(folder),
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
        record = self._record_of(unit.id)
        if record is not None:
            record.exit = end
        by = end.signal if final and end is not None and end.signal in run.ENDING else None
        status = run.CREATED if not final else run.FAILED if by is None else run.CANCELLED
        # The record first, as everywhere: should this process die in between, the next attempt writes it again.
        self._set_status(unit.id, status, reason=by, error=error)
        more = {} if by is None else {"signal": by}
        self.ledger.append("fail", unit=unit.id, attempt=attempt, error=error, final=final, **more)
        if final:
            self._forget(unit.id)

    @on_disk
    def prune(self, unit: Unit, why: str) -> None:
        """Record that a unit is not wanted any more."""
        self._set_status(unit.id, run.PRUNED, reason=why)
        self.ledger.append("prune", unit=unit.id, why=why)

    @on_disk
    def reduce(self, stage: str, kept: Sequence[str], best: str | None = None) -> None:
        """Record which units (ids, best first) later stages will see, and point ``stages/<stage>/best`` at the best."""
        if stage not in self.state.reduced:
            self.ledger.append("reduce", stage=stage, kept=list(kept))
        if best is not None:
            self.mark_best(stage, best)

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

    def _drop_old_steps(self, unit: Unit) -> None:
        reports = self.state.reports.get(unit.id, [])
        # NaN is neither better nor worse than anything.
        scored = [event for event in reports if event["kept"] and event["metric"] == event["metric"] is not None]
        keep = self.held.get(unit.id, set()) | ({reports[-1]["step"]} if reports else set())
        if scored:
            sign = -1 if scored[-1]["lower_is_better"] else 1
            keep.add(max(scored, key=lambda event: sign * event["metric"])["step"])
        for folder in self.paths.unit(unit.stage, unit.variant).steps.iterdir():
            if folder.name.isdigit() and int(folder.name) not in keep:
                shutil.rmtree(folder, ignore_errors=True)

    def _set_status(self, unit: str, status: str, *, reason: str | None = None, error: str | None = None) -> None:
        record = self._record_of(unit)
        if record is None:
            return  # it never began
        record.status, record.status_reason, record.error = status, reason, error
        if status in run.FINISHED:
            record.time.ended = run.now()
        write_record(self.paths.folder(unit).record, record)

    def _record_of(self, unit: str) -> StageRecord | None:
        if unit not in self._units:
            with contextlib.suppress(FileNotFoundError, ConfigError):
                self._units[unit] = read_record(self.paths.folder(unit).record, StageRecord)
        return self._units.get(unit)

    def _forget(self, unit: str) -> None:
        """Let go of a unit that has ended: of thousands only the ledger stays in memory."""
        self._units.pop(unit, None)
        self._streams.forget(unit)

    def _inputs_so_far(self, unit: str) -> list[dict[str, Any]]:
        record = self._record_of(unit)
        return record.inputs if record is not None else []

    def _above(self, unit: str) -> dict[str, str]:
        """Return stage → variant of everything that a unit needs, itself or through others."""
        found: dict[str, str] = {}
        todo = [unit]
        while todo:
            for stage, need in self.state.planned.get(todo.pop(), {"needs": {}})["needs"].items():
                if stage not in found:
                    found[stage] = need.partition("/")[2]
                    todo.append(need)
        return found

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


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _joined(earlier: list[dict[str, Any]], more: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the inputs of all attempts that a result rests on; one that was read twice and had changed stays twice."""
    return [*earlier, *(described for described in more if described not in earlier)]


__all__ = ["Keeper"]

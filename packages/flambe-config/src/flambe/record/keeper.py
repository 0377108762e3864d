"""``Keeper``: the one writer of a run directory.

Workers write to a scratch folder and hand over; the keeper checks the attempt, writes, renames. So no shared disk is
needed, and a worker that was given up cannot commit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from flambe import __version__
from flambe.errors import ConfigError, FlambeError
from flambe.record import layout, run
from flambe.record.ledger import Event, Ledger, LedgerState
from flambe.record.parcel import unpack
from flambe.record.provenance import command_of, this_python, write_sources
from flambe.record.result import Found, copy_result, run_digest, unit_digest
from flambe.record.run import RunRecord, StageRecord, read_record, write_record
from flambe.runner.unit import StepReport, Unit
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import Spec

_SYNC_EVERY_S = 0.2
_CONTINUABLE = frozenset({run.CREATED, run.QUEUED, run.RUNNING, run.PAUSED, run.CANCELLED})


class Keeper:
    """The one writer of a run directory. Made by ``Keeper.open``; every method but the heartbeat is for one thread."""

    def __init__(self, paths: layout.RunPaths, spec: Spec, record: RunRecord, ledger: Ledger) -> None:
        self.paths = paths
        self.spec = spec
        self.record = record
        self.ledger = ledger
        self._units: dict[str, StageRecord] = {}
        self._offsets: dict[str, dict[str, int]] = {}
        self._last_sync = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

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
    ) -> Keeper:
        """Take the run directory of ``spec``: the newest unfinished one with an equal digest, else the next number.

        fresh: take the next number in any case.
        Raises ProvenanceError when another process is writing the unfinished one.
        """
        home = Path(output_dir if output_dir is not None else spec.output_dir).expanduser().absolute() / spec.name
        home.mkdir(parents=True, exist_ok=True)
        digest = spec_digest(spec)
        found = None if fresh else _unfinished(home, digest)
        continued = found is not None
        paths = layout.RunPaths(found) if found is not None else _claim(home)
        ledger = Ledger(paths.ledger)
        old = None
        if continued:
            with contextlib.suppress(FileNotFoundError, ConfigError):
                old = read_record(paths.record, RunRecord)
        times = run.Times(created=old.time.created if old else run.now(), started=run.now(), heartbeat=run.now())
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
        )
        if not paths.spec.exists():
            write_sources(paths, spec)
        keeper = cls(paths, spec, record, ledger)
        # Scratch folders of an earlier process belong to attempts that are over.
        shutil.rmtree(paths.scratch, ignore_errors=True)
        keeper._write_record()
        ledger.append("open", spec=digest, tool=tool, pid=os.getpid())
        keeper._pulse.start()
        return keeper

    @property
    def state(self) -> LedgerState:
        """What the events so far amount to, those of earlier processes included."""
        return self.ledger.state

    def note(self, text: str) -> None:
        """Add a line for people to the run's ``outputs.log``."""
        with self.paths.outputs.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} | {text}\n")

    def close(self, status: str, *, reason: str | None = None, error: str | None = None) -> RunRecord:
        """End the run with a final state and return its record. The scratch folder goes away."""
        counts = self.state.counts()
        finished = status in (run.COMPLETE, run.FAILED)
        digest = run_digest(self.record.spec_digest, self.state) if finished else None
        self.ledger.append("close", status=status, counts=counts, result_digest=digest)
        self.ledger.sync()
        self._stop.set()
        self._pulse.join()
        shutil.rmtree(self.paths.scratch, ignore_errors=True)
        self.record.status = status
        self.record.status_reason = reason
        self.record.result_digest = digest
        self.record.exit = run.Exit(code={run.COMPLETE: 0, run.FAILED: 1}.get(status), error=error)
        self.record.time.ended = run.now()
        self._write_record(durable=True)
        self.ledger.close()
        return self.record

    def _write_record(self, *, durable: bool = False) -> None:
        with self._lock:
            self.record.time.heartbeat = run.now()
            self.record.counts = self.state.counts()
            write_record(self.paths.record, self.record, durable=durable)

    def _beat(self) -> None:
        while not self._stop.wait(run.HEARTBEAT_S):
            # A full disk for a moment must not make a live run look dead: the next beat tries again.
            with contextlib.suppress(OSError):
                self._write_record()

    # -- units --------------------------------------------------------------------------------------------------------

    def plan(self, unit: Unit, needs: Mapping[str, str] | None = None) -> None:
        """Expect a unit. needs: linked stage → unit id. Planning it again changes nothing."""
        if unit.id not in self.state.planned:
            self.ledger.append(
                "plan", unit=unit.id, stage=unit.stage, variant=unit.variant, params=unit.params, key=unit.key,
                needs=dict(needs) if needs is not None else {s: f"{s}/{Path(f).name}" for s, f in unit.needs.items()},
            )  # fmt: skip

    def start(self, unit: Unit, attempt: int, worker: str, from_step: int = 0) -> Path:
        """Begin an attempt and return its empty scratch folder. Streams are cut back to what ``from_step`` had."""
        folder = self.paths.unit(unit.stage, unit.variant)
        folder.root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder.checkpoint, ignore_errors=True)
        self._cut_streams(unit, from_step)
        record = StageRecord(
            stage=unit.stage, variant=unit.variant, params=unit.params, key=unit.key, seed=unit.seed, step=from_step,
            attempt=attempt, time=run.Times(started=run.now()), needs={s: Path(f).name for s, f in unit.needs.items()},
        )  # fmt: skip
        self._units[unit.id] = record
        write_record(folder.record, record)
        self.ledger.append("start", unit=unit.id, attempt=attempt, worker=worker, from_step=from_step)
        scratch = self.paths.scratch / f"{hashlib.sha256(unit.id.encode()).hexdigest()[:16]}.{attempt}.{from_step}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        return scratch

    def report(self, unit: Unit, attempt: int, report: StepReport, step_source: Path | bytes | None = None) -> None:
        """Take the report of one step: its streams, then its checkpoint (best and last are kept), then the event.

        A report of an attempt that is over is refused with FlambeError.
        """
        self._check_attempt(unit, attempt)
        record = self._units[unit.id]
        folder = self.paths.unit(unit.stage, unit.variant)
        self._append_streams(unit, report.streams)
        if step_source is not None:
            _take(step_source, folder.step(report.step))
        record.step, record.metric, record.metric_name = report.step, report.metric, report.metric_name
        record.lower_is_better = report.lower_is_better
        record.inputs = report.inputs
        self.ledger.append(
            "report", unit=unit.id, attempt=attempt, step=report.step, metric=report.metric, more=report.more,
            lower_is_better=report.lower_is_better, kept=step_source is not None,
            offsets=dict(self._offsets.get(unit.id, {})),
        )  # fmt: skip
        write_record(folder.record, record)
        if step_source is not None:
            self._drop_old_steps(unit)

    def decision(self, unit: Unit, step: int, decision: str) -> None:
        """Record what the scheduler said about a step: ``continue``, ``pause`` or ``stop``."""
        self.ledger.append("decision", unit=unit.id, step=step, decision=decision)

    def pause(self, unit: Unit, step: int) -> None:
        """Record that a unit waits with its state in ``steps/``."""
        self.ledger.append("pause", unit=unit.id, step=step)
        self._set_status(unit, run.PAUSED)

    def commit(
        self, unit: Unit, attempt: int, source: Path | bytes, report: StepReport, *, complete: bool = True
    ) -> Event:
        """Take the result of an attempt into the run directory. complete: whether it ran to its own end."""
        self._check_attempt(unit, attempt)
        folder = self.paths.unit(unit.stage, unit.variant)
        self._append_streams(unit, report.streams)
        if isinstance(source, bytes):
            aside = self.paths.scratch / f"{hashlib.sha256(unit.id.encode()).hexdigest()[:16]}.in"
            shutil.rmtree(aside, ignore_errors=True)
            unpack(source, aside)
            source = aside
        for name in (layout.ARTIFACTS, layout.EXPORT_TENSORS, layout.EXPORTS, layout.CHECKPOINT):
            if (source / name).exists():
                _take(source / name, folder.root / name)
        shutil.rmtree(source, ignore_errors=True)
        record = self._units[unit.id]
        record.status, record.complete = run.COMPLETE, complete
        record.step, record.metric, record.metric_name = report.step, report.metric, report.metric_name
        record.lower_is_better, record.inputs = report.lower_is_better, report.inputs
        record.time.ended = run.now()
        write_record(folder.record, record)
        event = self.ledger.append(
            "commit", unit=unit.id, attempt=attempt, key=unit.key, step=report.step, complete=complete,
            metric=report.metric, lower_is_better=report.lower_is_better,
            digest=unit_digest(folder.root, params=unit.params, step=report.step, complete=complete),
        )  # fmt: skip
        self._sync_sometimes()
        shutil.rmtree(folder.steps, ignore_errors=True)
        return event

    def reuse(self, unit: Unit, found: Found) -> Event:
        """Take an earlier result, by hard link or copy."""
        folder = self.paths.unit(unit.stage, unit.variant)
        shutil.rmtree(folder.root, ignore_errors=True)
        copy_result(found.folder, folder.root)
        record = found.record
        record = StageRecord(
            stage=unit.stage, variant=unit.variant, params=unit.params, key=unit.key, seed=unit.seed,
            status=run.COMPLETE, step=record.step, complete=record.complete, metric=record.metric,
            metric_name=record.metric_name, lower_is_better=record.lower_is_better, attempt=0, time=record.time,
            inputs=record.inputs, needs={s: Path(f).name for s, f in unit.needs.items()},
            reused_from=os.path.relpath(found.folder, self.paths.root),
        )  # fmt: skip
        write_record(folder.record, record)
        return self.ledger.append(
            "reuse", unit=unit.id, key=unit.key, source=record.reused_from, step=record.step, complete=record.complete,
            metric=record.metric, lower_is_better=record.lower_is_better,
            digest=unit_digest(folder.root, params=unit.params, step=record.step, complete=record.complete),
        )  # fmt: skip

    def fail(
        self, unit: Unit, attempt: int, error: str, *, final: bool, streams: Mapping[str, bytes] | None = None
    ) -> None:
        """Record that an attempt raised; ``final`` when it is not tried again."""
        if streams:
            self._append_streams(unit, streams)
        self.ledger.append("fail", unit=unit.id, attempt=attempt, error=error, final=final)
        self._set_status(unit, run.FAILED if final else run.CREATED, error=error)

    def prune(self, unit: Unit, why: str) -> None:
        """Record that a unit is not wanted any more."""
        self.ledger.append("prune", unit=unit.id, why=why)
        if unit.id in self._units:
            self._set_status(unit, run.PRUNED, reason=why)

    def reduce(self, stage: str, kept: Sequence[str], best: str | None = None) -> None:
        """Record which units (ids, best first) later stages will see, and point ``stages/<stage>/best`` at the best."""
        if stage not in self.state.reduced:
            self.ledger.append("reduce", stage=stage, kept=list(kept))
        if best is not None:
            self.mark_best(stage, best)

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

    def _append_streams(self, unit: Unit, streams: Mapping[str, bytes]) -> None:
        root = self.paths.unit(unit.stage, unit.variant).root
        offsets = self._offsets.setdefault(unit.id, {})
        for name, data in streams.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as stream:
                stream.write(data)
                offsets[name] = stream.tell()

    def _cut_streams(self, unit: Unit, from_step: int) -> None:
        offsets: dict[str, int] = {}
        for event in self.state.reports.get(unit.id, ()):
            if event["step"] <= from_step:
                offsets = dict(event["offsets"])
        root = self.paths.unit(unit.stage, unit.variant).root
        for path in [root / layout.OUTPUTS, *root.glob(f"{layout.METRICS}/*")]:
            name = path.relative_to(root).as_posix()
            if name not in offsets:
                path.unlink(missing_ok=True)
            elif path.exists() and path.stat().st_size > offsets[name]:
                os.truncate(path, offsets[name])
        self._offsets[unit.id] = offsets

    def _drop_old_steps(self, unit: Unit) -> None:
        reports = self.state.reports.get(unit.id, [])
        scored = [event for event in reports if event["metric"] is not None and event["kept"]]
        keep = {reports[-1]["step"]} if reports else set()
        if scored:
            sign = -1 if scored[-1]["lower_is_better"] else 1
            keep.add(max(scored, key=lambda event: sign * event["metric"])["step"])
        for folder in self.paths.unit(unit.stage, unit.variant).steps.iterdir():
            if folder.name.isdigit() and int(folder.name) not in keep:
                shutil.rmtree(folder, ignore_errors=True)

    def _set_status(self, unit: Unit, status: str, *, reason: str | None = None, error: str | None = None) -> None:
        record = self._units.get(unit.id)
        if record is None:
            return
        record.status, record.status_reason, record.error = status, reason, error
        if status in run.FINISHED:
            record.time.ended = run.now()
        write_record(self.paths.unit(unit.stage, unit.variant).record, record)

    def _sync_sometimes(self) -> None:
        if time.monotonic() - self._last_sync > _SYNC_EVERY_S:
            self.ledger.sync()
            self._last_sync = time.monotonic()


def _take(source: Path | bytes, target: Path) -> None:
    """Put a file, a folder or a packed folder at ``target``, whole, by one rename."""
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        try:
            os.rename(source, target)
        except OSError:  # another disk
            aside = target.with_name(f".{target.name}.in")
            shutil.rmtree(aside, ignore_errors=True)
            shutil.move(source, aside)
            os.rename(aside, target)
    else:
        aside = target.with_name(f".{target.name}.in")
        shutil.rmtree(aside, ignore_errors=True)
        unpack(source, aside)
        os.rename(aside, target)


def _claim(home: Path) -> layout.RunPaths:
    index = max((_index(path) for path in home.glob("exp.*")), default=-1) + 1
    while True:
        try:
            (home / f"exp.{index}").mkdir()
        except FileExistsError:
            index += 1
        else:
            return layout.RunPaths(home / f"exp.{index}")


def _unfinished(home: Path, digest: str) -> Path | None:
    for folder in sorted(home.glob("exp.*"), key=_index, reverse=True):
        try:
            record = read_record(folder / layout.RUN, RunRecord)
        except (FileNotFoundError, ConfigError):
            continue
        if record.spec_digest == digest:
            # Only the newest equal run counts: an older one was given up when the newer one began.
            return folder if record.status in _CONTINUABLE and not run.is_alive(record) else None
    return None


def _index(folder: Path) -> int:
    number = folder.name.partition(".")[2]
    return int(number) if number.isdigit() else -1


__all__ = ["Keeper"]

"""``Opening``: a run directory that was taken, new or gone on with, and whatever lies in it brought to order."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from flambe import __version__
from flambe.cli.console import say
from flambe.errors import ConfigError
from flambe.record import layout, run
from flambe.record.artifacts import sweep_artifacts
from flambe.record.claim import NEXT, Wish, can_go_on, claim, code_opened, home_of, resumed, unfinished
from flambe.record.code import forget_code
from flambe.record.code_copy import CodeCopy, code_to_copy, edit_warning, mend_copy
from flambe.record.damage import may_be_damaged, report_is_whole, result_is_whole, sources_are_whole
from flambe.record.declared import forget_files
from flambe.record.gpus import named_gpus
from flambe.record.ledger import PENDING, Ledger
from flambe.record.provenance import command_of, repeated_run, this_python, write_sources
from flambe.record.refused import kept_in
from flambe.record.run import RunRecord, needed_version, read_record, write_record
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import Spec
from flambe.spec.shape import check_names

_SHOWN = 10
_ENDED = ("done", "failed", "pruned")
_PLAN = ("unit", "stage", "variant", "params", "key", "needs")


class Opening(NamedTuple):
    """A run directory that this process may write. ledger: open and locked, with all that earlier processes wrote. notes: what
    people should know about it. begun: units of a function that ``--resume`` goes on with: they find what they have written.
    """

    paths: layout.RunPaths
    spec: Spec
    record: RunRecord
    ledger: Ledger
    notes: list[str]
    begun: frozenset[str]


def open_run(
    spec: Spec,
    *,
    tool: str,
    argv: Sequence[str] = (),
    output_dir: str | Path | None = None,
    fresh: bool = False,
    wish: Wish = NEXT,
) -> Opening:
    """Take the run directory of ``spec``: the newest unfinished one with an equal digest, else the next number.

    fresh: take the next number in any case. wish: take the folder that it names. The lock of the ledger is the caller's to give
    back. Raises ProvenanceError when another process is writing the unfinished one, DiskRefused when the disk does not take it.
    """
    check_names(spec)
    if output_dir is not None:
        spec = msgspec.structs.replace(spec, output_dir=str(output_dir))
    home = home_of(spec)
    forget_code()
    forget_files()
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
            return _opened(spec, paths, ledger, tool, argv, copy, wish)
        except BaseException:
            ledger.close()
            raise


def _opened(
    spec: Spec,
    paths: layout.RunPaths,
    ledger: Ledger,
    tool: str,
    argv: Sequence[str],
    copy: CodeCopy | None,
    wish: Wish,
) -> Opening:
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
    runs_from = paths.root if old is not None else None if copy is None else copy.source
    edited = None if runs_from is None else edit_warning(runs_from)
    if edited is not None:
        say(f"warning: {edited}")
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
        repeats=old.repeats if old else repeated_run(spec),
        reproduces=old.reproduces if old else None,
    )
    record.flambe_record = needed_version(record)
    if record.host is not None:
        record.host.gpus = named_gpus()
    if not paths.spec.exists():
        write_sources(paths, spec, code)
    elif old is not None and old.spec_digest != digest:
        write_sources(paths, spec, code, number=record.resumes)
    _tidy(paths, ledger)
    if wish.resume is not None:  # where a function itself writes
        sweep_artifacts(paths.root)
    write_record(paths.record, record)
    more = {} if code is None else {"code": msgspec.to_builtins(code)}
    ledger.append("open", spec=digest, tool=tool, pid=os.getpid(), **more)
    notes = [*_mended(paths, ledger, verify=damaged), *([] if edited is None else [edited])]
    if code is not None and code.left_out and old is None:
        shown = [*code.left_out[:_SHOWN], *(["…"] if len(code.left_out) > _SHOWN else [])]
        notes.append(f"out of the snapshot: {', '.join(shown)}")
    goes_on = wish.resume is not None and spec.kind == "function"
    return Opening(paths, spec, record, ledger, notes, frozenset(ledger.state.attempts if goes_on else ()))


def _tidy(paths: layout.RunPaths, ledger: Ledger) -> None:
    """Take away what an earlier process had no time for."""
    # Scratch folders belong to attempts that are over.
    shutil.rmtree(paths.scratch, ignore_errors=True)
    run.sweep(paths.root)
    state = ledger.state
    going_on = {event["stage"] for unit, event in state.planned.items() if state.status_of(unit) not in _ENDED}
    for unit in state.done:  # a commit that could not tidy up
        run.sweep(paths.folder(unit).root)
        if unit.partition("/")[0] not in going_on:  # else another variant may go on from one of its steps
            shutil.rmtree(paths.folder(unit).steps, ignore_errors=True)


def _mended(paths: layout.RunPaths, ledger: Ledger, *, verify: bool) -> Iterator[str]:
    """Let units whose last checkpoint is gone or torn go on from an earlier one, or from the beginning; say which.

    verify: the machine may have lost its power: look at results too, at every byte.
    """
    state = ledger.state
    for unit, event in list(state.done.items()) if verify else ():
        if not result_is_whole(paths.folder(unit).root, event):
            yield f"{unit}: its result is not whole, so it is made again"
            ledger.append("plan", **{name: state.planned[unit][name] for name in _PLAN})
    for unit, step in list(state.steps.items()):
        if state.status_of(unit) not in (PENDING, "paused"):
            continue
        folder = paths.folder(unit)
        kept = [report for report in state.reports.get(unit, ()) if report["kept"]]
        good = (report for report in reversed(kept) if report_is_whole(folder.root, report, verify=verify))
        whole = next(good, {"step": 0})["step"]
        if whole != step:
            yield f"{unit}: steps/{step} is not whole, so it goes on from step {whole}"
            state.fall_back(unit, whole)


__all__ = ["Opening", "open_run"]

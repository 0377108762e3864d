"""Run concrete specs in this process: every stage in file order, each result kept, earlier ones taken by key.

``flambe exec`` is this alone; ``flambe-train`` adds what torch needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flambe.cli.console import NORMAL, VERBOSE, say
from flambe.errors import ConfigError, UsageError
from flambe.reading.finished import enlist
from flambe.record.keeper import Keeper
from flambe.record.layout import OUTPUTS, STEPS, shown_params
from flambe.record.ledger import Event
from flambe.record.opening import open_run
from flambe.record.refused import DiskRefused
from flambe.record.result import ResultStore
from flambe.record.run import COMPLETE, FAILED
from flambe.runner.debugger import offer_terminal
from flambe.runner.failure import failure_of, told_of
from flambe.runner.interrupt import Interrupt, Stopped, catch_signals, interruptible
from flambe.runner.plan import check_order, concrete_units
from flambe.runner.unit import StepReport, Unit
from flambe.runner.unrecorded import forgotten, is_unrecorded
from flambe.spec.codec import load_spec
from flambe.spec.nodes import Spec, is_concrete

if TYPE_CHECKING:
    from flambe.runner.stage import StageRun


class ExecuteSummary(NamedTuple):
    """What ``execute_lines`` did: the run directory of each spec, and how many units failed."""

    run_dirs: list[Path]
    failed: int

    @property
    def run_dir(self) -> Path:
        return self.run_dirs[-1]


def execute_lines(
    lines: Iterable[str],
    *,
    tool: str,
    on_unit: Callable[[dict[str, Any]], None],
    output_dir: str | Path | None = None,
    argv: Iterable[str] = (),
    fresh: bool = False,
) -> ExecuteSummary:
    """Run each concrete spec of ``lines`` (JSON, one a line), each in a run directory of its own; of several functions each in
    a process of its own too.

    on_unit: called with a JSON-able row per finished unit, and one per run (it has no ``stage``). fresh: begin new run
    directories, and reuse nothing.
    Raises UsageError for no spec, ConfigError for a spec with search left in it.
    """
    run_dirs: list[Path] = []
    failed = 0
    first: Spec | None = None
    several = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    for number, line in several:
        spec = load_spec(line, where=f"line {number}")
        # The variants of one file say where its values were written on the first line only.
        if first is None or spec.source.files != first.source.files:
            first = spec
        spec.origins = spec.origins or first.origins
        if not is_concrete(spec):
            raise ConfigError(
                f"line {number}: the spec {spec.name!r} still has search in it",
                hint="Search with flambe-tune, or write out its variants: flambe-compile FILE --expand | flambe-train.",
            )
        asked = partial(execute, spec, tool=tool, output_dir=output_dir, argv=list(argv), fresh=fresh)
        apart = spec.kind == "function" and len(several) > 1
        root, lost = _apart(asked, on_unit, tool) if apart else asked(on_unit=on_unit)
        run_dirs.append(root)
        failed += lost
    if not run_dirs:
        raise UsageError("no spec came in", hint="Pipe one in: flambe-compile FILE | flambe-train.")
    return ExecuteSummary(run_dirs, failed)


def _apart(
    asked: Callable[..., tuple[Path, int]], on_unit: Callable[[dict[str, Any]], None], tool: str
) -> tuple[Path, int]:
    from flambe.runner.apart import call_apart

    rows: list[dict[str, Any]] = []

    def take(row: dict[str, Any]) -> None:
        rows.append(row)
        on_unit(row)

    call_apart(lambda tell: int(asked(on_unit=tell)[1] > 0), take, tool)
    return Path(rows[-1]["run"]), sum(row["status"] == FAILED for row in rows if "stage" in row)


def execute(
    spec: Spec,
    *,
    tool: str,
    on_unit: Callable[[dict[str, Any]], None],
    output_dir: str | Path | None = None,
    argv: Iterable[str] = (),
    fresh: bool = False,
) -> tuple[Path, int]:
    """Run one concrete spec and return its run directory and the number of units that failed.

    An unfinished run of an equal spec is continued: what is done stays, a unit in progress goes on from its last step. fresh: a
    new one is begun in any case, and reuses nothing.
    Raises ConfigError for links to later stages, ``Stopped`` after SIGINT or SIGTERM, with the record of the run written.
    """
    if is_unrecorded(spec):
        with forgotten(spec) as (nowhere,):
            return _execute(nowhere, tool, on_unit, None, argv, fresh)
    return _execute(spec, tool, on_unit, output_dir, argv, fresh)


def _execute(
    spec: Spec,
    tool: str,
    on_unit: Callable[[dict[str, Any]], None],
    output_dir: str | Path | None,
    argv: Iterable[str],
    fresh: bool,
) -> tuple[Path, int]:
    check_order(spec)
    if spec.debug:
        offer_terminal()
    with catch_signals() as interrupt:
        keeper = Keeper(
            open_run(spec, tool=tool, argv=list(argv), output_dir=output_dir, fresh=fresh), when_closed=enlist
        )
        # {output_dir}/{name}/exp.{i}, and a name may have several parts.
        store = None if fresh else ResultStore(keeper.paths.root.parents[spec.name.count("/") + 1])
        try:
            failed = _all(keeper, spec, interrupt, on_unit, store)
        except BaseException as error:
            # Whatever it was, nothing is lost: what was done is kept, and the same command goes on.
            keeper.give_up(error)
            if isinstance(error, KeyboardInterrupt):
                say(f"{tool}: stopped; the same command goes on from here: {keeper.paths.root}")
            raise
        record = keeper.close(FAILED if failed else COMPLETE)
        with interruptible():
            on_unit({"run": str(keeper.paths.root), "status": record.status, "counts": record.counts,
                     "result_digest": record.result_digest})  # fmt: skip
        interrupt.check()
    return keeper.paths.root, len(failed)


def _all(
    keeper: Keeper,
    spec: Spec,
    interrupt: Interrupt,
    on_unit: Callable[[dict[str, Any]], None],
    store: ResultStore | None,
) -> set[str]:
    """Take every unit to its end and return the stages that failed, or whose needs did."""
    failed: set[str] = set()
    units = concrete_units(spec, keeper.paths.root)
    for unit in units:
        keeper.plan(unit)
    for unit in units:
        interrupt.check()
        blocked = [stage for stage in unit.needs if stage in failed]
        if blocked:
            if unit.id not in keeper.state.pruned:
                keeper.prune(unit, f"{blocked[0]} failed")
            failed.add(unit.stage)
            continue
        event = run_unit(keeper, spec, unit, interrupt, store)
        if event["event"] == "fail":
            failed.add(unit.stage)
        else:
            # The only variant of its stage: paths are the same as after a search.
            keeper.mark_best(unit.stage, unit.id)
        with interruptible():
            on_unit(_row(keeper, unit, event))
    return failed


def run_unit(
    keeper: Keeper,
    spec: Spec,
    unit: Unit,
    interrupt: Interrupt,
    store: ResultStore | None = None,
    *,
    launched: bool = False,
) -> Event:
    """Take or make the result of one unit; returns its ``reuse``, ``commit`` or final ``fail`` event.

    store: of earlier results. launched: for a program of the user's, which stdout belongs to, and which is told nothing else.
    """
    state = keeper.state
    for ended in (state.done, state.failed):
        if unit.id in ended:
            return ended[unit.id]
    found = store.find(unit.key) if unit.reuse and store is not None else None
    if found is not None:
        _tell(keeper, f"{unit.id}: an equal result exists, taken from {found.folder}")
        return keeper.reuse(unit, found)
    # Imported here: a run with nothing to do loads neither the builder nor torch.
    from flambe.runner.stage import StageRun

    again = False
    before: str | None = None
    while True:
        attempt = state.attempts.get(unit.id, 0) + 1
        from_step = state.steps.get(unit.id, 0)
        scratch = keeper.start(unit, attempt, "main", from_step, again=again)
        run = StageRun(unit, scratch, echo=1 if launched else 2)
        try:
            return _attempt(keeper, run, attempt, from_step, interrupt, launched)
        except DiskRefused:
            raise  # nothing is wrong with the unit, and it goes on from its last step
        except (Exception, SystemExit) as error:
            failure = failure_of(error, unit)
            final = failure.is_permanent or state.failures.get(unit.id, 0) >= spec.max_failures
            if unit.log:
                keeper.log(failure.trace)
            if failure.error != before:
                say(failure.trace, level=NORMAL if unit.log else VERBOSE)
            _tell(keeper, f"{unit.id}: {told_of(failure.error, before, final=final)}", launched)
            before = failure.error
            streams = run.drain()
            streams[OUTPUTS] = streams.get(OUTPUTS, b"") + failure.trace.encode(errors="replace")
            keeper.fail(unit, attempt, failure.error, final=final, streams=streams, end=failure.end)
            if final:
                return state.failed[unit.id]
            again = unit.is_function
        finally:
            run.close()


def _attempt(
    keeper: Keeper, run: StageRun, attempt: int, from_step: int, interrupt: Interrupt, launched: bool
) -> Event:
    unit = run.unit
    _tell(keeper, f"{unit.id}: {f'continues from step {from_step}' if from_step else 'starts'}", launched)
    run.start(keeper.paths.unit(unit.stage, unit.variant).step(from_step) if from_step else None)
    while True:
        interrupt.check()
        report = run.step()
        keeper.report(unit, attempt, report, run.folder / STEPS / str(report.step) if report.more else None)
        _tell(keeper, f"{unit.id}: {_words(report)}", launched)
        for warning in () if run.is_echoed else report.warnings:
            _tell(keeper, f"{unit.id}: {warning}")
        if not report.more:
            interrupt.check()
            return keeper.commit(unit, attempt, run.folder, run.commit())


def _tell(keeper: Keeper, text: str, launched: bool = False) -> None:
    say(text, level=VERBOSE if launched else NORMAL)
    keeper.note(text)


def _words(report: StepReport) -> str:
    metric = "" if report.metric is None else f", metric {report.metric:.4g}"
    return f"step {report.step}{metric} ({report.seconds:.1f} s)"


def _row(keeper: Keeper, unit: Unit, event: Event) -> dict[str, Any]:
    done = event["event"] in ("commit", "reuse")
    row: dict[str, Any] = {
        "run": str(keeper.paths.root),
        "stage": unit.stage,
        "variant": unit.variant,
        "params": shown_params(unit.params),
        "status": COMPLETE if done else FAILED,
        "metric": event.get("metric"),
        "step": event.get("step", 0),
        "reused": event["event"] == "reuse",
    }
    if event.get("lower_is_better"):
        row["lower_is_better"] = True
    if not done:
        row["error"] = event["error"]
    return row


__all__ = ["ExecuteSummary", "Stopped", "execute", "execute_lines"]

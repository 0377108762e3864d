"""``run_experiment``: one spec from start to end, with the run directory, the pool and the words around the loop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from flambe.errors import ConfigError, FlambeError, UsageError
from flambe.experiment.check import check_force, check_populations, check_spec, why_not_repeatable, without_effect
from flambe.experiment.controller import Controller, Observer
from flambe.experiment.environment import ray_environment
from flambe.experiment.gpus import usable_gpus
from flambe.experiment.outcome import Outcome
from flambe.experiment.pool import Pool
from flambe.experiment.work import ENDED, Phase, Work
from flambe.pipeline.graph import StageGraph
from flambe.pipeline.reduce import spread_of
from flambe.reading.finished import enlist
from flambe.record.claim import going_on, home_of
from flambe.record.keeper import Keeper
from flambe.record.layout import shown_params
from flambe.record.opening import open_run
from flambe.record.result import ResultStore
from flambe.record.run import CANCELLED, COMPLETE, FAILED, this_host
from flambe.runner.cpus import usable_cpus
from flambe.runner.debugger import offer_terminal
from flambe.runner.interrupt import Stopped, catch_signals, interruptible
from flambe.runner.plan import resources_of
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import SEED, Spec

if TYPE_CHECKING:
    from flambe.record.shared_store import SharedStore

AUTO, LOCAL, RAY = "auto", "local", "ray"

Row = dict[str, Any]


@dataclass
class Settings:
    """How to run. runner: ``ray``, ``local`` or ``auto`` (Ray when more than one unit can run at once).

    workers: CPUs of the embedded Ray, or child processes of the local runner; None for all CPUs, or one child.
    address: a running Ray to join. output_dir: in place of the spec's. force: begin a new run directory and reuse
    nothing; nothing is ever deleted. step_limit_s: a step that takes longer is ended, and tried again. store: a folder or
    address (``s3://…``) where several machines keep and find results.
    """

    runner: str = AUTO
    workers: int | None = None
    address: str | None = None
    output_dir: str | None = None
    force: bool = False
    step_limit_s: float | None = None
    store: str | None = None


@dataclass
class Summary:
    """How a run ended. signal: the one that came meanwhile, too late perhaps to stop it. best: the best variant of the last stage with a metric.

    reason: why the run as a whole ended so, where there is one beside its variants. choices: of a run with several seeds, the metric of each choice over them (mean, deviation, number), best first by stage.
    """

    run: Path
    status: str
    counts: dict[str, int]
    result_digest: str | None
    best: Row | None = None
    choices: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    signal: int | None = None
    reason: str | None = None

    def row(self) -> Row:
        """Return the last line of the command's output."""
        row = {
            "run": str(self.run),
            "status": self.status,
            "counts": self.counts,
            "result_digest": self.result_digest,
            "best": self.best,
        }
        return {**row, "choices": self.choices} if self.choices else row


class Display(Observer):
    """What is told to people while a run goes on; this one tells nothing. See ``flambe.experiment.display``."""

    def begin(self, run: Path, spec: Spec) -> None: ...
    def end(self) -> None: ...


def run_experiment(
    spec: Spec,
    settings: Settings | None = None,
    *,
    tool: str = "flambe-tune",
    argv: Sequence[str] = (),
    on_row: Callable[[Row], None] | None = None,
    display: Display | None = None,
) -> Summary:
    """Run every variant of every stage of ``spec``; an unfinished run of an equal spec goes on where it was.

    on_row: called with a JSON-able row when a variant has ended.
    Raises ConfigError for what cannot be run, MachineError when Ray cannot be had, ProvenanceError when another process
    is writing the run. Failed variants do not raise: see ``Summary.status``. Nor do SIGINT and SIGTERM, which end the run
    cleanly (in the main thread; see ``Summary.signal``).
    """
    settings = settings or Settings()
    shown = display or Display()
    check_spec(spec, StageGraph(spec))
    check_force(spec, force=settings.force)
    check_populations(spec)
    beside = _beside(spec, settings)
    with catch_signals() as interrupt, earlier_results(spec, settings) as store:
        keeper = Keeper(
            open_run(spec, tool=tool, argv=list(argv), output_dir=settings.output_dir, fresh=settings.force),
            when_closed=enlist,
        )
        root = keeper.paths.root
        summary = Summary(root, CANCELLED, {}, None)

        class Told(Observer):
            def changed(self, work: Work) -> None:
                shown.changed(work)
                if work.phase in ENDED:
                    metric = "" if work.metric is None else f", metric {work.metric:.6g}"
                    after = "already" if work.reused else f"after step {work.step}"
                    keeper.note(f"{work.unit.id}: {work.phase.value} {after}{metric}")
                    if store is not None and work.phase is Phase.DONE and not work.scheduled and work.unit.reuse:
                        store.offer(keeper.paths.folder(work.unit.id).root, keeper.state.done[work.unit.id])
                    summary.rows.append(row_of(keeper, work))
                    if on_row is not None:
                        with interruptible():  # nobody may be reading it
                            on_row(summary.rows[-1])

            def note(self, text: str) -> None:
                keeper.note(text)
                shown.note(text)

        told = Told()

        def pool(count: int) -> Pool:
            # Ray takes seconds to start, and minutes to find out that nobody answers.
            with interruptible():
                return make_pool(settings, spec, count, root)

        shown.begin(root, spec)
        because = why_not_repeatable(spec)
        for text in [*beside, *without_effect(spec), *([because] if because is not None else [])]:
            told.note(text)
        try:
            controller = Controller(
                spec,
                keeper,
                pool,
                store=store,
                observer=told,
                asked_to_stop=lambda: interrupt.number is not None,
                step_limit_s=settings.step_limit_s,
            )
            try:
                with ray_environment(embedded=settings.address is None):
                    outcome = controller.run()
            except Stopped:
                outcome = Outcome(stopped=True)
        except BaseException as error:
            # The same command would be refused again; after anything else it goes on.
            keeper.give_up(error, FAILED if isinstance(error, ConfigError) else CANCELLED)
            raise
        finally:
            shown.end()
        failed = outcome.failed or outcome.unreduced
        status = CANCELLED if outcome.stopped else FAILED if failed else COMPLETE
        number = interrupt.number
        reason = signal.Signals(number).name if outcome.stopped and number is not None else outcome.why_failed
        record = keeper.close(status, reason=reason)
    summary.status, summary.counts, summary.result_digest = status, record.counts, record.result_digest
    summary.best = _best(controller, outcome)
    summary.choices = [_choice(works) for works in outcome.choices]
    summary.signal, summary.reason = interrupt.number, reason
    return summary


def _beside(spec: Spec, settings: Settings) -> list[str]:
    """Return what is to be said of a run of an equal spec that somebody else is working on: this one begins beside it."""
    if settings.output_dir is not None:
        spec = msgspec.structs.replace(spec, output_dir=settings.output_dir)
    record = going_on(home_of(spec), spec_digest(spec))
    if record is None or record.host is None:
        return []
    where = "" if record.host.name == this_host().name else f" on {record.host.name}"
    return [
        f"exp.{record.index} of this config is going on (process {record.host.pid}{where}); "
        "this run is another one, and does again what is not done there yet"
    ]


@contextmanager
def earlier_results(spec: Spec, settings: Settings) -> Iterator[ResultStore | SharedStore | None]:
    """Give what results may be taken from: none with ``force``. Raises MachineError for a store that cannot be read."""
    output = Path(settings.output_dir or spec.output_dir).expanduser().absolute()
    own = ResultStore(output)
    if settings.force or settings.store is None:
        yield None if settings.force else own
        return
    from flambe.record.shared_store import SharedStore

    output.mkdir(parents=True, exist_ok=True)
    with SharedStore(settings.store, own, output) as shared:
        yield shared


def make_pool(settings: Settings, spec: Spec, count: int, root: Path) -> Pool:
    """Return the workers for a run of which ``count`` units could run at once."""
    if settings.workers is not None and settings.workers < 1:
        raise UsageError(f"--workers {settings.workers}", expected="a number from 1")
    runner, cpus = _runner(settings, spec), _cpus(settings, spec)
    children = settings.workers or 1
    if spec.debug:
        offer_terminal()
    if runner == AUTO:
        each = max((int(resources_of(spec, stage).get("cpus", 1)) for stage in spec.stages), default=1)
        at_once = min(count, cpus // max(1, each))
        runner, children = RAY if at_once > 1 and find_spec("ray") is not None else LOCAL, 1
    if runner == LOCAL:
        from flambe.experiment.local import LocalPool

        return LocalPool(children, cpus=cpus)
    if find_spec("ray") is None:
        raise FlambeError("Ray is not installed", hint="pip install 'ray[tune]', or use --runner local.")
    from flambe.experiment.ray_pool import RayPool

    return RayPool(settings.workers, run_root=root, address=settings.address)


def capacity_of(settings: Settings, spec: Spec) -> dict[str, float] | None:
    """Return the ``cpus`` and ``gpus`` that all workers will have together; None where only the Ray that is joined knows."""
    if settings.address is not None:
        return None
    return {"cpus": float(_cpus(settings, spec)), "gpus": float(len(usable_gpus()))}


def _runner(settings: Settings, spec: Spec) -> str:
    """Return what runs units, as far as that is said: ``auto`` where it depends on how many there are."""
    if settings.address is None:
        return LOCAL if spec.debug and settings.runner == AUTO else settings.runner
    if settings.runner == LOCAL:
        raise UsageError("--address joins a Ray, --runner local uses none", hint="Leave one of them out.")
    return RAY


def _cpus(settings: Settings, spec: Spec) -> int:
    """Return how many CPUs one unit may ask for. Of child processes ``workers`` is their number."""
    if _runner(settings, spec) == LOCAL:
        return max(settings.workers or 1, usable_cpus())
    return settings.workers or usable_cpus()


def row_of(keeper: Keeper, work: Work) -> Row:
    """Return the line of output of a variant that has ended."""
    row: Row = {
        "run": str(keeper.paths.root),
        "stage": work.stage,
        "variant": work.unit.variant,
        "params": shown_params(work.unit.made_with),
        "status": {Phase.DONE: COMPLETE}.get(work.phase, work.phase.name),
        "metric": work.metric,
        "step": work.step,
        "seconds": round(work.seconds, 3),
        "reused": work.reused,
    }
    if taken := keeper.state.taken_over(work.unit.id):
        row["takeovers"] = taken
    if work.unit.explored:
        row["explored"] = shown_params(work.unit.explored)
    if work.phase is Phase.DONE and not work.complete:
        row["stopped_early"] = True
    if work.lower_is_better:
        row["lower_is_better"] = True
    if work.phase is Phase.FAILED:
        row["error"] = work.error
    if work.phase is Phase.PRUNED:
        row["error"] = work.why
    return row


def _choice(works: Sequence[Work]) -> Row:
    """Return the metric of one choice over its seeds."""
    spread = spread_of(work.metric for work in works if work.metric is not None)
    params = {name: value for name, value in works[0].unit.params.items() if name != SEED}
    return {
        "stage": works[0].stage,
        "params": shown_params(params),
        "metric": spread.mean,
        "std": spread.std,
        "n": spread.n,
    }


def _best(controller: Controller, outcome: Outcome) -> Row | None:
    for stage in reversed(list(controller.graph.stages)):
        if stage in outcome.best:
            row = row_of(controller.keeper, controller.works[outcome.best[stage]])
            return {
                name: row[name]
                for name in ("stage", "variant", "params", "metric", "takeovers", "explored")
                if name in row
            }
    return None

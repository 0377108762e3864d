"""``run_stage``: build the objects of one unit, step ``run()``, checkpoint, commit. Nothing else runs stages."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flambe.build.builder import Scope, build, evaluate
from flambe.build.parts import is_part
from flambe.build.saved import save_component
from flambe.build.state import State, get_state, load_state, read_state, write_state
from flambe.build.trust import import_extensions, locate
from flambe.cli.console import QUIET, level
from flambe.errors import FlambeError, RunFailed
from flambe.logging.buffer import MetricBuffer, encode_lines, use_buffer
from flambe.logging.log import records_of_data
from flambe.logging.mirror import Mirror
from flambe.record.artifacts import Artifacts
from flambe.record.code import check_imported
from flambe.record.inputs import Input, declared_input, joined
from flambe.record.layout import ARTIFACTS, CHECKPOINT, METRICS, OUTPUTS, STEPS, TENSORBOARD
from flambe.record.metrics import metric_value
from flambe.record.refused import kept_in
from flambe.record.step import files_beside
from flambe.runnable.environment import CWD_VARIABLES, as_text, get_env, swap
from flambe.runnable.function import Function
from flambe.runnable.secrets import hide_bytes, hide_environment
from flambe.runnable.start import make_ready, run_arguments, wants_more
from flambe.runner import debugger
from flambe.runner.capture import Capture
from flambe.runner.culprit import say_where
from flambe.runner.environment import activate
from flambe.runner.explored import explored_step, set_again
from flambe.runner.exports import write_exports
from flambe.runner.handover import Handover
from flambe.runner.interrupt import interruptible
from flambe.runner.large_import import large_import
from flambe.runner.reads import noticed, read_data
from flambe.runner.seeding import rng_state, seed_everything, seeding_what_comes, set_rng_state
from flambe.runner.unit import StepReport, Unit
from flambe.spec.hooks import codecs
from flambe.spec.nodes import NEW, LinkTarget, kind_of, walk

_logger = logging.getLogger("flambe.run")


class StageRun:
    """One unit in this process. ``start``, ``step`` until there is no more, ``commit``, ``close``.

    unit: what to run. scratch: an empty folder of this attempt; everything is written there, and handed over from there.
    loading_s: how long imports took, which the first unit of a process waits for.
    echo: the descriptor that gets what a unit prints too that is shown, or has a log.
    """

    def __init__(self, unit: Unit, scratch: Path, *, echo: int | None = 2) -> None:
        hide_environment()
        self.unit = unit
        self.folder = scratch
        self.inputs: dict[str, Input] = {}
        self._declared: list[Input] = []
        self.stop_requested = False
        self.component: Any = None
        self.steps_done = 0
        self.loading_s = 0.0
        self._more = True
        self._artifacts = Artifacts(scratch.absolute())
        self._metrics = MetricBuffer(self._artifacts)
        self._mirror = Mirror(self._artifacts, unit.params, self._metrics.began, prefix=unit.tag_prefix)
        # The run directory is not there when this is a machine of a cluster without a shared disk.
        at_home = bool(unit.log) and os.path.isdir(os.path.dirname(unit.log))
        shown = echo if (at_home or unit.shown) and level() != QUIET and unit.streams == "tee" else None
        self.is_echoed = shown is not None
        self._capture = Capture(Path(unit.log) if at_home else scratch / OUTPUTS, echo=shown, hides=at_home)
        self._home = Path(unit.log).parent if at_home else scratch
        self._folder = unit.folder if at_home or not unit.folder else str(scratch / ARTIFACTS)
        self._handover = Handover(unit)
        self._scope = Scope(
            stage=unit.stage,
            resolve_outside=self._handover.resolve,
            extensions=unit.extensions,
            position=unit.where,
        )
        # What is written there goes into the run directory with the result.
        own = {**unit.environment, "output_path": str((scratch / ARTIFACTS).absolute()), "extensions": unit.extensions}
        self._environment: str | None = as_text(get_env(**own))

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Code of the unit runs in here: its prints, logs, metrics and read files are the unit's own."""
        back = _working_folder()
        activate(self)
        use_buffer(self._metrics)
        outside = swap(self._environment)
        variables = {name: os.environ.get(name) for name in CWD_VARIABLES}
        try:
            os.environ.update(dict.fromkeys(CWD_VARIABLES, self.unit.cwd or back or ""))
            folder = self._folder or self.unit.cwd
            if folder and os.path.isdir(folder):
                os.chdir(folder)
            captured = contextlib.nullcontext() if self.unit.streams == "none" else self._capture
            with captured, records_of_data(), interruptible():
                yield
        finally:
            # What the unit's code changed in it stays so until the unit ends.
            self._environment = swap(outside)
            for name, value in variables.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            use_buffer(None)
            activate(None)
            if back is not None:
                os.chdir(back)

    def start(self, resume: Path | None = None) -> None:
        """Build the objects. resume: the folder of a step's checkpoint to continue from.

        Raises FlambeError when something cannot be built or its state could not be saved.
        """
        with self._inside():
            with kept_in(self.folder):
                (self.folder / ARTIFACTS).mkdir(exist_ok=True)
            # A reused process must be as good as a fresh one.
            began = time.monotonic()
            with large_import():
                # What knows nothing of us sets its libraries itself, and needs perhaps none.
                if not self.unit.is_program:
                    for codec in codecs().values():
                        codec.prepare(threads=self.unit.threads)
                import_extensions(self.unit.extensions)
                self._import_classes()
            self.loading_s = time.monotonic() - began
            check_imported(self.unit.code, self.unit.extensions)
            self._look_at_declared()
            self._handover.fetch()
            # After the fetch: whether an immutable was already in this process must not move the generators.
            if self.unit.seeded:
                seed_everything(self.unit.seed, only_loaded=self.unit.is_program)
            self.component = build(self.unit.body, scope=self._scope)
            if not callable(getattr(self.component, "run", None)):
                raise RunFailed(
                    f"the stage {self.unit.stage!r} is a {type(self.component).__qualname__} without run()",
                    hint="A stage is a Component, or any object with run().",
                )
            make_ready(self.component, self.unit.extensions)
            if isinstance(self.component, Function):
                self.component.home = None if self.component.settings.get("log") is False else self._home
                # Its imports may have loaded torch, and drawn numbers.
                self.component.load()
                if self.unit.seeded:
                    seed_everything(self.unit.seed, only_loaded=True)
            # What cannot be saved fails in the first second, by path, and not after an hour.
            state = self.state()
            if resume is not None:
                with kept_in(self.folder):
                    if (resume / ARTIFACTS).is_dir():
                        shutil.copytree(resume / ARTIFACTS, self.folder / ARTIFACTS, symlinks=True, dirs_exist_ok=True)
                    self._artifacts.take_over(resume)
                saved = read_state(resume)
                load_state(self.component, saved["component"], borrowed=self._handover.borrowed)
                set_rng_state(saved["rng"], only_loaded=self.unit.is_program)
                self.steps_done = int(saved["step"])
                if (taken := explored_step(resume)) is not None:
                    self.steps_done = taken
                    set_again(resume, self._scope.objects)
            del state

    def _import_classes(self) -> None:
        """Import what the body names, for its time not to be taken for that of the unit."""
        for _, node in walk(self.unit.body):
            if kind_of(node) == NEW and node[NEW].partition(":")[0] not in sys.modules:
                with contextlib.suppress(FlambeError, ImportError):  # building says so, and where it was written
                    locate(node[NEW], self.unit.extensions)

    def step(self) -> StepReport:
        """Call ``run()`` once and report. When there is more to do its state is written to ``steps/<n>``."""
        began = time.monotonic()
        with self._inside():
            result = self._call_run()
            self._more = more = wants_more(self.component, result)
            self.steps_done += 1
            metric = self._metric()
            if more:
                with kept_in(self.folder):
                    self._save_step()
            seconds = time.monotonic() - began
            # The line of whoever runs it stands beside what is shown.
            told = _logger.debug if self.unit.is_function or self.is_echoed else _logger.info
            told("step %d%s (%.1f s)", self.steps_done, "" if metric is None else f", metric {metric:.6g}", seconds)
        return self._report(more=more, metric=metric, seconds=seconds)

    def _call_run(self) -> Any:
        if not isinstance(self.component, Function):
            try:
                return self._call_now()
            except Exception as error:
                say_where(error, self._scope.objects, self.unit.where)
                raise
        begins = seeding_what_comes(self.unit.seed) if self.unit.seeded else contextlib.nullcontext()
        with noticed() as opened, begins:
            try:
                return self._call_now()
            finally:
                without = (str(self.folder), str(self._home), self.component.code)
                for described in read_data(opened, without):
                    self.inputs.setdefault(described["path"], described)

    def _call_now(self) -> Any:
        arguments = run_arguments(self.component)
        if self.unit.environment.get("debug") and debugger.TERMINAL in os.environ:
            return debugger.call(self.component.run, arguments, stop=self.steps_done == 0)
        return self.component.run(**arguments)

    def commit(self) -> StepReport:
        """Write the result to ``checkpoint/`` and ``exports.json``. Returns a last report with what was still to drain.

        A component that was ended before its own end gets a call of ``finish()`` first, if it has one (a Trainer takes its
        best weights back).
        """
        began = time.monotonic()
        with self._inside():
            finish = getattr(self.component, "finish", None)
            if self._more and callable(finish):
                finish()
            borrowed = self._handover.borrowed
            parts: dict[int, str] = {}
            with kept_in(self.folder):
                # Any object with run() is a stage; what it did is all that is left of one that is no component.
                if is_part(self.component):
                    parts = save_component(
                        self.component, self.folder / CHECKPOINT, borrowed=borrowed, extensions=self.unit.extensions
                    )
                write_exports(self.folder, self.unit, self._evaluate, parts, borrowed)
            metric = self._metric()
            self._look_at_declared()
        shutil.rmtree(self.folder / STEPS, ignore_errors=True)
        return self._report(more=False, metric=metric, seconds=time.monotonic() - began)

    def state(self) -> State:
        """Return the state of the component, as a step saves it."""
        return get_state(self.component, borrowed=self._handover.borrowed)

    def drain(self) -> dict[str, bytes]:
        """Return what was logged and printed since the last drain, by file name in the unit's folder."""
        lines = self._metrics.take_lines()
        streams = {
            f"{METRICS}/{self.unit.stage}.jsonl": hide_bytes(encode_lines(lines)),
            OUTPUTS: hide_bytes(self._capture.take()),
            **self._mirror.of(lines),
        }
        if self.unit.is_function and self._home == self.folder:
            streams.update(self._logged())
        return {name: data for name, data in streams.items() if data}

    def _logged(self) -> dict[str, bytes]:
        """Return, and take away, the metric lines that a function's own logger wrote to a folder that is handed over."""
        found = {}
        for file in (self.folder / METRICS).glob("*.jsonl"):
            found[f"{METRICS}/{file.name}"] = hide_bytes(file.read_bytes())
            file.unlink()
        for file in (self.folder / TENSORBOARD).glob("*"):
            found[f"{TENSORBOARD}/{file.name}"] = file.read_bytes()
            file.unlink()
        return found

    def close(self) -> None:
        """Let go of the objects."""
        self._artifacts.close()
        self.component = None
        self._scope = Scope(stage=self.unit.stage)
        self._handover = Handover(self.unit)

    def _evaluate(self, target: LinkTarget) -> Any:
        return evaluate(target, self._scope)

    def _metric(self) -> float | None:
        metric = getattr(self.component, "metric", None)
        value = metric() if callable(metric) else None
        return metric_value(value, f"metric() of {type(self.component).__qualname__}")

    def _save_step(self) -> None:
        folder = self.folder / STEPS / str(self.steps_done)
        artifacts = self.folder / ARTIFACTS
        # What was written so far belongs to the step: who goes on from here gets it back. Copied, since files there may grow.
        if self.unit.is_program or any(artifacts.iterdir()):
            shutil.copytree(artifacts, folder / ARTIFACTS, symlinks=True)
        self._artifacts.hand_on(folder)
        state = {
            "component": self.state(),
            "rng": rng_state(only_loaded=self.unit.is_program),
            "step": self.steps_done,
        }
        if files := files_beside(folder):
            state["files"] = files
        write_state(folder, state)

    def _report(self, *, more: bool, metric: float | None, seconds: float) -> StepReport:
        name = getattr(self.component, "metric_name", None)
        return StepReport(
            step=self.steps_done,
            more=more,
            metric=metric,
            metric_name=name if isinstance(name, str) else None,
            lower_is_better=bool(getattr(self.component, "lower_is_better", False)),
            seconds=seconds,
            streams=self.drain(),
            inputs=self._all_inputs(),
            result=self.component.result if isinstance(self.component, Function) else None,
        )

    def _look_at_declared(self) -> None:
        """Look what is in the files that the body names, before and after: somebody may have changed one since the plan."""
        now = [declared_input(path, digest) for path, digest in self.unit.files.items()]
        self._declared += [one for one in now if one not in self._declared]

    def _all_inputs(self) -> list[Input]:
        """Return the files that the body names, and those that were read besides."""
        return joined(self._declared, list(self.inputs.values()))


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None  # somebody has deleted it


def run_stage(
    unit: Unit,
    scratch: Path,
    *,
    resume: Path | None = None,
    until: int | None = None,
    on_step: Callable[[StepReport], bool] | None = None,
) -> StepReport:
    """Run one unit to its end and commit it into ``scratch``; returns the last report.

    resume: folder of a step's checkpoint. until: stop after this many steps in all, without a commit; the report then
    says that there is more. on_step: called after each step; returning False ends the unit early, with a commit.
    """
    run = StageRun(unit, scratch)
    try:
        run.start(resume)
        while True:
            report = run.step()
            go_on = on_step(report) if on_step is not None else True
            if not report.more or not go_on:
                return run.commit()
            if until is not None and report.step >= until:
                return report
    finally:
        run.close()

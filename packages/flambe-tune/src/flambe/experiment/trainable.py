"""``StageTrainable``: a stage as a trainable of Ray Tune, for a plain ``ray.tune.Tuner``.

flambe-tune itself does not use it: its loop keeps the run directory. It is for what Tune can do and our loop cannot, such as
changing the resources of a running variant, and for who has an experiment in Tune already.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from ray import tune

from flambe.build.state import read_state
from flambe.compile.search import Filler, dimensions
from flambe.errors import ConfigError, RunFailed
from flambe.experiment.session import LOCAL, Settings, run_experiment
from flambe.record.layout import CHECKPOINT, EXPLORED, METRICS, STATE_JSON, STEPS, RunPaths, label
from flambe.record.ledger import fold, read_events
from flambe.record.run import COMPLETE, StageRecord, read_record
from flambe.runner.plan import make_unit
from flambe.runner.stage import StageRun
from flambe.runner.unit import StepReport, Unit
from flambe.search.space import Knob, Pick, Space
from flambe.search.tune_adapter import METRIC
from flambe.spec.codec import dump_spec, load_spec
from flambe.spec.nodes import Spec, stages_needed

_PLAN = "flambe"
_CHOICE = "choice.json"


class StageTrainable(tune.Trainable):
    """One variant of a stage. A step is a call of ``run()``; its result has ``metric``, and what the stage logged last.

    A checkpoint is the state of the stage, so a trial that is paused, moved or exploited (PBT) goes on where it was; what a
    trial with other parameters takes over is set again, see ``flambe.runner.explored``. That of a trial which has run to its
    end has the saved component in its folder ``checkpoint``.

    .. code-block:: python

        space = StageTrainable.param_space(spec, "train")
        tune.Tuner(StageTrainable, param_space=space, tune_config=tune.TuneConfig(metric="metric", mode="max", num_samples=20))
    """

    _run: StageRun
    _scratch: Path

    @classmethod
    def param_space(cls, spec: Spec, stage: str, settings: Settings | None = None) -> dict[str, Any]:
        """Run what is above ``stage``, unless its results are there, and return the ``param_space`` of the stage.

        Each search of the stage is a Tune domain under its dotted path (``train.optimizer.lr``), which may be replaced by
        another over the same values: of a transformed distribution, what is transformed. Trials on other machines need what is
        above on a disk that they see (``Settings.output_dir``), and Tune needs its ``storage_path`` there.
        Raises ConfigError for searches inside of options and for stages above that have several variants; RunFailed when one of
        them failed; KeyError for a stage that is not there.
        """
        found = spec.stage(stage)
        above = _above(spec, stage)
        plan: dict[str, Any] = {"spec": dump_spec(spec).decode(), "stage": stage, "root": "", "needs": []}
        if above:
            alone = msgspec.structs.replace(spec, stages=[spec.stage(name) for name in above])
            summary = run_experiment(alone, settings or Settings(runner=LOCAL), tool="StageTrainable")
            if summary.status != COMPLETE:
                raise RunFailed(f"what is above the stage {stage!r} did not end: see {summary.run}")
            plan["root"] = str(summary.run)
            plan["needs"] = [_result(summary.run, name) for name in stages_needed(found)]
        space = Space({stage: dimensions(found.body)})
        from flambe.search.searcher_adapter import domain_of

        return {_PLAN: plan, **{knob.name: domain_of(knob) for knob in space.knobs()}}

    def setup(self, config: dict[str, Any]) -> None:
        """Build the objects of the variant that ``config`` describes.

        Raises as ``StageRun.start``; ConfigError for a value that the stage does not choose from.
        """
        plan = config[_PLAN]
        spec = load_spec(plan["spec"])
        stage = spec.stage(plan["stage"])
        space = Space({stage.name: dimensions(stage.body)})
        (self._choice,) = space.choose(lambda knob: _turned(knob, config[knob.name]))
        concrete = msgspec.structs.replace(stage, body=Filler(stage.body)(self._choice))
        needs = {need["stage"]: msgspec.convert(need, Unit) for need in plan["needs"]}
        params = {f"{stage.name}.{path}": value for path, value in self._choice.items()}
        self._unit = make_unit(spec, concrete, params, needs, plan["root"])
        self._begin(None)

    def step(self) -> dict[str, Any]:
        """Call ``run()`` once; at its end the component is saved."""
        report = self._run.step()
        if not report.more:
            self._run.commit()
        self._more = report.more
        return {**_logged(report, self._unit.stage), METRIC: report.metric, "done": not report.more}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        target = Path(checkpoint_dir)
        if self._more:
            shutil.copytree(self._scratch / STEPS / str(self._run.steps_done), target, dirs_exist_ok=True)
            (target / EXPLORED).unlink(missing_ok=True)
            (target / _CHOICE).write_text(json.dumps(self._choice))
        else:
            shutil.copytree(self._scratch / CHECKPOINT, target / CHECKPOINT)

    def load_checkpoint(self, checkpoint: Any) -> None:
        source = Path(checkpoint)
        if not (source / STATE_JSON).exists():
            return  # of a trial that has run to its end: nothing is left to do
        resume = self._scratch.with_name("resume")
        shutil.rmtree(resume, ignore_errors=True)
        shutil.copytree(source, resume)
        if json.loads((resume / _CHOICE).read_text()) != json.loads(json.dumps(self._choice)):
            step = int(read_state(resume)["step"])
            (resume / EXPLORED).write_text(json.dumps({"step": step, "choice": self._choice}))
        self._begin(resume)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another variant in the same process, which is as good as a fresh one."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        self._run.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _begin(self, resume: Path | None) -> None:
        if resume is None:
            self._home = Path(tempfile.mkdtemp(prefix="flambe-trial-"))
            self._scratch = self._home / "scratch"
        else:
            self._run.close()
            shutil.rmtree(self._scratch)
        self._scratch.mkdir()
        self._more = True
        self._run = StageRun(self._unit, self._scratch)
        self._run.start(resume)


def _turned(knob: Knob, value: Any) -> Any:
    """Return the value of a knob; a choice may be named by its label, as in the ``param_space``, or be the value itself."""
    if not isinstance(knob, Pick) or value in knob.labels:
        return value
    if label(value) not in knob.labels:
        raise ConfigError(f"{knob.name} is {value!r}", expected=f"one of {', '.join(knob.labels)}")
    return label(value)


def _above(spec: Spec, stage: str) -> list[str]:
    found: set[str] = set()
    todo = [stage]
    while todo:
        needed = [one for one in stages_needed(spec.stage(todo.pop())) if one not in spec.environment.files]
        todo += [one for one in needed if one not in found]
        found.update(needed)
    return [one.name for one in spec.stages if one.name in found]


def _result(run: Path, stage: str) -> dict[str, Any]:
    """Return the unit of a stage that has one variant, or one after its ``reduce``."""
    state = fold(read_events(RunPaths(run).ledger))
    units = [unit for unit, plan in state.planned.items() if plan["stage"] == stage and unit in state.done]
    kept = state.reduced.get(stage, {}).get("kept", units)
    if len(kept) != 1:
        raise ConfigError(
            f"the stage {stage!r} above has {len(kept)} variants", hint="Add reduce: 1, or choose one of them."
        )
    record = read_record(RunPaths(run).folder(kept[0]).record, StageRecord)
    return {
        "stage": stage, "variant": record.variant, "body": None, "key": record.key, "seed": record.seed, "params": record.params,
    }  # fmt: skip


def _logged(report: StepReport, stage: str) -> dict[str, float]:
    """Return the numbers that the step logged, the last of each name."""
    found: dict[str, float] = {}
    for line in report.streams.get(f"{METRICS}/{stage}.jsonl", b"").splitlines():
        values = json.loads(line)
        found.update(
            {name: value for name, value in values.items() if name[0] != "_" and isinstance(value, float | int)}
        )
    return found

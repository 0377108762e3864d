"""Run directories written by hand, with a clock of their own, for tests and pictures of the report pages."""

from __future__ import annotations

import datetime
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flambe.record import layout
from flambe.record.metrics import metric_line
from flambe.record.run import (
    COMPLETE,
    FAILED,
    FINISHED,
    PRUNED,
    RUNNING,
    Host,
    RunRecord,
    StageRecord,
    Times,
    new_id,
    now,
    this_host,
    write_record,
)
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import LINK, NEW, Spec, Stage


def link(*path: str) -> dict[str, Any]:
    return {LINK: list(path)}


class RunBuilder:
    """Writes one run directory as the keeper of flambe does; ``tick`` moves its clock."""

    def __init__(self, home: Path, stages: Sequence[Stage], *, name: str = "sst", index: int = 0, age_s: float = 600.0):
        self.path = home / name / f"exp.{index}"
        self.paths = layout.RunPaths(self.path)
        self.path.mkdir(parents=True)
        self._time = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_s)
        self._events = 0
        self._records: dict[str, StageRecord] = {}
        self.stages = list(stages)
        self.spec = Spec(name=name, stages=self.stages)
        self.paths.spec.write_bytes(dump_spec(self.spec))
        self.paths.outputs.write_text("")
        self.record = RunRecord(
            id=new_id(), kind="experiment", name=name, index=index, status=RUNNING, spec_digest="5d" * 32,
            time=Times(created=self.stamp(), started=self.stamp(), heartbeat=now()), host=this_host(),
            tool={"name": "flambe-tune", "version": "0.1.0"},
        )  # fmt: skip
        self.save()
        self.event("open", spec=self.record.spec_digest, tool="flambe-tune", pid=1)

    def stamp(self) -> str:
        return self._time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def tick(self, seconds: float) -> None:
        self._time += datetime.timedelta(seconds=seconds)

    def save(self) -> None:
        write_record(self.paths.record, self.record)

    def event(self, event: str, **fields: Any) -> None:
        line = {"n": self._events, "t": self.stamp(), "event": event, **fields}
        self._events += 1
        with self.paths.ledger.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def say(self, text: str, unit: str | None = None) -> None:
        path = self.paths.outputs if unit is None else self.folder(unit) / layout.OUTPUTS
        with path.open("a") as stream:
            stream.write(text + "\n")

    def folder(self, unit: str) -> Path:
        stage, _, variant = unit.partition("/")
        return self.paths.unit(stage, variant).root

    def plan(
        self, stage: str, params: Mapping[str, Any] | None = None, needs: Mapping[str, str] | None = None,
        variant: str | None = None,
    ) -> str:  # fmt: skip
        variant = variant or layout.variant_name(params or {})
        unit = f"{stage}/{variant}"
        key = f"{abs(hash((unit, self.record.id))):x}"
        self._records[unit] = StageRecord(
            stage=stage, variant=variant, params=dict(params or {}), key=key, needs=dict(needs or {})
        )
        self.event(
            "plan", unit=unit, stage=stage, variant=variant, params=dict(params or {}), key=key, needs=dict(needs or {})
        )
        return unit

    def start(self, unit: str, attempt: int = 1) -> None:
        record = self._records[unit]
        record.status, record.attempt = RUNNING, attempt
        record.time.started = record.time.started or self.stamp()
        self.folder(unit).mkdir(parents=True, exist_ok=True)
        self._save_unit(unit)
        self.event("start", unit=unit, attempt=attempt, worker="w0", from_step=0)

    def step(
        self, unit: str, metric: float | None = None, lines: Sequence[Mapping[str, Any]] = (), *, log: str = "train",
        metric_name: str = "Validation/Accuracy", lower_is_better: bool = False,
    ) -> None:  # fmt: skip
        record = self._records[unit]
        record.step, record.metric, record.lower_is_better = record.step + 1, metric, lower_is_better
        record.metric_name = metric_name if metric is not None else None
        folder = self.folder(unit) / layout.METRICS
        folder.mkdir(exist_ok=True)
        started = datetime.datetime.fromisoformat(record.time.started or self.stamp())
        with (folder / f"{log}.jsonl").open("ab") as stream:
            for line in lines:
                values = dict(line)
                step = values.pop("step", None)
                stream.write(metric_line(step, values, (self._time - started).total_seconds()))
        self._save_unit(unit)
        self.event(
            "report", unit=unit, attempt=record.attempt, step=record.step, metric=metric,
            lower_is_better=lower_is_better, kept=True, more=True, offsets={},
        )  # fmt: skip

    def commit(self, unit: str, *, complete: bool = True) -> None:
        record = self._records[unit]
        record.status, record.complete, record.time.ended = COMPLETE, complete, self.stamp()
        checkpoint = self.folder(unit) / layout.CHECKPOINT
        checkpoint.mkdir(exist_ok=True)
        (checkpoint / layout.STATE_TENSORS).write_bytes(bytes(range(256)) * 8)
        self._save_unit(unit)
        self.event(
            "commit", unit=unit, attempt=record.attempt, key=record.key, step=record.step, complete=complete,
            metric=record.metric, lower_is_better=record.lower_is_better, digest="d1" * 32,
        )  # fmt: skip

    def fail(self, unit: str, error: str) -> None:
        record = self._records[unit]
        record.status, record.error, record.time.ended = FAILED, error, self.stamp()
        self._save_unit(unit)
        self.event("fail", unit=unit, attempt=record.attempt, error=error, final=True)

    def prune(self, unit: str, why: str) -> None:
        self._records[unit].status = PRUNED
        self.event("prune", unit=unit, why=why)

    def reduce(self, stage: str, kept: Sequence[str]) -> None:
        self.event("reduce", stage=stage, kept=list(kept))
        self.paths.best(stage).symlink_to(kept[0].partition("/")[2])

    def close(self, status: str = COMPLETE) -> None:
        self.record.status = status
        if status in FINISHED:
            self.record.time.ended = self.stamp()
            self.record.result_digest = "ab12" * 16
        self.save()
        self.event("close", status=status, counts={}, result_digest=self.record.result_digest)

    def lose(self) -> None:
        """Let the run look killed: it says RUNNING, and its process is not there."""
        self.record.host = Host(name="elsewhere", pid=1)
        self.record.time.heartbeat = "2020-01-01T00:00:00.000Z"
        self.save()

    def _save_unit(self, unit: str) -> None:
        write_record(self.folder(unit) / layout.RUN, self._records[unit])


SST_STAGES = [
    Stage(name="dataset", body={NEW: "flambe.nlp.classification:SSTDataset"}),
    Stage(name="model", body={NEW: "flambe.nlp.classification:TextClassifier", "vocab": link("dataset")}),
    Stage(
        name="train", reduce=1,
        body={NEW: "flambe.learn:Trainer", "dataset": link("dataset"), "model": link("model"), "max_steps": 20},
    ),
    Stage(
        name="evaluate",
        body={NEW: "flambe.learn:Evaluator", "dataset": link("dataset"), "model": link("train", "model")},
    ),
    Stage(name="export", body={NEW: "flambe.export:Exporter", "model": link("train", "model")}),
]  # fmt: skip

GRID = [
    {"model.encoder.n_layers": layers, "model.dropout": dropout, "train.optimizer.lr": rate}
    for layers in (1, 2)
    for dropout in (0.1, 0.3)
    for rate in (0.001, 0.003)
]


def sst_run(home: Path, *, steps: int = 20, until: float = 1.0, index: int = 0, name: str = "sst") -> RunBuilder:
    """Write a sweep of eight variants as it stands when ``until`` of the training is done (1.0: the run has ended)."""
    chance = random.Random(7)
    run = RunBuilder(home, SST_STAGES, name=name, index=index, age_s=900)
    run.say("exp.yaml: 5 stages, 8 variants of train")
    dataset = run.plan("dataset")
    run.start(dataset)
    run.tick(3.1)
    run.commit(dataset)
    run.say("dataset/0: 6,920 train, 872 validation, 1,821 test sentences; vocabulary 16,284")
    variants = []
    for params in GRID:
        shape = {key: value for key, value in params.items() if key.startswith("model.")}
        model = f"model/{layout.variant_name(shape)}"
        if model not in run._records:
            model = run.plan("model", shape, {"dataset": dataset})
            run.start(model)
            run.tick(0.4)
            run.commit(model)
        variants.append(run.plan("train", params, {"dataset": dataset, "model": model}))
    finals = {}
    for place, unit in enumerate(variants):
        share = min(1.0, max(0.0, until * len(variants) - place * 0.75))
        if share == 0:
            continue
        params = GRID[place]
        run.start(unit)
        run.say(f"{unit}: begins on w{place % 2}", unit)
        ceiling = 0.755 + 0.035 * params["model.encoder.n_layers"] - 0.10 * abs(params["model.dropout"] - 0.3)
        ceiling -= 0.02 * (params["train.optimizer.lr"] > 0.001) * params["model.encoder.n_layers"]
        done = math.ceil(steps * share)
        for step in range(1, done + 1):
            run.tick(1.7)
            gain = 1 - math.exp(-step / (4 if params["train.optimizer.lr"] > 0.001 else 6))
            accuracy = 0.5 + (ceiling - 0.5) * gain + chance.gauss(0, 0.004)
            loss = 0.69 * math.exp(-step / 7) + 0.12 + chance.gauss(0, 0.008)
            gap = 0.25 * max(0, step - 11) / 9 * (params["train.optimizer.lr"] > 0.001)
            run.step(
                unit, round(accuracy, 4),
                [
                    {"step": step * 100, "Training/Loss": round(loss, 4)},
                    {"step": step * 100, "Validation/Loss": round(loss + 0.05 + gap, 4),
                     "Validation/Accuracy": round(accuracy, 4)},
                ],
            )  # fmt: skip
            run.say(f"step {step:3d}  loss {loss:.4f}  validation accuracy {accuracy:.4f}", unit)
            if place == 3 and step == 6 and until >= 0.5:
                run.fail(unit, "FloatingPointError: the loss of step 612 is not finite (train.optimizer.lr = 0.003)")
                run.say("FloatingPointError: the loss of step 612 is not finite", unit)
                break
        else:
            if share == 1.0:
                run.commit(unit)
                finals[unit] = run._records[unit].metric or 0.0
    if until >= 1.0:
        kept = max(finals, key=lambda unit: finals[unit])
        run.reduce("train", [kept])
        for stage in ("evaluate", "export"):
            unit = run.plan(stage, run._records[kept].params, {"dataset": dataset, "train": kept})
            run.start(unit)
            run.tick(2.2)
            if stage == "evaluate":
                run.step(unit, 0.8083, [{"Test/Accuracy": 0.8083}], log="eval", metric_name="Accuracy")
            run.commit(unit)
        run.close()
    return run

"""``rehearse``: the first steps of every stage of a concrete spec, with the state after each of them kept.

    python -m flambe.runner.rehearsal FOLDER STEPS [RESUME_AT] < spec.json

A process of its own each time: the order of sets and the addresses of objects differ between two processes, as between two runs.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec

from flambe.build.state import write_state
from flambe.errors import RunFailed
from flambe.record.code_copy import NONE
from flambe.record.layout import ARTIFACTS, RunPaths, UnitPaths
from flambe.record.run import COMPLETE, StageRecord, write_record
from flambe.runner.failure import failure_of
from flambe.runner.plan import check_order, concrete_units
from flambe.runner.stage import StageRun
from flambe.runner.unit import Unit
from flambe.spec.codec import load_spec
from flambe.spec.nodes import Spec

SEEN = "seen"
"""The folder of a unit that holds the state after each step, by its number: of the last step too, and when all is done."""


def rehearse(spec: Spec, folder: Path, steps: int, resume_at: int | None = None) -> None:
    """Run at most ``steps`` steps of each stage, in file order, below ``folder``, which is laid out as a run directory.

    Stages that want more steps are ended there, and hand on what they have. resume_at: after this step a stage is let go of, and
    goes on from what it saved. Raises RunFailed when a stage raises.
    """
    check_order(spec)
    if spec.kind == "function":  # it is run whole, from where its code is
        folder.mkdir(parents=True)
        body = {**spec.stages[0].body, "snapshot": NONE}
        spec = msgspec.structs.replace(spec, stages=[msgspec.structs.replace(spec.stages[0], body=body)])
    for unit in concrete_units(spec, folder):
        paths = RunPaths(folder).folder(unit.id)
        paths.root.mkdir(parents=True)
        try:
            _rehearse(unit, paths, steps, resume_at)
        except (Exception, SystemExit) as error:
            raise RunFailed(f"{unit.id}: {failure_of(error, unit).error}") from error


def _rehearse(unit: Unit, paths: UnitPaths, steps: int, resume_at: int | None) -> None:
    run = StageRun(unit, paths.root)
    try:
        run.start()
        while True:
            report = run.step()
            _append(paths, report.streams)
            seen = paths.root / SEEN / str(report.step)
            if report.more:
                shutil.copytree(paths.step(report.step), seen)
            else:
                write_state(seen, {"component": run.state()})
            if not report.more or report.step >= steps:
                break
            if report.step == resume_at:
                run.close()
                shutil.rmtree(paths.root / ARTIFACTS)
                run = StageRun(unit, paths.root)
                run.start(paths.step(report.step))
        _append(paths, run.commit().streams)
        # Stages that link here ask it whose result this is.
        record = StageRecord(
            stage=unit.stage, variant=unit.variant, params=unit.params, key=unit.key, seed=unit.seed, step=report.step,
            status=COMPLETE, complete=True, needs={stage: Path(need).name for stage, need in unit.needs.items()},
            result=report.result,
        )  # fmt: skip
        write_record(paths.record, record)
    finally:
        run.close()


def _append(paths: UnitPaths, streams: dict[str, bytes]) -> None:
    for name, data in streams.items():
        path = paths.root / name
        path.parent.mkdir(exist_ok=True)
        if path.name != paths.outputs.name:  # which it has written itself
            with path.open("ab") as stream:
                stream.write(data)


def main(argv: list[str]) -> int:
    """Rehearse the spec on stdin."""
    from flambe.cli.ending import run_to_end

    folder, steps, *resume = argv
    spec = load_spec(sys.stdin.buffer.read())

    def run() -> None:
        # What a stage prints is in the folder; here it would only be in the way.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        rehearse(spec, Path(folder), int(steps), int(resume[0]) if resume else None)

    return run_to_end(run, "flambe verify", writes_data=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

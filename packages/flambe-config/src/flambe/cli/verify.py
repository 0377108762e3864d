"""``flambe verify``: does the same config give the same twice, and when it is stopped and goes on?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flambe.cli.console import QUIET, level, say
from flambe.cli.door import loudness
from flambe.cli.streams import data_is_terminal, emit

if TYPE_CHECKING:
    from flambe.record.verdict import Tolerance, Verdict
    from flambe.spec.nodes import Spec

_HELP = """Run the first steps of every stage of SPEC twice, and once stopped in the middle and resumed; say for each stage whether the three
are equal, and if not, the first step and the first metric, module or tensor that differs.

SPEC is a YAML file, a spec (JSON; - is stdin) or a run directory, whose config.yml overrides change. Of a search its first variant is run. Nothing is written where
runs are kept. A function (f(name, config), or a decorated one by its run) has no steps: it is run twice, whole, and what it logs and
returns is compared; a difference of what it prints is told.

\b
JSON lines, one for each stage and comparison; words on a terminal. The exit code is 0 when all is equal (or within --rtol and --atol),
1 when something differs or what is run fails, and 2 for a config that is wrong.

\b
Examples:
  flambe verify experiment.yaml
  flambe verify experiment.yaml train.max_steps=8 --steps 4
  flambe verify flambe-output/reviews/exp.0 --steps 2 | jq 'select(.verdict == "different")'
"""

AGAIN, RESUMED = "again", "resumed"
_DECORATED = "A function with @flambe.launch is verified by a run of it: run its program once, then flambe verify logs/FUNCTION/exp.0"


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("spec", default="-", metavar="[SPEC]")
@click.argument("overrides", nargs=-1, metavar="[OVERRIDE]...")
@click.option("-k", "--steps", type=click.IntRange(2), default=4, show_default=True, help="Steps of each stage.")
@click.option("--rtol", type=click.FloatRange(0), default=0.0, metavar="X", help="Relative tolerance.  [0: equal bits]")
@click.option("--atol", type=click.FloatRange(0), default=0.0, metavar="X", help="Absolute tolerance.  [0: equal bits]")
@loudness
def verify(spec: str, overrides: tuple[str, ...], steps: int, rtol: float, atol: float) -> int:
    from flambe.record.verdict import Tolerance
    from flambe.spec.nodes import is_concrete

    read = _read(spec, overrides)
    if not is_concrete(read):
        from flambe.compile.search import expand

        read = next(expand(read))
        say("flambe verify: of the search, its first variant")
    good = True
    tolerance = Tolerance(rtol, atol)
    if read.kind == "function":
        with tempfile.TemporaryDirectory(prefix="flambe-verify-") as scratch:
            return 0 if _verify_function(read, Path(scratch), tolerance) else 1
    with tempfile.TemporaryDirectory(prefix="flambe-verify-") as scratch:
        folders = {name: Path(scratch) / name for name in ("first", AGAIN, RESUMED)}
        for name, folder in folders.items():
            _rehearse(read, folder, steps, steps // 2 if name == RESUMED else None)
        for stage in read.stages:
            for name in (AGAIN, RESUMED):
                row = _row(stage.name, name, folders["first"], folders[name], tolerance)
                good = good and row["verdict"] not in ("different", "missing", "added")
                _tell(row)
    return 0 if good else 1


def _read(path: str, overrides: tuple[str, ...]) -> Spec:
    from flambe.compile.compiler import compile_file
    from flambe.compile.difference import read_side
    from flambe.errors import ConfigFaults, ProvenanceError, UsageError
    from flambe.record.layout import CONFIG, RUN

    if path.endswith((".yaml", ".yml")):
        try:
            return compile_file(path, overrides)
        except ConfigFaults as faults:
            for fault in faults.faults:
                if fault.rule == "no-tag" and not fault.hint:
                    fault.hint = f"{_DECORATED}."
            raise ConfigFaults(faults.faults, faults.warnings) from None
    if path.endswith(".py"):
        raise UsageError(
            f"{path} is a program", expected="a YAML file, a spec or a run directory", hint=f"{_DECORATED}."
        )
    if os.path.isfile(os.path.join(path, RUN)):
        from flambe.runner.reproduction import Reproduction

        recorded = Reproduction(Path(path))
        edits = recorded.copy_faults()
        if edits:
            raise ProvenanceError(
                f"{path} cannot be verified: {'; '.join(edits)}",
                hint=f"Bring back what it had, or verify what is there now: flambe verify {os.path.join(path, CONFIG)}.",
            )
        return compile_file(recorded.paths.root / CONFIG, overrides) if overrides else recorded.spec_to_run()
    if overrides:
        raise UsageError("overrides change a YAML file, and this is a spec", hint="Give them to flambe-compile.")
    return read_side(path)


def _rehearse(spec: Spec, folder: Path, steps: int, resume_at: int | None) -> None:
    from flambe.errors import RunFailed
    from flambe.spec.codec import dump_spec

    words = [sys.executable, "-m", "flambe.runner.rehearsal", str(folder), str(steps)]
    words += [] if resume_at is None else [str(resume_at)]
    quiet = level() == QUIET
    done = subprocess.run(words, input=dump_spec(spec), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    text = done.stderr.decode(errors="replace")
    if done.returncode:
        lines = [line.removeprefix("flambe verify: error: ") for line in text.splitlines() if line.strip()]
        raise RunFailed(lines[-1] if lines else f"a rehearsal has ended with exit code {done.returncode}")
    if text and not quiet:
        say(text.rstrip(), level=2)


def _verify_function(spec: Spec, scratch: Path, tolerance: Tolerance) -> bool:
    """Run a function twice, whole, each in a process and a folder of its own, and tell the first difference of what it logged."""
    from flambe.record.layout import RunPaths
    from flambe.record.verdict import compare_units, compare_written, worst

    one, other = scratch / "first", scratch / AGAIN
    for folder in (one, other):
        _rehearse(spec, folder, 1, None)
    (unit,) = (f"{path.parent.name}/{path.name}" for path in one.glob("stages/*/*"))
    found = [
        *compare_written(one, other, unit, tolerance),
        *compare_units(RunPaths(one).folder(unit), RunPaths(other).folder(unit), unit, tolerance),
    ]
    stage = unit.partition("/")[0]
    row: dict[str, Any] = {"stage": stage, "compared": AGAIN}
    # By its step; of equal ones by the order in which they were logged.
    bad = sorted((verdict for verdict in found if not verdict.is_good), key=lambda one: (one.step is None, one.step))
    if bad:
        first = bad[0]
        row |= {"verdict": first.verdict, "step": first.step, "name": f"{_log(first.place)}{first.name}"}
        row |= {"recorded": first.recorded, "here": first.here, "difference": first.difference, "more": len(bad) - 1}
        row = {key: value for key, value in row.items() if value not in (None, "")}
    else:
        row |= {"verdict": worst(verdict.verdict for verdict in found), "values": len(found)}
        said = _first_line_that_differs(*(RunPaths(folder).outputs for folder in (one, other)))
        if said is not None:
            say(f"flambe verify: what it printed differs first at line {said[0]}: {said[1]!r} and {said[2]!r}")
    _tell(row)
    return not bad


def _log(place: str) -> str:
    """Return the name of a metric file as queries have it: ``train.``; nothing of other places."""
    return f"{Path(place).stem}." if place.startswith("metrics/") else ""


def _first_line_that_differs(first: Path, other: Path) -> tuple[int, str, str] | None:
    """Return the number of a line and what the two have there; times of log records aside."""
    pairs = zip_longest(*(_lines(path) for path in (first, other)), fillvalue="")
    return next(((number, one, two) for number, (one, two) in enumerate(pairs, 1) if one != two), None)


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [re.sub(r"^\d\d:\d\d:\d\d \| ", "", line) for line in path.read_text(errors="replace").splitlines()]


def _row(stage: str, compared: str, first: Path, other: Path, tolerance: Tolerance) -> dict[str, Any]:
    """Return what is to be said of one stage: everything of the earliest step that differs is looked at before the next one."""
    from flambe.record.verdict import EQUAL, worst

    found: list[str] = []
    steps = 0
    for step, verdicts in _by_step(stage, first, other, tolerance):
        steps = max(steps, step)
        found += [verdict.verdict for verdict in verdicts]
        bad = [verdict for verdict in verdicts if not verdict.is_good]
        if bad:
            one = bad[0]
            row = {
                "stage": stage,
                "compared": compared,
                "verdict": one.verdict,
                "step": one.step or step,
                "name": one.name,
                "class": one.place,
            }
            row |= {"recorded": one.recorded, "here": one.here, "difference": one.difference, "more": len(bad) - 1}
            return {key: value for key, value in row.items() if value not in (None, "")}
    return {"stage": stage, "compared": compared, "verdict": worst(found) if found else EQUAL, "steps": steps}


def _by_step(stage: str, first: Path, other: Path, tolerance: Tolerance) -> Iterator[tuple[int, list[Verdict]]]:
    """Yield the verdicts of each step: states before metrics, tensors before the other values, in the order of the object's parts."""
    from flambe.record.layout import RunPaths
    from flambe.record.verdict import ADDED, MISSING, Verdict, compare_metrics, compare_states
    from flambe.runner.rehearsal import SEEN

    (root,) = (RunPaths(first).root / "stages" / stage).iterdir()
    there = other / root.relative_to(first)
    metrics = [
        verdict
        for name in sorted({path.name for folder in (root, there) for path in folder.glob("metrics/*.jsonl")})
        for verdict in compare_metrics(root / "metrics" / name, there / "metrics" / name, stage, tolerance)
    ]
    numbers = sorted({int(path.name) for folder in (root, there) for path in (folder / SEEN).iterdir()})
    for number in numbers:
        was, now = root / SEEN / str(number), there / SEEN / str(number)
        if not (was.is_dir() and now.is_dir()):
            yield number, [Verdict(unit=stage, place="", name="step", verdict=MISSING if was.is_dir() else ADDED)]
            return
        classes = _classes(was)
        states = list(compare_states(was, now, stage, "", tolerance))
        for one in states:
            one.name = one.name.removeprefix("component.")
            one.place = _class_of(one.name, classes)
        # The generators come last: they differ because something else has drawn from them, where there is such a thing.
        states.sort(key=lambda one: one.name.startswith("rng."))
        yield number, [*states, *(metrics if number == numbers[-1] else ())]


def _classes(folder: Path) -> dict[str, str]:
    from flambe.build.state import read_tree

    state = read_tree(folder)["state"].get("component", {})
    metadata = state.get("metadata", {}) if isinstance(state, dict) else {}
    return {path: str(about.get("class", "")) for path, about in metadata.items() if isinstance(about, dict)}


def _class_of(name: str, classes: dict[str, str]) -> str:
    """Return the class of the innermost part that a name lies in."""
    while name and name not in classes:
        name = name.rpartition(".")[0]
    return classes.get(name, "")


def _tell(row: dict[str, Any]) -> None:
    from flambe.cli.reproduce import emit_row

    if not data_is_terminal():
        emit_row(row)
        return
    if "values" in row:
        emit(f"{row['stage']}, run again: {row['verdict']}, {row['values']} values compared")
        return
    how = "run again" if row["compared"] == AGAIN else "stopped and resumed"
    if "step" not in row and "name" not in row:
        emit(f"{row['stage']}, {how}: {row['verdict']} in {row['steps']} steps")
        return
    place = f" of {row['class']}" if "class" in row else ""
    values = f": {row.get('recorded')} and {row.get('here')}" if "recorded" in row or "here" in row else ""
    more = f", and {row['more']} more" if row["more"] else ""
    at = f" at step {row['step']}" if "step" in row else ""
    emit(f"{row['stage']}, {how}: first different{at}: {row['name']}{place}{values}{more}")


__all__ = ["verify"]

"""``flambe reproduce``: run a finished run anew, and say how equal the two are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from flambe.cli.console import QUIET, level, say
from flambe.cli.door import loudness
from flambe.cli.streams import data_is_terminal, emit

if TYPE_CHECKING:
    from flambe.record.verdict import Verdict

_HELP = """Run a finished run anew, in the next folder beside it and with nothing reused, and compare the two: every line of every metric,
every tensor and value of the saved components.

Its code and its data have to be what they were: extensions by the digest that was recorded, functions from the copy in RUN, files by
their digests (exit code 3 if not). What is installed in another version is told.

\b
JSON lines: one for each metric, tensor and state (with --quiet of what is not bit-equal), the last one says it all; a table of what
differs on a terminal. The exit code is 0 when all is equal, or within --rtol and --atol, and 1 when something differs.

\b
Examples:
  flambe reproduce flambe-output/reviews/exp.0
  flambe reproduce flambe-output/reviews/exp.0 --rtol 1e-5 | jq 'select(.verdict == "different")'
  flambe reproduce flambe-output/reviews/exp.0 --against flambe-output/reviews/exp.1
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run")
@click.option("--rtol", type=click.FloatRange(0), default=0.0, metavar="X", help="Relative tolerance.  [0: equal bits]")
@click.option("--atol", type=click.FloatRange(0), default=0.0, metavar="X", help="Absolute tolerance.  [0: equal bits]")
@click.option("--extension", "extensions", multiple=True, metavar="MODULE=PATH", help="Where code lies now.")
@click.option("--as-is", is_flag=True, help="Run it although code or data are not what they were.")
@click.option("--against", metavar="RUN", help="Compare with this run, in place of a new one.")
@click.option("-o", "--output-dir", metavar="DIR", help="Where the new run directory is made.")
@loudness
def reproduce(
    run: str,
    rtol: float,
    atol: float,
    extensions: Sequence[str],
    as_is: bool,
    against: str | None,
    output_dir: str | None,
) -> int:
    from pathlib import Path

    from flambe.record.code_copy import listed
    from flambe.record.verdict import EQUAL, ERROR, Tolerance, compare_runs, worst
    from flambe.runner.reproduction import Reproduction

    named = dict(_pair(text) for text in extensions)
    recorded = Reproduction(Path(run), named)
    environment = recorded.environment()
    if recorded.configs() > 1:
        say(
            f"flambe reproduce: warning: {run} was gone on with and had {recorded.configs()} configs, the first is config.yml"
        )
    if against is not None:
        here = Reproduction(Path(against)).paths.root
    else:
        if as_is:
            for fault in recorded.faults():
                say(f"flambe reproduce: warning: {fault}")
        else:
            recorded.check()
        if environment:
            say(f"flambe reproduce: installed differently: {'; '.join(map(str, environment))}")
        here = recorded.run(output_dir)
    verdicts = []
    table, quiet = data_is_terminal(), level() == QUIET
    for verdict in compare_runs(recorded.paths.root, here, Tolerance(rtol, atol)):
        verdicts.append(verdict)
        if not table and not (quiet and verdict.verdict == EQUAL):
            emit_row(verdict)
    told = worst(verdict.verdict for verdict in verdicts)
    good = all(verdict.is_good for verdict in verdicts)
    failed = [f"{one.unit} ({one.recorded})" for one in verdicts if (one.name, one.place) == (ERROR, "")]
    if failed:
        say(f"flambe reproduce: failed in both: {listed(failed)}")
    if table:
        if text := as_table(verdicts, counts=not quiet):
            emit(text)
        emit(f"{here}: {told if good else summary_of(verdicts)}{', failed in both' if failed else ''}")
    else:
        emit_row(
            {
                "run": str(recorded.paths.root),
                "here": str(here),
                "verdict": told,
                "compared": len(verdicts),
                "different": sum(not verdict.is_good for verdict in verdicts),
                "failed": len(failed),
                "first_step": first_step(verdicts),
                "environment": [one._asdict() for one in environment],
            }
        )
    return 0 if good else 1


def _pair(text: str) -> tuple[str, str]:
    module, equals, path = text.partition("=")
    if not (equals and module and path):
        raise click.UsageError(f"--extension {text!r}; expected MODULE=PATH")
    return module, path


def emit_row(row: Any) -> None:
    """Write a row as one line of JSON."""
    from flambe.spec.codec import dump_json

    emit(dump_json(row).decode())


def first_step(verdicts: Sequence[Verdict]) -> int | None:
    """Return the first step that differs, of those that say one."""
    return min((one.step for one in verdicts if one.step is not None and not one.is_good), default=None)


def summary_of(verdicts: Sequence[Verdict]) -> str:
    """Return how many differ, and where that begins."""
    bad = [one for one in verdicts if not one.is_good]
    step = first_step(verdicts)
    return f"{len(bad)} of {len(verdicts)} differ{'' if step is None else f', first at step {step}'}"


def as_table(verdicts: Sequence[Verdict], *, counts: bool) -> str:
    """Return what is not equal as a table. counts: with how much of each unit is, in its last lines."""
    from flambe.record.verdict import EQUAL

    rows: list[tuple[str, ...]] = [("UNIT", "PLACE", "NAME", "VERDICT", "STEP", "RECORDED", "HERE")]
    rows += [
        (one.unit, one.place, one.name, one.verdict, *(_cell(cell) for cell in (one.step, one.recorded, one.here)))
        for one in verdicts
        if one.verdict != EQUAL
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    equal: dict[str, int] = {}
    for one in verdicts:
        equal[one.unit] = equal.get(one.unit, 0) + (one.verdict == EQUAL)
    told = [f"{unit}: {count} {EQUAL}" for unit, count in equal.items()] if counts else []
    return "\n".join([*(lines if len(lines) > 1 else []), *told])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)

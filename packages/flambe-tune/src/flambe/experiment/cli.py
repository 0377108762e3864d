"""``flambe-tune``: run every variant of every stage of a spec. The door imports neither Ray nor torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from flambe.cli.door import enter, standing_options
from flambe.cli.given import given_options, install_for

NAME = "flambe-tune"
_DESK = ("status", "best", "stop")

_HELP = """Run every variant of every stage of SPEC (JSON from flambe-compile; '-', the default, is stdin).

Writes a JSON line for each variant that has ended, then one for the run; on a terminal a table. An unfinished run of an
equal spec goes on where it was, and results that exist are taken by key.

flambe-tune status RUN, flambe-tune best RUN and flambe-tune stop RUN ask about, or end, a run directory.

\b
Example:
  flambe-compile examples/reviews.yaml | flambe-tune --workers 2
"""


@click.command(name=NAME, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", nargs=-1, metavar="[SPEC]")
@click.option("--plan", "plan_only", is_flag=True, help="Print what would run and what is reused; run nothing.")
@click.option(
    "--runner",
    type=click.Choice(["auto", "ray", "local"]),
    default="auto",
    show_default=True,
    help="Ray actors, or child processes. auto: Ray when more than one unit can run at once.",
)
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="CPUs to use; with --runner local, child processes."
)
@click.option("--address", metavar="HOST:PORT", help="Join this running Ray instead of starting one.")
@click.option("--seed", type=int, metavar="N", help="In place of the spec's seed, or seeds.")
@click.option("--output-dir", metavar="DIR", help="In place of the spec's folder for runs.")
@click.option(
    "--step-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End a call of run() that takes longer, and try again. The first one on a worker has a minute more.",
)
@click.option("--force", is_flag=True, help="Begin a new run directory and reuse nothing. Nothing is deleted.")
@given_options
@standing_options(NAME)
def command(
    words: tuple[str, ...],
    plan_only: bool,
    runner: str,
    workers: int | None,
    address: str | None,
    seed: int | None,
    output_dir: str | None,
    step_limit: float | None,
    force: bool,
    install_extensions: bool,
) -> int:
    if len(words) == 2 and words[0] in _DESK:
        from flambe.cli.streams import emit
        from flambe.experiment import desk

        emit(_json(getattr(desk, words[0])(words[1])))
        return 0
    if len(words) > 1:
        raise click.UsageError(f"one spec at a time, or one of {', '.join(_DESK)} and a run directory")
    from flambe.cli.streams import read_text
    from flambe.experiment.session import Settings
    from flambe.logging import setup_global_logging

    setup_global_logging()
    text = read_text(words[0] if words else "-", what="spec")
    settings = Settings(runner, workers, address, output_dir, force, step_limit)
    specs = _specs(text, seed)
    if install_extensions:
        install_for(specs)
    code = 0
    for spec in specs:
        code = max(code, _plan(spec, settings) if plan_only else _run(spec, settings))
        if code > 1:
            break
    return code


def _specs(text: str, seed: int | None) -> list[Any]:
    """Return the specs of a text: one, or one a line."""
    import msgspec

    from flambe.spec.codec import load_spec

    lines = [line for line in text.splitlines() if line.strip()]
    several = len(lines) > 1 and all(line.startswith("{") and line.rstrip().endswith("}") for line in lines)
    specs = [load_spec(line, where=f"line {number}") for number, line in enumerate(lines, 1)] if several else []
    specs = specs or [load_spec(text)]
    return specs if seed is None else [msgspec.structs.replace(spec, seed=seed, seeds=[]) for spec in specs]


def _run(spec: Any, settings: Any) -> int:
    from flambe.cli.console import say
    from flambe.cli.streams import data_is_terminal, emit
    from flambe.experiment.display import choices_table, choose_display, table_of
    from flambe.experiment.session import run_experiment
    from flambe.record.run import CANCELLED, FAILED

    people = data_is_terminal()
    summary = run_experiment(
        spec,
        settings,
        tool=NAME,
        argv=sys.argv,
        on_row=None if people else lambda row: emit(_json(row)),
        display=choose_display(spec.debug),
    )
    if people:
        emit(table_of(summary.rows))
        if summary.choices:
            emit("\n" + choices_table(summary.choices))
        emit(f"{summary.status}: {summary.run}")
    else:
        emit(_json(summary.row()))
    if summary.status == CANCELLED:
        say(f"{NAME}: stopped; the same command goes on from here: {summary.run}")
    if summary.signal is not None or summary.status == CANCELLED:
        return 128 + (summary.signal or 2)
    return 1 if summary.status == FAILED else 0


def _plan(spec: Any, settings: Any) -> int:
    from pathlib import Path

    from flambe.cli.streams import emit
    from flambe.experiment.check import check_spec
    from flambe.pipeline.graph import StageGraph
    from flambe.pipeline.plan import RUN, PlannedUnit, plan_units
    from flambe.pipeline.reason import Reasons
    from flambe.record.result import ResultStore

    check_spec(spec, StageGraph(spec))
    output = Path(settings.output_dir or spec.output_dir).expanduser().absolute()
    store = ResultStore(output)
    find = (lambda key: None) if settings.force else store.find
    reasons = Reasons(output / spec.name, spec)
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for planned in plan_units(spec, output / spec.name / "exp.next", find):
        counts[planned.action] = counts.get(planned.action, 0) + 1
        if isinstance(planned, PlannedUnit) and planned.action == RUN:
            why = "--force" if settings.force else reasons.why(planned.unit, planned.needs_that_run)
            planned = planned._replace(why=why)
            stage = planned.unit.stage
            seconds[stage] = seconds.get(stage, 0.0) + (reasons.seconds(stage) or 0.0)
        emit(_json(planned.row()))
    end: dict[str, Any] = {"name": spec.name, "output_dir": str(output / spec.name), "counts": counts}
    if any(seconds.values()):
        # As long as units of these stages took before, one after another.
        end["worker_seconds"] = {stage: round(taken, 1) for stage, taken in seconds.items() if taken}
    emit(_json(end))
    return 0


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return enter(command, NAME, argv)


if __name__ == "__main__":
    sys.exit(main())

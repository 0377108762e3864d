"""``flambe-tune``: run every variant of every stage of a spec. The door imports neither Ray nor torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from flambe.cli.door import enter, standing_options
from flambe.cli.ending import end_at_once
from flambe.cli.given import given_options, install_for
from flambe.errors import UsageError

NAME = "flambe-tune"

_HELP_NAMES = {"help_option_names": ["-h", "--help"]}
_HELP = """Run every variant of every stage of SPEC (JSON from flambe-compile; '-', the default, is stdin).

Writes a JSON line for each variant that has ended, then one for the run; on a terminal a table. An unfinished run of an
equal spec goes on where it was, and results that exist are taken by key.

flambe-tune status RUN, flambe-tune best RUN and flambe-tune stop RUN ask about, or end, a run directory; each has a
--help of its own.

\b
Examples:
  flambe-compile examples/reviews.yaml | flambe-tune --workers 2
  flambe-compile examples/reviews.yaml | flambe-tune --plan
  flambe-compile examples/reviews.yaml | flambe-tune | tail -1 | jq .best
  flambe-tune status flambe-output/reviews/exp.0
"""


@click.command(name=NAME, help=_HELP, context_settings=_HELP_NAMES)
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
@click.option(
    "--store",
    metavar="DIR|s3://…",
    envvar="FLAMBE_STORE",
    help="Take results from here too, and put new ones there, so that machines share them. [env var: FLAMBE_STORE]",
)
@click.option("--force", is_flag=True, help="Begin a new run directory and reuse nothing. Nothing is deleted.")
@click.option(
    "-d", "--debug", is_flag=True, help="One variant after another; at a terminal a debugger stops before each."
)
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
    store: str | None,
    force: bool,
    debug: bool,
    install_extensions: bool,
) -> int:
    if len(words) > 1:
        raise click.UsageError(f"one spec at a time, or one of {', '.join(_DESK)} and a run directory")
    from flambe.cli.streams import read_text
    from flambe.experiment.session import Settings
    from flambe.logging import setup_global_logging

    setup_global_logging()
    text = read_text(words[0] if words else "-", what="spec")
    if words and words[0].endswith((".yaml", ".yml")) and not text.lstrip().startswith("{"):
        plan = " --plan" if plan_only else ""
        way = f"flambe-compile {words[0]} | {NAME}{plan}, or flambe {words[0]}{plan}"
        raise UsageError(f"{words[0]} is a config, and {NAME} reads specs", hint=f"Write {way}.")
    settings = Settings(runner, workers, address, output_dir, force, step_limit, store)
    specs = _specs(text, seed)
    for spec in specs:
        spec.debug = spec.debug or debug
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
    from flambe.cli.console import VERBOSE, level, say
    from flambe.cli.streams import data_is_terminal, emit
    from flambe.experiment.display import choose_display
    from flambe.experiment.session import run_experiment
    from flambe.experiment.table import MOST, choices_table, variants_table
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
        width, most = _width(), None if level() == VERBOSE else MOST
        if summary.rows:
            emit(variants_table(summary.rows, width=width, most=most))
        if summary.choices:
            emit("\n" + choices_table(summary.choices, width=width, most=most))
        emit(f"{summary.status}: {summary.run}")
    else:
        emit(_json(summary.row()))
    if summary.status == CANCELLED:
        say(f"{NAME}: stopped; the same command goes on from here: {summary.run}")
    if summary.signal is not None or summary.status == CANCELLED:
        return 128 + (summary.signal or 2)
    return 1 if summary.status == FAILED else 0


def _plan(spec: Any, settings: Any) -> int:
    from flambe.cli.streams import data_is_terminal, emit
    from flambe.experiment.preview import Preview
    from flambe.experiment.table import plan_table

    preview = Preview(spec, settings)
    if data_is_terminal():
        emit(plan_table(preview.rows, preview.end, width=_width()))
    else:
        for row in (*preview.rows, preview.end):
            emit(_json(row))
    return 0


@click.command(
    name="status",
    context_settings=_HELP_NAMES,
    help="""Say how far a run is, and what failed in it: a JSON line, on a terminal a table.

\b
Example:
  flambe-tune status flambe-output/reviews/exp.0
""",
)
@click.argument("run", metavar="RUN")
def _status(run: str) -> int:
    from flambe.experiment import desk
    from flambe.experiment.table import status_table

    return _answer(desk.status(run), status_table)


@click.command(
    name="best",
    context_settings=_HELP_NAMES,
    help="""Name the best variant so far of each stage that has a metric, and its folder: a JSON line, on a terminal a table.

\b
Examples:
  flambe-tune best flambe-output/reviews/exp.0
  flambe-tune best flambe-output/reviews/exp.0 | jq -r .best.train.folder
""",
)
@click.argument("run", metavar="RUN")
def _best(run: str) -> int:
    from flambe.experiment import desk
    from flambe.experiment.table import best_table

    return _answer(desk.best(run), lambda row, width: best_table(row))  # a path is of no use without its end


@click.command(
    name="stop",
    context_settings=_HELP_NAMES,
    help="""Let the process of a run on this machine end; what it has done is kept, and its command goes on from there.

Exit codes: 0 it has ended, 1 it goes on after 20 s, 2 no run directory, 4 it does not run, or not on this machine.

\b
Example:
  flambe-tune stop flambe-output/reviews/exp.0
""",
)
@click.argument("run", metavar="RUN")
def _stop(run: str) -> int:
    from flambe.experiment import desk

    return _answer(desk.stop(run), lambda row, width: f"process {row['stopped']} has ended {row['run']}")


_DESK = {command.name or "": standing_options(NAME)(command) for command in (_status, _best, _stop)}


def _answer(row: dict[str, Any], table: Callable[..., str]) -> int:
    from flambe.cli.streams import data_is_terminal, emit

    emit(table(row, width=_width()) if data_is_terminal() else _json(row))
    return 0


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((120, 24)).columns


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, or the one that its first word names, and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    place = next((place for place, word in enumerate(words) if not word.startswith("-")), len(words))
    if place < len(words) and words[place] in _DESK:
        word = words.pop(place)
        return enter(_DESK[word], f"{NAME} {word}", words)
    code = enter(command, NAME, argv)
    if argv is None and "ray" in sys.modules:
        end_at_once(code)  # after a signal Ray's threads crash one of some ten processes that end otherwise
    return code


if __name__ == "__main__":
    sys.exit(main())

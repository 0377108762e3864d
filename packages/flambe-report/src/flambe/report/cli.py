"""``flambe-report``: rows and pages over run directories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flambe.cli.console import say
from flambe.cli.door import Group, enter, standing_options
from flambe.cli.streams import data_is_terminal, emit, emit_json, read_text
from flambe.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from flambe.record.reader import Reader, RecordedRun
    from flambe.report.rows import Row

PORT = 49558
_FORMATS = click.Choice(["table", "json", "csv"])
_LATER = ("diff", "sql", "gc", "html")


class _Group(Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in _LATER:
            raise UsageError(
                f"{args[0]!r} is not in this version of flambe-report", expected="ls, show, logs, curve or serve"
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: flambe-compile exp.yaml | flambe-tune | flambe-report ls -",
)
@standing_options("flambe-report")
def cli() -> None:
    """Tables and pages over run directories.

    PATH is a run directory, a folder of runs, or '-': JSON lines on stdin whose field 'run' names a run.
    Tables on a terminal, JSON lines for the next command of a pipe.
    """


@cli.command(epilog="Example: flambe-report ls flambe-output --where \"status == 'COMPLETE'\" --sort -metric")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-w", "--where", default="", metavar="QUERY", help="Only rows it is true of: metric > 0.7 and step in [1, 2]"
)
@click.option("-s", "--sort", default="", metavar="COLUMNS", help="Columns with commas between; -COLUMN: downwards.")
@click.option("-c", "--columns", default="", metavar="COLUMNS", help="Only these columns, in this order.")
@click.option("--units/--runs", default=None, help="A row for each unit (default for runs named one by one), or run.")
@click.option("-f", "--format", "form", type=_FORMATS, help="Default: table on a terminal, else JSON lines.")
def ls(paths: tuple[str, ...], where: str, sort: str, columns: str, units: bool | None, form: str | None) -> None:
    """List runs, or the variants of each stage of a run.

    A path that is a run is opened and shows its units, the best of each stage marked with *; a folder shows a row for
    each run below it, with the best metric of its last stage that has one.
    """
    from flambe.record.query import parse
    from flambe.record.reader import RUN_COLUMNS, UNIT_COLUMNS
    from flambe.report.rows import RUN_TABLE, UNIT_TABLE, check_columns, columns_of, sorted_rows, write_rows

    query = parse(where)
    reader, all_runs = _open(paths)
    units = all_runs if units is None else units
    rows = _unit_rows(reader) if units else list(reader.rows())
    _tell_problems(reader, found=bool(rows), paths=paths)
    known = columns_of(rows, UNIT_COLUMNS if units else RUN_COLUMNS)
    query.check(known)
    keys, chosen = _words(sort), _words(columns)
    check_columns([key.removeprefix("-") for key in keys], known, option="--sort")
    check_columns(chosen, known, option="--columns")
    rows = sorted_rows([row for row in rows if query(row)], keys)
    if chosen:
        rows = [{name: row[name] for name in chosen if name in row} for row in rows]
    shown: Sequence[str] = UNIT_TABLE if units else RUN_TABLE
    if units and len({row.get("run") for row in rows}) < 2:
        shown = shown[2:]
    if write_rows(rows, chosen or known, form, table=chosen or shown) and units and "metric" in (chosen or shown):
        _explain_star(rows)


@cli.command(epilog="Example: flambe-report show flambe-output/sst/exp.0")
@click.argument("path", metavar="RUN")
@click.option(
    "-f", "--format", "form", type=click.Choice(["table", "json"]), help="Default: table on a terminal, else JSON."
)
def show(path: str, form: str | None) -> None:
    """Show one run: its state, its stages and the variants of each."""
    from flambe.report.rows import UNIT_TABLE, cell, json_line, render_table

    run = _one_run(path)
    row, units = run.row(), [unit.row() for unit in run.units()]
    for problem in run.problems():
        say(f"flambe-report: warning: {problem}")
    _name_logs(run)
    if form == "json" or (form is None and not data_is_terminal()):
        needs = run.needs()
        whole = json.loads(json_line(row, list(row)))
        whole["stages"] = [{"name": name, "needs": needs[name]} for name in run.stages()]
        whole["units"] = [json.loads(json_line(unit, list(unit))) for unit in units]
        emit_json(whole)
        return
    width = max(map(len, row))
    for name, value in row.items():
        emit(f"{name:<{width}}  {cell(name, value)}")
    emit("")
    emit(render_table(units, UNIT_TABLE))
    _explain_star(units)


@cli.command(epilog="Example: flambe-report logs flambe-output/sst/exp.0 train/best")
@click.argument("path", metavar="RUN")
@click.argument("unit", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until it has ended.")
def logs(path: str, unit: str | None, follow: bool) -> None:
    """Print what RUN, or one variant of a stage, has written to its outputs.log.

    UNIT is STAGE/VARIANT as in `ls`; STAGE alone where it has one variant; STAGE/best for its best.
    """
    from flambe.report.logs import find_unit, print_log

    run = _one_run(path)
    print_log(run, None if unit is None else find_unit(run, unit), emit, follow=follow)


def _name_logs(run: RecordedRun) -> None:
    """Say how the logs of failed units are read."""
    import shlex

    failed = [unit for unit in run.units() if unit.status == "FAILED" and unit.path is not None]
    for unit in failed[:3]:
        say(
            f"flambe-report: {unit.id} failed; its log: {shlex.join(['flambe-report', 'logs', str(run.path), unit.id])}"
        )


def _explain_star(units: Sequence[Row]) -> None:
    if any(row.get("best") is True for row in units):
        say("* the best of its stage")


@cli.command(epilog="Example: flambe-report curve flambe-output/sst/exp.0 -m Training/Loss --format csv")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-m", "--metric", "names", multiple=True, metavar="NAME", help="Only this metric; may be repeated.")
@click.option("-w", "--where", default="", metavar="QUERY", help="Only units it is true of.")
@click.option("-f", "--format", "form", type=_FORMATS, help="Default: table on a terminal, else JSON lines.")
def curve(paths: tuple[str, ...], names: tuple[str, ...], where: str, form: str | None) -> None:
    """Print metric lines: a row for each value with its unit, step and seconds since the unit started."""
    from flambe.errors import did_you_mean
    from flambe.record.query import parse
    from flambe.record.reader import UNIT_COLUMNS
    from flambe.report.rows import columns_of, write_rows

    query = parse(where)
    reader, _ = _open(paths)
    units = [(unit, unit.row()) for run in reader for unit in run.units()]
    _tell_problems(reader, found=bool(units), paths=paths)
    query.check(columns_of([row for _, row in units], UNIT_COLUMNS))
    rows: list[Row] = []
    seen: dict[str, None] = {}
    for unit, row in units:
        for log in unit.logs() if query(row) else ():
            for line in unit.metrics(log):
                values = {key: value for key, value in line.items() if key != "step" and not key.startswith("_")}
                seen.update(dict.fromkeys(values))
                rows.extend(
                    {"run": row["run"], "unit": unit.id, "log": log, "step": line.get("step"),
                     "t": line.get("_t"), "metric": key, "value": value}
                    for key, value in values.items()
                    if not names or key in names
                )  # fmt: skip
    for name in names:
        if name not in seen:
            raise UsageError(
                f"--metric: no unit has {name!r}", hint=did_you_mean(name, seen) or "Known are " + ", ".join(seen) + "."
            )
    shown = ("run", "unit", "log", "step", "t", "metric", "value")
    write_rows(rows, shown, form, table=shown[1:])


@cli.command(epilog="Example: flambe-report serve flambe-output")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=None, help=f"Default {PORT}, or the next free one; 0: any."
)
@click.option("--token", envvar="FLAMBE_REPORT_TOKEN", help="Instead of a random one. Safer: set FLAMBE_REPORT_TOKEN.")
@click.option("--no-token", is_flag=True, help="Let every user of this machine in. Loopback only.")
def serve(paths: tuple[str, ...], host: str, port: int | None, token: str | None, no_token: bool) -> None:
    """Serve live pages over runs until interrupted. Prints the address, with its token."""
    from flambe.report.server import serve as serve_pages

    if paths == ("-",):
        paths = tuple(_runs_of_stdin())
    if no_token and token:
        raise UsageError("--token and --no-token exclude each other")
    serve_pages([Path(path) for path in paths], host=host, port=port, token="" if no_token else token)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _open(paths: Sequence[str]) -> tuple[Reader, bool]:
    """Return a reader of the paths, and whether each of them is a run (and not a folder of runs)."""
    from flambe.record.reader import Reader, is_run

    places = [place for path in paths for place in (_runs_of_stdin() if path == "-" else [path])]
    reader = Reader(*places)
    try:
        return reader, all(is_run(Path(place)) for place in places)
    except ConfigError:
        return reader, False  # the reader will tell


def _runs_of_stdin() -> list[str]:
    text = read_text("-", what="list of runs")
    runs: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ConfigError(
                f"line {number} of stdin is not JSON: {error}", expected="JSON lines, as flambe-tune writes them"
            ) from error
        if isinstance(value, dict) and isinstance(value.get("run"), str):
            runs[value["run"]] = None
    if not runs:
        raise UsageError(
            "no line on stdin has a field 'run'", hint="Pipe the output of flambe-tune or flambe-train in."
        )
    return list(runs)


def _one_run(path: str) -> RecordedRun:
    from flambe.record.reader import is_run

    reader, _ = _open([path])
    if path != "-" and not is_run(Path(path)):
        raise ConfigError(f"{path} is no run directory", hint=f"List the runs below it: flambe-report ls {path}")
    runs = list(reader)
    if len(runs) != 1:
        raise ConfigError(reader.problems[0] if reader.problems else f"{len(runs)} runs came, one was expected")
    return runs[0]


def _unit_rows(reader: Reader) -> list[dict[str, Any]]:
    rows = []
    for run in reader:
        record = run.record
        rows += [unit.row() | {"name": record.name, "index": record.index} for unit in run.units()]
        reader.problems.extend(run.problems())
    return rows


def _tell_problems(reader: Reader, *, found: bool, paths: Sequence[str]) -> None:
    for problem in reader.problems:
        say(f"flambe-report: warning: {problem}")
    if not found and not reader.problems:
        say(f"flambe-report: nothing is recorded in {', '.join(paths)}")
    if not found and reader.problems:
        raise ConfigError("none of the runs could be read")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-report`` and return its exit code."""
    return enter(cli, "flambe-report", argv)


if __name__ == "__main__":
    raise SystemExit(main())

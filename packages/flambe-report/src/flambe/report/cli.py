"""``flambe-report``: rows and pages over run directories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flambe.cli.brief import brief, lasting
from flambe.cli.console import say
from flambe.cli.door import Group, enter, standing_options
from flambe.cli.streams import data_is_terminal, emit, emit_json, read_text
from flambe.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from flambe.reading.reader import Reader
    from flambe.reading.recorded import RecordedRun
    from flambe.report.rows import Row

PORT = 49558
_FORMATS = click.Choice(["table", "json", "csv", "md"])


@click.group(
    cls=Group,
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
    "-w", "--where", default="", metavar="QUERY", help="Only rows it is true of: min(val.loss) < 0.3 & lr > 0"
)
@click.option("-s", "--sort", default="", metavar="COLUMNS", help="Columns with commas between; -COLUMN: downwards.")
@click.option("-c", "--columns", default="", metavar="COLUMNS", help="Only these columns, in this order.")
@click.option("-g", "--group", default="", metavar="COLUMNS", help="A row for each of their values, with --agg.")
@click.option("-a", "--agg", default="", metavar="EXPRS", help="What of each group: 'mean(last(train.loss)) as m'")
@click.option("--best", default="", metavar="EXPR", help="Only the best row: 'min(m)', 'max(metric)'.")
@click.option("--per", default="", metavar="COLUMNS", help="The best row for each of their values.")
@click.option("--diff", is_flag=True, help="The columns of the config in which the rows differ.")
@click.option("--units/--runs", default=None, help="A row for each unit (default for runs named one by one), or run.")
@click.option("-f", "--format", "form", type=_FORMATS, help="Default: table on a terminal, else JSON lines.")
def ls(paths: tuple[str, ...], units: bool | None, form: str | None, **options: Any) -> None:
    """List runs, or the variants of each stage of a run.

    A path that is a run is opened and shows its units, the best of each stage marked with *; a folder shows a row for
    each run below it, with the best metric of its last stage that has one. Columns are config.*, info.*, params.*,
    LOG.KEY for a metric (its last value) and artifact.TYPE.NAME; see flambe-report fields.
    """
    from flambe.report.listing import Request, listing, no_match
    from flambe.report.rows import write_rows

    reader, all_runs = _open(paths)
    units = all_runs if units is None else units
    found = listing(reader, Request(units=units, **options))
    _tell_problems(reader, found=bool(found.rows))
    if not found.rows and len(reader):
        none = f"none of {found.matched} has {options['best']}" if found.matched else ""
        say(f"flambe-report: {none or no_match(reader, options['where'], units=units)}")
    is_table = write_rows(found.rows, found.columns, form, table=found.table, whole=bool(options["columns"]))
    if is_table and units and "metric" in found.table and not options["agg"]:
        _explain_star(found.rows)


@cli.command(epilog="Example: flambe-report show flambe-output/sst/exp.0")
@click.argument("path", metavar="RUN")
@click.option(
    "-f", "--format", "form", type=click.Choice(["table", "json"]), help="Default: table on a terminal, else JSON."
)
def show(path: str, form: str | None) -> None:
    """Show one run: its state, its stages and the variants of each."""
    from flambe.record.layout import became
    from flambe.report.rows import UNIT_TABLE, cell, json_line, render_table

    run = _one_run(path)
    row, recorded = run.row(), run.units()
    units = [unit.row() for unit in recorded]
    for problem in run.problems():
        say(f"flambe-report: warning: {problem}")
    _name_logs(run)
    if form == "json" or (form is None and not data_is_terminal()):
        needs = run.needs()
        whole = json.loads(json_line(row, list(row)))
        whole["stages"] = [{"name": name, "needs": needs[name]} for name in run.stages()]
        whole["units"] = [
            json.loads(json_line(unit, list(unit))) | ({"takeovers": one.takeovers} if one.takeovers else {})
            for one, unit in zip(recorded, units, strict=True)
        ]
        emit_json(whole)
        return
    width = max(map(len, row))
    for name, value in row.items():
        emit(f"{name:<{width}}  {cell(name, value)}")
    emit("")
    emit(render_table(units, UNIT_TABLE))
    for one in recorded:
        if said := became(one.takeovers, one.explored):
            emit(f"{one.id}: {said}")
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


@cli.command(epilog="Example: flambe-report curve flambe-output/sst/exp.0 Training/Loss --format csv")
@click.argument("paths", nargs=-1, required=True, metavar="PATH... [METRIC...]")
@click.option(
    "-m", "--metric", "names", multiple=True, metavar="NAME", help="Only this metric, or '*loss'; may be repeated."
)
@click.option("-w", "--where", default="", metavar="QUERY", help="Only units it is true of.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["plot", *_FORMATS.choices]),
    help="Default: plot on a terminal, else JSON lines.",
)
def curve(paths: tuple[str, ...], names: tuple[str, ...], where: str, form: str | None) -> None:
    """Print metrics: a plot of each, or a row for each value with its unit, step and seconds since the unit started.

    METRIC is LOG.KEY, or KEY alone, or a pattern such as '*loss' or 'val.*'; what is no path is one.
    """
    from flambe.report.curves import curve_rows, plots
    from flambe.report.listing import no_match
    from flambe.report.rows import write_rows

    places = [path for path in paths if path == "-" or Path(path).exists()]
    if not places:
        raise ConfigError(f"{paths[0]} does not exist", expected="a run directory, or a folder of runs")
    names = (*names, *(path for path in paths if path not in places))
    reader, _ = _open(places)
    rows = curve_rows(reader, where, names)
    _tell_problems(reader, found=bool(rows))
    if where and not rows and len(reader) and not reader.select(where, units=True):
        say(f"flambe-report: {no_match(reader, where, units=True)}")
    if form == "plot" or (form is None and data_is_terminal()):
        for line in plots(rows):
            emit(line)
        return
    shown = ("run", "unit", "log", "step", "t", "metric", "value")
    write_rows(rows, shown, form, table=shown[1:])


@cli.command(epilog="Example: flambe-report diff flambe-output/sst/exp.0 flambe-output/sst/exp.1")
@click.argument("one", metavar="RUN")
@click.argument("other", metavar="RUN")
@click.option("--all", "everything", is_flag=True, help="All columns: times, hosts and versions too.")
@click.option("-f", "--format", "form", type=_FORMATS, help="Default: table on a terminal, else JSON lines.")
@click.pass_context
def diff(ctx: click.Context, one: str, other: str, everything: bool, form: str | None) -> None:
    """Show in what two runs differ: config, code, state, result and last values of metrics. Exit code 1 if in anything.

    flambe diff compares how two configs are written, also before they run.
    """
    from flambe.reading.reader import Reader
    from flambe.report.comparison import differences
    from flambe.report.rows import write_rows

    rows = [Reader(_one_run(path).path).select()[0] for path in (one, other)]
    found = differences(rows[0], rows[1], everything=everything)
    shown = ("column", "a", "b")
    write_rows([{name: row.get(name) for name in shown} for row in found], shown, form, table=shown)
    ctx.exit(1 if found else 0)


@cli.command(epilog="Example: flambe-report fields flambe-output | jq -r .column")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--units", is_flag=True, help="Those of units, not of runs.")
@click.option("-f", "--format", "form", type=_FORMATS, help="Default: table on a terminal, else JSON lines.")
def fields(paths: tuple[str, ...], units: bool, form: str | None) -> None:
    """List the columns there are, with the types of what is in them."""
    from flambe.report.rows import write_rows

    reader, _ = _open(paths)
    found = reader.unit_fields() if units else reader.fields
    _tell_problems(reader, found=bool(found))
    write_rows(
        [{"column": name, "type": kind} for name, kind in found.items()],
        ("column", "type"),
        form,
        table=("column", "type"),
    )


@cli.command(epilog='Example: flambe-report sql flambe-output "SELECT stage, avg(seconds) FROM units GROUP BY stage"')
@click.argument("paths", nargs=-1, required=True, metavar="PATH... QUERY")
@click.option("-f", "--format", "form", type=_FORMATS, help="Default: table on a terminal, else JSON lines.")
def sql(paths: tuple[str, ...], form: str | None) -> None:
    """Answer a SELECT over the tables runs, units, params, config, info, metrics and artifacts.

    runs and units have the columns of ls; params has run, unit, name, value; config and info have run, name, value;
    metrics has run, unit, log, key and last, first, min, max, mean, std, len, argmin, argmax of its values; artifacts has
    run, unit, type, name, bytes. Nothing can be changed.
    """
    from flambe.report.rows import columns_of, write_rows

    *places, text = paths
    if not places:
        raise UsageError("sql wants a PATH and a QUERY", expected='flambe-report sql PATH "SELECT …"')
    reader, _ = _open(places)
    rows = reader.sql(text)
    _tell_problems(reader, found=False)  # a count of nothing is a row too
    names = columns_of(rows, [])
    write_rows(rows, names, form, table=names)


@cli.command(epilog="Example: flambe-report rm flambe-output/sst/exp.0 --dry-run")
@click.argument("paths", nargs=-1, required=True, metavar="RUN...")
@click.option("-n", "--dry-run", is_flag=True, help="Delete nothing; say what would go.")
def rm(paths: tuple[str, ...], dry_run: bool) -> None:
    """Delete runs. One that is running is refused; what other runs took over from it is theirs and stays."""
    from flambe.report.garbage import remove

    runs = [_one_run(path) for path in paths]
    for run in runs:
        size = remove(run, dry_run=dry_run)
        emit_json({"run": str(run.path), "bytes": size, "action": "remove" if dry_run else "removed"})


@cli.command(epilog="Example: flambe-report gc flambe-output --dry-run")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-n", "--dry-run", is_flag=True, help="Delete nothing; say what would go.")
@click.option("-f", "--format", "form", type=_FORMATS, help="Default: table on a terminal, else JSON lines.")
def gc(paths: tuple[str, ...], dry_run: bool, form: str | None) -> None:
    """Delete what nobody needs any more, and say why the rest is kept: a row for each part of each run.

    What goes: scratch of runs that nobody writes, states of steps of finished variants in complete runs, torn files of a
    kill, and code that runs shared and none has any more. Results, logs and code stay, and so does everything of a run that
    is going on.
    """
    from flambe.report.beside import collect_beside
    from flambe.report.garbage import collect, collect_half_deleted
    from flambe.report.rows import write_rows

    reader, _ = _open(paths)
    parts = [one for run in reader for one in collect(run, dry_run=dry_run)]
    parts += [one for path in paths for one in collect_half_deleted(Path(path), dry_run=dry_run)]
    whole = not reader.problems
    parts += [one for path in paths for one in collect_beside(Path(path), reader, whole=whole, dry_run=dry_run)]
    found = [one.row(done=not dry_run) for one in parts]
    _tell_problems(reader, found=bool(found))
    shown = ("run", "path", "what", "bytes", "shared", "action", "why")
    write_rows(found, shown, form, table=shown)
    gone = sum(row["bytes"] - row["shared"] for row in found if row["action"] != "keep")
    say(f"flambe-report: {gone:,} bytes {'would be' if dry_run else 'were'} freed")


@cli.command(epilog="Example: flambe-report html flambe-output/sst/exp.0 -o sst.html")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--out", default="report.html", show_default=True, metavar="FILE", help="'-' for stdout.")
@click.option("-w", "--where", default="", metavar="QUERY", help="Only variants it is true of.")
def html(paths: tuple[str, ...], out: str, where: str) -> None:
    """Write one page about runs that needs nothing but itself: curves, options against metrics, variants and origin.

    It can be mailed or kept: all data is in it, and it asks no server for anything. Values of options that are called a
    token, a key, a secret or a password are left out. Prints where it is.
    """
    from flambe.report.html_page import page

    reader, _ = _open(paths)
    there = len(reader) > 0
    _tell_problems(reader, found=there or not reader.problems)
    text = page(reader, where)
    if out == "-":
        emit(text)
        return
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from error
    emit(str(Path(out).absolute()))


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

    lasting()
    if paths == ("-",):
        paths = tuple(_runs_of_stdin())
    if no_token and token:
        raise UsageError("--token and --no-token exclude each other")
    serve_pages([Path(path) for path in paths], host=host, port=port, token="" if no_token else token)


def _open(paths: Sequence[str]) -> tuple[Reader, bool]:
    """Return a reader of the paths, and whether each of them is a run (and not a folder of runs)."""
    from flambe.reading.reader import Reader
    from flambe.reading.whole_run import is_whole_run
    from flambe.report.reading_bar import reading_bar

    places = [place for path in paths for place in (_runs_of_stdin() if path == "-" else [path])]
    reader = Reader(*places, tell=reading_bar())
    try:
        return reader, all(is_whole_run(place) for place in places)
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
    reader, _ = _open([path])
    runs = list(reader)
    if path != "-" and (len(runs) != 1 or runs[0].path != Path(path).absolute()) and not (reader.problems and not runs):
        raise ConfigError(f"{path} is no run directory", hint=f"List the runs below it: flambe-report ls {path}")
    if len(runs) != 1:
        raise ConfigError(reader.problems[0] if reader.problems else f"{len(runs)} runs came, one was expected")
    return runs[0]


def _tell_problems(reader: Reader, *, found: bool) -> None:
    """Say what could not be read, and where nothing is recorded: a list of nothing is no error. found: whether there is more to say."""
    for problem in reader.problems:
        say(f"flambe-report: warning: {problem}")
    if found or len(reader):
        return
    if reader.problems:
        raise ConfigError("none of the runs could be read")
    say(f"flambe-report: {reader.emptiness}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-report`` and return its exit code."""
    return brief(lambda: enter(cli, "flambe-report")) if argv is None else enter(cli, "flambe-report", argv)


if __name__ == "__main__":
    raise SystemExit(main())

"""The options of ``flambe-compile``."""

from __future__ import annotations

import click

from flambe.cli.door import Overridden, standing_options
from flambe.cli.streams import emit
from flambe.compile.cli import answer

_HELP = """Turn a YAML config into a spec: one line of JSON on stdout, ready for flambe-train or flambe-tune.

Nothing of the config is imported or run. Every fault is reported at once, with file, line and column.

\b
Overrides come after the file:
  a.b=V       set what is there            +a.b=V      add it
  ~a.b        take it away                 a.b=V1,V2   try each
  --a.b V     set it (a comma makes a list where there is a list)

\b
Examples:
  flambe-compile experiment.yaml | flambe-tune
  flambe-compile experiment.yaml train.max_steps=2 --check
  flambe-compile experiment.yaml --check --format sarif > faults.sarif
  flambe-compile experiment.yaml --expand | head -1 | flambe-train
"""


@click.command(
    cls=Overridden,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "ignore_unknown_options": True},
)
@click.argument("file", required=False)
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED, metavar="[OVERRIDE]...")
@click.option("--check", is_flag=True, help="Only check, and write no spec.")
@click.option("--expand", is_flag=True, help="Write one concrete spec a line, one for each variant.")
@click.option("--count", is_flag=True, help="Write how many variants there are.")
@click.option(
    "--stage",
    type=click.Choice(["composed", "raw", "resolved"]),
    help="Write YAML: with its parents, after overrides too, or resolved.",
)
@click.option("--explain", metavar="KEY", help="Write where the value of a key such as train.max_steps comes from.")
@click.option(
    "--schema",
    is_flag=True,
    help="Write the JSON Schema of configs, for an editor; with the tags of the extensions of FILE, if one is named.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "yaml", "text", "sarif"]),
    help="Of the spec: json, or yaml (resolved). Of --check: text, json or sarif. Of --explain: text or json.",
)
@click.option(
    "-i", "--install-extensions", is_flag=True, help="Fetch and pip install the extensions that the header names."
)
@standing_options("flambe-config")
def command(
    file: str | None,
    overrides: tuple[str, ...],
    check: bool,
    expand: bool,
    count: bool,
    stage: str | None,
    explain: str | None,
    schema: bool,
    form: str | None,
    install_extensions: bool,
) -> int:
    _refuse_format(form, check=check, explain=explain is not None)
    if schema:
        from flambe.compile.editor import schema_json

        emit(schema_json(file))
        return 0
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    return answer(
        file,
        overrides,
        check=check,
        expand=expand,
        count=count,
        stage=stage,
        explain=explain,
        form=form,
        install=install_extensions,
    )


def _refuse_format(form: str | None, *, check: bool, explain: bool) -> None:
    allowed = ("text", "json", "sarif") if check else ("text", "json") if explain else ("json", "yaml")
    if form is not None and form not in allowed:
        where = "of --check" if check else "of --explain" if explain else "of a spec"
        raise click.UsageError(f"--format {form} is no form {where}; expected {', '.join(allowed)}.")

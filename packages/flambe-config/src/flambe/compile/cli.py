"""``flambe-compile``: YAML in, spec out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from flambe.cli.console import say
from flambe.cli.door import enter, standing_options
from flambe.cli.streams import emit, emit_lines, read_text
from flambe.errors import ConfigError, ConfigFaults

if TYPE_CHECKING:
    from flambe.compile.compiler import Compiled
    from flambe.errors import Notice

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
@click.option("--schema", is_flag=True, help="Write the JSON Schema of configs, for an editor; needs no FILE.")
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
    from flambe.compile.compiler import compile_whole, name_of

    _refuse_format(form, check=check, explain=explain is not None)
    if schema:
        from flambe.compile.editor import schema_json

        emit(schema_json())
        return 0
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    text = read_text(file, what="config")
    shown = "<stdin>" if file == "-" else file
    compiled: Compiled | None = None
    fault: ConfigError | None = None
    try:
        compiled = compile_whole(
            text, name=name_of(file), file=shown, overrides=overrides, argv=sys.argv, install=install_extensions
        )
        warnings = compiled.warnings
    except ConfigError as error:
        fault = error
        warnings = error.warnings if isinstance(error, ConfigFaults) else []
    if check and form in ("json", "sarif"):
        _diagnose(fault, warnings, text, shown, form)
        return 0 if fault is None else fault.exit_code
    for warning in warnings:
        say(f"flambe-compile: warning: {warning}")
    if compiled is None:
        assert fault is not None
        raise fault
    if check:
        if len(compiled.files) > 1:
            say(f"flambe-compile: {len(compiled.files)} files checked")
        return 0
    if explain is not None:
        _explain(compiled, explain, text, shown, overrides, form)
    elif count:
        from flambe.compile.search import total

        emit(str(total(compiled.spec)))
    elif stage == "composed":
        from flambe.compile.compose import Composer
        from flambe.compile.dump import tree_to_yaml

        emit(text if len(compiled.files) == 1 else tree_to_yaml(*Composer([]).config(text, shown)))
    elif stage == "raw":
        emit(text if compiled.raw is None else compiled.raw)
    elif expand:
        _expand(compiled)
    elif compiled.follows:
        raise ConfigFaults(compiled.follows)
    elif stage == "resolved" or form == "yaml":
        from flambe.record.provenance import spec_to_yaml

        emit(spec_to_yaml(compiled.spec))
    else:
        from flambe.spec.codec import dump_spec

        emit(dump_spec(compiled.spec).decode())
    return 0


def _expand(compiled: Compiled) -> None:
    """Write every concrete spec. The origins of the values, which say the same each time, go into the first line only."""
    from flambe.spec.codec import dump_spec

    def lines() -> Iterator[bytes]:
        for number, spec in enumerate(compiled.variants()):
            if number:
                spec.origins = {}
            yield dump_spec(spec) + b"\n"

    emit_lines(lines())


def _refuse_format(form: str | None, *, check: bool, explain: bool) -> None:
    allowed = ("text", "json", "sarif") if check else ("text", "json") if explain else ("json", "yaml")
    if form is not None and form not in allowed:
        where = "of --check" if check else "of --explain" if explain else "of a spec"
        raise click.UsageError(f"--format {form} is no form {where}; expected {', '.join(allowed)}.")


def _diagnose(fault: ConfigError | None, warnings: Sequence[Notice], text: str, file: str, form: str) -> None:
    import flambe
    from flambe.compile.diagnostics import diagnose, to_json, to_sarif

    found = diagnose(fault, warnings, text, file)
    emit(to_json(found, file) if form == "json" else to_sarif(found, file, flambe.__version__))


def _explain(compiled: Compiled, key: str, text: str, file: str, overrides: Sequence[str], form: str | None) -> None:
    from flambe.compile.explain import explain
    from flambe.spec.codec import dump_json

    found = explain(compiled, key, text, file, overrides)
    emit(dump_json(found.document()).decode() if form == "json" else found.text())


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-compile``."""
    code = enter(command, "flambe-compile", argv)
    if argv is None:
        # The process ends: looking once more for cycles among all that was imported would take a tenth of its time.
        gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(main())

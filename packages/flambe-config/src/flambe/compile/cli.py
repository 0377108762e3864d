"""``flambe-compile``: YAML in, spec out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flambe.cli.console import say, set_level
from flambe.cli.door import enter
from flambe.cli.streams import claim_stdout, emit, read_text

if TYPE_CHECKING:
    from flambe.compile.compiler import Compiled

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
  flambe-compile experiment.yaml --expand | head -1 | flambe-train
"""


@click.command(
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "ignore_unknown_options": True},
)
@click.argument("file")
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED, metavar="[OVERRIDE]...")
@click.option("--check", is_flag=True, help="Only check; write nothing on stdout.")
@click.option("--expand", is_flag=True, help="Write one concrete spec a line, one for each variant.")
@click.option("--count", is_flag=True, help="Write how many variants there are.")
@click.option("--stage", type=click.Choice(["raw", "resolved"]), help="Write YAML: after overrides, or resolved.")
@click.option("--explain", metavar="KEY", help="Write where the value of a key such as train.max_steps comes from.")
@click.option(
    "--format", "form", type=click.Choice(["json", "yaml"]), default="json", help="Of the spec; yaml: resolved."
)
@click.option(
    "-i", "--install-extensions", is_flag=True, help="Fetch and pip install the extensions that the header names."
)
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.version_option(package_name="flambe-config", prog_name="flambe-compile")
def command(
    file: str,
    overrides: tuple[str, ...],
    check: bool,
    expand: bool,
    count: bool,
    stage: str | None,
    explain: str | None,
    form: str,
    install_extensions: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    from flambe.compile.compiler import compile_whole, name_of

    set_level(quiet=quiet, verbose=verbose)
    text = read_text(file, what="config")
    shown = "<stdin>" if file == "-" else file
    compiled = compile_whole(
        text, name=name_of(file), file=shown, overrides=overrides, argv=sys.argv, install=install_extensions
    )
    for warning in compiled.warnings:
        say(f"flambe-compile: warning: {warning}")
    if check:
        return
    if explain is not None:
        emit(_explain(compiled, explain))
    elif count:
        from flambe.compile.search import total

        emit(str(total(compiled.spec)))
    elif stage == "raw":
        from flambe.compile.dump import tree_to_yaml

        emit(text if not overrides else tree_to_yaml(compiled.header, compiled.tree))
    elif stage == "resolved" or form == "yaml":
        from flambe.record.provenance import spec_to_yaml

        emit(spec_to_yaml(compiled.spec))
    elif expand:
        _expand(compiled)
    else:
        from flambe.spec.codec import dump_spec

        emit(dump_spec(compiled.spec).decode())


def _expand(compiled: Compiled) -> None:
    """Write every concrete spec. The origins of the values, which say the same each time, go into the first line only."""
    from flambe.compile.search import expand
    from flambe.spec.codec import dump_spec

    out = claim_stdout().buffer
    first = True
    for spec in expand(compiled.spec):
        if not first:
            spec.origins = {}
        first = False
        out.write(dump_spec(spec) + b"\n")
    out.flush()


def _explain(compiled: Compiled, key: str) -> str:
    from flambe.errors import UsageError, did_you_mean

    spec = compiled.spec
    known: dict[str, str] = {}
    for at, position in compiled.places.items():
        parts = [str(part) for part in at]
        if len(at) > 2 and at[0] == "stages" and isinstance(at[1], int):
            parts = [spec.stages[at[1]].name, *(str(part) for part in at[3:])]
            if at[2] != "body":
                parts.insert(1, str(at[2]))
        known[".".join(part for part in parts if part not in ("$args",))] = str(position)
    if key not in known:
        raise UsageError(f"there is no value called {key!r}", hint=did_you_mean(key, known))
    return known[key]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-compile``."""
    return enter(command, "flambe-compile", argv)


if __name__ == "__main__":
    sys.exit(main())

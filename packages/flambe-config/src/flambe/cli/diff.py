"""``flambe diff``: what differs between two experiments."""

from __future__ import annotations

import click

from flambe.cli.door import loudness
from flambe.cli.streams import emit

_HELP = """Say what differs between A and B by meaning: the values, searches and stages that they resolve to.

Each is a YAML file, a spec (JSON; - is stdin) or a run directory. How a file is written, the order of keys where it means
nothing, and defaults that one of them writes out make no difference.

\b
  + only in B        - only in A        old → new

The exit code is 0 when they are equal and 1 when they differ.

\b
Examples:
  flambe diff old.yaml new.yaml
  flambe diff experiment.yaml flambe-output/sst/exp.3
  flambe compile experiment.yaml train.max_steps=2 | flambe diff experiment.yaml - --format json
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("a")
@click.argument("b")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people or programs.")
@loudness
def diff(a: str, b: str, form: str) -> int:
    from flambe.compile.difference import differences, read_side, to_json

    if a == b == "-":
        raise click.UsageError("stdin can be one of the two only")
    found = differences(read_side(a), read_side(b))
    if form == "json":
        emit(to_json(found, a, b))
    else:
        for one in found:
            emit(str(one))
    return 1 if found else 0

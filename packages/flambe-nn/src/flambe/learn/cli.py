"""``flambe-train``: run concrete specs on PyTorch, one after another."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from flambe.cli.door import enter, standing_options
from flambe.cli.given import given_options, install_for
from flambe.cli.streams import emit, read_text
from flambe.runner.large_import import rest

_NAME = "flambe-train"
_EPILOG = """\b
Examples:
  flambe-compile model.yaml | flambe-train
  flambe-compile --expand search.yaml | flambe-train --output-dir out | tail -n 1 | jq -r .run
  torchrun --nproc-per-node 4 -m flambe.learn.cli model.json
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("spec", default="-", metavar="[SPEC]")
@click.option("--output-dir", metavar="DIR", help="Where run directories are made, in place of the spec's own choice.")
@click.option(
    "--device", metavar="NAME", help="Device of stages that name none: cpu, cuda, cuda:1. [cuda if there is one]"
)
@click.option("--force", is_flag=True, help="Begin a new run directory and reuse nothing. Nothing is deleted.")
@given_options
@standing_options("flambe-nn")
def train(spec: str, output_dir: str | None, device: str | None, force: bool, install_extensions: bool) -> int:
    """Run SPEC: concrete specs as JSON, one a line, from a file or (-) stdin.

    Prints a JSON line for each stage that ended, and a last one that names the run directory. The same command
    again continues where it was, and does nothing that is done.

    Under torchrun all processes train the same models together, each on its share of every batch.
    """
    if device is not None:
        # Read by every stage that names no device, in this process and in those it starts.
        os.environ["FLAMBE_DEVICE"] = device
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return _run(spec, output_dir, install_extensions, fresh=force)
    from flambe.learn.processes import join
    from flambe.learn.together import follow, lead

    processes = join()
    if processes.rank:
        return follow(processes)
    leader = lead(processes)
    failed = _run(spec, output_dir, install_extensions, fresh=force)
    leader.end()
    return failed


def _run(spec: str, output_dir: str | None, install_extensions: bool, *, fresh: bool) -> int:
    lines = concrete_lines(read_text(spec, what="spec"), where="stdin" if spec == "-" else spec)
    from flambe.logging import setup_global_logging
    from flambe.runner.execute import execute_lines
    from flambe.spec.codec import dump_json, load_spec

    setup_global_logging()
    if install_extensions:
        install_for(map(load_spec, lines))

    def on_unit(row: dict[str, Any]) -> None:
        emit(dump_json(row).decode())

    summary = execute_lines(lines, tool=_NAME, on_unit=on_unit, output_dir=output_dir, argv=sys.argv, fresh=fresh)
    return 1 if summary.failed else 0


def concrete_lines(text: str, *, where: str) -> list[str]:
    """Return the specs in ``text`` (one a line, or a single one over several lines), each as one line.

    Raises ConfigError for what is no spec, UsageError for one with search left.
    """
    from flambe.errors import UsageError
    from flambe.spec.codec import dump_json, load_spec
    from flambe.spec.nodes import is_concrete

    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].strip() in "{[":
        # Written for people, by jq or an editor: one document.
        import msgspec

        lines = [dump_json(msgspec.json.decode(text)).decode()]
    for number, line in enumerate(lines, 1):
        place = where if len(lines) == 1 else f"{where}, line {number}"
        spec = load_spec(line, where=place)
        if not is_concrete(spec) or any(stage.search is not None for stage in spec.stages):
            raise UsageError(
                f"{place} has search left and {_NAME} runs only concrete specs",
                hint="Search with flambe-tune, or run every variant: flambe-compile --expand FILE | flambe-train.",
            )
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-train`` and return its exit code."""
    if argv is None:
        rest()
    return enter(train, _NAME, argv)


if __name__ == "__main__":
    raise SystemExit(main())

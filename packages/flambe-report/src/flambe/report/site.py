"""``flambe-site``: the name that the report site had before; it starts ``flambe-report serve``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click

from flambe.cli.console import say
from flambe.cli.door import enter, standing_options
from flambe.errors import ConfigError, UsageError
from flambe.record import layout


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: flambe-site flambe-output/sst/exp.0 --port 49558",
)
@click.argument("path", metavar="PROGRESS_FILE_OR_RUN")
@click.option("--output-log", metavar="FILE", help="Not needed any more: each run keeps its outputs.log.")
@click.option("--output-dir", metavar="DIR", help="Serve all runs of this folder.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default 49558, or the next free one.")
@click.option("--tensorboard_url", "--tensorboard-url", "tensorboard", default="", metavar="URL", help="Link to it.")
@standing_options("flambe-report")
def site(
    path: str, output_log: str | None, output_dir: str | None, host: str, port: int | None, tensorboard: str
) -> None:
    """Serve the pages of a run: an alias of flambe-report serve.

    The run is named by its directory, or by run.json or ledger.jsonl in it.
    """
    from flambe.report.server import serve

    if tensorboard and urlsplit(tensorboard).scheme not in ("http", "https"):
        raise UsageError(f"--tensorboard_url {tensorboard} is no web address", expected="http://… or https://…")
    if output_log:
        say(f"flambe-site: {output_log} is not read: the pages show the outputs.log of the run and of each variant")
    serve([Path(output_dir) if output_dir else _run_of(Path(path))], host=host, port=port, tensorboard=tensorboard)


def _run_of(path: Path) -> Path:
    if path.suffix in (".pkl", ".pickle"):
        raise ConfigError(
            f"{path} is a pickle, and pickles are never opened: they can run any code",
            expected="a run directory, such as flambe-output/sst/exp.0",
        )
    if path.is_file():
        if path.name in (layout.RUN, layout.LEDGER, layout.SPEC):
            return path.parent
        raise ConfigError(f"{path} is no progress file", expected=f"a run directory, or {layout.RUN} in it")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flambe-site`` and return its exit code."""
    return enter(site, "flambe-site", argv)


if __name__ == "__main__":
    raise SystemExit(main())

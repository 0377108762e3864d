"""``expyrun CONFIG``: ``flambe run`` for the configs of functions, by the name and with the words of expyrun."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from flambe.cli.console import QUIET, VERBOSE, level
from flambe.cli.door import enter, standing_options

NAME = "expyrun"
_DEBUG, _VERBOSE, _QUIET = "--debug", ("-v", "--verbose"), ("-q", "--quiet")


@click.command(
    name=NAME,
    help="Run the function of CONFIG in the next free {output_dir}/{name}/exp.{i}, with a copy of its code.\n\n"
    "All words after CONFIG are overrides, but for -v, -q and --debug, which runs the code from its place, below DEBUG/. The "
    "same as flambe run.\n\n\b\n"
    "Examples:\n  expyrun configs/first.yml\n  expyrun configs/first.yml --training.lr 0.1 --training.size 15,15 --debug\n"
    "  expyrun out/first/exp.0/config.yml\n  expyrun out/first/exp.0/raw_config.yml --training.lr 0.001",
    # What comes after the file belongs to the config: it may have keys that are called as our options.
    context_settings={"help_option_names": ["-h", "--help"], "allow_interspersed_args": False},
)
@click.argument("config")
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED, metavar="[--KEY.PATH VALUE]...")
@click.option(_DEBUG, is_flag=True, help="Copy no code and list no requirements; also after CONFIG.")
@standing_options("flambe-config")
def command(config: str, overrides: tuple[str, ...], debug: bool) -> None:
    from flambe.cli.umbrella import run

    assert run.callback is not None
    run.callback(
        file=config,
        overrides=tuple(word for word in overrides if word not in (_DEBUG, *_VERBOSE, *_QUIET)),
        cluster=None,
        output=None,
        debug=debug or _DEBUG in overrides,
        force=False,
        install_extensions=False,
        secrets=None,
        num_cpus=None,
        num_gpus=None,
        show=False,
        plan=False,
        verbose=level() == VERBOSE or not set(_VERBOSE).isdisjoint(overrides),
        quiet=level() == QUIET or not set(_QUIET).isdisjoint(overrides),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``expyrun`` and return its exit code."""
    return enter(command, NAME, argv)


if __name__ == "__main__":
    sys.exit(main())

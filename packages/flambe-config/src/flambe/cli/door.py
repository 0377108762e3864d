"""The door of every command: its standing options, and how click runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from flambe.cli.console import QUIET, level, set_level, tell
from flambe.cli.ending import run_to_end
from flambe.errors import UsageError

_Command = TypeVar("_Command", bound=Callable[..., Any] | click.Command)


def standing_options(package: str) -> Callable[[_Command], _Command]:
    """Give a command ``--version`` of a distribution, ``-v/--verbose`` and ``-q/--quiet``. Its function sees none of them."""

    def version(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            from importlib.metadata import version as version_of

            click.echo(f"{context.find_root().info_name} {version_of(package)}")
            context.exit()

    def add(command: _Command) -> _Command:
        command = loudness(command)
        return click.option(
            "--version", is_flag=True, is_eager=True, expose_value=False, callback=version, help="Print the version."
        )(command)

    return add


def loudness(command: _Command) -> _Command:
    """Give a command ``-v/--verbose`` and ``-q/--quiet``, which its function does not see."""
    for short, name, text, callback in (
        ("-q", "--quiet", "Say only errors on stderr.", _be_quiet),
        ("-v", "--verbose", "Say more on stderr.", _be_verbose),
    ):
        command = click.option(short, name, is_flag=True, expose_value=False, callback=callback, help=text)(command)
    return command


def _be_quiet(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        set_level(quiet=True)


def _be_verbose(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value and level() != QUIET:
        set_level(verbose=True)


class Overridden(click.Command):
    """A command whose words after the file are overrides: one such as ``-train.x=3`` is no bundle of options (-t -r -a -i -n)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options out of ``args``. Words that only begin like a bundle of them are kept whole."""
        takes_value = {
            name: not param.is_flag
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in param.opts
        }
        held = {f"{_HELD}{word}": word for word in args if _is_half_a_bundle(word, takes_value)}
        rest = super().parse_args(ctx, [f"{_HELD}{word}" if f"{_HELD}{word}" in held else word for word in args])
        for name, value in ctx.params.items():
            if isinstance(value, tuple):
                ctx.params[name] = tuple(held.get(word, word) for word in value)
            elif isinstance(value, str):
                ctx.params[name] = held.get(value, value)
        return rest


_HELD = "\0"  # no word of a command line has it


def _is_half_a_bundle(word: str, takes_value: Mapping[str, bool]) -> bool:
    """Whether some letters of ``-abc`` are options and some are not. takes_value: ``-a`` → whether what follows is its value."""
    if word[:1] != "-" or word[1:2] in ("", "-"):
        return False
    for letter in word[1:]:
        if f"-{letter}" not in takes_value:
            return True
        if takes_value[f"-{letter}"]:
            return False
    return False


class Group(click.Group):
    """A command of sub-commands, which take ``-v`` and ``-q`` as well: nobody remembers which side of the word they belong on."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a sub-command. One that hands unknown options on (a command for another machine) keeps all of them."""
        if not cmd.context_settings.get("ignore_unknown_options"):
            loudness(cmd)
        super().add_command(cmd, name)


def enter(command: click.Command, name: str, argv: Sequence[str] | None = None) -> int:
    """Run ``command`` as the program ``name`` and return its exit code, see ``flambe.cli.ending``."""

    def run() -> object:
        try:
            return command.main(args=None if argv is None else list(argv), prog_name=name, standalone_mode=False)
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            if context is not None:
                tell(context.get_usage())
            # click puts the words of a choice into lines of their own.
            raise UsageError(" ".join(error.format_message().split())) from error
        except click.Abort as stop:
            # click turns an interrupt into this; the number of the signal is on what it came from.
            raise stop.__cause__ if isinstance(stop.__cause__, KeyboardInterrupt) else KeyboardInterrupt from None

    completing = f"_{name.replace('-', '_').upper()}_COMPLETE" in os.environ
    if completing:
        from flambe.cli.completion import with_files

        with_files(command)
    wants_text = any(arg in ("--help", "-h", "--version") for arg in (sys.argv[1:] if argv is None else argv))
    return run_to_end(run, name, writes_data=not (wants_text or completing))

"""The door of every command: its standing options; run it, turn its end into one line on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from flambe.cli.console import QUIET, level, set_level, tell
from flambe.cli.streams import ClosedPipe, claim_stdout, close_quietly
from flambe.errors import FlambeError

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


class Group(click.Group):
    """A command of sub-commands, which take ``-v`` and ``-q`` as well: nobody remembers which side of the word they belong on."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a sub-command. One that hands unknown options on (a command for another machine) keeps all of them."""
        if not cmd.context_settings.get("ignore_unknown_options"):
            loudness(cmd)
        super().add_command(cmd, name)


_running = False


def is_running() -> bool:
    """Whether this process is one of our commands, and not a program that imports us."""
    return _running


def enter(command: click.Command, name: str, argv: Sequence[str] | None = None) -> int:
    """Run ``command`` as the program ``name`` and return its exit code.

    Exit codes: 0 done, 1 a run failed, 2 config or usage, 3 provenance refused, 4 machine refused,
    130 and 143 after SIGINT and SIGTERM. A reader that closed its end of the pipe is no failure.
    """
    global _running
    _running = True
    wants_text = any(arg in ("--help", "-h", "--version") for arg in (sys.argv[1:] if argv is None else argv))
    completing = f"_{name.replace('-', '_').upper()}_COMPLETE" in os.environ
    if not (wants_text or completing):
        claim_stdout()
    set_level()
    try:
        result = command.main(args=None if argv is None else list(argv), prog_name=name, standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        if context is not None:
            tell(context.get_usage())
        tell(f"{name}: error: {error.format_message()}")
        code = 2
    except FlambeError as error:
        text = str(error)
        tell("\n".join(f"{name}: error: {line}" for line in text.splitlines()))
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        tell(f"{name}: interrupted")
        # click turns an interrupt into its Abort; the number of the signal is on what it came from.
        code = 128 + getattr(stop.__cause__ or stop, "number", signal.SIGINT)
    except (ClosedPipe, BrokenPipeError):
        code = 0
    except SystemExit as end:
        # click ends so when it meets a closed pipe; a library may for any reason.
        if isinstance(end.code, str):
            tell(f"{name}: error: {end.code}")
        code = (
            0
            if isinstance(end.__context__, BrokenPipeError)
            else end.code
            if isinstance(end.code, int)
            else bool(end.code)
        )
    if not (wants_text or completing):
        close_quietly(claim_stdout())
    _running = False
    return code

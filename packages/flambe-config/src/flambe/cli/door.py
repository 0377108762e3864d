"""The door of every command: run a click command, turn its end into one line on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

from flambe.cli.console import tell
from flambe.cli.streams import ClosedPipe, claim_stdout, close_quietly
from flambe.errors import FlambeError


def enter(command: click.Command, name: str, argv: Sequence[str] | None = None) -> int:
    """Run ``command`` as the program ``name`` and return its exit code.

    Exit codes: 0 done, 1 a run failed, 2 config or usage, 3 provenance refused, 4 machine refused,
    130 and 143 after SIGINT and SIGTERM. A reader that closed its end of the pipe is no failure.
    """
    wants_text = any(arg in ("--help", "-h", "--version") for arg in (sys.argv[1:] if argv is None else argv))
    completing = f"_{name.replace('-', '_').upper()}_COMPLETE" in os.environ
    if not (wants_text or completing):
        claim_stdout()
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
    return code

"""The door of every command: run a click command, turn its end into one line on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click

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
            click.echo(context.get_usage(), err=True)
        click.echo(f"{name}: error: {error.format_message()}", err=True)
        code = 2
    except FlambeError as error:
        text = str(error)
        click.echo("\n".join(f"{name}: error: {line}" for line in text.splitlines()), err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        click.echo(f"{name}: interrupted", err=True)
        # click turns an interrupt into its Abort; the number of the signal is on what it came from.
        code = 128 + getattr(stop.__cause__ or stop, "number", signal.SIGINT)
    except (ClosedPipe, BrokenPipeError):
        code = 0
    if not (wants_text or completing):
        close_quietly(claim_stdout())
    return code

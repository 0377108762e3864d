"""What a command that runs specs may be given beside them: leave to install their extensions, and a file of secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from flambe.spec.nodes import Spec

_Command = TypeVar("_Command", bound=Callable[..., Any])


def given_options(command: _Command) -> _Command:
    """Give a command ``-i/--install-extensions`` (the parameter ``install_extensions``) and ``-s/--secrets``, which it does not see."""
    command = click.option(
        "-s", "--secrets", metavar="FILE", expose_value=False, callback=_take_secrets,
        help="INI file for self.config of a Runnable; default ~/.flambe/secrets.ini.",
    )(command)  # fmt: skip
    return click.option(
        "-i", "--install-extensions", is_flag=True, help="Fetch and pip install the extensions that the spec names."
    )(command)


def _take_secrets(_: click.Context, __: click.Parameter, value: str | None) -> None:
    if value is not None:
        from flambe.runnable.secrets import hand_on

        hand_on(value)


def install_for(specs: Iterable[Spec]) -> None:
    """Install the extensions of all specs at once: they have to fit. Raises ``ConfigError`` with pip's words."""
    from flambe.compile.install import install_extensions

    install_extensions({module: source for spec in specs for module, source in spec.environment.extensions.items()})

"""What a running program may know of its surroundings: ``Environment`` (1.0) and ``RemoteEnvironment`` (0.4)."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambe.build.registrable import Registrable
from flambe.errors import ConfigError, did_you_mean

VARIABLE = "FLAMBE_ENVIRONMENT"
"""The environment variable that holds the environment of this process and of its children, as JSON."""

CWD_VARIABLES = ("FLAMBE_CWD", "EXPYRUN_CWD")
"""The environment variables that name the folder where the command was given: the code may run in another one."""


class Environment(Registrable):
    """Where a program runs and what it was given. The first document of a config may set its fields.

    output_path: folder to write into; inside a running stage the one of its variant.
    extensions: module → source. local_files, remote_files: name → path or URL; remote ones are for a cluster's machines.
    head_node_ip, worker_node_ips: addresses of the cluster's machines. remote: whether this is one of them.
    debug: one process, variants one after another. extra: whatever the config adds, plain data.
    """

    def __init__(
        self,
        output_path: str = "flambe_output",
        extensions: dict[str, str] | None = None,
        local_files: dict[str, str] | None = None,
        remote_files: dict[str, str] | None = None,
        head_node_ip: str | None = None,
        worker_node_ips: list[str] | None = None,
        remote: bool = False,
        debug: bool = False,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.output_path = output_path
        self.extensions = dict(extensions or {})
        self.local_files = dict(local_files or {})
        self.remote_files = dict(remote_files or {})
        self.head_node_ip = head_node_ip
        self.worker_node_ips = list(worker_node_ips or [])
        self.remote = remote
        self.debug = debug
        self.extra = dict(extra or {})

    def clone(self, **overrides: Any) -> Environment:
        """Return a copy with other values for some fields. Raises TypeError for a field that does not exist."""
        fields = copy.deepcopy(self._fields())
        for name in overrides:
            if name not in fields:
                hint = did_you_mean(name, fields)
                raise TypeError(f"Environment has no field {name!r}" + (f". {hint}" if hint else ""))
        return Environment(**{**fields, **overrides})

    def _fields(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Environment) and self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        plain = Environment()._fields()
        shown = ", ".join(f"{name}={value!r}" for name, value in self._fields().items() if value != plain[name])
        return f"Environment({shown})"


def get_env(**overrides: Any) -> Environment:
    """Return a copy of the environment of this process, with other values for some fields.

    Raises TypeError for an unknown field, ``ConfigError`` when ``FLAMBE_ENVIRONMENT`` holds something else.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return Environment().clone(**overrides)
    try:
        return Environment(**json.loads(text)).clone(**overrides)
    except (ValueError, TypeError) as error:
        if overrides and isinstance(error, TypeError) and "Environment has no field" in str(error):
            raise
        raise ConfigError(
            f"the variable {VARIABLE} holds no environment: {error}", hint=f"unset {VARIABLE}; flambe.set_env sets it."
        ) from None


def set_env(env: Environment | None = None, **overrides: Any) -> None:
    """Replace the environment of this process and of the children that it starts from now on.

    env: default the one there is. Raises TypeError for an unknown field, ``ConfigError`` for values that are no plain data.
    """
    os.environ[VARIABLE] = as_text((env or get_env()).clone(**overrides))


@contextmanager
def env(env: Environment | None = None, **overrides: Any) -> Iterator[Environment]:
    """Set the environment for the time of a ``with`` block."""
    before = swap(as_text((env or get_env()).clone(**overrides)))
    try:
        yield get_env()
    finally:
        swap(before)


def as_text(env: Environment) -> str:
    """Return an environment as ``FLAMBE_ENVIRONMENT`` holds it. Raises ``ConfigError`` for values that are no plain data."""
    try:
        return json.dumps({name: value for name, value in env._fields().items() if value or name == "output_path"})
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"an environment holds plain data only: {error}", hint="Children of this process get it as JSON."
        ) from None


def swap(text: str | None) -> str | None:
    """Put another text into ``FLAMBE_ENVIRONMENT`` (None: none) and return what was there."""
    before = os.environ.pop(VARIABLE, None)
    if text is not None:
        os.environ[VARIABLE] = text
    return before


class RemoteEnvironment(Registrable):
    """The machines of a cluster, seen from one of them.

    key: path of a key that opens the others; empty where the machines cannot enter each other.
    orchestrator_ip, factories_ips: addresses inside the cluster's network. user: on all machines.
    public_orchestrator_ip, public_factories_ips: addresses from outside, when there are others.
    """

    def __init__(
        self,
        key: str,
        orchestrator_ip: str,
        factories_ips: list[str],
        user: str,
        public_orchestrator_ip: str | None = None,
        public_factories_ips: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.key = key
        self.orchestrator_ip = orchestrator_ip
        self.factories_ips = list(factories_ips)
        self.user = user
        self.public_orchestrator_ip = public_orchestrator_ip
        self.public_factories_ips = None if public_factories_ips is None else list(public_factories_ips)
        for name, value in kwargs.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"RemoteEnvironment({fields})"

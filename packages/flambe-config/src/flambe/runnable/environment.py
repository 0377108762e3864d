"""``RemoteEnvironment``: what a program that runs on a cluster knows of it."""

from __future__ import annotations

from typing import Any

from flambe.build.registrable import Registrable


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

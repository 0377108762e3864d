"""``SSHCluster``: machines that exist already."""

from __future__ import annotations

from typing import Any

from flambe.cluster.cluster import Cluster
from flambe.cluster.errors import ClusterConfigurationError
from flambe.cluster.machines import RAY_PORT

Address = str | list[str]


class SSHCluster(Cluster):
    """A cluster of machines that are there, reached over SSH.

    All machines have the same user, let in the same key, and reach each other at their private addresses.

    Parameters
    ----------
    name, key, username, setup_cmds: see ``Cluster``.
    orchestrator_ip: its address, or ``[public, private]``.
    factories_ips: the same for each factory. Without any (left out, or an empty list) the orchestrator does the work itself.
    remote_context: taken for the sake of old files; nothing is read from it, so only None is accepted without a warning.
    use_public: connect to the public addresses of pairs, or to the private ones.
    port: of sshd. known_hosts: the file that host keys are compared with. python: an interpreter on the machines that
        has this flambe; None installs one. workdir: folder on the machines, relative to the home folder; None is
        ``flambe/<name>``. ray_port: where Ray's head listens on the orchestrator's private address.

    Raises
    ------
    ClusterConfigurationError: for addresses that are none, or that come twice.
    """

    def __init__(
        self,
        name: str,
        orchestrator_ip: str | list[str],
        factories_ips: list[str | list[str]] | None = None,
        key: str = "",
        username: str = "",
        remote_context: Any = None,
        use_public: bool = True,
        setup_cmds: list[str] | None = None,
        port: int = 22,
        known_hosts: str = "~/.ssh/known_hosts",
        python: str | None = None,
        workdir: str | None = None,
        ray_port: int = RAY_PORT,
    ) -> None:
        super().__init__(name, len(factories_ips or []), key, username, setup_cmds)
        self.orchestrator_ip = orchestrator_ip
        self.factories_ips = list(factories_ips or [])
        self.remote_context = remote_context
        self.use_public = use_public
        self.port = port
        self.known_hosts = known_hosts
        self.python = python
        self.workdir = workdir if workdir is not None else self.workdir
        self.ray_port = ray_port
        self.parse()

    def parse(self) -> None:
        """Check the addresses. Raises ``ClusterConfigurationError``."""
        super().parse()
        places: list[tuple[str | int, ...]] = [("orchestrator_ip",)]
        places += [("factories_ips", index) for index in range(len(self.factories_ips))]
        pairs = [
            _pair(address, place)
            for address, place in zip([self.orchestrator_ip, *self.factories_ips], places, strict=True)
        ]
        for side, what in ((0, "public"), (1, "private")):
            seen: dict[str, tuple[str | int, ...]] = {}
            for pair, place in zip(pairs, places, strict=True):
                if pair[side] in seen:
                    raise ClusterConfigurationError(
                        f"two machines have the same {what} address {pair[side]}: "
                        f"{_written(seen[pair[side]])} and {_written(place)}",
                        at=place,
                    )
                seen[pair[side]] = place

    def load_all_instances(self, exp_name: str | None = None, force: bool = False) -> None:
        """Take the machines from the addresses; nothing is made. ``exp_name`` and ``force`` change nothing here."""
        public, private = _pair(self.orchestrator_ip, ("orchestrator_ip",))
        self.orchestrator = self.get_orchestrator(public, private, self.use_public)
        self.factories = []
        for number, address in enumerate(self.factories_ips, 1):
            public, private = _pair(address, ("factories_ips", number - 1))
            self.factories.append(self.get_factory(public, private, self.use_public, number))

    def rollback_env(self) -> None:
        """Do nothing: the machines were there before."""


def _written(place: tuple[str | int, ...]) -> str:
    return str(place[0]) + "".join(f"[{index}]" for index in place[1:])


def _pair(address: Any, place: tuple[str | int, ...]) -> tuple[str, str]:
    """Return (public, private) of an address."""
    parts = [address, address] if isinstance(address, str) else address
    if (
        not isinstance(parts, list | tuple)
        or len(parts) != 2
        or not all(isinstance(part, str) and part and not part.startswith("-") and not part.isspace() for part in parts)
    ):
        raise ClusterConfigurationError(
            f"{_written(place)} is {address!r}", expected="an address, or [public, private]", at=place
        )
    return str(parts[0]), str(parts[1])

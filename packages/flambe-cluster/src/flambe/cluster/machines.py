"""``Machines``: the hosts of a cluster, and what can be done with all of them at once."""

from __future__ import annotations

import configparser
import io
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from flambe.cli.console import say
from flambe.cluster import transfer
from flambe.cluster.connection import Completed, Login
from flambe.cluster.errors import ClusterConfigurationError, ClusterError, RemoteCommandError
from flambe.cluster.host import FACTORY, ORCHESTRATOR, Host
from flambe.cluster.keyfile import check_key, key_mode_warning
from flambe.runnable.environment import RemoteEnvironment
from flambe.runnable.runnable import Runnable

Report = Callable[[dict[str, Any]], None]
Result = TypeVar("Result")

SETUP_TRIES = 3
RAY_PORT = 6379


def silent(event: dict[str, Any]) -> None:
    """A report that nobody reads."""


class Machines(Runnable):
    """The hosts of a cluster: one orchestrator and any number of factories. See ``Cluster`` for the parameters."""

    def __init__(
        self, name: str, factories_num: int, key: str, username: str, setup_cmds: list[str] | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.factories_num = factories_num
        self.key = key
        self.username = username
        self.setup_cmds = [] if setup_cmds is None else setup_cmds
        self.port = 22
        self.known_hosts = "~/.ssh/known_hosts"
        self.python: str | None = None
        self.workdir = f"flambe/{name}"
        self.ray_port = RAY_PORT
        self.orchestrator: Host | None = None
        self.factories: list[Host] = []
        self.report: Report = silent

    # --- what a provider supplies -------------------------------------------------------------------------------------

    def load_all_instances(self) -> None:
        """Find or make the machines: set ``orchestrator`` and ``factories``. Every provider has its own."""
        raise ClusterError(f"{type(self).__qualname__} names no machines", hint="Use !SSHCluster.")

    def rollback_env(self) -> None:
        """Give back what ``load_all_instances`` made, after a failure."""

    def parse(self) -> None:
        """Check the description. Raises ``ClusterConfigurationError``."""
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name):
            raise ClusterConfigurationError(
                f"{self.name!r} cannot be the name of a cluster",
                expected="letters, digits, '-', '_' and '.'",
                at=("name",),
            )
        for what, expected in (("key", "the path of the private key"), ("username", "the user on the machines")):
            if not isinstance(getattr(self, what), str) or not getattr(self, what).strip():
                raise ClusterConfigurationError(f"{what} is missing", expected=expected, at=(what,))
        if not isinstance(self.setup_cmds, list) or not all(isinstance(one, str) for one in self.setup_cmds):
            raise ClusterConfigurationError("setup_cmds is no list of commands", at=("setup_cmds",))
        if not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise ClusterConfigurationError(f"port is {self.port!r}", expected="a number from 1 to 65535", at=("port",))

    # --- the machines -------------------------------------------------------------------------------------------------

    @property
    def login(self) -> Login:
        """How the machines are entered."""
        return Login(self.username, Path(self.key).expanduser(), Path(self.known_hosts).expanduser(), self.port)

    @property
    def hosts(self) -> list[Host]:
        """All machines, the orchestrator first. Looked up once."""
        if self.orchestrator is None:
            self.parse()
            self.load_all_instances()
        assert self.orchestrator is not None
        return [self.orchestrator, *self.factories]

    @property
    def head(self) -> Host:
        """The orchestrator."""
        return self.hosts[0]

    @property
    def ray_address(self) -> str:
        """Where Ray's head is for the machines: ``private address:port``."""
        return f"{self.head.private}:{self.ray_port}"

    def get_orchestrator_name(self) -> str:
        """Return the name of the orchestrator."""
        return f"{self.name}_orchestrator"

    def get_factory_basename(self) -> str:
        """Return what the names of the factories begin with."""
        return f"{self.name}_factory"

    def get_orchestrator(self, ip: str, private_ip: str | None = None, use_public: bool = True) -> Host:
        """Return the orchestrator at these addresses."""
        private = private_ip or ip
        address = ip if use_public else private
        return Host(self.get_orchestrator_name(), ORCHESTRATOR, address, private, self.login)

    def get_factory(self, ip: str, private_ip: str | None = None, use_public: bool = True, number: int = 1) -> Host:
        """Return factory ``number`` at these addresses."""
        private = private_ip or ip
        return Host(
            f"{self.get_factory_basename()}_{number}", FACTORY, ip if use_public else private, private, self.login
        )

    def find_host(self, word: str) -> Host:
        """Return the machine with this name, end of name (``factory_1``) or address. Raises ``ClusterError``."""
        for host in self.hosts:
            if word in (host.name, host.name.removeprefix(f"{self.name}_"), host.address, host.private):
                return host
        raise ClusterError(f"the cluster has no machine {word!r}", expected=", ".join(host.name for host in self.hosts))

    def close(self) -> None:
        """Hang up on all machines."""
        for host in [self.orchestrator, *self.factories]:
            if host is not None:
                host.close()

    def __enter__(self) -> Self:
        """Look the machines up."""
        _ = self.hosts
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> Literal[False]:
        """Roll back after an error, hang up, and let the error through: it carries its exit code."""
        try:
            if exc_type is not None:
                self.rollback_env()
        finally:
            self.close()
        return False

    def each(self, task: Callable[[Host], Result], hosts: Sequence[Host] | None = None) -> list[Result]:
        """Do something with all machines at once. What the first failing one raised is raised, after all have ended."""
        chosen = self.hosts if hosts is None else list(hosts)
        with ThreadPoolExecutor(max_workers=max(1, min(len(chosen), 64))) as pool:
            futures = [pool.submit(task, host) for host in chosen]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            kinds = {type(error) for error in errors}
            if len(errors) > 1 and all(isinstance(error, ClusterError) for error in errors):
                # One kind keeps its class, so that tests and callers can tell; the text names every machine.
                kind = kinds.pop() if len(kinds) == 1 else ClusterError
                raise kind("\n".join(str(error) for error in errors))
            raise errors[0]
        return [future.result() for future in futures]

    # --- all at once ---

    def check_login(self) -> list[Host]:
        """Return all machines, after a look at the key that shall open them. Raises ``MissingAuthError``."""
        hosts = self.hosts
        check_key(self.login.key)
        return hosts

    def reach_all(self, *, tries: int = 1) -> None:
        """Connect to all machines at once. tries: how often, a second apart, while one does not answer."""
        hosts = self.check_login()

        def reach(host: Host) -> None:
            host.connect(tries=tries, on_retry=lambda number, why: say(f"{host.name}: {why} (try {number} of {tries})"))

        self.each(reach, hosts)

    def connect_all(self, *, tries: int = 1) -> None:
        """Connect to all machines and find out what they are."""
        self.reach_all(tries=tries)

        def look(host: Host) -> None:
            self.examine(host)
            self.event(host, "connected", **facts_of(host))

        self.each(look)

    def examine(self, host: Host) -> dict[str, Any]:
        """Ask a machine what it is, with the interpreter that it has."""
        if self.python is not None:
            host.python = self.python
            return host.examine(self.workdir)
        facts = host.examine(self.workdir)
        if facts["wheels"] is not None:
            host.python = f"{facts['workdir']}/venv/bin/python"
            facts = host.examine(self.workdir)
        return facts

    def warn_about_key(self) -> None:
        """Say so when others can read the private key."""
        warning = key_mode_warning(self.login.key)
        if warning:
            say(f"warning: {warning}")

    def run_cmds(self, setup_cmds: Sequence[str]) -> None:
        """Run shell commands one after the other on all machines, each up to three times.

        Raises ``RemoteCommandError`` with the first one that does not succeed.
        """

        def setup(host: Host) -> None:
            for command in setup_cmds:
                for number in range(1, SETUP_TRIES + 1):
                    done = host.run(command)
                    self.event(host, "setup", command=command, code=done.code, try_=number)
                    if done.code == 0:
                        break
                else:
                    raise RemoteCommandError(
                        f"{host.name}: {command!r} ended with {done.code} {SETUP_TRIES} times: {_last_line(done)}"
                    )

        self.each(setup)

    def execute(self, command: str, hosts: Sequence[Host] | None = None) -> list[tuple[Host, Completed]]:
        """Run a shell command on machines at once; each one's end is reported as it comes.

        Raises ``ConnectionLost`` after all have ended, when one of them was lost.
        """

        def run(host: Host) -> tuple[Host, Completed]:
            done = host.run(command)
            self.event(
                host,
                "exec",
                code=done.code,
                stdout=done.stdout.decode(errors="replace"),
                stderr=done.stderr.decode(errors="replace"),
            )
            return host, done

        return self.each(run, hosts)

    # --- helpers for those who write their own ------------------------------------------------------------------------

    def get_orch_home_path(self) -> str:
        """Return the home folder of the orchestrator's user."""
        self._know([self.head])
        return str(self.head.facts["home"])

    def contains_gpu_factories(self) -> bool:
        """Whether at least one factory has a GPU."""
        self._know(self.factories)
        return any(host.facts["gpus"] for host in self.factories)

    def get_max_resources(self) -> dict[str, int]:
        """Return what every factory has: ``{"cpu": …, "gpu": …}``, the smallest numbers."""
        workers = self.factories or [self.head]
        self._know(workers)
        return {
            "cpu": min(host.facts["cpus"] for host in workers),
            "gpu": min(host.facts["gpus"] for host in workers),
        }

    def get_remote_env(self) -> RemoteEnvironment:
        """Return what a program on the machines has to know of the cluster."""
        return RemoteEnvironment(
            key="",
            orchestrator_ip=self.head.private,
            factories_ips=[host.private for host in self.factories],
            user=self.username,
            public_orchestrator_ip=self.head.address,
            public_factories_ips=[host.address for host in self.factories],
        )

    def create_dirs(self, relative_dirs: Sequence[str]) -> None:
        """Make folders on all machines, relative to the home folder."""
        self.each(lambda host: host.ask("make_dirs", paths=list(relative_dirs)))

    def existing_dir(self, _dir: str) -> bool:
        """Whether any machine has this folder (relative to the home folder)."""
        return any(self.each(lambda host: bool(host.ask("has_dir", path=_dir)["exists"])))

    def remove_dir(self, _dir: str, content_only: bool = True, all_hosts: bool = True) -> None:
        """Empty a folder (relative to the home folder), or remove it, on all machines or the orchestrator alone."""
        hosts = self.hosts if all_hosts else [self.head]
        self.each(lambda host: host.ask("remove_dir", path=_dir, content_only=content_only), hosts)

    def send_local_content(self, content: Mapping[str, str], dest: str, all_hosts: bool = False) -> dict[str, str]:
        """Copy files and folders to the orchestrator (or all machines) and return their paths there.

        content: name → local path. dest: folder there, relative to the home folder. Raises ``RemoteFileTransferError``.
        """
        hosts = self.hosts if all_hosts else [self.head]
        placed: dict[str, str] = {}
        for name, path in content.items():
            source = Path(path).expanduser()
            if not source.exists():
                raise ClusterError(f"there is no {source} to send")
            placed[name] = f"{dest}/{source.name}"
        # rsync starts at the home folder too, so the relative path is right for both.
        self.each(lambda host: host.ask("make_dirs", paths=[dest]), hosts)
        for name, path in content.items():
            source = Path(path).expanduser()
            self.each(lambda host, s=source, t=placed[name]: transfer.push(self.login, host.address, s, t), hosts)  # type: ignore[misc]
        home = self.get_orch_home_path()
        return {name: path if path.startswith("/") else f"{home}/{path}" for name, path in placed.items()}

    def rsync_orch(self, folder: str) -> None:
        """Bring ``folder`` of all factories together on the orchestrator and give all of them the whole.

        The files pass through this machine, since the machines of the cluster cannot enter each other.
        """
        with tempfile.TemporaryDirectory() as between:
            for host in self.factories:
                transfer.pull(self.login, host.address, folder, Path(between))
            self.each(lambda host: host.ask("make_dirs", paths=[folder]))
            self.each(lambda host: transfer.push(self.login, host.address, Path(between), folder))

    def send_secrets(self, whitelist: Iterable[str] | None = None) -> None:
        """Write sections of the secrets (``inject_secrets``) to ``<workdir>/secrets.ini`` of the orchestrator, mode 600.

        whitelist: the sections; None sends none of them: say which are needed.
        """
        wanted = configparser.ConfigParser(interpolation=None)
        for section in whitelist or ():
            if not self.config.has_section(section):
                raise ClusterError(f"the secrets have no section {section!r}")
            wanted[section] = dict(self.config[section])
        text = io.StringIO()
        wanted.write(text)
        self.head.ask("write", path=f"{self.workdir}/secrets.ini", text=text.getvalue(), mode=0o600)

    def _know(self, hosts: Sequence[Host]) -> None:
        self.each(self.examine, [host for host in hosts if not host.facts])

    def event(self, host: Host, event: str, **fields: Any) -> None:
        """Report an event of one machine."""
        named = {name.rstrip("_"): value for name, value in fields.items()}
        self.report({"event": event, "host": host.name, "address": host.address, **named})


def facts_of(host: Host) -> dict[str, Any]:
    """Return what reports say of a machine that was examined."""
    facts = host.facts
    return {
        "hostname": facts["hostname"],
        "python": facts["python"],
        "cpus": facts["cpus"],
        "gpus": facts["gpus"],
        "memory_gb": round(facts["memory"] / 2**30, 1),
        "free_gb": round(facts["free"] / 2**30, 1),
        "load": round(facts["load"], 2),
    }


def _last_line(done: Completed) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"

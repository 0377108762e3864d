"""``Cluster``: machines that together run flambe, and the steps that make them one.

One *orchestrator* (Ray's head, the driver of the job, the results; it needs no GPU) and any number of *factories*, which do
the work. The machine that ``flambe-cluster`` runs on talks to each of them over SSH; they talk to each other only through
Ray, inside their own network and behind a token. So no key pair is made for the cluster and no key lies on any machine.
"""

from __future__ import annotations

import configparser
import io
import re
import secrets
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from flambe.cli.console import say
from flambe.cluster import transfer
from flambe.cluster.connection import Completed, Login
from flambe.cluster.errors import ClusterConfigurationError, ClusterError, MissingAuthError, RemoteCommandError
from flambe.cluster.host import FACTORY, ORCHESTRATOR, RETRIES, Host
from flambe.cluster.install import prepare
from flambe.runnable.environment import RemoteEnvironment
from flambe.runnable.runnable import Runnable

Report = Callable[[dict[str, Any]], None]
Result = TypeVar("Result")

SETUP_TRIES = 3
RAY_PORT = 6379
TOKEN_SINCE = (2, 52)
"""The first Ray that knows tokens. Below it anyone who reaches its ports may run code."""


def silent(event: dict[str, Any]) -> None:
    """A report that nobody reads."""


class Cluster(Runnable):
    """The base of all clusters. Subclasses say which machines there are (``load_all_instances``).

    Parameters
    ----------
    name: the name of the cluster; its machines are called ``<name>_orchestrator`` and ``<name>_factory_<i>``.
    factories_num: how many factories there are.
    key: path of the private key that opens all machines. It is never copied to them, and no other key is used.
    username: the user on all machines.
    setup_cmds: shell commands for all machines, run on each before anything is installed. They must be repeatable and
        ask nothing; each is tried three times, and one that fails ends the set-up.

    Attributes
    ----------
    port: of sshd. known_hosts: the file that host keys are compared with. python: an interpreter on the machines that has
    this flambe already; None: one is installed into ``<workdir>/venv``. workdir: folder on the machines, relative to the
    home folder. ray_port: where Ray's head listens, on the private address.
    """

    def __init__(
        self, name: str, factories_num: int, key: str, username: str, setup_cmds: list[str] | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.factories_num = factories_num
        self.key = key
        self.username = username
        self.setup_cmds = list(setup_cmds or [])
        self.port = 22
        self.known_hosts = "~/.ssh/known_hosts"
        self.python: str | None = None
        self.workdir = f"flambe/{name}"
        self.ray_port = RAY_PORT
        self.orchestrator: Host | None = None
        self.factories: list[Host] = []
        self.report: Report = silent

    # --- what a provider supplies -------------------------------------------------------------------------------------

    @abstractmethod
    def load_all_instances(self) -> None:
        """Find or make the machines: set ``orchestrator`` and ``factories``."""

    @abstractmethod
    def rollback_env(self) -> None:
        """Give back what ``load_all_instances`` made, after a failure."""

    def parse(self) -> None:
        """Check the description. Raises ``ClusterConfigurationError``."""
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name):
            raise ClusterConfigurationError(
                f"{self.name!r} cannot be the name of a cluster", expected="letters, digits, '-', '_' and '.'"
            )
        if not isinstance(self.setup_cmds, list) or not all(isinstance(one, str) for one in self.setup_cmds):
            raise ClusterConfigurationError("setup_cmds is no list of commands")
        if not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise ClusterConfigurationError(f"port is {self.port!r}", expected="a number from 1 to 65535")

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

    def __enter__(self) -> Cluster:
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

    # --- the steps ----------------------------------------------------------------------------------------------------

    def run(self, force: bool = False, **kwargs: Any) -> bool:
        """Make the cluster ready. Returns False: there is no more to do. Harmless when it is ready already."""
        self.up(tries=int(kwargs.get("tries", RETRIES)))
        return False

    def up(self, *, tries: int = RETRIES) -> dict[str, Any]:
        """Connect, set up, install, start Ray, and check that all machines are in it. Returns a summary.

        Again on a ready cluster it says so and changes nothing; what is missing is repaired.

        Raises ``ClusterError`` and its kinds.
        """
        self.warn_about_key()
        self.connect_all(tries=tries)
        if self.setup_cmds:
            self.run_cmds(self.setup_cmds)
        self.each(lambda host: self._event(host, "prepared", **prepare(host, self.workdir, self.python)))
        self._agree()
        # Exists from here on, so that `down` and `status` find what was begun.
        mark = self._mark()
        summary = self._start_ray(mark)
        return {"event": "ready", "cluster": self.name, "id": mark["id"], "ray": self.ray_address, **summary}

    def connect_all(self, *, tries: int = 1) -> None:
        """Connect to all machines at once and find out what they are."""
        if not self.login.key.is_file():
            raise MissingAuthError(
                f"there is no key {self.login.key}", hint="`key` of the cluster file names the private key."
            )

        def connect(host: Host) -> None:
            host.connect(tries=tries, on_retry=lambda number, why: say(f"{host.name}: {why} (try {number} of {tries})"))
            self.examine(host)
            self._event(host, "connected", **_facts(host))

        self.each(connect)

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
        warning = transfer.key_mode_warning(self.login.key)
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
                    self._event(host, "setup", command=command, code=done.code, try_=number)
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
            self._event(
                host,
                "exec",
                code=done.code,
                stdout=done.stdout.decode(errors="replace"),
                stderr=done.stderr.decode(errors="replace"),
            )
            return host, done

        return self.each(run, hosts)

    def status(self) -> dict[str, Any]:
        """Report every machine, Ray's nodes and the jobs. Returns a summary; ``ok`` tells whether all is well."""
        unreachable: list[str] = []

        def look(host: Host) -> None:
            try:
                host.connect()
                self.examine(host)
            except ClusterError as error:
                unreachable.append(host.name)
                self._event(host, "host", reachable=False, why=str(error))
                return
            node = host.facts["node"]
            self._event(host, "host", reachable=True, ray=bool(node and node["running"]), **_facts(host))

        self.each(look)
        jobs: list[dict[str, Any]] = []
        nodes: list[dict[str, Any]] = []
        mark = self.head.facts.get("cluster")
        if mark is not None:
            jobs = self.head.ask("jobs", workdir=self.workdir)["jobs"]
            for job in jobs:
                self.report({"event": "job", **job})
            node = self.head.facts["node"]
            if node and node["running"]:
                nodes = self.ray_nodes()
        alive = [node["address"] for node in nodes if node["alive"]]
        missing = [host.name for host in self.hosts if host.private not in alive]
        return {
            "event": "status",
            "cluster": self.name,
            "up": mark is not None and not missing,
            "ok": not unreachable and not missing,
            "unreachable": sorted(unreachable),
            "missing": missing,
            "running": [job["job"] for job in jobs if job["state"] == "RUNNING"],
        }

    def down(self, *, clean: bool = False) -> dict[str, Any]:
        """End the jobs and Ray on all machines that answer; ``clean`` also removes the cluster's folder there.

        Only processes that this cluster started are ended. Raises ``ClusterError`` when machines did not answer.
        """
        failed: list[str] = []

        def halt(host: Host) -> None:
            try:
                host.connect()
                self.examine(host)
                stopped = 0
                mark = host.facts["cluster"]
                if host is self.head:
                    for job in host.ask("jobs", workdir=self.workdir)["jobs"]:
                        if job["state"] in ("RUNNING", "LOST"):
                            stopped += host.ask("job_stop", workdir=self.workdir, job=job["job"])["stopped"]
                stopped += host.ask("ray_stop", workdir=self.workdir)["stopped"]
                cleaned = False
                if clean and mark is not None:
                    # With the system's interpreter: its own one lies in the folder.
                    host.python = self.python or "python3"
                    cleaned = host.ask("clean", workdir=self.workdir, cluster=mark["id"])["removed"]
                self._event(host, "down", stopped=stopped, cleaned=cleaned)
            except ClusterError as error:
                failed.append(str(error))
                self._event(host, "down", reachable=False, why=str(error))

        self.each(halt)
        if failed:
            raise ClusterError("\n".join(failed), hint="What runs there goes on. Run `down` again when it answers.")
        return {"event": "down", "cluster": self.name, "cleaned": clean}

    # --- Ray ----------------------------------------------------------------------------------------------------------

    def _start_ray(self, mark: dict[str, Any]) -> dict[str, Any]:
        head = self.head
        token = self._token(mark)
        self.each(lambda host: host.ask("write", path=f"{host.workdir}/ray-token", text=token, mode=0o600))
        started: list[Host] = []

        def start(host: Host, incarnation: str, cpus: int | None) -> dict[str, Any]:
            result: dict[str, Any] = host.ask(
                "ray_start",
                workdir=self.workdir,
                cluster=mark["id"],
                address=host.private,
                head=host is head,
                head_address=self.ray_address,
                incarnation=incarnation,
                cpus=cpus,
                ray=f"{host.facts['scripts']}/ray",
            )
            if not result["already"]:
                started.append(host)
            self._event(host, "ray", address=host.private, already=result["already"])
            return result

        try:
            # The orchestrator works only when nobody else does.
            life = start(head, secrets.token_hex(8), 0 if self.factories else None)["incarnation"]
            self.each(lambda host: start(host, life, None), self.factories)
            nodes = self.ray_nodes()
        except BaseException:
            # Half a Ray helps nobody: what this call has started ends with it.
            self.each(lambda host: host.ask("ray_stop", workdir=self.workdir), started)
            raise
        alive = {node["address"]: node for node in nodes if node["alive"]}
        missing = [host.name for host in self.hosts if host.private not in alive]
        if missing:
            raise ClusterError(
                f"Ray's head knows {len(alive)} machines, {', '.join(missing)} not among them",
                hint="Do the machines reach each other at their private addresses? Run `up` again to repair.",
            )
        for address in sorted(set(alive) - {host.private for host in self.hosts}):
            say(f"warning: {address} is in this cluster's Ray too, though the cluster file does not name it")
        workers = self.factories or [head]
        return {
            "nodes": len(alive),
            "cpus": int(sum(alive[host.private]["cpus"] for host in workers)),
            "gpus": int(sum(alive[host.private]["gpus"] for host in workers)),
        }

    def ray_nodes(self) -> list[dict[str, Any]]:
        """Return what Ray's head knows of its nodes: address, alive, cpus, gpus."""
        nodes: list[dict[str, Any]] = self.head.ask("ray_nodes", workdir=self.workdir, address=self.ray_address)[
            "nodes"
        ]
        return nodes

    def _token(self, mark: dict[str, Any]) -> str:
        """Return the token of this cluster's Ray: the one that the orchestrator has, or a new one."""
        path = f"{self.head.workdir}/ray-token"
        done = self.head.run(["cat", path])
        text = done.stdout.decode(errors="replace").strip()
        return text if done.code == 0 and re.fullmatch(r"[0-9a-f]{64}", text) else secrets.token_hex(32)

    def _mark(self) -> dict[str, Any]:
        """Return the cluster's own record on the orchestrator, written to all machines."""
        theirs = {host.name: host.facts["cluster"] for host in self.hosts if host.facts["cluster"] is not None}
        mark = theirs.get(self.head.name) or {"id": secrets.token_hex(4), "name": self.name}
        text = _json(mark)
        for host in self.hosts:
            other = theirs.get(host.name)
            if other is not None and other["name"] != self.name:
                raise ClusterError(
                    f"{host.name}: {host.workdir} belongs to the cluster {other['name']!r}",
                    hint="Give this one another workdir.",
                )
        self.each(lambda host: host.ask("write", path=f"{host.workdir}/cluster.json", text=text, mode=0o600))
        return mark

    def _agree(self) -> None:
        """Check that all machines have the same Python and Ray, as Ray demands."""
        pythons = {host.facts["python"].rpartition(".")[0] for host in self.hosts}
        rays = {host.facts["versions"].get("ray") for host in self.hosts}
        if len(pythons) > 1 or len(rays) > 1:
            lines = [
                f"{host.name}: Python {host.facts['python']}, Ray {host.facts['versions'].get('ray')}"
                for host in self.hosts
            ]
            raise ClusterError(
                "the machines differ, and Ray wants them equal: " + "; ".join(lines),
                hint="Let setup_cmds install one Python on all, or name it with `python`.",
            )
        version = rays.pop()
        if version is None:
            raise ClusterError(
                "Ray is not installed on the machines", hint="pip install 'ray[tune]' for `python` there."
            )
        if tuple(int(part) for part in version.split(".")[:2]) < TOKEN_SINCE:
            say(f"warning: Ray {version} knows no tokens: whoever reaches port {self.ray_port} may run code")

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
        wanted = configparser.ConfigParser()
        for section in whitelist or ():
            if not self.config.has_section(section):
                raise ClusterError(f"the secrets have no section {section!r}")
            wanted[section] = dict(self.config[section])
        text = io.StringIO()
        wanted.write(text)
        self.head.ask("write", path=f"{self.workdir}/secrets.ini", text=text.getvalue(), mode=0o600)

    def _know(self, hosts: Sequence[Host]) -> None:
        self.each(self.examine, [host for host in hosts if not host.facts])

    def _event(self, host: Host, event: str, **fields: Any) -> None:
        named = {name.rstrip("_"): value for name, value in fields.items()}
        self.report({"event": event, "host": host.name, "address": host.address, **named})


def _facts(host: Host) -> dict[str, Any]:
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


def _json(value: dict[str, Any]) -> str:
    import json

    return json.dumps(value, indent=1) + "\n"


def _last_line(done: Completed) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"

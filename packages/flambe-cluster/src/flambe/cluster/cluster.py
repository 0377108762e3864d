"""``Cluster``: machines that together run flambe, and the steps that make them one.

One *orchestrator* (Ray's head, the driver of the job, the results; it needs no GPU) and any number of *factories*, which do
the work. The machine that ``flambe-cluster`` runs on talks to each of them over SSH; they talk to each other only through
Ray, inside their own network and behind a token. So no key pair is made for the cluster and no key lies on any machine.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from flambe.cli.console import say
from flambe.cluster.errors import ClusterError
from flambe.cluster.host import RETRIES, Host
from flambe.cluster.install import prepare
from flambe.cluster.machines import Machines, facts_of

TOKEN_SINCE = (2, 52)
"""The first Ray that knows tokens. Below it anyone who reaches its ports may run code."""


class Cluster(Machines):
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
        if self.setup_cmds:
            # Before anything is asked of Python or rsync there: these commands may be what installs them.
            self.reach_all(tries=tries)
            self.run_cmds(self.setup_cmds)
        self.connect_all(tries=tries)
        self.each(lambda host: self.event(host, "prepared", **prepare(host, self.workdir, self.python)))
        self._agree()
        # Exists from here on, so that `down` and `status` find what was begun.
        mark = self._mark()
        summary = self._start_ray(mark)
        return {"event": "ready", "cluster": self.name, "id": mark["id"], "ray": self.ray_address, **summary}

    def status(self) -> dict[str, Any]:
        """Report every machine, Ray's nodes and the jobs. Returns a summary; ``ok`` tells whether all is well."""
        self.check_login()
        unreachable: list[str] = []

        def look(host: Host) -> None:
            try:
                host.connect()
                self.examine(host)
            except ClusterError as error:
                unreachable.append(host.name)
                self.event(host, "host", reachable=False, why=str(error))
                return
            node = host.facts["node"]
            self.event(host, "host", reachable=True, ray=bool(node and node["running"]), **facts_of(host))

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
        self.check_login()
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
                self.event(host, "down", stopped=stopped, cleaned=cleaned)
            except ClusterError as error:
                failed.append(str(error))
                self.event(host, "down", reachable=False, why=str(error))

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
            self.event(host, "ray", address=host.private, already=result["already"])
            return result

        try:
            # The orchestrator works only when nobody else does.
            life = start(head, secrets.token_hex(8), 0 if self.factories else None)["incarnation"]
            self.each(lambda host: start(host, life, None), self.factories)
            nodes = self.ray_nodes()
            # A machine that was cut off for a while runs a node that the head has given up: it begins anew.
            strayed = [host for host in self.factories if host not in started and not _is_in(nodes, host)]
            if strayed:
                self.each(lambda host: host.ask("ray_stop", workdir=self.workdir), strayed)
                self.each(lambda host: start(host, life, None), strayed)
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
        text = json.dumps(mark, indent=1) + "\n"
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


def _is_in(nodes: Sequence[Mapping[str, Any]], host: Host) -> bool:
    return any(node["alive"] and node["address"] == host.private for node in nodes)

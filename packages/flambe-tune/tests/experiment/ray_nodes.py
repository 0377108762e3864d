"""Three machines with a Ray node each, made of Linux namespaces: own network, processes, ``/tmp`` and ``/dev/shm``."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from marked import with_mark

from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Spec

NEEDED = ("ip", "nsenter", "unshare", "setpriv")
SHARED = "/mnt"
"""Where all machines see one disk. ``/tmp`` is each one's own."""
PORT = 6379
TOKEN = "a" * 64
# A lost machine is noticed in seconds; with Ray's own settings it takes a minute.
RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
# Nodes end that quickly after their head. Commands have a minute by default.
ORPHANED = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}


def missing() -> list[str]:
    """Return what is not here of what the machines need."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    gone = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if sys.platform != "linux" or os.geteuid() != 0:
        gone.append("root on Linux")
    return gone


WORKER = b"RAY_JOB_ID="


class RayNodes:
    """Machines 1 to ``count`` on a bridge of their own; a Ray's head is on the first, a node of it on each other.

    Each has its own ``/tmp``; the run directory of a driver on machine 1 that lies there is not on the others. cpus: of each
    node.
    """

    def __init__(self, count: int = 3, cpus: int = 1) -> None:
        for attempt in range(200):
            subnet = (os.getpid() + attempt) % 250 + 1
            self.bridge = f"flrb{subnet}"
            if (
                subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], capture_output=True).returncode
                == 0
            ):
                break
        else:
            raise RuntimeError("no free bridge name")
        self.network = f"10.78.{subnet}"
        self.prefix = f"fr{subnet}n"
        self.numbers = list(range(1, count + 1))
        self.cpus = cpus
        # Not below /tmp, which is private to each machine.
        self.root = Path(tempfile.mkdtemp(prefix="flambe-nodes-", dir="/var/tmp"))
        (self.root / "shared").mkdir()
        self._machines: dict[int, subprocess.Popen[bytes]] = {}
        self._inside: dict[int, int] = {}
        try:
            _ip("addr", "add", f"{self.network}.1/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
            for number in self.numbers:
                self._wire(number)
                self.power_on(number)
            self.start_ray()
        except BaseException:
            self.close()
            raise

    # -- machines -----------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Of the Ray, as ``--address`` wants it."""
        return f"{self.ip(1)}:{PORT}"

    def ip(self, number: int) -> str:
        return f"{self.network}.{10 + number}"

    def mark(self, number: int) -> str:
        """What every process of a machine's Ray node has in its environment."""
        return f"FLAMBE_TEST_NODE={self.prefix}{number}"

    def tmp(self, number: int) -> Path:
        """``/tmp`` of a machine, seen from outside."""
        return self.root / self.name(number) / "tmp"

    @property
    def shared(self) -> Path:
        """The disk that all see as ``SHARED``, from outside."""
        return self.root / "shared"

    def name(self, number: int) -> str:
        return f"{self.prefix}{number}"

    def power_on(self, number: int) -> None:
        """Give a machine life, without a Ray."""
        name, folder = self.name(number), self.root / self.name(number)
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        # The interpreter, its environment and this checkout may lie below the folder that each machine hides.
        binds = [
            line
            for path in sorted(_needed_paths())
            if path.startswith("/tmp/")
            for line in (f"mkdir -p {folder}{path}", f"mount --bind {path} {folder}{path}")
        ]
        init = folder / "init.sh"
        lines = [
            "set -e",
            f"hostname {name}",
            *binds,
            f"mount --bind {self.shared} {SHARED}",
            f"mount --rbind {folder}/tmp /tmp",
            "mount -t tmpfs -o size=2g tmpfs /dev/shm",
            # From here on no machine sees the disk of another.
            f"mount -t tmpfs tmpfs {self.root}",
            "touch /tmp/.ready",
            "while true; do sleep 3600; done",
        ]
        init.write_text("\n".join(lines))
        (folder / "tmp/.ready").unlink(missing_ok=True)
        # A test run that is killed takes its machines with it.
        enter = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{name}", "unshare"]
        with open(folder / "init.log", "ab") as log:
            machine = subprocess.Popen(
                [*enter, "--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc", "bash", str(init)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._machines[number] = machine
        deadline = time.monotonic() + 20
        while not (folder / "tmp/.ready").exists():
            if machine.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"machine {number} does not start: {(folder / 'init.log').read_text()}")
            time.sleep(0.01)
        self._inside[number] = int(Path(f"/proc/{machine.pid}/task/{machine.pid}/children").read_text().split()[0])

    def power_off(self, number: int) -> None:
        """Everything on a machine dies at once."""
        machine = self._machines.pop(number, None)
        if machine is not None:
            machine.kill()
            machine.wait()

    def cut(self, number: int) -> None:
        """Pull the cable of a machine, which lives on."""
        _ip("link", "set", f"v{self.name(number)}", "down")

    def mend(self, number: int) -> None:
        _ip("link", "set", f"v{self.name(number)}", "up")

    def words(self, number: int, *words: str) -> list[str]:
        """Return the command that runs ``words`` on a machine."""
        namespaces = ["--mount", "--uts", "--pid", "--ipc", "--net"]
        return ["nsenter", "--target", str(self._inside[number]), *namespaces, "--wd=/tmp", *words]

    def run(self, number: int, *words: str) -> str:
        """Run a command on a machine; returns what it said. Raises CalledProcessError."""
        return subprocess.run(self.words(number, *words), capture_output=True, text=True, check=True).stdout

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that speaks with the Ray."""
        mine = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "PYTHONDONTWRITEBYTECODE")}
        return {**mine, **RAY}

    def put(self, name: str, text: str) -> str:
        """Write a file to the own disk of every machine, and return its path there."""
        for number in self.numbers:
            path = self.tmp(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return f"/tmp/{name}"

    def tune(self, spec: Spec, *options: str, said: Path | None = None) -> subprocess.Popen[str]:
        """Start flambe-tune on machine 1, as it would be started there. said: a file for what it says, else there are pipes."""
        path = self.tmp(1) / f"spec-{spec.name}.json"
        path.write_bytes(dump_spec(spec))
        words = self.words(1, sys.executable, "-m", "flambe.experiment.cli", f"/tmp/{path.name}", *options)
        with contextlib.ExitStack() as stack:
            place = subprocess.PIPE if said is None else stack.enter_context(open(said, "a"))
            return subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=place, stderr=place, text=True, env=self.environment()
            )

    # -- Ray ----------------------------------------------------------------------------------------------------------

    def start_ray(self, *numbers: int, **variables: str) -> None:
        """Start the Ray nodes of some machines, or of all; the head's first. variables: more of their environment. Raises RuntimeError."""
        chosen = list(numbers or self.numbers)
        for group in ([1] if 1 in chosen else []), [number for number in chosen if number != 1]:
            starting = {number: self._starting(number, variables) for number in group}
            for number, process in starting.items():
                said = process.communicate(timeout=120)[0]
                if process.returncode != 0:
                    raise RuntimeError(f"Ray does not start on machine {number}: {said}")

    def _starting(self, number: int, variables: dict[str, str]) -> subprocess.Popen[str]:
        join = (
            ["--head", f"--port={PORT}", "--include-dashboard=false"] if number == 1 else [f"--address={self.address}"]
        )
        # Without a limit each node would take a third of the memory for its store.
        size = [f"--num-cpus={self.cpus}", "--object-store-memory=100000000", "--memory=2000000000"]
        command = ["start", *join, f"--node-ip-address={self.ip(number)}", *size, "--disable-usage-stats"]
        mark = dict([self.mark(number).split("=")])
        return subprocess.Popen(
            self.words(number, sys.executable, "-m", "ray.scripts.scripts", *command),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            env={**self.environment(), **ORPHANED, **mark, **variables},
        )  # fmt: skip

    def processes(self, number: int) -> set[int]:
        """Return the processes of a machine's Ray node, workers included."""
        return set(with_mark(self.mark(number)))

    def workers(self, number: int) -> set[int]:
        """Return those of them that are workers of a command."""
        return {pid for pid, words in with_mark(self.mark(number)).items() if any(w.startswith(WORKER) for w in words)}

    def is_up(self, number: int) -> bool:
        """Whether the Ray node of a machine lives; parts that it can do without may have died."""
        names = set()
        for pid in self.processes(number):
            with contextlib.suppress(OSError):
                names.add(Path(f"/proc/{pid}/comm").read_text().strip())
        return {"raylet", *(["gcs_server"] if number == 1 else [])} <= names

    def kill_ray(self, number: int) -> None:
        """SIGKILL for every process of a machine's Ray node, the machine lives on."""
        while pids := self.processes(number):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def close(self) -> None:
        for number in list(self._machines):
            self.power_off(number)
        for number in self.numbers:
            # The link first: a namespace dies some time after its name is gone.
            subprocess.run(["ip", "link", "del", f"v{self.name(number)}"], capture_output=True)
            subprocess.run(["ip", "netns", "del", self.name(number)], capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def _wire(self, number: int) -> None:
        name = self.name(number)
        _ip("netns", "add", name)
        _ip("link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", f"v{name}", "master", self.bridge, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "addr", "add", f"{self.ip(number)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", f"{self.network}.1")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _needed_paths() -> set[str]:
    import flambe

    paths = {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), *(str(path) for path in flambe.__path__)}
    return {os.path.realpath(path) for path in paths} | paths

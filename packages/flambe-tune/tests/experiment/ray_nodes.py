"""Machines with a Ray node each, and a ``/tmp`` of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "tests/hosts"))
from machines import Machines
from marked import with_mark

from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Spec

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
# What flambe-cluster does for its nodes: they end that quickly after their head (commands have a minute by default), and a guard ends what
# they leave behind.
ORPHANED = {"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
GUARD = Path(__file__).resolve().parents[4] / "packages/flambe-cluster/src/flambe/cluster/agent/ray_guard.py"
WORKER = b"RAY_JOB_ID="
ANY_JOB = WORKER + b"ffffffff"
OURS = "ray::UnitActor"
MEMORY = Path("/sys/fs/cgroup/memory")
"""Linux's groups of processes that share a memory, of version 1."""


class RayNodes(Machines):
    """Machines with a Ray's head on the first, and a node of it on each other.

    Each has its own ``/tmp``; the run directory of a driver on machine 1 that lies there is not on the others. cpus: of each
    node.
    """

    def __init__(self, count: int = 3, cpus: int = 1) -> None:
        self.cpus = cpus
        super().__init__(count)
        try:
            self.start_ray()
        except BaseException:
            self.close()
            raise

    # -- machines -----------------------------------------------------------------------------------------------------

    @property
    def ray_address(self) -> str:
        """As ``--address`` wants it."""
        return f"{self.address(1)}:{PORT}"

    def mark(self, number: int) -> str:
        """What every process of a machine's Ray node has in its environment."""
        return f"FLAMBE_TEST_NODE={self.prefix}{number}"

    def tmp(self, number: int) -> Path:
        """``/tmp`` of a machine, seen from outside."""
        return self.folder(number) / "tmp"

    @property
    def shared(self) -> Path:
        """The disk that all see as ``SHARED``, from outside."""
        return self.root / "shared"

    def prepare(self) -> None:
        self.shared.mkdir()

    def lives(self, number: int) -> list[str]:
        (self.tmp(number) / ".ready").unlink(missing_ok=True)
        return [
            f"mount --bind {self.shared} {SHARED}",
            # From here on no machine sees the disk of another.
            f"mount -t tmpfs tmpfs {self.root}",
            "touch /tmp/.ready",
            "while true; do sleep 3600; done",
        ]

    def wait(self, number: int) -> None:
        deadline = time.monotonic() + 20
        while not (self.tmp(number) / ".ready").exists():
            if self._living[number].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"machine {number} does not start: {self.log(number)}")
            time.sleep(0.01)

    def words(self, number: int, *words: str) -> list[str]:
        """Return the command that runs ``words`` on a machine."""
        namespaces = ["--mount", "--uts", "--pid", "--ipc", "--net"]
        unshare = self._living[number].pid
        inside = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0]
        return ["nsenter", "--target", inside, *namespaces, "--wd=/tmp", *words]

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
                words, stdin=subprocess.DEVNULL, stdout=place, stderr=place, text=True,
                env={**self.environment(), "FLAMBE_TEST_COMMAND": self.prefix},
            )  # fmt: skip

    def commands(self) -> list[int]:
        """Return the processes of commands, and what they have started themselves."""
        return list(with_mark(f"FLAMBE_TEST_COMMAND={self.prefix}"))

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
                self.guard(number)

    def guard(self, number: int) -> None:
        """Start what ends the rest of a machine's Ray node after it, unless it lives."""
        if "flambe-guard" not in map(name_of, self.processes(number)):
            (self.tmp(number) / GUARD.name).write_text(GUARD.read_text())
            words = self.words(number, "setsid", "--fork", sys.executable, f"/tmp/{GUARD.name}", self.mark(number))
            subprocess.run(words, env={**os.environ, **dict([self.mark(number).split("=")])}, check=True)

    def _starting(self, number: int, variables: dict[str, str]) -> subprocess.Popen[str]:
        join = (
            ["--head", f"--port={PORT}", "--include-dashboard=false"]
            if number == 1
            else [f"--address={self.ray_address}"]
        )
        # Without a limit each node would take a third of the memory for its store.
        size = [f"--num-cpus={self.cpus}", "--object-store-memory=100000000", "--memory=2000000000"]
        command = ["start", *join, f"--node-ip-address={self.address(number)}", *size, "--disable-usage-stats"]
        mark = dict([self.mark(number).split("=")])
        return subprocess.Popen(
            self.words(number, sys.executable, "-m", "ray.scripts.scripts", *command),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            env={**self.environment(), **ORPHANED, **mark, **variables},
        )  # fmt: skip

    @contextlib.contextmanager
    def with_memory(self, number: int, size: int) -> Iterator[None]:
        """Start the Ray node of a machine anew with a memory of ``size`` bytes, half of which Ray lets be used, and afterwards as it was."""
        group = MEMORY / self.name(number)
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(size))
        # What Ray looks at.
        self.run(number, "mount", "--bind", str(group), str(MEMORY))
        try:
            self.kill_ray(number)
            self.start_ray(number, RAY_memory_usage_threshold="0.5")
            for pid in self.processes(number):  # and what they start
                (group / "cgroup.procs").write_text(str(pid))
            yield
        finally:
            self.kill_ray(number)
            self.run(number, "umount", "-l", str(MEMORY))
            while (group / "cgroup.procs").read_text():
                time.sleep(0.02)
            group.rmdir()
            self.start_ray(number)

    def processes(self, number: int) -> set[int]:
        """Return the processes of a machine's Ray node, workers included."""
        return set(with_mark(self.mark(number)))

    def workers(self, number: int) -> set[int]:
        """Return those of them that are workers, Ray's spare ones included."""
        return {pid for pid, words in with_mark(self.mark(number)).items() if any(w.startswith(WORKER) for w in words)}

    def ours(self, number: int) -> set[int]:
        """Return those workers that there are because of a command: Ray started them for its job, or its actor is in them.

        The others are spare: Ray starts them for whoever comes, keeps them when a command has ended, and nothing of ours is in them.
        """
        spare = {pid for pid, words in with_mark(self.mark(number)).items() if ANY_JOB in words}
        return {pid for pid in self.workers(number) if pid not in spare or name_of(pid).startswith(OURS)}

    def is_up(self, number: int) -> bool:
        """Whether the Ray node of a machine lives; parts that it can do without may have died."""
        return {"raylet", *(["gcs_server"] if number == 1 else [])} <= set(map(name_of, self.processes(number)))

    def kill_ray(self, number: int) -> None:
        """SIGKILL for every process of a machine's Ray node, the machine lives on."""
        while pids := self.processes(number):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def name_of(pid: int) -> str:
    """Return the name of a process; Ray gives a worker one that begins with ``ray::`` when it has started."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""

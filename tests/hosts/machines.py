"""Machines of Linux namespaces: each its own network, host name, processes, and folders that it shares with no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path


def program(name: str) -> str | None:
    """Return where a program is, also of those that only root calls."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Machines:
    """Machines 1 to ``count`` on a bridge of their own, each with network, uts, mount, pid and ipc namespaces.

    The disk is that of this machine, but for the folders of ``own`` and ``/dev/shm``. The names and the subnet come from the process
    id, so that parallel test runs do not meet. What the machines run, and how one sees that they do, is the subclass's:
    ``lives`` and ``wait``.
    """

    own: tuple[str, ...] = ("/tmp",)
    """The folders that each machine has for itself, with nothing of ours in them but what Python needs."""
    programs: tuple[str, ...] = ()
    """What must be installed for ``lives``."""

    def __init__(self, count: int) -> None:
        for attempt in range(200):
            subnet = (os.getpid() + attempt) % 250 + 1
            self.bridge = f"flbr{subnet}"
            # Only one of several that try can add it.
            if (
                subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], capture_output=True).returncode
                == 0
            ):
                break
        else:
            raise RuntimeError("no free bridge name")
        self.network = f"10.77.{subnet}"
        self.prefix = f"fl{subnet}h"
        self.numbers = list(range(1, count + 1))
        # In no folder that a machine has for itself.
        self.root = Path(tempfile.mkdtemp(prefix="flambe-machines-", dir="/var/tmp"))
        self._living: dict[int, subprocess.Popen[bytes]] = {}
        try:
            _ip("addr", "add", f"{self.network}.1/24", "dev", self.bridge)
            _ip("link", "set", self.bridge, "up")
            self.prepare()
            for number in self.numbers:
                self._wire(number)
                self.power_on(number)
            for number in self.numbers:
                self.wait(number)
        except BaseException:
            self.close()
            raise

    @classmethod
    def missing(cls) -> list[str]:
        """Return what is not here of what such machines need."""
        gone = [name for name in ("ip", "nsenter", "unshare", "setpriv", *cls.programs) if program(name) is None]
        if sys.platform != "linux" or os.geteuid() != 0:
            gone.append("root on Linux")
        return gone

    def prepare(self) -> None:
        """Make what all machines need, before the first one lives."""

    def lives(self, number: int) -> list[str]:
        """Return the lines of shell that a machine runs for as long as it lives."""
        raise NotImplementedError

    def wait(self, number: int) -> None:
        """Wait until a machine does what ``lives`` says. Raises RuntimeError."""
        raise NotImplementedError

    def name(self, number: int) -> str:
        """Of the machine's host."""
        return f"{self.prefix}{number}"

    def address(self, number: int) -> str:
        return f"{self.network}.{10 + number}"

    @property
    def addresses(self) -> list[str]:
        return [self.address(number) for number in self.numbers]

    def folder(self, number: int) -> Path:
        """Where a machine's own folders are, seen from here."""
        return self.root / self.name(number)

    def power_on(self, number: int) -> None:
        """Let a machine live; ``wait`` says when it does."""
        name, folder = self.name(number), self.folder(number)
        for hidden in self.own:
            (folder / hidden.lstrip("/")).mkdir(parents=True, exist_ok=True)
        (folder / "tmp").chmod(0o1777)
        # The interpreter, its environment and this checkout may lie in what each machine has for itself.
        binds = [
            f"mkdir -p {folder}{path}; mount --bind {path} {folder}{path}"
            for path in sorted(_needed_paths())
            if path.startswith(tuple(f"{hidden}/" for hidden in self.own))
        ]
        hides = [f"mount --rbind {folder}{hidden} {hidden}" for hidden in self.own]
        lines = ["set -e", f"hostname {name}", *binds, *hides, "mount -t tmpfs -o size=12g tmpfs /dev/shm"]
        (folder / "init.sh").write_text("\n".join([*lines, *self.lives(number)]))
        # A test run that is killed takes its machines with it.
        enter = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{name}", "unshare"]
        apart = ["--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc"]
        with open(folder / "init.log", "ab") as log:
            self._living[number] = subprocess.Popen(
                [*enter, *apart, "bash", folder / "init.sh"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def power_off(self, number: int) -> None:
        """Everything on a machine dies at once."""
        machine = self._living.pop(number, None)
        if machine is not None:
            machine.kill()
            machine.wait()

    def log(self, number: int) -> str:
        """What a machine said when it was powered on."""
        return (self.folder(number) / "init.log").read_text()

    def cut(self, number: int) -> None:
        """Pull the cable of a machine, which lives on."""
        _ip("link", "set", f"v{self.name(number)}", "down")

    def mend(self, number: int) -> None:
        _ip("link", "set", f"v{self.name(number)}", "up")

    def close(self) -> None:
        for number in self.numbers:
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
        _ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", f"{self.network}.1")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _needed_paths() -> set[str]:
    import flambe

    paths = {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), *(str(path) for path in flambe.__path__)}
    return {os.path.realpath(path) for path in paths} | paths

"""Real machines for the tests: hosts with their own network, processes, host name and sshd, made of Linux namespaces."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = ("ip", "sshd", "ssh", "ssh-keygen", "rsync", "nsenter", "unshare", "setpriv")


def _sbin(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _missing() -> list[str]:
    gone = [name for name in NEEDED if _sbin(name) is None]
    if sys.platform != "linux" or os.geteuid() != 0:
        gone.append("root on Linux")
    return gone


class Machines:
    """A few hosts on a bridge of their own, each with network, uts, mount, pid and ipc namespaces.

    Every host has its own address, host name, host key, ``/root``, ``/tmp`` and ``/dev/shm``, and shares the rest of the
    disk. The name of the bridge and the subnet come from the process id, so that parallel test runs do not meet.
    """

    def __init__(self, count: int) -> None:
        for attempt in range(200):
            subnet = (os.getpid() + attempt) % 250 + 1
            self.bridge = f"flbr{subnet}"
            if (
                subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], capture_output=True).returncode
                == 0
            ):
                break
        else:
            raise RuntimeError("no free bridge name")
        self.network = f"10.77.{subnet}"
        self.prefix = f"fl{subnet}h"
        # Not under /tmp or /root: those two are private to each host.
        self.root = Path(tempfile.mkdtemp(prefix="flambe-machines-", dir="/var/tmp"))
        self.numbers = list(range(1, count + 1))
        self.key = self.root / "id"
        self.known_hosts = self.root / "known_hosts"
        self._ip("addr", "add", f"{self.network}.1/24", "dev", self.bridge)
        self._ip("link", "set", self.bridge, "up")
        _keygen(self.key)
        for number in self.numbers:
            name = self.name(number)
            self._ip("netns", "add", name)
            self._ip("link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            self._ip("link", "set", f"v{name}", "master", self.bridge, "up")
            self._ip("-n", name, "link", "set", "lo", "up")
            self._ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            self._ip("-n", name, "link", "set", "eth0", "up")
            self._ip("-n", name, "route", "add", "default", "via", f"{self.network}.1")
            _keygen(self.root / f"{name}.hostkey")
            self.power_on(number)
        self.write_known_hosts()
        for number in self.numbers:
            self.wait(number)

    def name(self, number: int) -> str:
        return f"{self.prefix}{number}"

    def address(self, number: int) -> str:
        return f"{self.network}.{10 + number}"

    @property
    def addresses(self) -> list[str]:
        return [self.address(number) for number in self.numbers]

    def home(self, number: int) -> Path:
        """``/root`` of a host, seen from outside."""
        return self.root / self.name(number) / "root"

    def host_key(self, number: int) -> str:
        return (self.root / f"{self.name(number)}.hostkey.pub").read_text().rsplit(" ", 1)[0]

    def fingerprint(self, number: int) -> str:
        path = self.root / f"{self.name(number)}.hostkey.pub"
        return subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout.split()[1]

    def write_known_hosts(self) -> None:
        lines = [f"{self.address(number)} {self.host_key(number)}\n" for number in self.numbers]
        self.known_hosts.write_text("".join(lines))

    def change_host_key(self, number: int) -> None:
        """The machine comes back with another identity, as an impostor would."""
        self.power_off(number)
        (self.root / f"{self.name(number)}.hostkey").unlink()
        _keygen(self.root / f"{self.name(number)}.hostkey")
        self.power_on(number)
        self.wait(number)

    def sshd_log(self, number: int) -> str:
        return (self.root / self.name(number) / "sshd.log").read_text()

    def cut(self, number: int) -> None:
        self._ip("link", "set", f"v{self.name(number)}", "down")

    def mend(self, number: int) -> None:
        self._ip("link", "set", f"v{self.name(number)}", "up")

    def power_on(self, number: int) -> None:
        name = self.name(number)
        folder = self.root / name
        for part in ("root/.ssh", "tmp"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "root").chmod(0o700)
        (folder / "root/.ssh").chmod(0o700)
        (folder / "tmp").chmod(0o1777)
        shutil.copy(f"{self.key}.pub", folder / "root/.ssh/authorized_keys")
        (folder / "sshd_config").write_text(
            f"ListenAddress {self.address(number)}:22\n"
            f"HostKey {self.root / f'{name}.hostkey'}\n"
            f"PidFile {folder}/sshd.pid\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "AuthorizedKeysFile /root/.ssh/authorized_keys\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
            "LogLevel VERBOSE\n"
        )
        # The interpreter, its environment and this checkout may lie under the two folders that each host hides.
        binds = [
            f"mkdir -p {folder}{path}; mount --bind {path} {folder}{path}"
            for path in sorted(_needed_paths())
            if path.startswith(("/root/", "/tmp/"))
        ]
        init = folder / "init.sh"
        init.write_text(
            "\n".join(
                [
                    "set -e",
                    f"hostname {name}",
                    *binds,
                    f"mount --rbind {folder}/root /root",
                    f"mount --rbind {folder}/tmp /tmp",
                    "mount -t tmpfs -o size=12g tmpfs /dev/shm",
                    "mkdir -p /run/sshd",
                    f"exec {_sbin('sshd')} -D -E {folder}/sshd.log -f {folder}/sshd_config",
                ]
            )
        )
        # A test run that is killed takes its machines with it.
        enter = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/run/netns/{name}", "unshare"]
        with open(folder / "init.log", "ab") as log:
            process = subprocess.Popen(
                [*enter, "--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc", "bash", str(init)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        (folder / "pid").write_text(str(process.pid))
        self._processes = {**getattr(self, "_processes", {}), number: process}

    def power_off(self, number: int) -> None:
        process = self._processes.pop(number, None)
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def wait(self, number: int) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection((self.address(number), 22), timeout=1) as connection:
                    if connection.recv(4) == b"SSH-":
                        return
            except OSError:
                time.sleep(0.02)
        log = (self.root / self.name(number) / "init.log").read_text()
        raise RuntimeError(f"host {number} does not answer: {log}")

    def close(self) -> None:
        for number in self.numbers:
            self.power_off(number)
        for number in self.numbers:
            # The link first: a namespace dies some time after its name is gone.
            subprocess.run(["ip", "link", "del", f"v{self.name(number)}"], capture_output=True)
            subprocess.run(["ip", "netns", "del", self.name(number)], capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True)


def _needed_paths() -> set[str]:
    import flambe

    paths = {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), *(str(path) for path in flambe.__path__)}
    return {os.path.realpath(path) for path in paths} | paths


def _started() -> Iterator[Machines]:
    gone = _missing()
    if gone:
        pytest.skip(f"hosts in network namespaces need: {', '.join(gone)}")
    machines = Machines(3)
    try:
        yield machines
    finally:
        machines.close()


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """Three machines for all tests of a file."""
    yield from _started()


@pytest.fixture
def fresh_machines() -> Iterator[Machines]:
    """Three machines of one test, which may break them."""
    yield from _started()

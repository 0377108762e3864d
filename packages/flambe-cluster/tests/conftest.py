"""Real machines for the tests: hosts with an sshd each."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests/hosts"))
from machines import Machines, program


class SshMachines(Machines):
    """Hosts with an sshd each, a host key, and a ``/root`` that lets in who has ``key``."""

    own = ("/root", "/tmp")
    programs = ("sshd", "ssh", "ssh-keygen", "rsync")

    def prepare(self) -> None:
        self.key = self.root / "id"
        self.known_hosts = self.root / "known_hosts"
        _keygen(self.key)
        for number in self.numbers:
            _keygen(self.root / f"{self.name(number)}.hostkey")
        self.write_known_hosts()

    def home(self, number: int) -> Path:
        """``/root`` of a host, seen from outside."""
        return self.folder(number) / "root"

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
        return (self.folder(number) / "sshd.log").read_text()

    def lives(self, number: int) -> list[str]:
        folder, keys = self.folder(number), self.home(number) / ".ssh"
        keys.mkdir(exist_ok=True)
        for private in (self.home(number), keys):
            private.chmod(0o700)
        shutil.copy(f"{self.key}.pub", keys / "authorized_keys")
        (folder / "sshd_config").write_text(
            f"ListenAddress {self.address(number)}:22\n"
            f"HostKey {self.root / f'{self.name(number)}.hostkey'}\n"
            f"PidFile {folder}/sshd.pid\n"
            "PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "AuthorizedKeysFile /root/.ssh/authorized_keys\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
            "LogLevel VERBOSE\n"
        )
        return ["mkdir -p /run/sshd", f"exec {program('sshd')} -D -E {folder}/sshd.log -f {folder}/sshd_config"]

    def wait(self, number: int) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection((self.address(number), 22), timeout=1) as connection:
                    if connection.recv(4) == b"SSH-":
                        return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"host {number} does not answer: {self.log(number)}")


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True)


def _started() -> Iterator[SshMachines]:
    if gone := SshMachines.missing():
        pytest.skip(f"hosts in network namespaces need: {', '.join(gone)}")
    machines = SshMachines(3)
    try:
        yield machines
    finally:
        machines.close()


@pytest.fixture(scope="module")
def machines() -> Iterator[SshMachines]:
    """Three machines for all tests of a file."""
    yield from _started()


@pytest.fixture
def fresh_machines() -> Iterator[SshMachines]:
    """Three machines of one test, which may break them."""
    yield from _started()

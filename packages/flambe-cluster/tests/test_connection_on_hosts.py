"""What protects the way to a machine, and what is noticed when it breaks. Real sshd hosts, real rsync."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flambe.cluster import transfer
from flambe.cluster.connection import Connection, Login
from flambe.cluster.errors import (
    ConnectionLost,
    HostKeyError,
    MissingAuthError,
    RemoteFileTransferError,
    SSHConnectingError,
)

pytestmark = [pytest.mark.hosts, pytest.mark.slow]


@pytest.fixture
def login(machines: Any) -> Login:
    machines.write_known_hosts()
    return Login("root", machines.key, machines.known_hosts)


def command(machines: Any, folder: Path, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run flambe-cluster over all machines."""
    first, *others = machines.addresses
    fields = {"name": "c", "orchestrator_ip": first, "factories_ips": others, "key": str(machines.key), "username": "root",
              "known_hosts": str(machines.known_hosts), "python": sys.executable}  # fmt: skip
    file = folder / "cluster.yaml"
    file.write_text("!SSHCluster\n" + "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items()))
    return subprocess.run(
        [sys.executable, "-m", "flambe.cluster.cli", words[0], str(file), *words[1:]],
        input=stdin, capture_output=True, timeout=100, env={**os.environ, "XDG_STATE_HOME": str(folder)},
    )  # fmt: skip


def test_a_command_gives_its_output_its_errors_and_its_status(machines: Any, login: Login) -> None:
    connection = Connection(machines.address(1), login)
    done = connection.run(["sh", "-c", "cat; echo no >&2; exit 3"], stdin=b"x" * 300_000)
    assert (done.code, done.stdout, done.stderr) == (3, b"x" * 300_000, b"no\n")
    assert connection.run(["echo", "a  b", "$HOME", "'"]).stdout == b"a  b $HOME '\n"
    assert connection.run("kill -TERM $$").code == 143
    with pytest.raises(ConnectionLost, match="no end after 0.5 s"):
        connection.run(["sleep", "20"], timeout_s=0.5)
    connection.close()


def test_an_unknown_machine_is_refused_with_its_fingerprint_and_nothing_is_sent(machines: Any, login: Login) -> None:
    machines.known_hosts.write_text("")
    before = machines.sshd_log(2).count("Accepted publickey")
    with pytest.raises(HostKeyError) as caught:
        Connection(machines.address(2), login)
    text = str(caught.value)
    assert machines.fingerprint(2) in text
    assert "flambe-cluster trust" in text
    assert f"ssh-keyscan -p 22 -t ed25519 {machines.address(2)} >> {machines.known_hosts}" in text
    assert caught.value.exit_code == 4
    assert machines.sshd_log(2).count("Accepted publickey") == before
    with pytest.raises(RemoteFileTransferError, match="Host key verification failed"):
        transfer.push(login, machines.address(2), machines.known_hosts, "sent")
    assert not (machines.home(2) / "sent").exists()


def test_trust_shows_fingerprints_and_adds_them_only_when_told_to(machines: Any, tmp_path: Path) -> None:
    machines.known_hosts.unlink()
    asked = command(machines, tmp_path, "trust")
    assert asked.returncode == 2
    assert b"nobody to ask" in asked.stderr
    assert not machines.known_hosts.exists()
    shown = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [event["fingerprint"] for event in shown] == [machines.fingerprint(number) for number in (1, 2, 3)]
    assert command(machines, tmp_path, "trust", "--yes").returncode == 0
    assert machines.known_hosts.stat().st_mode & 0o777 == 0o600
    assert machines.known_hosts.read_text().split() == [
        word for number in (1, 2, 3) for word in (machines.address(number), *machines.host_key(number).split())
    ]
    assert command(machines, tmp_path, "exec", "true").returncode == 0
    again = command(machines, tmp_path, "trust")
    assert again.returncode == 0
    assert all(json.loads(line)["known"] for line in again.stdout.splitlines())


def test_a_changed_host_key_is_always_refused(fresh_machines: Any, tmp_path: Path) -> None:
    machines = fresh_machines
    old = machines.fingerprint(3)
    machines.change_host_key(3)
    for words in (["up", "--tries", "3"], ["exec", "touch here"], ["trust", "--yes"]):
        done = command(machines, tmp_path, *words)
        text = done.stderr.decode()
        assert done.returncode == 4, text
        assert old in text
        assert machines.fingerprint(3) in text
        assert f"ssh-keygen -R '{machines.address(3)}'" in text
    assert "Accepted publickey" not in machines.sshd_log(3)
    assert not (machines.home(3) / "here").exists()
    assert (machines.home(2) / "here").exists()  # exec went to the machines that are who they say
    source = tmp_path / "secret.txt"
    source.write_text("hush")
    login = Login("root", machines.key, machines.known_hosts)
    with pytest.raises(RemoteFileTransferError, match="Host key verification failed"):
        transfer.push(login, machines.address(3), source, "secret.txt")
    assert not (machines.home(3) / "secret.txt").exists()


def test_no_key_but_the_named_one_is_offered(
    machines: Any, login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The right key is in the agent and in ~/.ssh, where ssh and paramiko would look; the cluster names another one.
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    shutil.copy(machines.key, home / ".ssh/id_ed25519")
    (home / ".ssh/config").write_text(f"Host *\n  IdentityFile {machines.key}\n")
    wrong = tmp_path / "wrong"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", wrong], check=True)
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    values = dict(part.split("=", 1) for part in agent.replace("\n", " ").split("; ") if "=" in part)
    values = {name.split()[-1]: value for name, value in values.items()}
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", values["SSH_AUTH_SOCK"])
    try:
        subprocess.run(["ssh-add", "-q", machines.key], check=True, capture_output=True)
        before = machines.sshd_log(1).count("Accepted publickey")
        with pytest.raises(MissingAuthError, match="No other key is tried"):
            Connection(machines.address(1), login._replace(key=wrong))
        with pytest.raises(RemoteFileTransferError, match="Permission denied"):
            transfer.push(login._replace(key=wrong), machines.address(1), wrong, "sent")
        assert machines.sshd_log(1).count("Accepted publickey") == before
    finally:
        os.kill(int(values["SSH_AGENT_PID"]), 15)


def test_a_key_that_others_can_read_is_warned_of(machines: Any, tmp_path: Path) -> None:
    machines.write_known_hosts()
    machines.key.chmod(0o644)
    try:
        done = command(machines, tmp_path, "doctor")
        checks = {event["check"]: event for event in map(json.loads, done.stdout.splitlines()) if event["host"] is None}
        assert done.returncode == 4
        assert not checks["key"]["ok"]
        assert f"chmod 600 {machines.key}" in checks["key"]["detail"]
        login = Login("root", machines.key, machines.known_hosts)
        with pytest.raises(RemoteFileTransferError, match=f"mode 644.*chmod 600 {machines.key}"):
            transfer.push(login, machines.address(1), machines.known_hosts, "sent")
    finally:
        machines.key.chmod(0o600)
    assert command(machines, tmp_path, "doctor").returncode == 0


def test_unusable_keys_are_named(machines: Any, login: Login, tmp_path: Path) -> None:
    with pytest.raises(MissingAuthError, match="there is no key file"):
        Connection(machines.address(1), login._replace(key=tmp_path / "none"))
    text = tmp_path / "text"
    text.write_text("no key at all\n")
    with pytest.raises(MissingAuthError, match="no private key that can be read"):
        Connection(machines.address(1), login._replace(key=text))
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked], check=True)
    with pytest.raises(MissingAuthError, match="has a passphrase"):
        Connection(machines.address(1), login._replace(key=locked))


def test_an_address_where_nobody_is_says_so(machines: Any, login: Login) -> None:
    with pytest.raises(SSHConnectingError, match="does not answer"):
        Connection(f"{machines.network}.99", login)
    with pytest.raises(SSHConnectingError, match="does not answer"):
        Connection(machines.address(1), login._replace(port=1))


def test_a_cut_link_is_noticed_and_a_mended_one_is_forgiven(fresh_machines: Any) -> None:
    machines = fresh_machines
    login = Login("root", machines.key, machines.known_hosts)
    patient = Connection(machines.address(1), login, silent_after_s=30)
    lines: list[bytes] = []
    threading.Timer(1, machines.cut, [1]).start()
    threading.Timer(6, machines.mend, [1]).start()
    done = patient.run("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done", on_stdout=lines.append)
    assert (done.code, b"".join(lines).split()) == (0, b"1 2 3 4 5 6 7 8".split())
    patient.close()

    hasty = Connection(machines.address(1), login, silent_after_s=4)
    threading.Timer(1, machines.cut, [1]).start()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match="was lost"):
        hasty.run(["sleep", "100"])
    # One heartbeat may be under way when the link is cut, the next is asked 3 s later and given 4 s.
    assert time.monotonic() - began < 1 + 3 + 4 + 4
    assert not hasty.alive
    with pytest.raises(RemoteFileTransferError):
        transfer.push(login, machines.address(1), machines.known_hosts, "sent")
    machines.mend(1)
    machines.wait(1)
    assert Connection(machines.address(1), login).run(["true"]).code == 0


def test_a_powered_off_machine_is_noticed_at_once(fresh_machines: Any) -> None:
    machines = fresh_machines
    connection = Connection(machines.address(2), Login("root", machines.key, machines.known_hosts))
    threading.Timer(1, machines.power_off, [2]).start()
    began = time.monotonic()
    with pytest.raises(ConnectionLost):
        connection.run(["sleep", "100"])
    assert time.monotonic() - began < 6


def test_exec_ends_with_4_when_a_machine_is_lost_meanwhile(fresh_machines: Any, tmp_path: Path) -> None:
    machines = fresh_machines
    threading.Timer(3, machines.power_off, [2]).start()
    done = command(machines, tmp_path, "exec", "sleep 5; hostname")
    assert done.returncode == 4
    assert b"was lost" in done.stderr
    assert {json.loads(line)["stdout"].strip() for line in done.stdout.splitlines()} == {
        machines.name(1),
        machines.name(3),
    }


def test_files_go_there_and_back_again(machines: Any, login: Login, tmp_path: Path) -> None:
    machines.write_known_hosts()
    source = tmp_path / "a folder"
    (source / "deep").mkdir(parents=True)
    (source / "deep/$HOME; touch x").write_text("odd name")
    (source / "__pycache__").mkdir()
    (source / "__pycache__/junk.pyc").write_text("junk")
    (source / "one").write_text("same")
    os.link(source / "one", source / "two")
    os.symlink("one", source / "link")
    Connection(machines.address(1), login).run(["mkdir", "-p", "there is"])
    transfer.push(login, machines.address(1), source, "there is/a copy")
    assert (machines.home(1) / "there is/a copy/deep/$HOME; touch x").read_text() == "odd name"
    assert not (machines.home(1) / "there is/a copy/__pycache__").exists()
    os.unlink(machines.home(1) / "there is/a copy/two")
    os.link(machines.home(1) / "there is/a copy/one", machines.home(1) / "there is/a copy/two")
    changes = transfer.pull(login, machines.address(1), "there is/a copy", tmp_path / "back")
    assert "one" in changes
    assert os.readlink(tmp_path / "back/link") == "one"
    assert (tmp_path / "back/one").stat().st_ino == (tmp_path / "back/two").stat().st_ino
    assert transfer.pull(login, machines.address(1), "there is/a copy", tmp_path / "back") == ""

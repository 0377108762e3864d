"""The door of flambe-cluster."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flambe.cluster
from flambe.cluster import known
from flambe.cluster.cli import main
from flambe.cluster.connection import Connection, Login
from flambe.cluster.errors import ClusterConfigurationError, MissingAuthError, SSHConnectingError
from flambe.cluster.hostkey import HostKey, known_keys, offered_key, remember
from flambe.cluster.keyfile import check_key

HEAVY = {"torch", "ray", "boto3", "paramiko", "numpy", "rich", "yaml"}


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


@pytest.mark.parametrize("words", ["['--help']", "['up', '--help']", "['--version']"])
def test_help_is_light(words: str) -> None:
    done = python(
        "-c", f"import sys; from flambe.cluster.cli import main; main({words}); print(*sys.modules, file=sys.stderr)"
    )
    assert HEAVY.isdisjoint(done.stderr.split())
    assert "flambe-cluster" in done.stdout or "Usage" in done.stdout


@pytest.mark.parametrize("verb", ["up", "status", "trust", "exec", "submit", "logs", "kill", "fetch", "down", "doctor"])
def test_every_verb_has_help_with_an_example(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert "flambe-cluster" in capfd.readouterr().out.split("Example:")[1]


def test_wrong_calls_end_with_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["attach", "c.yaml"]) == 2
    assert "'attach' is not in this version" in capfd.readouterr().err
    assert main(["up"]) == 2
    assert main(["up", "nowhere.yaml"]) == 2
    assert main(["submit", "nowhere.yaml", "nowhere.json"]) == 2


def test_public_names_are_there_lazily() -> None:
    for name in flambe.cluster.__all__:
        assert getattr(flambe.cluster, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        flambe.cluster.Nothing


def test_the_agent_runs_on_an_old_python_and_imports_nothing_of_ours() -> None:
    folder = Path(flambe.cluster.__file__).parent / "agent"
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_text(), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            tops = {name.partition(".")[0] for name in names}
            assert tops <= set(sys.stdlib_module_names) | {"ray"}, file


def test_clusters_are_remembered_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = tmp_path / "some.yaml"
    file.touch()
    known.remember(known.Known(name="c", file=str(file), hosts={"c_orchestrator": "10.0.0.1"}))
    assert known.file_of("c") == str(file)
    assert known.file_of(str(file)) == str(file)
    known.remember(known.Known(name="my-cluster", file=str(file)))
    with pytest.raises(ClusterConfigurationError) as caught:
        known.file_of("my-clster")
    assert str(caught.value) == (
        "there is no file my-clster, and no cluster of this name was made known by `up` or `submit` from here; "
        "expected a cluster file, or one of the clusters c, my-cluster. Did you mean 'my-cluster'?"
    )
    file.unlink()
    with pytest.raises(
        ClusterConfigurationError, match=f"the cluster c was described by {file}, which is there no more"
    ):
        known.file_of("c")
    known.forget("my-cluster")
    known.forget("c")
    assert known.recall("c") is None
    with pytest.raises(
        ClusterConfigurationError, match="expected a cluster file. flambe-cluster up FILE makes a cluster"
    ):
        known.file_of("c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no key file {key}. `key` of the cluster file names the private key."),
        (b"no key at all\n", "{key} is no private key that can be read. `key` of"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "{key} is no private key"),
        (b"\xff\x00" * 40, "{key} is no private key"),
        (
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@here\n",
            "{key} is a public key; expected the private key beside it",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["up", "status", "down", "exec"])
def test_a_useless_key_is_told_before_any_machine_is_asked(
    verb: str, text: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    key, file = tmp_path / "key", tmp_path / "c.yaml"
    if text is not None:
        key.write_bytes(text)
        key.chmod(0o600)
    # Nobody is there: had one been asked, the message would be about that.
    file.write_text(f"!SSHCluster\nname: c\norchestrator_ip: 127.0.0.1\nport: 1\nkey: {key}\nusername: u\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main([verb, str(file), *(["true"] if verb == "exec" else [])]) == 4
    assert message.format(key=key) in capfd.readouterr().err


def test_a_key_with_a_passphrase_is_told(tmp_path: Path) -> None:
    for kind, form in (("ed25519", "RFC4716"), ("rsa", "RFC4716"), ("rsa", "PEM")):
        for phrase in ("", "secret"):
            key = tmp_path / f"{kind}-{form}-{phrase}"
            subprocess.run(
                ["ssh-keygen", "-q", "-t", kind, "-b", "2048", "-m", form, "-N", phrase, "-f", key], check=True
            )
            if phrase:
                with pytest.raises(MissingAuthError, match=f"the key {key} has a passphrase"):
                    check_key(key)
            else:
                check_key(key)


def test_a_machine_that_does_not_answer_is_told_in_words(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for ask in (
            lambda host: Connection(host, Login("u", key, tmp_path / "known_hosts", port)),
            lambda host: offered_key(host, port, prefer=[], timeout_s=5),
        ):
            with pytest.raises(SSHConnectingError) as caught:
                ask("127.0.0.1")
            assert str(caught.value) == (
                f"[127.0.0.1]:{port} does not answer: nothing listens on port {port}. "
                "Is sshd running there? `port` of the cluster file names its port."
            )
            with pytest.raises(SSHConnectingError, match="does not answer: no such host name"):
                ask("nobody.invalid")


def test_host_keys_are_kept_as_openssh_does(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    kind, data, _ = (tmp_path / "id.pub").read_text().split()
    key = HostKey(kind, data)
    printed = subprocess.run(["ssh-keygen", "-lf", tmp_path / "id.pub"], capture_output=True, text=True, check=True)
    assert key.fingerprint == printed.stdout.split()[1]
    store = tmp_path / "ssh/known_hosts"
    assert known_keys(store, "h", 22) == []
    remember(store, "h", 2222, key)
    assert known_keys(store, "h", 22) == []
    assert known_keys(store, "h", 2222) == [key]
    hashed = subprocess.run(["ssh-keygen", "-H", "-f", store], capture_output=True)
    assert hashed.returncode == 0
    assert known_keys(store, "h", 2222) == [key]

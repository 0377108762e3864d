"""The door of flambe-cluster."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import flambe.cluster
from flambe.cluster import known
from flambe.cluster.cli import main
from flambe.cluster.errors import ClusterConfigurationError
from flambe.cluster.hostkey import HostKey, known_keys, remember

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
    with pytest.raises(
        ClusterConfigurationError, match="there is no file d; expected a cluster file, or one of the clusters c"
    ):
        known.file_of("d")
    file.unlink()
    with pytest.raises(ClusterConfigurationError, match="any more at"):
        known.file_of("c")
    known.forget("c")
    assert known.recall("c") is None


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

"""Putting flambe on a real sshd host with the pip that is there, from a local folder in place of the package index."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from flambe.cluster import SSHCluster, install, wheel
from flambe.cluster.errors import ClusterError, RemoteCommandError

pytestmark = [pytest.mark.hosts, pytest.mark.slow]


def placeholder(folder: Path, name: str, version: str) -> None:
    """Write a wheel without content: pip's part in the installation is what is tested, not the libraries."""
    plain = re.sub(r"[-.]+", "_", name)
    info = f"{plain}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{plain}-{version}-py3-none-any.whl", "w") as archive:
        extras = "".join(f"Provides-Extra: {extra}\n" for extra in ("tune", "default"))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{extras}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def cluster(fresh_machines: Any) -> SSHCluster:
    machines = fresh_machines
    index = machines.home(1) / "index"
    index.mkdir()
    for line in wheel.constraints():
        placeholder(index, *line.split("=="))
    (machines.home(1) / ".config/pip").mkdir(parents=True)
    (machines.home(1) / ".config/pip/pip.conf").write_text("[global]\nno-index = true\nfind-links = /root/index\n")
    return SSHCluster("c", machines.address(1), [], str(machines.key), "root", known_hosts=str(machines.known_hosts))


def test_the_local_version_is_installed_once_and_again_after_a_change(
    cluster: SSHCluster, fresh_machines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = cluster.head
    host.python = sys.executable  # stands for the machine's own python3
    host.examine(cluster.workdir)
    first = install.prepare(host, cluster.workdir, None)
    assert first == {"flambe": wheel.versions()["flambe-config"], "installed": True}
    assert host.python == "/root/flambe/c/venv/bin/python"
    script = "import flambe.errors, importlib.metadata as m; print(flambe.__file__, m.version('ray'))"
    done = host.run([host.python, "-c", script])
    assert done.stdout.decode().startswith("/root/flambe/c/venv/lib/")
    assert host.run(["ls", "/root/flambe/c/venv/bin/flambe-tune"]).code == 0

    cluster.examine(host)
    assert install.prepare(host, cluster.workdir, None)["installed"] is False
    monkeypatch.setattr(install, "wheels_here", lambda: {**install._packed()[1], "other.whl": "0"})
    with pytest.raises(RemoteCommandError, match="pip install"):  # the wheel that is named does not exist
        install.prepare(host, cluster.workdir, None)
    monkeypatch.undo()
    assert install.prepare(host, cluster.workdir, None)["installed"] is False

    # A dependency of another version than here is not taken.
    for path in (fresh_machines.home(1) / "index").glob("msgspec-*"):
        path.unlink()
    host.run(["rm", "-r", "/root/flambe/c/venv"])
    host.python = sys.executable
    host.examine(cluster.workdir)
    with pytest.raises(RemoteCommandError, match="msgspec"):
        install.prepare(host, cluster.workdir, None)


def test_a_named_interpreter_with_another_flambe_is_refused(
    cluster: SSHCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = cluster.head
    cluster.python = sys.executable
    cluster.examine(host)
    monkeypatch.setattr(install, "wanted", lambda: {"flambe-config": "9.9.9", "flambe-nn": "9.9.9"})
    with pytest.raises(ClusterError, match=r"flambe-config 0\S+ \(here 9.9.9\)"):
        install.prepare(host, cluster.workdir, cluster.python)


def test_a_machine_without_its_interpreter_says_so(cluster: SSHCluster) -> None:
    cluster.python = "/no/such/python"
    with pytest.raises(RemoteCommandError, match="/no/such/python ended with 127.*Is Python 3 installed there"):
        cluster.connect_all()


def test_setup_commands_run_first_three_times_and_a_failure_ends_it(cluster: SSHCluster, fresh_machines: Any) -> None:
    events: list[dict[str, Any]] = []
    cluster.report = events.append
    cluster.python = "/no/such/python"
    cluster.setup_cmds = ["echo one >> log", "echo two >> log; test $(grep -c two log) -ge 2", "echo no >&2; false"]
    with pytest.raises(RemoteCommandError, match=r"'echo no >&2; false' ended with 1 3 times: no"):
        cluster.up(tries=1)
    assert (fresh_machines.home(1) / "log").read_text().split() == ["one", "two", "two"]
    assert [(event["code"], event["try"]) for event in events] == [(0, 1), (1, 1), (0, 2), (1, 1), (1, 2), (1, 3)]


def test_helpers_for_ones_own_programs(cluster: SSHCluster, fresh_machines: Any, tmp_path: Path) -> None:
    cluster.python = sys.executable
    home = fresh_machines.home(1)
    cluster.create_dirs(["work/deep"])
    assert cluster.existing_dir("work/deep")
    assert not cluster.existing_dir("work/none")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("a")
    placed = cluster.send_local_content({"d": str(tmp_path / "data"), "f": str(tmp_path / "data/a.txt")}, "work")
    assert placed == {"d": "/root/work/data", "f": "/root/work/a.txt"}
    assert (home / "work/data/a.txt").read_text() == (home / "work/a.txt").read_text() == "a"
    cluster.remove_dir("work/data")
    assert list((home / "work/data").iterdir()) == []
    cluster.remove_dir("work", content_only=False)
    assert not (home / "work").exists()
    with pytest.raises(ClusterError, match="/root is not removed"):
        cluster.remove_dir(".")
    assert cluster.get_orch_home_path() == "/root"
    assert not cluster.contains_gpu_factories()
    assert cluster.get_max_resources()["cpu"] >= 1
    secrets = tmp_path / "secrets.ini"
    secrets.write_text("[A]\nkey = 1\n[B]\nkey = 2\n")
    cluster.inject_secrets(str(secrets))
    cluster.send_secrets(whitelist=["A"])
    sent = home / "flambe/c/secrets.ini"
    assert "key = 1" in sent.read_text()
    assert "[B]" not in sent.read_text()
    assert sent.stat().st_mode & 0o777 == 0o600

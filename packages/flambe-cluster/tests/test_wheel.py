"""Wheels of what is installed here."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from flambe.cluster import wheel


def test_a_wheel_holds_the_modules_the_data_and_the_commands(tmp_path: Path) -> None:
    found = wheel.distributions()
    assert {"flambe-config", "flambe-cluster"} <= set(found)
    path = wheel.pack(found["flambe-cluster"], tmp_path)
    assert path.name == f"flambe_cluster-{found['flambe-cluster'].version}-py3-none-any.whl"
    names = zipfile.ZipFile(path).namelist()
    assert {"flambe/cluster/agent/door.py", "flambe/cluster/tags.json", "flambe/cluster/py.typed"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name == "flambe/__init__.py"]
    assert "flambe/__init__.py" in zipfile.ZipFile(wheel.pack(found["flambe-config"], tmp_path)).namelist()
    again = tmp_path / "again"
    again.mkdir()
    assert wheel.pack(found["flambe-cluster"], again).read_bytes() == path.read_bytes()


def test_constraints_pin_what_flambe_needs_to_what_is_here() -> None:
    lines = wheel.constraints()
    names = {line.partition("==")[0] for line in lines}
    assert {"msgspec", "click", "paramiko"} <= names
    assert not [name for name in names if name.startswith("flambe")]
    assert not [line for line in lines if "+" in line]


@pytest.mark.slow
def test_pip_installs_them_and_the_commands_are_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    wheels = [str(wheel.pack(found, tmp_path)) for found in wheel.distributions().values()]
    command = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", *wheels]
    subprocess.run(command, check=True, capture_output=True)
    script = "import flambe.errors, importlib.metadata as m; print(flambe.__file__, m.version('flambe-tune'))"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith(str(tmp_path / "venv"))
    for name in ("flambe-compile", "flambe-tune", "flambe-cluster"):
        assert (tmp_path / "venv/bin" / name).exists()

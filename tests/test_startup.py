"""Every door is light: ``--help`` and ``import flambe`` load nothing big."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

HEAVY = {
    "torch", "ray", "boto3", "botocore", "paramiko", "flask", "pandas", "plotly", "rich", "numpy", "safetensors"
}  # fmt: skip
COMMANDS = {
    "flambe": "flambe.cli.umbrella:main",
    "flambe-compile": "flambe.compile.cli:main",
    "expyrun": "flambe.cli.expyrun:main",
    "flambe-train": "flambe.learn.cli:main",
    "flambe-tune": "flambe.experiment.cli:main",
    "flambe-cluster": "flambe.cluster.cli:main",
    "flambe-report": "flambe.report.cli:main",
    "flambe-site": "flambe.report.site:main",
    "flambe-build": "flambe.export.cli:main",
}
_RUN = """
import importlib, json, sys
name, place, option = sys.argv[1:]
module, function = place.split(":")
sys.argv = [name, option]
code = getattr(importlib.import_module(module), function)()
print(json.dumps([code, sorted({key.partition(".")[0] for key in sys.modules})]), file=sys.stderr)
"""


def door(name: str, option: str) -> tuple[str, int, set[str]]:
    """Return what the command prints, its exit code, and the top-level packages that were loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, name, COMMANDS[name], option], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    return done.stdout, code, set(loaded)


def test_the_list_of_commands_is_complete() -> None:
    installed = {p.name: p.value for p in entry_points(group="console_scripts") if p.value.startswith("flambe.")}
    assert {name: place for name, place in installed.items() if name in COMMANDS} == COMMANDS
    assert set(installed) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_light_and_shows_an_example(name: str) -> None:
    text, code, loaded = door(name, "--help")
    assert code == 0
    assert not HEAVY & loaded
    assert "Usage:" in text
    assert text.count(name) >= 2, "no example in the help"
    assert door(name, "-h")[0] == text


@pytest.mark.parametrize("name", COMMANDS)
def test_version_is_light(name: str) -> None:
    text, code, loaded = door(name, "--version")
    assert code == 0
    assert not HEAVY & loaded
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\n", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_told_to_say_more_or_less(name: str) -> None:
    text = door(name, "--help")[0]
    assert "-v, --verbose" in text
    assert "-q, --quiet" in text


def test_compiling_loads_what_it_needs_and_no_more() -> None:
    """Each of these takes a tenth of what compiling a small file with all checks takes, or more."""
    example = str(Path(__file__).parent.parent / "examples" / "reviews.yaml")
    code = "import sys; from flambe.compile.cli import main; main([sys.argv[1]]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, example], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert json.loads(done.stdout)["name"]
    slow = "click json hashlib pathlib shutil random importlib.metadata urllib.parse asyncio"
    assert not {*slow.split(), *HEAVY, "flambe.build.made", "flambe.spec.hooks", "flambe.compile.dump"} & loaded


@pytest.mark.parametrize(
    "module", ["flambe", "flambe.spec.codec", "flambe.errors", "flambe.compile", "flambe.reading.reader"]
)
def test_import_is_light(module: str) -> None:
    code = f"import {module}, sys; print(*{{key.partition('.')[0] for key in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.split())

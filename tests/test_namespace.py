"""Six distributions, one namespace. Holds for editable installs and for wheels alike."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest

import flambe

DISTRIBUTIONS = ["config", "nn", "tune", "cluster", "report", "export"]
ROOMS = {
    "config": ["spec", "compile", "build", "record", "runner", "logging", "cli"],
    "nn": ["nn", "learn", "dataset", "field", "tokenizer", "sampler", "metric", "optim", "nlp", "vision", "model"],
    "tune": ["search", "pipeline", "experiment"],
    "cluster": ["cluster"],
    "report": ["report"],
    "export": ["export"],
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_has_a_version(name: str) -> None:
    assert version(f"flambe-{name}").count(".") >= 1


@pytest.mark.parametrize(("name", "room"), [(name, room) for name in DISTRIBUTIONS for room in ROOMS[name]])
def test_a_room_is_found_and_every_listed_name_is_there(name: str, room: str) -> None:
    module = importlib.import_module(f"flambe.{room}")
    missing = [public for public in getattr(module, "__all__", []) if not hasattr(module, public)]
    assert not missing


def test_pkgutil_sees_every_room() -> None:
    found = {module.name for module in pkgutil.iter_modules(flambe.__path__)}
    assert {room for rooms in ROOMS.values() for room in rooms} <= found


def test_any_room_may_come_first() -> None:
    for first in ("flambe.export", "flambe.search", "flambe.errors"):
        code = f"import {first}, flambe; from flambe.errors import FlambeError; print(flambe.__version__)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_door_opens() -> None:
    missing = [name for name in flambe.__all__ if not hasattr(flambe, name)]
    assert not missing


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        flambe.nonsense
    assert not hasattr(flambe, "_private")


def test_a_room_that_is_not_installed_names_its_install_line() -> None:
    code = (
        "import flambe\n"
        "flambe.__path__ = [p for p in flambe.__path__ if not __import__('os').path.isdir(p + '/report')]\n"
        "try: flambe.report\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if "pip install" not in done.stdout:  # wheels share one folder, so no room can be hidden
        pytest.skip("the rooms lie in one folder here")
    assert done.stdout.strip() == "flambe.report is not installed: pip install flambe-report"


def test_hooks_and_commands_load() -> None:
    points = [point for group in ("flambe.codec", "flambe.scheme") for point in entry_points(group=group)]
    points += [point for point in entry_points(group="console_scripts") if point.value.startswith("flambe.")]
    assert {point.name for point in points} >= {"torch", "s3", "flambe", "flambe-compile", "flambe-tune"}
    for point in points:
        assert callable(point.load()), point.name

"""What a Ray node leaves behind ends with it, and nothing of others does. Plain programs stand for the node and its workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flambe.cluster.agent import ray_guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

MARK = "FLAMBE_NODE"


@pytest.fixture
def begin(tmp_path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Returns how to start a program that sleeps under a name, with more in its environment; it ends with the test."""
    begun: list[subprocess.Popen[bytes]] = []
    sleep = shutil.which("sleep")

    def start(name: str, **variables: str) -> subprocess.Popen[bytes]:
        begun.append(
            subprocess.Popen([name, "60"], executable=_named(tmp_path / name), env={**os.environ, **variables})
        )
        return begun[-1]

    def _named(program: Path) -> Path:
        if not program.exists():
            shutil.copy(sleep, program)
        return program

    yield start
    for process in begun:
        process.kill()
        process.wait()


def start_guard(mark: str) -> subprocess.Popen[bytes]:
    guard = subprocess.Popen([sys.executable, ray_guard.__file__, f"{MARK}={mark}"], env={**os.environ, MARK: mark})
    deadline = time.monotonic() + 20
    while Path(f"/proc/{guard.pid}/comm").read_text().strip() != ray_guard.NAME:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return guard


def test_workers_end_with_their_node_and_nothing_else_does(begin, tmp_path):
    mine, other = f"{tmp_path}:1", f"{tmp_path}:2"
    node = begin("raylet", **{MARK: mine})
    worker = begin("worker", **{MARK: mine}, RAY_RAYLET_PID=str(node.pid))
    spared = [
        begin("gcs_server", **{MARK: mine}),
        begin("raylet", **{MARK: other}),
        begin("worker", **{MARK: other}, RAY_RAYLET_PID=str(node.pid)),
    ]
    guard = start_guard(mine)
    time.sleep(0.3)
    assert worker.poll() is None
    node.kill()
    late = begin("worker", **{MARK: mine}, RAY_RAYLET_PID=str(node.pid))
    assert worker.wait(5) == late.wait(5) == -signal.SIGKILL
    assert guard.wait(10) == 0
    assert [process.poll() for process in spared] == [None, None, None]


def test_a_guard_that_comes_after_the_end_of_a_node_tidies_up(begin, tmp_path):
    worker = begin("worker", **{MARK: str(tmp_path)}, RAY_RAYLET_PID="1")
    guard = start_guard(str(tmp_path))
    assert worker.wait(5) == -signal.SIGKILL
    assert guard.wait(10) == 0

"""A worker ends with its command, whoever else is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flambe.experiment.lifeline import Address, Lifeline

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

COMMAND = """
from flambe.experiment.lifeline import Lifeline
line = Lifeline("127.0.0.1")
print(line.address.port, line.address.mark.hex(), flush=True)
input()
"""
WORKER = """
import sys
from flambe.experiment.lifeline import Address, hold
hold(Address("127.0.0.1", int(sys.argv[1]), bytes.fromhex(sys.argv[2])))
print("begun", flush=True)
input()
"""


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Returns how to start Python that waits for a line; it ends with the test."""
    with contextlib.ExitStack() as ends:

        def start(code: str, *words: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            ends.enter_context(process)
            ends.callback(process.kill)
            return process

        yield start


def start_worker(begin: Callable[..., subprocess.Popen[str]], address: Address) -> subprocess.Popen[str]:
    worker = begin(WORKER, str(address.port), address.mark.hex())
    assert worker.stdout.readline() == "begun\n"
    return worker


def lines(pid: int) -> int:
    """Return how many sockets a process has."""
    found = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # this very look at them
            found += os.readlink(path).startswith("socket:")
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lives(process: subprocess.Popen[str], seconds: float = 0.3) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is None


def test_a_worker_ends_with_a_command_that_was_killed(begin):
    command = begin(COMMAND)
    port, mark = command.stdout.readline().split()
    worker = start_worker(begin, Address("127.0.0.1", int(port), bytes.fromhex(mark)))
    wait_for(lambda: lines(worker.pid) == 1)
    assert lives(worker)
    command.kill()
    assert worker.wait(5) == -signal.SIGKILL


def test_a_worker_ends_when_its_command_lets_go(begin):
    line = Lifeline("127.0.0.1")
    worker = start_worker(begin, line.address)
    wait_for(lambda: lines(worker.pid) == 1)
    line.close()
    assert worker.wait(5) == -signal.SIGKILL


def test_a_command_keeps_nothing_of_workers_that_ended(begin):
    line = Lifeline("127.0.0.1")
    before = lines(os.getpid())
    worker = start_worker(begin, line.address)
    wait_for(lambda: lines(os.getpid()) == before + 1)
    worker.kill()
    wait_for(lambda: lines(os.getpid()) == before)
    line.close()


def test_a_worker_whose_line_was_cut_draws_it_anew(begin):
    # A wall between them forgets connections that it carries; this one stands for it.
    line = Lifeline("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as wall:
        worker = start_worker(begin, line.address._replace(port=wall.getsockname()[1]))
        for _ in range(2):
            there, _ = wall.accept()
            here = socket.create_connection(line.address[:2])
            there.sendall(here.recv(16))
            assert lives(worker)
            here.close()
            there.close()
    assert worker.wait(15) == -signal.SIGKILL
    line.close()


@pytest.mark.parametrize("answers", [True, False], ids=["another", "nobody"])
def test_a_worker_that_never_reached_its_command_is_left_to_ray(begin, answers):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = Address("127.0.0.1", stranger.getsockname()[1], b"0123456789abcdef")
        if answers:
            threading.Thread(target=lambda: stranger.accept()[0].sendall(b"fedcba9876543210"), daemon=True).start()
        else:
            stranger.close()
        assert lives(start_worker(begin, address))

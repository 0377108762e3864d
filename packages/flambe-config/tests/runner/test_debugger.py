"""``debug: true`` at a real terminal: the debugger stops before run(), and breakpoint() works, whatever stdin brings."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODULE = """
from flambe.compile import Component

class Counter(Component):
    def __init__(self, stop=False):
        super().__init__()
        self.count, self.stop = 40, stop

    def run(self):
        self.count += 1
        if self.stop:
            breakpoint()
        return self.count < 42
"""
SPEC = {
    "flambe_spec": "1.0", "name": "debugged", "debug": True, "max_failures": 0,
    "stages": [{"name": "a", "body": {"$new": "counting:Counter"}}],
}  # fmt: skip


def debugged(folder: Path, stop: bool, *answers: str) -> tuple[str, int]:
    """Run the spec with a terminal as stderr, answer each prompt, and return what the terminal showed and the exit code."""
    (folder / "counting.py").write_text(MODULE)
    body = {"$new": "counting:Counter", "stop": stop}
    spec = SPEC | {"environment": {"extensions": {"counting": str(folder)}}, "stages": [{"name": "a", "body": body}]}
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "flambe.cli.umbrella", "exec", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=terminal, cwd=folder, text=True
    ) as process:
        os.close(terminal)
        assert process.stdin is not None
        process.stdin.write(json.dumps(spec))
        process.stdin.close()
        shown, waiting, deadline = b"", list(answers), time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                read = os.read(master, 4096)
            except OSError:  # the other side has been closed
                break
            shown += read
            if shown.count(b"(Pdb) ") > len(answers) - len(waiting) and waiting:
                os.write(master, waiting.pop(0).encode() + b"\n")
        assert not waiting, shown.decode()
        code = process.wait(timeout=60)
    os.close(master)
    return shown.decode(), code


@pytest.mark.slow
def test_it_stops_before_the_first_run_only(tmp_path: Path) -> None:
    shown, code = debugged(tmp_path, False, "p self.count + 1000", "c")
    assert code == 0, shown
    assert "run()" in shown
    assert "1040" in shown
    assert shown.count("(Pdb)") == 2


@pytest.mark.slow
def test_a_breakpoint_stops_in_every_step(tmp_path: Path) -> None:
    shown, code = debugged(tmp_path, True, "c", "p self.count + 1000", "c", "p self.count + 1000", "c")
    assert code == 0, shown
    assert "1041" in shown
    assert "1042" in shown


@pytest.mark.slow
def test_to_quit_it_ends_the_run(tmp_path: Path) -> None:
    shown, code = debugged(tmp_path, False, "q")
    assert code == 130, shown
    assert "the same command goes on from here" in shown
    run = json.loads((tmp_path / "flambe-output/debugged/exp.0/run.json").read_text())
    assert run["status"] == "CANCELLED"

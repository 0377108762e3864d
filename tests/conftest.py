"""Real commands, joined by real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a line of shell as a user would: the commands on PATH, pipefail, an empty stdin, a folder of its own."""

    def run(
        line: str, *, stdin: str = "", cwd: Path = tmp_path, timeout_s: float = 240, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=timeout_s,
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **env},
        )

    return run


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT

"""A share of ``kills.py``, which nox runs whole."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
def test_a_share_of_the_kills():
    words = [sys.executable, HERE / "kills.py", "--count", "3", "--seed", "5"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout
    assert "findings: 0" in done.stdout

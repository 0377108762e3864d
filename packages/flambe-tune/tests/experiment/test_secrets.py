"""Secrets of a Runnable in a search: they reach the workers of both pools, and no file or line of the run holds them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOKEN = 'ABC"DEF\\GHI-123456789'
EXTENSION = """
import logging, os, warnings
import flambe
from flambe.runnable import Runnable


class Teller(Runnable):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def run(self, force=False):
        token = self.config["AWS"]["TOKEN"]
        print("printed", token, repr(token))
        logging.getLogger(__name__).warning("logged %s", token)
        warnings.warn(token)
        flambe.log("token", token, 0)
        flambe.log("length", len(token), 0)
        env = flambe.get_env()
        with open(os.path.join(env.output_path, "env.txt"), "w") as out:
            print(env.debug, sorted(env.extensions), file=out)
        with flambe.env(extra={"size": self.size}):
            assert flambe.get_env().extra == {"size": self.size}
        if self.size == 2:
            raise ValueError(f"{token} is refused")
        return {"token": token}
"""


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["local", "ray"])
def test_no_file_and_no_message_holds_a_secret(tmp_path: Path, runner: str) -> None:
    (tmp_path / "teller.py").write_text(EXTENSION)
    (tmp_path / "secrets.ini").write_text(f"[AWS]\nTOKEN = {TOKEN}\n")
    (tmp_path / "secrets.ini").chmod(0o600)
    (tmp_path / "e.yaml").write_text(
        "teller: ./teller.py\n---\n!Experiment\nmax_failures: 0\npipeline:\n  tell: !teller.Teller\n    size: !g [1, 2]\n"
    )
    command = (
        f"{sys.executable} -m flambe.compile.cli e.yaml"
        f" | {sys.executable} -m flambe.experiment.cli --runner {runner} --workers 2 --secrets secrets.ini"
    )
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False, timeout=200)
    assert done.returncode == 1, done.stderr.decode()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["variant"]: row["status"] for row in rows if "variant" in row} == {
        "size=1": "COMPLETE",
        "size=2": "FAILED",
    }
    assert next(row["error"] for row in rows if row.get("variant") == "size=2").startswith(
        "ValueError: [secret] is refused"
    )
    run = Path(rows[-1]["run"])
    folder = run / "stages" / "tell" / "size=1"
    assert f'"length":{len(TOKEN)}' in (folder / "metrics" / "tell.jsonl").read_text()
    assert '"token":"[secret]"' in (folder / "metrics" / "tell.jsonl").read_text()
    log = (folder / "outputs.log").read_text()
    assert "printed [secret] '[secret]'" in log
    assert "logged [secret]" in log
    assert (folder / "artifacts" / "env.txt").read_text() == "False ['teller']\n"
    found = [path for path in run.rglob("*") if path.is_file() and b"GHI-123456789" in path.read_bytes()]
    assert found == []
    assert b"GHI-123456789" not in done.stdout + done.stderr

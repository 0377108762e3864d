"""A project with a decorated function, started as its user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambe.record.run import RunRecord, StageRecord, read_record

CONFIG = """\
seed: null
model:
  num_layers: 4
optimizer:
  lr: 1e-3
"""
MAIN = """\
import flambe


@flambe.launch(config_path="./configs")
def my_task(ctx: flambe.Context) -> None:
{body}


if __name__ == "__main__":
    print("returned", my_task())
"""


class Project:
    """Files in a folder, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        # As if somebody had taken the time to press return: what is written while a process begins may not be what it loads.
        long_ago = path.stat().st_mtime - 100
        os.utime(path, (long_ago, long_ago))
        return path

    def main(self, body: str, *, config: str | None = CONFIG, top: str = "") -> None:
        lines = "".join(f"    {line}\n" if line else "\n" for line in body.strip("\n").splitlines())
        self.write("main.py", top + MAIN.replace("{body}\n", lines))
        if config is not None:
            self.write("configs/config.yaml", config)

    def start(self, *words: str, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run ``python main.py WORDS`` and check its exit code."""
        more.setdefault("cwd", self.folder)
        program = [sys.executable, str(self.folder / "main.py"), *words]
        done = subprocess.run(program, capture_output=True, text=True, check=False, **more)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start ``python main.py WORDS`` and do not wait for it."""
        program = [sys.executable, str(self.folder / "main.py"), *words]
        return subprocess.Popen(program, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def root(self, number: int = 0, name: str = "my_task") -> Path:
        return self.folder / "logs" / name / f"exp.{number}"

    def record(self, number: int = 0) -> RunRecord:
        return read_record(self.root(number) / "run.json", RunRecord)

    def unit(self, number: int = 0, variant: str = "0") -> StageRecord:
        return read_record(self.root(number) / "stages/main" / variant / "run.json", StageRecord)

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self) -> str:
        if not (self.folder / ".git").is_dir():
            self.git("init")
        self.git("add", "--all", ".", ":!logs")
        self.git("commit", "-m", "a commit")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "my 'project' ü")

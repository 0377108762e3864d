"""``flambe import`` as a command: what it writes where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text("defaults: [model: small]\nlr: 1e-3\n")
    (folder / "model" / "small.yaml").write_text("layers: 2\n")
    (tmp_path / "main.py").write_text("def main(name, config):\n    return config['lr']\n")
    return folder


def run(*words: str) -> tuple[int, list[str], str]:
    """Return the exit code, the lines of stdout, and stderr."""
    command = [sys.executable, "-m", "flambe.cli.umbrella", "import", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines(), done.stderr


def checked(file: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "flambe.compile.cli", file, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_a_folder_is_written_beside(conf: Path) -> None:
    code, lines, err = run("--from", "hydra", "conf", "--main", "main:main")
    assert code == 0
    assert [json.loads(line) for line in lines] == [
        {"file": "conf-flambe/model/small.yaml", "from": ["conf/model/small.yaml"]},
        {"file": "conf-flambe/config.yaml", "from": ["conf/config.yaml"]},
    ]
    assert err == "2 files written in conf-flambe\n"


def test_what_is_written_compiles(conf: Path) -> None:
    run("--from", "hydra", "conf", "--main", "main:main")
    assert checked("conf-flambe/config.yaml")[0] == 0


def test_nothing_is_written_over(conf: Path) -> None:
    words = ("--from", "hydra", "conf", "--main", "main:main", "-o", "ours")
    assert run(*words)[0] == 0
    (conf.parent / "ours" / "config.yaml").write_text("mine: 1\n")
    code, lines, err = run(*words)
    assert (code, lines) == (2, [])
    assert "ours/model/small.yaml, ours/config.yaml would be written over" in err
    assert "--force" in err
    assert (conf.parent / "ours" / "config.yaml").read_text() == "mine: 1\n"
    assert run(*words, "--force")[0] == 0
    assert "lr: 1e-3" in (conf.parent / "ours" / "config.yaml").read_text()


def test_check_writes_nothing(conf: Path) -> None:
    code, lines, err = run("--from", "hydra", "conf", "--main", "main:main", "--check")
    assert (code, len(lines)) == (0, 2)
    assert err == "2 files would be in conf-flambe\n"
    assert not (conf.parent / "conf-flambe").exists()


def test_what_is_left_to_do_is_told_and_ends_with_1(conf: Path) -> None:
    code, lines, err = run("--from", "hydra", "conf")
    assert (code, len(lines)) == (1, 2)
    assert err.splitlines() == [
        "conf/config.yaml:1:1: no function that starts from this folder was found. Name it with --main module:function. (!)",
        "2 files written in conf-flambe, 1 note, 1 of them for you to do (!)",
    ]


def test_verbose_says_what_was_done(conf: Path) -> None:
    _, _, err = run("--from", "hydra", "conf", "--main", "main:main", "-v")
    assert "conf-flambe/config.yaml: defaults is __default__ now\n" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--from", "hydra", "nowhere"), "nowhere is no folder"),
        (("conf",), "--from"),
        (("--from", "hydra", "conf", "--main", "main"), "--main main is no function; expected module:function"),
        (("--from", "hydra", "conf", "--config-name", "other"), "conf holds no other.yaml"),
        (("--from", "hydra", "conf", "-o", "./conf", "--force"), "./conf is the folder that is read"),
    ],
)
def test_a_wrong_call_is_refused(words: tuple[str, ...], message: str, conf: Path) -> None:
    code, lines, err = run(*words)
    assert (code, lines) == (2, [])
    assert message in err


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        ("model: {_target_: torch.nn.Linear}\n", "hydra"),
        ("hydra: {}\n", "hydra"),
        ("defaults: [base]\n", "hydra"),
        ("use_logger: true\n", "mlxp"),
    ],
)
def test_the_compiler_names_the_import(text: str, tool: str, conf: Path) -> None:
    (conf / "config.yaml").write_text(text)
    code, err = checked("conf/config.yaml")
    assert code == 2
    assert f"flambe import --from {tool} conf" in err

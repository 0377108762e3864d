"""Command lines of versions 0.4 and 1.0: each works, or names the command that does the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.cli.older import as_ours, is_older
from flambe.errors import UsageError

SPEC = "msgspec: msgspec\n---\n!Experiment\npipeline:\n  a: !msgspec.Raw {msg: 1}\n"
FAKE = "#!{python}\nimport json, os, sys\nprint(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]))\nprint(sys.stdin.read(), os.environ.get('FLAMBE_SECRETS'), os.environ.get('FLAMBE_FORCE'))\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment, a cluster file, a file of secrets and, in ``bin``, a program in place of every tool."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "bin").mkdir()
    start = f"#!{sys.executable}\nimport sys\nfrom flambe.cli.umbrella import main\nsys.exit(main())\n"
    programs = {
        "flambe": start,
        **{f"flambe-{name}": FAKE.format(python=sys.executable) for name in ("train", "tune", "cluster", "site")},
    }
    for name, text in programs.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    (folder / "exp.yaml").write_text(SPEC)
    (folder / "s.ini").write_text("[a]\nkey = value-of-it\n")
    (folder / "s.ini").chmod(0o600)
    (folder / "cluster.yaml").write_text(
        "!SSHCluster {name: c, orchestrator_ip: 10.0.0.1, factories_ips: [10.0.0.2], key: s.ini, username: me}\n"
    )
    return folder


def flambe(desk: Path, *words: str) -> subprocess.CompletedProcess[str]:
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("FLAMBE_")}
    return subprocess.run(
        [str(desk / "bin" / "flambe"), *words], cwd=desk, env=surroundings, input="", capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["-f", "-v", "exp.yaml"], ["flambe-train", "-", "--verbose"]),
        (["exp.yaml", "-d", "-f"], ["flambe-train", "-"]),
        (["--secrets", "s.ini", "exp.yaml"], ["flambe-train", "-"]),
        (["-c", "cluster.yaml", "-f", "exp.yaml"], ["flambe-cluster", "submit", "cluster.yaml", "--force"]),
        (["exp.yaml", "-s", "s.ini", "-c", "cluster.yaml"], ["flambe-cluster", "submit", "cluster.yaml", "--secrets", "s.ini"]),
        (["cluster.yaml"], ["flambe-cluster", "up", "cluster.yaml"]),
        (["run", "-o", "out", "--num-gpus", "1", "exp.yaml"], ["flambe-train", "-", "--output-dir", "out"]),
        (["submit", "exp.yaml", "my-job", "-c", "c", "-f", "-v", "-a"], ["flambe-cluster", "--verbose", "submit", "c", "--follow", "--force"]),
        (["up", "c", "-y"], ["flambe-cluster", "up", "c"]),
        (["ls", "--cluster", "c"], ["flambe-cluster", "status", "c"]),
        (["exec", "-c", "c", "nvidia-smi", "-L"], ["flambe-cluster", "exec", "c", "nvidia-smi", "-L"]),
        (["site", "flambe-output/exp/exp.0"], ["flambe-site", "flambe-output/exp/exp.0"]),
    ],
)  # fmt: skip
def test_they_work(desk: Path, words: list[str], called: list[str]) -> None:
    done = flambe(desk, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0]) == called


def test_what_is_handed_on(desk: Path) -> None:
    done = flambe(desk, "-f", "--secrets", "s.ini", "exp.yaml")
    assert done.stdout.rstrip().endswith(f"{desk}/s.ini 1")
    assert "value-of-it" not in done.stdout + done.stderr
    spec, _ = json.JSONDecoder().raw_decode(
        flambe(desk, "submit", "exp.yaml", "my-job", "-c", "c").stdout.partition("\n")[2]
    )
    assert spec["name"] == "my-job"
    assert json.JSONDecoder().raw_decode(done.stdout.partition("\n")[2])[0]["name"] == "exp", "the file's"


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ("attach my-job -c c", "logs c my-job --follow"),
        ("attach --cluster=c -n", "logs c --follow"),
        ("kill my-job -c c --clean", "kill c my-job"),
        ("down c --destroy", "down c --clean"),
        ("down -y c", "down c"),
        ("exec --cluster c ls -l", "exec c ls -l"),
    ],
)
def test_words_for_clusters(words: str, ours: str) -> None:
    word, *rest = words.split()
    assert is_older(word, rest)
    assert as_ours(word, rest) == ours.split()


@pytest.mark.parametrize(
    "words", ["kill c.yaml job", "up c.yaml", "down c.yaml --clean", "exec spec.json -o out", "site run", "attach c"]
)
def test_the_same_words_with_a_file_are_ours(words: str) -> None:
    word, *rest = words.split()
    assert not is_older(word, rest)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ls", "no cluster is named. Add -c FILE: its YAML file, or its name once it was used."),
        ("up c --create", "a cluster is described by its file, not by --create. Use: flambe-cluster up c"),
        ("up c --min-workers 2", "a cluster is described by its file, not by --min-workers. Use: flambe-cluster up c"),
        ("down c --workers-only", "flambe-cluster ends what it started on all machines, not on the workers only. Use: flambe-cluster down c"),
        ("exec ls -c c -p 8265", "flambe exec -p forwards no port. Use: ssh -L 8265:localhost:8265 USER@ORCHESTRATOR"),
        ("clean job -c c", "the files of one job are not removed alone. Use: flambe-cluster down c --clean   (removes those of all jobs, results included)"),
        ("site -c c", "the pages are made from runs on this machine. Use: flambe-cluster fetch c | flambe-report serve -"),
        ("rsync-up a b -c c", "files that a config declares (local_files, extensions) are sent by flambe-cluster submit; for any other. Use: rsync -az a USER@ORCHESTRATOR:b"),
        ("rsync-down a b -c c", "flambe-cluster fetch c brings runs back; for any other file. Use: rsync -az USER@ORCHESTRATOR:a b"),
        ("kill j -c", "-c has no value"),
    ],
)  # fmt: skip
def test_others_name_what_to_use(words: str, message: str) -> None:
    word, *rest = words.split()
    with pytest.raises(UsageError) as refused:
        as_ours(word, rest)
    assert str(refused.value) == message


def test_they_end_with_2(desk: Path) -> None:
    done = flambe(desk, "clean", "my-job", "-c", "c")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "flambe clean: error: the files of one job are not removed alone. Use: flambe-cluster down c --clean"
    )

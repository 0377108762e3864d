"""The whole way over three real sshd hosts: up, status, exec, submit, logs, fetch, down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(280)]

EXTENSION = '''
import os
import socket
import time
from flambe.build.component import Component
from flambe.runnable import Runnable


class Teller(Runnable):
    """Tells its secret wherever it can."""

    def run(self):
        token = self.config["AWS"]["TOKEN"]
        print("the token is", token, "of", len(token))
        raise ValueError(f"{token} is refused")


class Walk(Component):
    """Takes steps; its metric is how far it got. It leaves a line that tells where it ran."""

    def __init__(self, size: float, steps: int = 2, pause: float = 0.0, words: str = ""):
        self.size, self.steps, self.pause, self.words = size, steps, pause, words
        self.done = 0
        self.register_attrs("done")

    def run(self) -> bool:
        time.sleep(self.pause)
        self.done += 1
        text = open(self.words).read().strip() if self.words else ""
        print("walking on", socket.gethostname(), text, os.environ.get("WALK_SECRET", "-"))
        return self.done < self.steps

    def metric(self) -> float:
        return self.size * self.done
'''


class Shell:
    """Runs commands as a user would, with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "cluster.yaml"
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}

    def __call__(
        self, *words: str, stdin: bytes = b"", expect: int | None = 0, **environment: str
    ) -> list[dict[str, Any]]:
        done = self.raw(*words, stdin=stdin, **environment)
        assert expect is None or done.returncode == expect, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    def raw(self, *words: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, cwd=self.folder, timeout=150,
            env={**self.environment, **environment},
        )  # fmt: skip

    def command(self, verb: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "flambe.cluster.cli", verb, str(self.file), *words]

    def compile(self, text: str) -> bytes:
        path = self.folder / "exp.yaml"
        path.write_text(text)
        command = [sys.executable, "-m", "flambe.compile.cli", str(path)]
        done = subprocess.run(command, capture_output=True, cwd=self.folder, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def describe(machines: Any, folder: Path, **more: Any) -> Path:
    """Write the YAML of a cluster over all machines."""
    first, *others = machines.addresses
    fields = {
        "name": "walkers",
        "orchestrator_ip": first,
        "factories_ips": others,
        "key": str(machines.key),
        "username": "root",
        "known_hosts": str(machines.known_hosts),
        "python": sys.executable,
        **more,
    }
    path = folder / "cluster.yaml"
    path.write_text("!SSHCluster\n" + "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items()))
    return path


@pytest.fixture(scope="module")
def shell(machines: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("cluster")
    describe(machines, folder)
    (folder / "tinyext").mkdir()
    (folder / "tinyext/__init__.py").write_text(EXTENSION)
    shell = Shell(folder)
    events = shell("up", "--tries", "5")
    assert events[-1]["event"] == "ready"
    assert events[-1]["nodes"] == 3
    yield shell
    shell("down", expect=None)


def test_up_again_finds_everything_there_and_says_so(shell: Shell, machines: Any) -> None:
    shell("exec", "--host", "factory_1", "pkill flambe-guard")
    events = shell("up", "--tries", "3")
    assert [event["already"] for event in events if event["event"] == "ray"] == [True, True, True]
    assert [len(event["stdout"].split()) for event in shell("exec", "pgrep flambe-guard")] == [1, 1, 1]
    status = shell("status")
    assert status[-1] == {
        "event": "status", "cluster": "walkers", "up": True, "ok": True, "unreachable": [], "missing": [], "running": [],
    }  # fmt: skip
    assert {event["hostname"] for event in status if event["event"] == "host"} == {machines.name(n) for n in (1, 2, 3)}


def test_a_cluster_is_called_by_its_name_once_it_was_used(shell: Shell) -> None:
    command = [sys.executable, "-m", "flambe.cluster.cli", "exec", "walkers", "--host", "factory_2", "hostname"]
    done = subprocess.run(command, capture_output=True, cwd="/", timeout=60, env=shell.environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["host"] == "walkers_factory_2"


def test_exec_gives_output_and_exit_code_of_every_machine(shell: Shell, machines: Any) -> None:
    events = shell("exec", "hostname; echo oh >&2; exit 7", expect=7)
    assert {(event["stdout"], event["stderr"], event["code"]) for event in events} == {
        (f"{machines.name(number)}\n", "oh\n", 7) for number in (1, 2, 3)
    }
    killed = shell("exec", "--host", "orchestrator", "kill -9 $$", expect=137)
    assert killed[0]["code"] == 137  # and not the -1 that stands for a lost connection
    words = shell("exec", "--host", "factory_1", "printf", "%s|", "a b", "$HOME; false")
    assert words[0]["stdout"] == "a b|$HOME; false|"


def test_only_holders_of_the_token_reach_ray(shell: Shell, machines: Any) -> None:
    script = f"import ray; ray.init(address='{machines.address(1)}:6379', _node_ip_address='{machines.address(1)}')"
    soon = "RAY_NUM_REDIS_GET_RETRIES=2"  # it asks 20 times, a second apart
    done = shell.raw("exec", "--host", "orchestrator", "env", soon, "timeout", "60", sys.executable, "-c", script)
    assert done.returncode == 1
    assert b"Authentication token is missing or incorrect" in done.stdout
    modes = shell("exec", "stat -c %a flambe/walkers/ray-token; grep -c . flambe/walkers/ray-token")
    assert {event["stdout"] for event in modes} == {"600\n1\n"}


def test_submit_follow_and_fetch_bring_results_of_all_factories_home(shell: Shell, machines: Any) -> None:
    (shell.folder / "words.txt").write_text("left right\n")
    spec = shell.compile(
        "!Environment\nextensions:\n  tinyext: ./tinyext\nlocal_files:\n  words: words.txt\n---\n!Experiment\nname: walks\npipeline:\n"
        "  walk: !tinyext.Walk\n    size: !g [1.0, 2.0, 3.0, 4.0]\n    pause: 0.5\n    words: !file words\n"
    )
    events = shell("submit", "-", "--follow", "--env", "WALK_SECRET", stdin=spec, WALK_SECRET="hush")
    job = events[0]["job"]
    run = events[0]["run"]
    assert run == "/root/flambe/walkers/results/walks/exp.0"
    assert events[-1] == {"event": "ended", "job": job, "state": "COMPLETE", "code": 0, "run": run}
    assert {event["metric"] for event in events if "variant" in event} == {2.0, 4.0, 6.0, 8.0}
    assert not (shell.folder / "flambe-output").exists()

    fetched = shell("fetch")[0]
    home = shell.folder / "flambe-output/walks/exp.0"
    assert fetched["run"] == "flambe-output/walks/exp.0"
    assert fetched["status"] == "COMPLETE"
    assert fetched["digests"] >= 8  # state and config of each of the four
    logs = "".join(path.read_text() for path in home.glob("stages/walk/size=*/outputs.log"))
    assert "left right hush" in logs  # the file and the variable reached the factories
    for number in (2, 3):
        assert f"walking on {machines.name(number)}" in logs
    assert f"walking on {machines.name(1)} " not in logs  # the orchestrator has no CPUs for work
    assert shell("fetch")[0]["run"] == fetched["run"]  # again changes nothing

    # Spoilt here, repaired by the next fetch; a foreign run in the way is refused.
    spoilt = next(iter(sorted(home.glob("stages/walk/size=1.0/checkpoint/*.json"))))
    stat = spoilt.stat()
    spoilt.write_bytes(bytes(len(spoilt.read_bytes())))
    os.utime(spoilt, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    shell("fetch")
    assert spoilt.read_bytes() != bytes(len(spoilt.read_bytes()))
    record = json.loads((home / "run.json").read_text())
    (home / "run.json").write_text(json.dumps({**record, "id": "0" * 26}))
    assert b"is another run" in shell.raw("fetch").stderr
    (home / "run.json").write_text(json.dumps(record))

    # The value was never part of a command line, and its file is for the user alone.
    kept = shell("exec", "--host", "orchestrator", f"stat -c %a flambe/walkers/jobs/{job}/environment.json")
    assert kept[0]["stdout"] == "600\n"

    # The same spec again finds all of its results there.
    again = shell("submit", "-", "--follow", "--env", "WALK_SECRET", stdin=spec, WALK_SECRET="hush")
    counts = again[-2]["counts"]
    assert (counts["reused"], counts["failed"]) == (4, 0)
    assert [event for event in again if event.get("variant") and not event["reused"]] == []


def test_a_job_outlives_the_submitter_and_keeps_others_out(shell: Shell) -> None:
    slow = shell.compile(
        "tinyext: ./tinyext\n---\n!Experiment\nname: long\npipeline:\n"
        "  walk: !tinyext.Walk\n    size: !g [1.0, 2.0]\n    steps: 500\n    pause: 0.2\n"
    )
    first = shell("submit", stdin=slow)[0]
    assert first["state"] == "RUNNING"
    assert first["run"].endswith("/results/long/exp.0")
    assert shell("status")[-1]["running"] == [first["job"]]
    refused = shell.raw("submit", stdin=slow)
    assert refused.returncode == 4
    assert f"busy with {first['job']}" in refused.stderr.decode()
    assert "--force" in refused.stderr.decode()

    quick = shell.compile(
        "tinyext: ./tinyext\n---\n!Experiment\nname: quick\npipeline:\n  walk: !tinyext.Walk\n    size: 5.0\n"
    )
    second = shell("submit", "--force", "--wait", stdin=quick)
    assert second[-1]["state"] == "COMPLETE"
    jobs = {event["job"]: event["state"] for event in shell("status") if event["event"] == "job"}
    assert jobs[first["job"]] == "CANCELLED"
    assert jobs[second[0]["job"]] == "COMPLETE"
    assert b'"status":"COMPLETE"' in shell.raw("logs", "--data", second[0]["job"]).stdout


def test_a_failing_job_gives_its_exit_code_and_its_log(shell: Shell) -> None:
    spec = shell.compile(
        "tinyext: ./tinyext\n---\n!Experiment\nname: bad\npipeline:\n"
        "  walk: !tinyext.Walk\n    size: 1.0\n    words: /nowhere/at/all\n"
    )
    done = shell.raw("submit", "--wait", stdin=spec)
    assert done.returncode == 1
    assert b"/nowhere/at/all" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["state"] == "FAILED"


def test_secrets_reach_a_runnable_on_a_factory_and_nothing_else(shell: Shell) -> None:
    token = "ABCDEFGHI123456789%x"
    (shell.folder / "secrets.ini").write_text(f"[AWS]\nTOKEN = {token}\n")
    (shell.folder / "secrets.ini").chmod(0o600)
    spec = shell.compile("tinyext: ./tinyext\n---\n!tinyext.Teller\n")
    done = shell.raw("submit", "--wait", "--secrets", "secrets.ini", stdin=spec)
    assert done.returncode == 1
    assert b"[secret] is refused" in done.stderr
    job = json.loads(done.stdout.splitlines()[0])["job"]
    fetched = shell("fetch", job)[0]
    home = shell.folder / fetched["run"]
    log = "".join(path.read_text() for path in home.glob("stages/teller/*/outputs.log"))
    assert f"the token is [secret] of {len(token)}" in log
    texts = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert not any(token.encode() in text for text in [*texts, done.stdout, done.stderr])
    # On the machines it stands in its own file, which is for the user alone.
    answers = shell("exec", f"cd flambe/walkers; grep -rlF {token} . ; stat -c %a jobs/{job}/secrets.ini")
    assert [answer["stdout"] for answer in answers] == [f"./jobs/{job}/secrets.ini\n600\n"] * 3
    (shell.folder / "secrets.ini").write_text(f"TOKEN = {token}\n")
    refused = shell.raw("submit", "--secrets", "secrets.ini", stdin=spec)
    assert refused.returncode == 2
    assert b"secrets.ini is no INI file (MissingSectionHeaderError, line 1)" in refused.stderr
    assert token.encode() not in refused.stderr


def test_a_powered_off_machine_is_noticed_and_repaired(shell: Shell, machines: Any) -> None:
    machines.power_off(3)
    status = shell("status", expect=4)
    assert status[-1]["unreachable"] == ["walkers_factory_2"]
    done = shell.raw("exec", "hostname")
    assert done.returncode == 4
    assert b"does not answer" in done.stderr
    assert len(done.stdout.splitlines()) == 2  # the others answered
    machines.power_on(3)
    machines.wait(3)
    events = shell("up", "--tries", "10")
    assert sorted(event["already"] for event in events if event["event"] == "ray") == [False, True, True]
    assert shell("status")[-1]["ok"]


def test_nodes_end_soon_after_their_head(shell: Shell, machines: Any) -> None:
    (head,) = shell("exec", "--host", "orchestrator", "pgrep gcs_server")[0]["stdout"].split()
    shell("exec", "--host", "orchestrator", f"kill -9 {head}")
    began = time.monotonic()
    while any(event["stdout"] for event in shell("exec", "pgrep raylet", expect=None)):
        assert time.monotonic() - began < 30
    print(f"the nodes ended {time.monotonic() - began:.1f} s after their head")
    assert shell("status", expect=4)[-1]["ok"] is False
    assert shell("up", "--tries", "5")[-1]["nodes"] == 3


def test_down_ends_what_the_cluster_started_and_nothing_else(shell: Shell, machines: Any) -> None:
    bystander = shell("exec", "--host", "factory_1", "setsid sleep 300 >/dev/null 2>&1 & echo $!")[0]["stdout"].strip()
    shell("down")
    left = shell("exec", "ps -eo args")
    assert all("ray" not in event["stdout"].replace("/tray", "") for event in left)
    assert shell("exec", "--host", "factory_1", f"kill {bystander}")[0]["code"] == 0
    # The results are still there, until they are cleaned away.
    assert shell("exec", "--host", "orchestrator", "ls flambe/walkers/results")[0]["stdout"].split() != []
    assert shell("fetch", "--run", "walks/exp.0", "--output-dir", "late")[0]["status"] == "COMPLETE"
    shell("down", "--clean")
    gone = shell("exec", "ls flambe")
    assert {event["stdout"] for event in gone} == {""}
    assert shell.raw("submit", stdin=b"{}").returncode == 2

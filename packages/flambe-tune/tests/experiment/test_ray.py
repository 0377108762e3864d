"""The command on Ray: the same results as without, survival of kill -9, nothing left behind, hosts without our disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from flambe.experiment.warden import processes_of
from flambe.record.ledger import fold, read_events

pytestmark = pytest.mark.slow

ASHA = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 9, "grace_period": 1, "reduction_factor": 3}
HYPERBAND = {"$new": "ray.tune.schedulers:HyperBandScheduler", "max_t": 9, "reduction_factor": 3}


def test_ray_and_one_child_give_the_same(benches):
    def spec(bench):
        made = bench.spec(rates=6, steps=9)
        for name, scheduler in (("asha", ASHA), ("hyperband", HYPERBAND)):
            made.stages.append(msgspec.structs.replace(made.stages[1], name=name, scheduler=scheduler))
        return made

    on_ray, alone = benches("ray"), benches("alone")
    rows, first, words = on_ray.tune(spec(on_ray), "--workers", "2")
    _, second, _ = alone.tune(spec(alone), "--runner", "local")
    assert Counter(row["stage"] for row in rows) == {"source": 1, "climb": 6, "asha": 6, "hyperband": 6, "judge": 2}
    assert {row["stage"] for row in rows if row.get("stopped_early")} == {"hyperband"}
    assert first["result_digest"] == second["result_digest"]
    workers = {e["worker"] for e in read_events(Path(first["run"]) / "ledger.jsonl") if e["event"] == "start"}
    assert workers == {"actor 1", "actor 2"}
    assert "this goes to" not in words
    lines = (Path(first["run"]) / "stages/climb/rate=1.0/metrics/climb.jsonl").read_text().splitlines()
    assert {json.loads(line).get("threads") for line in lines} == {None, 1}


def _ray_folder(pid: int) -> str:
    """The private folder of the Ray that a command started."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(link)
        if target.startswith("/tmp/flambe-ray-"):
            return "/".join(target.split("/")[:3])
    raise AssertionError("no Ray folder")


@pytest.mark.parametrize("scheduler", [ASHA], ids=["asha"])
def test_kill_9_in_a_sweep_and_the_same_command_again(benches, scheduler):
    calm, killed = benches("calm"), benches("killed")
    _, whole, _ = calm.tune(
        calm.spec(rates=5, steps=6, scheduler=scheduler, climber={"pause": 0.05}), "--runner", "local"
    )
    spec = killed.spec(rates=5, steps=6, scheduler=scheduler, climber={"pause": 0.05})
    ledger = killed.folder / "out/climb/exp.0/ledger.jsonl"
    deaths = 0
    for reports in (3, 17):
        process = subprocess.Popen(
            killed.command(spec, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )  # fmt: skip
        while sum(event["event"] == "report" for event in read_events(ledger)) < reports:
            assert process.poll() is None
            time.sleep(0.02)
        folder = _ray_folder(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        began = time.monotonic()
        process.wait()
        deaths += 1
        while processes_of(folder, set()) or os.path.exists(folder):
            assert time.monotonic() - began < 15, f"still there: {processes_of(folder, set())}"
            time.sleep(0.02)
        print(f"Ray was gone {time.monotonic() - began:.2f} s after kill -9 of the process group")
    rows, run, _ = killed.tune(spec, "--workers", "2")
    assert run["run"].endswith("exp.0")
    assert len(rows) == 8
    assert run["result_digest"] == whole["result_digest"]
    events = read_events(ledger)
    assert sum(event["event"] == "open" for event in events) == deaths + 1
    commits = Counter(event["unit"] for event in events if event["event"] == "commit")
    assert len(commits) == 8
    assert set(commits.values()) == {1}
    done: set[str] = set()
    for event in events:
        if event["event"] == "commit":
            done.add(event["unit"])
        assert not (event["event"] == "start" and event["unit"] in done), "what was finished began again"


@pytest.mark.parametrize(("number", "wanted"), [(signal.SIGTERM, "report"), (signal.SIGINT, "open")])
def test_a_signal_for_the_whole_group_ends_cleanly_and_the_same_command_goes_on(benches, number, wanted):
    bench = benches("stopped")
    spec = bench.spec(rates=2, steps=30, climber={"pause": 0.05})
    ledger = bench.folder / "out/climb/exp.0/ledger.jsonl"
    process = subprocess.Popen(
        bench.command(spec, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
    )  # fmt: skip
    while not any(event["event"] == wanted for event in read_events(ledger)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    os.killpg(process.pid, number)
    words = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number, words
    assert "the same command goes on from here" in words
    assert "Traceback" not in words
    record = json.loads((ledger.parent / "run.json").read_text())
    assert (record["status"], record["exit"]["signal"]) == ("CANCELLED", number.name)


def test_an_actor_that_dies_is_replaced_and_its_unit_goes_on(benches, tmp_path):
    calm, rough = benches("calm"), benches("rough")
    climber = {"dies": 3, "mark": str(tmp_path / "mark")}
    _, run, words = rough.tune(rough.spec(climber=climber), "--workers", "2")
    assert words.count("failed, is tried again: its worker died") in (1, 2)  # both may have begun without the mark
    _, whole, _ = calm.tune(calm.spec(climber=climber), "--runner", "local")
    assert run["result_digest"] == whole["result_digest"]


def test_a_ray_that_is_lost_ends_the_command_and_the_same_one_goes_on(bench, monkeypatch):
    # Until Ray notices, after 15 s by itself, its workers go on.
    monkeypatch.setenv("RAY_health_check_period_ms", "300")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "2")
    spec = bench.spec(rates=2, steps=40, climber={"pause": 0.2})
    process = subprocess.Popen(
        bench.command(spec, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    ledger = bench.folder / "out/climb/exp.0/ledger.jsonl"
    while not any(event["event"] == "report" and event["unit"].startswith("climb/") for event in read_events(ledger)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    for pid in processes_of(_ray_folder(process.pid), {process.pid}):
        if Path(f"/proc/{pid}/comm").read_text() == "raylet\n":
            os.kill(pid, signal.SIGKILL)
    words = process.communicate(timeout=60)[1]
    assert process.returncode == 4, words
    assert "the Ray of this run is gone. Give the same command again: it goes on from what was kept." in words
    assert json.loads((ledger.parent / "run.json").read_text())["status"] == "CANCELLED"
    events = read_events(ledger)
    assert not [event for event in events if event["event"] == "fail"], "no variant pays for it"
    assert fold(events).counts()["pending"] > 0


def test_raising_variants_are_told_and_retried(bench):
    spec = bench.spec(reduce=None, climber={"breaks": {"$grid": [0, 3]}}, rates=2)
    _, run, words = bench.tune(spec, "--workers", "2", code=1)
    assert run["counts"] == {"expected": 9, "done": 5, "reused": 0, "failed": 2, "pruned": 2, "pending": 0}
    assert words.count("failed, is tried again: RuntimeError: the rope broke") == words.count("failed: as before") == 2


def test_our_ray_listens_on_loopback_only(bench):
    spec = bench.spec(climber={"pause": 0.3})
    process = subprocess.Popen(bench.command(spec, "--workers", "2"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    pids = [*processes_of(_ray_folder(process.pid), set()), process.pid]
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(link) if link.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].partition(":")[0])
    process.communicate(timeout=100)
    assert len(listening) >= 3
    # 127.0.0.1, and the same written as an address of version 6.
    assert set(listening) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_joining_a_ray_whose_workers_do_not_see_our_disk(benches, monkeypatch):
    # The workers are told that they do not: everything then travels through Ray's object store.
    near, far = benches("near"), benches("far")
    _, whole, _ = near.tune(near.spec(rates=3, scheduler=ASHA, steps=9), "--runner", "local")
    blind = far.folder / "blind"
    blind.mkdir()
    (blind / "sitecustomize.py").write_text(
        "import os\nreal = os.path.isdir\n"
        f"hidden = {str(far.folder / 'out')!r}\n"
        "os.path.isdir = lambda path: not str(path).startswith(hidden) and real(path)\n"
        "seen = os.path.exists\n"
        "os.path.exists = lambda path: not str(path).startswith(hidden) and seen(path)\n"
    )
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    folder = f"/tmp/flambe-test-{os.getpid()}"
    environment = {**os.environ, "PYTHONPATH": str(blind)}
    start = [*ray, "start", "--head", "--port=0", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats",
             "--node-ip-address=127.0.0.1", "--object-store-memory=100000000", f"--temp-dir={folder}"]  # fmt: skip
    started = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=100)
    assert started.returncode == 0, started.stderr
    try:
        address = (Path(folder) / "ray_current_cluster").read_text().strip()
        _, run, _ = far.tune(far.spec(rates=3, scheduler=ASHA, steps=9), "--address", address)
        assert run["result_digest"] == whole["result_digest"]
        assert not list(Path(run["run"]).glob(".scratch/*"))
        monkeypatch.setenv("RAY_AUTH_TOKEN", "b" * 64)
        _, _, words = far.tune(far.spec(rates=2), "--address", address, code=4)
        assert f"cannot join the Ray at {address}" in words
    finally:
        for pid in processes_of(folder, set()):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)

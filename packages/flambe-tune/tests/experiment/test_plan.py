"""``--plan`` says what runs, what is reused, and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest

from flambe.compile.search import expand
from flambe.experiment.preview import Preview
from flambe.experiment.session import Settings, run_experiment
from flambe.experiment.table import plan_table
from flambe.pipeline.reason import Reasons
from flambe.record.declared import forget_files
from flambe.record.keeper import Keeper
from flambe.record.ledger import fold, read_events
from flambe.record.opening import open_run
from flambe.runner.plan import concrete_units
from flambe.spec.codec import dump_spec


@pytest.fixture
def plan(bench):
    """Plans a spec; returns (stage, variant) → row, and the last row."""

    def planned(spec, *options):
        rows, end, _ = bench.tune(spec, "--plan", *options)
        return {(row["stage"], row.get("variant")): row for row in rows}, end

    return planned


@pytest.mark.slow
def test_a_plan_says_why(bench, plan):
    spec = bench.spec(rates=2, steps=2)
    rows, end = plan(spec)
    assert {row["why"] for row in rows.values() if row["action"] == "run"} == {"no run had this stage"}
    assert "worker_seconds" not in end
    run_experiment(spec, Settings(runner="local"))
    rows, end = plan(spec)
    assert end["counts"] == {"reuse": 5}
    rows, end = plan(bench.spec(rates=2, steps=3))
    climb = rows["climb", "rate=0.5"]
    assert (climb["action"], climb["why"]) == ("run", "climb.steps was 2, is 3 (in exp.0)")
    assert rows["judge", "rate=0.5"]["why"] == "it rests on climb, which runs anew"
    assert rows["source", "0"]["action"] == "reuse"
    assert "climb" in end["worker_seconds"]
    rows, _ = plan(bench.spec(rates=3, steps=2))
    assert rows["climb", "rate=0.3333333333333333"]["why"] == "not tried in exp.0: climb.rate=0.3333333333333333"
    assert rows["climb", "rate=1.0"]["action"] == "reuse"
    rows, _ = plan(spec, "--seed", "5")
    assert rows["climb", "rate=0.5"]["why"] == "it rests on source, which runs anew"
    assert rows["source", "0"]["why"] == "seed was 1 in exp.0, is 5"
    bench.toys.write_text(bench.toys.read_text() + "\n# changed\n")
    rows, _ = plan(spec)
    assert rows["source", "0"]["why"] == "the code of toys has changed since exp.0"
    (bench.folder / "out/climb/exp.0/stages/source/0/checkpoint/manifest.json").unlink()
    bench.toys.write_text(bench.toys.read_text().replace("\n# changed\n", ""))
    rows, _ = plan(spec)
    assert rows["source", "0"]["why"] == "its files in exp.0 are gone or damaged"
    rows, _ = plan(spec, "--force")
    assert rows["source", "0"]["why"] == "--force"


def test_units_that_waited_for_their_worker_to_start_do_not_count(bench):
    spec = bench.spec(rates=4)
    run = bench.folder / "out/climb/exp.0"
    run.mkdir(parents=True)
    (run / "spec.json").write_bytes(dump_spec(spec))
    events = [{"event": "open"}, *({"event": "plan", "unit": f"climb/{n}", "stage": "climb"} for n in range(4))]
    for worker, times in (("one", (0, 20, 23)), ("two", (0, 30, 35))):
        for unit, began, ended in zip(("02", "13")[worker == "two"], times, times[1:], strict=False):
            at = {"unit": f"climb/{unit}", "worker": worker}
            events.append(
                {"event": "start", "t": f"2026-01-01T00:00:{began:02}.000Z", "from_step": 0, "attempt": 1, **at}
            )
            events.append({"event": "commit", "t": f"2026-01-01T00:00:{ended:02}.000Z", **at})
    (run / "ledger.jsonl").write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    assert Reasons(run.parent, spec).seconds("climb") == 4.0
    assert Reasons(run.parent, spec).seconds("judge") is None


def test_a_search_is_planned_as_what_it_is(bench, plan):
    search = {"$new": "ray.tune.search.optuna:OptunaSearch", "trial_budget": 7}
    spec = bench.spec(climber={"rate": {"$uniform": [0, 1]}})
    spec.stages[1].search = search
    rows, end = plan(spec)
    assert end["counts"] == {"run": 1, "search": 2}
    assert rows["climb", None] == {
        "stage": "climb",
        "search": "climb",
        "at_most": 7,
        "action": "search",
        "why": "no run had this stage",
    }
    assert rows["judge", None]["search"] == "climb"


def test_how_much_a_search_of_ones_own_tries_it_knows_itself(bench, searching):
    spec = bench.spec(climber={"rate": {"$uniform": [0, 1]}})
    spec.environment.extensions["searching"] = str(searching)

    def planned(**given):
        spec.stages[1].search = {"$new": "searching:Stubborn", "rates": [1], **given}
        preview = Preview(spec, Settings(runner="local"))
        (row,) = (row for row in preview.rows if row["stage"] == "climb")
        return row.get("at_most"), plan_table(preview.rows, preview.end)

    most, table = planned()
    assert most is None
    assert "≤" not in table
    most, table = planned(trial_budget=7)
    assert most == 7
    assert "≤ 7" in table


def test_a_plan_names_the_file_that_has_changed(bench):
    data = bench.folder / "numbers.txt"
    data.write_text("1 2 3")
    spec = bench.spec(rates=1, climber={"mark": {"$file": str(data)}})

    def why():
        forget_files()
        units = concrete_units(next(expand(spec)), bench.folder / "next")
        return [Reasons(bench.folder / "out" / "climb", spec).why(unit, []) for unit in units]

    keeper = Keeper(open_run(spec, tool="test"))
    for unit in concrete_units(next(expand(spec)), keeper.paths.root):
        keeper.plan(unit)
    keeper.close("CANCELLED")
    data.write_text("1 2 4")
    assert why()[1] == f"{data} has changed since exp.0"
    other = bench.folder / "elsewhere" / "numbers.txt"
    other.parent.mkdir()
    other.write_text("1 2 3")
    spec.stages[1].body["mark"] = {"$file": str(other)}
    assert why()[1] == "pending in exp.0"  # the same content
    other.write_text("1 2 5")
    assert why()[1] == "climb.mark was numbers.txt, is numbers.txt, with other content (in exp.0)"
    spec.stages[1].body["mark"] = {"$file": str(other.rename(other.with_name("others.txt")))}
    assert why()[1] == "climb.mark was numbers.txt, is others.txt (in exp.0)"
    # A ledger of a version that told files by their paths.
    ledger = bench.folder / "out/climb/exp.0/ledger.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    ledger.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "files"}) + "\n" for line in lines))
    spec.stages[1].body["mark"] = {"$file": str(data)}
    assert why()[1] == "files were told by their paths when exp.0 was made, and are by their content now"


def test_a_plan_says_which_run_goes_on_and_what_stays_in_it(bench, plan, labs, monkeypatch):
    asha = {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 4, "grace_period": 1, "reduction_factor": 2}
    spec = bench.spec(rates=4, steps=4, scheduler=asha)
    (lab,) = labs(
        1,
        steps=lambda unit: 4 if unit.stage == "climb" else 1,
        metric=lambda unit, step: step - unit.params.get("climb.rate", 0),
    )
    lab.folder = bench.folder / "out"
    assert lab.run(spec, slots=1, kill_at=40) is None
    # The process that began it is this one.
    monkeypatch.undo()
    record = lab.folder / "climb/exp.0/run.json"
    record.write_text(record.read_text().replace(f'"pid": {os.getpid()}', '"pid": 999999999'))
    state = fold(read_events(record.with_name("ledger.jsonl")))
    stopped = [unit for unit, event in state.done.items() if unit.startswith("climb") and not event["complete"]]
    rows, end = plan(spec)
    assert end["continues"] == str(record.parent)
    assert stopped
    assert {rows["climb", unit.partition("/")[2]]["action"] for unit in stopped} == {"reuse"}
    assert end["counts"]["reuse"] == len(state.done)


def test_a_config_in_place_of_a_spec_is_told_how_to_go_on(tmp_path):
    (tmp_path / "exp.yaml").write_text("!Experiment\nname: e\n")
    command = [sys.executable, "-m", "flambe.experiment.cli", "exp.yaml", "--plan"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "flambe-tune: error: exp.yaml is a config, and flambe-tune reads specs. "
        "Write flambe-compile exp.yaml | flambe-tune --plan, or flambe exp.yaml --plan.\n"
    )

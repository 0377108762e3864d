from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from flambe.experiment import ProgressState, desk
from flambe.experiment.cli import main
from flambe.experiment.display import LiveTable, span
from flambe.experiment.table import best_table, choices_table, plan_table, status_table, variants_table
from flambe.experiment.work import Phase, Work
from flambe.pipeline import Variant
from flambe.runner.unit import Unit
from flambe.spec.nodes import Spec, Stage

ROW = {
    "stage": "train",
    "variant": "lr=0.1",
    "metric": 0.5,
    "step": 3,
    "seconds": 1.25,
    "status": "COMPLETE",
    "reused": False,
}


def test_the_table_of_choices_over_seeds():
    rows = [
        {"stage": "train", "params": {"model.n": 3, "train.lr": 0.1}, "metric": 0.5, "std": 0.0312, "n": 3},
        {"stage": "evaluate", "params": {}, "metric": 0.25, "std": None, "n": 1},
    ]
    assert choices_table(rows).splitlines() == [
        "stage     choice      metric over seeds",
        "train     n=3,lr=0.1  0.5000 ± 0.0312 (3)",
        "evaluate              0.2500 (1)",
    ]


def test_the_table_of_a_plan():
    def row(stage, action, why=None, **more):
        return {"stage": stage, "variant": "0", "action": action, **({"why": why} if why else {}), **more}

    rows = [
        row("data", "reuse"),
        row("fit", "run", "seed was 1 in exp.0, is 2"), row("fit", "run", "failed in exp.0"),
        row("fit", "run", "failed in exp.0"), row("fit", "reuse"),
        {"stage": "tuned", "search": "tuned", "at_most": 20, "action": "search", "why": "no run had this stage"},
    ]  # fmt: skip
    end = {"name": "x", "output_dir": "out/x", "counts": {}, "worker_seconds": {"fit": 3.0, "tuned": 1000.5}}
    assert plan_table(rows, end).splitlines() == [
        "stage  run  search  reuse  why",
        "data     ·       ·      1",
        "fit      3       ·      1  failed in exp.0 (2)",
        "                           seed was 1 in exp.0, is 2 (1)",
        "tuned    ·    ≤ 20      ·  no run had this stage",
        "As before it takes 1,003.5 s of one worker.",
    ]
    assert plan_table(rows[:1], {**end, "continues": "out/x/exp.1", "worker_seconds": {}}).splitlines() == [
        "stage  reuse  why",
        "data       1",
        "It goes on with out/x/exp.1.",
    ]


def test_tables_say_what_a_variant_of_a_population_became():
    taken = [
        {"step": 2, "donor": "train/lr=0.3", "donor_step": 2, "choice": {"lr": 0.1}},
        {"step": 4, "donor": "train/lr=0.05", "donor_step": 4, "choice": {"lr": 0.03}},
    ]
    row = {"stage": "train", "variant": "lr=0.0001", "metric": 0.5, "step": 6, "seconds": 1.0, "status": "COMPLETE"}
    rows = [{**row, "reused": False, "takeovers": taken}, {**row, "variant": "lr=0.05", "reused": True}]
    assert variants_table(rows).splitlines()[1:] == [
        "train  lr=0.0001  0.5000     6      1.0  now lr=0.03, from step 4 of lr=0.05",
        "train  lr=0.05    0.5000     6      1.0  reused",
    ]
    tested = {**row, "stage": "test", "explored": {"train.lr": 0.03}, "folder": "x/stages/test/lr=0.0001"}
    best = {"run": "x", "best": {"train": {**rows[0], "folder": "x/stages/train/lr=0.0001"}, "test": tested}}
    assert best_table(best).splitlines() == [
        "stage  metric  variant                                         folder",
        "train  0.5000  lr=0.0001  now lr=0.03, from step 4 of lr=0.05  x/stages/train/lr=0.0001",
        "test   0.5000  lr=0.0001  now lr=0.03                          x/stages/test/lr=0.0001",
    ]


def test_the_table_of_variants():
    rows = [
        ROW,
        {**ROW, "variant": "lr=0.2", "stopped_early": True, "step": 1},
        {**ROW, "variant": "lr=0.3", "metric": None, "status": "FAILED", "error": "ValueError: no"},
        {**ROW, "stage": "evaluate", "reused": True},
        {**ROW, "variant": "lr=0.4", "metric": 0.75},
    ]
    assert variants_table(rows).splitlines() == [
        "stage     variant  metric  step  seconds",
        "train     lr=0.4   0.7500     3      1.2",
        "train     lr=0.1   0.5000     3      1.2",
        "train     lr=0.2   0.5000     1      1.2  stopped early",
        "train     lr=0.3   FAILED     3      1.2  ValueError: no",
        "evaluate  lr=0.1   0.5000     3      1.2  reused",
    ]


def test_of_a_thousand_variants_the_best_and_some_that_failed_are_listed():
    rows = [{**ROW, "variant": f"lr={index}", "metric": index / 1000, "lower_is_better": True} for index in range(980)]
    rows += [{**ROW, "variant": f"bad={index}", "status": "FAILED", "error": "no " * 60} for index in range(20)]
    lines = variants_table(rows, width=60).splitlines()
    assert [line.split()[1] for line in lines[1:11]] == [f"lr={index}" for index in range(10)]
    assert {line.split()[2] for line in lines[11:-1]} == {"FAILED"}
    assert max(map(len, lines)) == 60
    assert lines[-1] == "… and 980 more: flambe-report ls shows all"
    assert len(variants_table(rows, most=None).splitlines()) == 1001


def _live(stages, units):
    shown = LiveTable()
    shown.begin(Path("run"), Spec(name="x", stages=[Stage(name=name, body={}) for name in stages]))
    shown.end()
    works = [
        Work(
            Unit(stage=stages[0], variant=f"lr={index}", body={}, key="k", seed=0),
            Variant("train", 0, {}),
            (0, 0),
            False,
        )
        for index in range(units)
    ]
    return shown, works


def _drawn(shown, width):
    shown._console = Console(file=io.StringIO(), width=width)
    shown._console.print(shown._draw())
    return shown._console.file.getvalue().splitlines()


def test_a_terminal_sees_a_table_while_it_runs():
    shown, (work,) = _live(["train"], 1)
    for phase, metric in ((Phase.READY, None), (Phase.RUNNING, 0.25), (Phase.DONE, 0.75)):
        work.phase, work.metric = phase, metric
        shown.changed(work)
    _, names, line = _drawn(shown, 100)
    assert names.split() == ["stage", "pending", "running", "done", "failed", "best", "so", "far"]
    assert line.split() == ["train", "·", "·", "1", "·", "0.7500", "lr=0"]
    work.metric = 0.5  # what it has in the end counts, as in the last table
    shown.changed(work)
    assert _drawn(shown, 100)[2].split()[-2] == "0.5000"
    work.phase = Phase.PRUNED
    shown.changed(work)
    assert "pruned" in _drawn(shown, 100)[1]
    assert "lr=0" not in _drawn(shown, 100)[2]


@pytest.mark.parametrize("width", [40, 71, 72, 200])
def test_a_table_is_never_wider_than_its_terminal_nor_taller_than_its_stages(width):
    shown, works = _live(["a_stage_with_quite_a_name", "evaluate"], 1000)
    for index, work in enumerate(works):
        work.phase, work.metric = (Phase.DONE, float(index)) if index % 2 else (Phase.READY, None)
        shown.changed(work)
    lines = _drawn(shown, width)
    assert len(lines) == 4
    assert max(map(len, lines)) <= width
    assert [cell for cell in lines[2].split() if cell == "500"] == ["500", "500"]
    assert ("pending" in lines[1]) == (width >= 72)
    assert width < 200 or "lr=999" in lines[2]


def test_the_time_that_is_left_follows_from_what_has_ended():
    shown, works = _live(["train"], 8)
    for work, phase in zip(works, [Phase.RUNNING] * 2 + [Phase.READY] * 6, strict=True):
        work.phase = phase
        shown.changed(work)
    assert shown.seconds_left() is None
    works[0].phase, works[0].seconds = Phase.DONE, 10.0
    works[2].phase = Phase.RUNNING
    shown.changed(works[0])
    shown.changed(works[2])
    # Two run, five wait: six times ten seconds on two workers.
    assert shown.seconds_left() == 30.0
    assert shown._draw().title.endswith("s, about 30 s left")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (100, "2 min"), (12_000, "3 h 20 min"), (200_000, "2 d 7 h")],
)
def test_times_are_told_as_people_tell_them(seconds, text):
    assert span(seconds) == text


def test_questions_about_a_run_have_answers_for_people_and_help_of_their_own(labs, capfd):
    (lab,) = labs(1, steps=lambda unit: 1, metric=lambda unit, step: 0.5)
    spec = Spec(
        name="x", stages=[Stage(name="train", body={"$new": "m:T", "net": {"$grid": [{"$new": "m:Net", "h": 1}]}})]
    )
    lab.run(spec)
    run = str(lab.folder / "x" / "exp.0")
    row = desk.best(run)["best"]["train"]
    assert row["params"]["train.net"].startswith("Net-")
    assert Path(row["folder"]).is_dir()
    assert best_table(desk.best(run)).splitlines()[1].endswith(row["folder"])
    assert status_table(desk.status(run)).splitlines() == [
        f"{run}: COMPLETE, 1 of 1 done",
        "stage  done",
        "train     1",
    ]
    progress = ProgressState.of(run)
    assert (progress.done, progress.total, progress.finished) == (1, 1, True)
    assert progress.checkpoint_state == {"train": 2}
    assert json.loads(progress.toJSON())["variants"] == {"train": [row["variant"]]}
    assert main(["best", "--help"]) == 0
    assert "flambe-tune best [OPTIONS] RUN" in capfd.readouterr().out
    assert main(["-q", "status", str(lab.folder / "x")]) == 2
    assert f"no run directory (it has no run.json). Its newest run is {run}." in capfd.readouterr().err


def test_progress_is_told_by_hand_too():
    progress = ProgressState("x", "nowhere", {"data": [], "train": ["data"], "judge": ["train"]}, 2)
    progress.checkpoint_start("data")
    progress.checkpoint_end("data", {"0": "nowhere/data/0"}, True)
    progress.checkpoint_start("train")
    progress.refresh()
    assert progress.checkpoint_state == {"data": 2, "train": 1, "judge": 0}
    progress.checkpoint_end("train", {"lr=1": None, "lr=2": None}, False)
    progress.finish()
    told = json.loads(progress.toJSON())
    assert (told["done"], told["total"], told["finished"], told["factories_num"]) == (2, 3, True, 2)
    assert told["checkpoint_state"] == {"data": 2, "train": 3, "judge": 0}
    assert told["variants"]["train"] == ["lr=1", "lr=2"]
    with pytest.raises(KeyError, match="tran"):
        progress.checkpoint_start("tran")

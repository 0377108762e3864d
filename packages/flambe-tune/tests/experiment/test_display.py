from __future__ import annotations

from flambe.experiment.display import choices_table, table_of

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


def test_the_table_of_variants():
    rows = [
        ROW,
        {**ROW, "variant": "lr=0.2", "stopped_early": True, "step": 1},
        {**ROW, "variant": "lr=0.3", "metric": None, "status": "FAILED", "error": "ValueError: no"},
        {**ROW, "stage": "evaluate", "reused": True},
    ]
    assert table_of(rows).splitlines() == [
        "stage     variant  metric  step  seconds",
        "train     lr=0.1   0.5000     3      1.2",
        "train     lr=0.2   0.5000     1      1.2  stopped early",
        "train     lr=0.3              3      1.2  FAILED: ValueError: no",
        "evaluate  lr=0.1   0.5000     3      1.2  reused",
    ]


def test_a_terminal_sees_a_table_while_it_runs(monkeypatch):
    import io

    from rich.console import Console

    from flambe.experiment.display import LiveTable
    from flambe.experiment.work import Phase, Work
    from flambe.pipeline import Variant
    from flambe.runner.unit import Unit
    from flambe.spec.nodes import Spec, Stage

    shown = LiveTable()
    shown.begin(__import__("pathlib").Path("run"), Spec(name="x", stages=[Stage(name="train", body={})]))
    shown.end()
    unit = Unit(stage="train", variant="lr=0.1", body={}, key="k", seed=0)
    work = Work(unit, Variant("train", 0, {}), (0, 0), False)
    for phase, metric in ((Phase.READY, None), (Phase.RUNNING, 0.25), (Phase.DONE, 0.75)):
        work.phase, work.metric = phase, metric
        shown.changed(work)
    out = io.StringIO()
    Console(file=out, width=100).print(shown._draw())
    text = out.getvalue()
    assert "best so far" in text
    assert "0.75  lr=0.1" in text
    line = next(line for line in text.splitlines() if line.startswith("train"))
    assert line.split()[1:6] == ["·", "·", "1", "·", "·"]


def test_the_time_that_is_left_follows_from_what_has_ended():
    from pathlib import Path

    from flambe.experiment.display import LiveTable
    from flambe.experiment.work import Phase, Work
    from flambe.pipeline import Variant
    from flambe.runner.unit import Unit
    from flambe.spec.nodes import Spec, Stage

    shown = LiveTable()
    shown.begin(Path("run"), Spec(name="x", stages=[Stage(name="train", body={})]))
    shown.end()
    units = [Unit(stage="train", variant=f"lr={index}", body={}, key="k", seed=0) for index in range(8)]
    works = [Work(unit, Variant("train", 0, {}), (0, 0), False) for unit in units]
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

"""What a run could only come to after hours is refused before anything runs, by ``--plan`` too, with where it is written."""

from __future__ import annotations

import pytest

from flambe.compile import compile_text
from flambe.errors import FlambeError
from flambe.experiment.gpus import VISIBLE
from flambe.experiment.preview import Preview
from flambe.experiment.session import LOCAL, RAY, Settings, run_experiment

FILE = """toys: {toys}
searching: {searching}
scheduling: {scheduling}
broken: {broken}
---
!Experiment
name: climb
save_path: {out}
reduce: {{source: 1}}
{line}
pipeline:
  source: !toys.Source
  climb: !toys.Climber {{source: !@ source, rate: !choice [1, 2], steps: 2}}
  last: !toys.Judge {{climber: !@ climb}}
"""


@pytest.fixture
def config(bench, searching):
    """Makes the spec of a config with a line more."""
    names = ("searching", "scheduling", "broken")
    files = {"toys": bench.toys, **{name: searching.with_name(f"{name}.py") for name in names}}
    return lambda line: compile_text(FILE.format(**files, out=bench.folder / "out", line=line), name="t.yaml")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "search: {climb: !searching.Late {first: 1}}",
            r"t.yaml>:10:17: the search algorithm searching:Late .*no first",
        ),
        (
            "search: {climb: !searching.Unready {first: 1}}",
            r":10:17: initialize\(\) of Unready raised LookupError: no space",
        ),
        (
            "search: {climb: !broken.Mine {}}",
            r":10:17: the module broken raised LookupError: no luck \(.*broken.py:4\)",
        ),
        ("search: {climb: !searching.Nothing {}}", r":10:17: searching:Nothing is no search algorithm"),
        (
            "schedulers: {climb: !scheduling.Picky {patience: 3}}",
            r":10:21: the scheduler scheduling:Picky .*IndexError",
        ),
        ("cpus_per_trial: {last: 64}", r":10:24: stage 'last' asks for 64 cpus, there are \d"),
        ("devices: {cpu: 64}", r":10:10: stage 'source' asks for 64 cpus, there are \d"),
        ("gpus_per_trial: {last: 4}", r":10:24: stage 'last' asks for 4 gpus, there are 2"),
    ],
)
def test_before_anything_runs(config, monkeypatch, line, message):
    monkeypatch.setenv(VISIBLE, "3,5")
    for settings in (Settings(LOCAL), Settings(RAY, workers=2)):
        with pytest.raises(FlambeError, match=message):
            Preview(config(line), settings)
    rows = []
    with pytest.raises(FlambeError, match=message):
        run_experiment(config(line), Settings(LOCAL), on_row=rows.append)
    assert rows == []

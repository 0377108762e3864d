"""What the compiler says of searches and schedulers that have nothing to decide."""

from __future__ import annotations

import pytest

from flambe.compile import compile_text
from flambe.errors import ConfigError

MODULE = """
from flambe import Component


class Still(Component):
    def __init__(self, x=1):
        super().__init__()


class Walk(Still):
    def run(self):
        return False
"""


@pytest.fixture
def compiled(tmp_path):
    """Compiles an experiment of three stages with a line more."""
    (tmp_path / "mine.py").write_text(MODULE)

    def compile_(line):
        stages = "  still: !mine.Still\n  walk: !mine.Walk {x: !g [1, 2]}\n  go: !Script {script: echo}\n"
        return compile_text(f"mine: {tmp_path}/mine.py\n---\n!Experiment\n{line}\npipeline:\n{stages}", name="t")

    return compile_


def test_a_search_of_tune_says_how_many_choices_it_makes(compiled):
    with pytest.raises(
        ConfigError, match=r"4:16: OptunaSearch has no trial_budget.*!ray.OptunaSearch {trial_budget: 20}"
    ):
        compiled("search: {walk: !ray.OptunaSearch {}}")


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("schedulers: {still: !ray.ASHAScheduler {}}", "'still' has nothing to decide: Still has no run()"),
        ("schedulers: {go: !ray.ASHAScheduler {}}", "'go' has nothing to decide: a Script runs as a whole"),
        ("schedulers: {walk: !ray.ASHAScheduler {}}", ""),
        ("search: {still: !RandomSearch {trial_budget: 4}}", "'still' has nothing to choose"),
        ("search: {still: !ray.OptunaSearch {trial_budget: 4}}", "'still' has nothing to choose"),
        ("search: {walk: !ray.OptunaSearch {trial_budget: 4}}", ""),
    ],
)
def test_what_decides_about_nothing_is_warned_of(compiled, capsys, line, warning):
    compiled(line)
    said = capsys.readouterr().err
    assert (warning in said) if warning else said == ""

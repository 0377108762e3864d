"""What the proofs of the store run: a walk of some steps and a look at it, and a function that logs what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from flambe.spec.nodes import Environment, Spec, Stage

_COMPONENTS = '''
import pathlib, random, time
import flambe
import numpy as np
from flambe import Component


class Model(Component):
    def __init__(self, size=2):
        super().__init__()
        self.weights = np.random.rand(size)
        self.register_attrs("weights")


class Walk(Component):
    """rate: how far a step goes. fail_at: the step that raises. sway: whether what is compared goes up and down."""

    def __init__(self, model, rate=1.0, steps=3, fail_at=None, sway=False, pause_s=0.0):
        super().__init__()
        self.model, self.rate, self.steps = model, rate, steps
        self.fail_at, self.sway, self.pause_s = fail_at, sway, pause_s
        self.position, self.done = 0.0, 0
        self.register_attrs("position", "done")

    def run(self):
        if self.fail_at == self.done:
            raise ValueError("the toy broke as it was told to")
        time.sleep(self.pause_s)
        self.position += random.random() * self.rate
        self.model.weights += 0.5
        self.done += 1
        print("step", self.done)
        with open(pathlib.Path(flambe.get_trial_dir()) / "log.txt", "a") as stream:
            stream.write(f"{self.done} ")
        flambe.log("walk/position", self.position, self.done)
        return self.done < self.steps

    def metric(self):
        return -self.position if self.sway and self.done % 3 else self.position


class Look(Component):
    def __init__(self, model):
        super().__init__()
        self.model, self.total = model, None
        self.register_attrs("total")

    def run(self):
        self.total = float(self.model.weights.sum())
        return False

    def metric(self):
        return self.total
'''

_FUNCTION = """
import os

import flambe
import numpy as np


@flambe.launch()
def toy(ctx):
    position = 0.0
    for step in range(1, ctx.config.steps + 1):
        position += ctx.config.rate / step
        ctx.logger.log_metrics({"position": position, "step": step}, log_name="walk")
        ctx.logger.log_artifact({"position": np.full(3, position)}, f"seen/{step}", "numpy")
        ctx.logger.log_checkpoint({"position": position, "step": step})
    ctx.logger.log_artifact([position], "all.json", "json")
    ctx.logger.log_artifact(f"{position}", "note.txt", "text")
    if os.environ.get("TOY_FAILS_AT") == str(ctx.config.rate):
        raise ValueError("the toy broke as it was told to")
    return position
"""


def toys_at(folder: Path) -> Path:
    """Write the toys below a folder, the function in a repository with an edit that is not committed, and return the package of the
    components.
    """
    (folder / "toyext").mkdir(parents=True)
    (folder / "toyext/__init__.py").write_text(_COMPONENTS)
    project = folder / "project"
    (project / "functoy/configs").mkdir(parents=True)
    (project / "functoy/configs/config.yaml").write_text("seed: 3\nrate: 1.0\nsteps: 2\n")
    (project / "functoy/__init__.py").write_text("")
    (project / "functoy/task.py").write_text("")
    git = ["git", "-C", str(project), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "a toy"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    (project / "functoy/task.py").write_text(_FUNCTION)
    for file in project.rglob("*.py"):  # what is written while a process begins may not be what it loads
        os.utime(file, (1e9, 1e9))
    sys.path[:0] = [str(folder), str(project)]
    return folder / "toyext"


def spec_of(toy: Path, name: str = "toy", **walk: Any) -> Spec:
    """Return the spec of a walk and a look at it. walk: its arguments."""
    look = {"$new": "toyext:Look", "model": {"$link": ["walk"], "attr": ["model"]}}
    return Spec(
        name=name,
        stages=[
            Stage(name="walk", body={"$new": "toyext:Walk", "model": {"$new": "toyext:Model", "size": 2}, **walk}),
            Stage(name="look", body=look),
        ],
        environment=Environment(extensions={"toyext": str(toy)}),
    )

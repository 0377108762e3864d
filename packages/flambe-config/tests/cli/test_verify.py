"""`flambe verify`: the first step and the first name that differ."""

import json
import subprocess
import sys
import textwrap

import pytest

from flambe.cli.verify import verify as verify_command
from flambe.compile.compiler import compile_file
from flambe.errors import ConfigFaults, ProvenanceError, UsageError
from flambe.runner.execute import execute
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Environment, Spec, Stage

TOY = """
import os, random
import flambe
import numpy as np
from flambe import Component

class Model(Component):
    def __init__(self, size):
        super().__init__()
        self.weights = np.random.rand(size)
        self.register_attrs("weights")

class Walk(Component):
    def __init__(self, model, steps=6):
        super().__init__()
        self.model, self.steps, self.done, self.forgotten = model, steps, 0, 0
        self.register_attrs("done")

    def run(self):
        self.done += 1
        self.model.weights += random.random()
        {more}
        return self.done < self.steps

class Look(Component):
    def __init__(self, model):
        super().__init__()
        self.total = float(model.weights.sum()) + {look}
        self.register_attrs("total")

    def run(self):
        return False
"""


@pytest.fixture
def verify(tmp_path):
    """Verify a walk with a line of its own in its steps; returns the exit code and the rows."""

    def go(more, *words, rate=None, look="0"):
        folder = tmp_path / "twicetoy"
        folder.mkdir()
        (folder / "__init__.py").write_text(
            TOY.replace("{more}", textwrap.indent(more, " " * 8).lstrip()).replace("{look}", look)
        )
        spec = Spec(
            name="toy",
            stages=[
                Stage(
                    name="walk", body={"$new": "twicetoy:Walk", "model": {"$new": "twicetoy:Model", "size": rate or 2}}
                ),
                Stage(name="look", body={"$new": "twicetoy:Look", "model": {"$link": ["walk"], "attr": ["model"]}}),
            ],
            environment=Environment(extensions={"twicetoy": str(folder)}),
        )
        path = tmp_path / "spec.json"
        path.write_bytes(dump_spec(spec))
        before = sorted(tmp_path.iterdir())
        program = [sys.executable, "-m", "flambe.cli.umbrella", "verify", str(path), *words]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert sorted(tmp_path.iterdir()) == before
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return go


@pytest.mark.slow
def test_what_is_repeatable_is_bit_equal(verify):
    code, rows, err = verify("pass", rate={"$grid": [3, 4]})
    assert code == 0
    assert {(row["stage"], row["compared"], row["verdict"]) for row in rows} == {
        (stage, compared, "bit-equal") for stage in ("walk", "look") for compared in ("again", "resumed")
    }
    assert rows[0]["steps"] == 4
    assert "of the search, its first variant" in err


@pytest.mark.slow
def test_what_draws_from_nowhere_is_named_and_so_is_what_a_step_does_not_save(verify):
    """The walk counts what it does not save; the look at it takes its number from the process."""
    code, rows, _ = verify("self.forgotten += 1\nself.model.weights[1] += self.forgotten", look="os.getpid()")
    assert code == 1
    again, resumed, look, _ = rows
    assert (again["compared"], again["verdict"]) == ("again", "bit-equal")
    assert (resumed["compared"], resumed["verdict"], resumed["step"]) == ("resumed", "different", 3)
    assert (resumed["name"], resumed["class"], resumed["difference"]) == ("model.weights", "twicetoy:Model", 2.0)
    assert (look["compared"], look["verdict"], look["name"]) == ("again", "different", "total")
    assert look["class"] == "twicetoy:Look"


FUNCTION = """
import os
import flambe
import numpy as np

@flambe.launch()
def main(ctx):
    for step in range(1, 4):
        ctx.logger.log_metrics({"loss": os.getpid() if step == ctx.config.odd_at else step / 2, "step": step}, log_name="train")
    ctx.logger.log_artifact({"loss": np.ones(3)}, "loss", "numpy")
    print("in", os.getpid())
    return os.getpid() if ctx.config.odd_at else 1
"""


def verify_function(folder, config, *words):
    program = [sys.executable, "-m", "flambe.cli.umbrella", "verify", config, *words]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (row.pop("stage"), row.pop("compared")) == ("main", "again"), done.stderr
    return done, {name: row[name] for name in row if name not in ("recorded", "here", "difference")}


@pytest.fixture
def odd(tmp_path):
    """A folder with a function and its config."""
    (tmp_path / "odd.py").write_text(FUNCTION)
    (tmp_path / "odd.yml").write_text(
        "__run__: {__main__: 'odd:main', __output_dir__: out, __name__: odd}\nodd_at: 0\n"
    )
    return tmp_path


@pytest.mark.slow
def test_a_function_is_run_whole(odd):
    done, row = verify_function(odd, "odd.yml")
    assert (done.returncode, row) == (0, {"verdict": "bit-equal", "values": 3})
    assert "what it printed differs first at line 1: 'in " in done.stderr
    assert not (odd / "out").exists()


@pytest.mark.slow
def test_the_first_line_of_a_function_that_differs_is_named_and_overrides_change_the_config_of_a_run(odd):
    start = [sys.executable, "-m", "flambe.cli.umbrella", "run", "odd.yml", "-q"]
    subprocess.run(start, cwd=odd, check=True, stdout=subprocess.DEVNULL)
    done, row = verify_function(odd, "out/odd/exp.0", "odd_at=2")
    assert (done.returncode, row) == (1, {"verdict": "different", "step": 2, "name": "train.loss", "more": 1})
    assert "what it printed" not in done.stderr


def test_a_run_whose_copy_of_code_was_edited_is_not_verified(odd, monkeypatch):
    monkeypatch.chdir(odd)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "odd", None)
    del sys.modules["odd"]
    root, _ = execute(compile_file("odd.yml"), tool="flambe exec", on_unit=lambda row: None)
    (root / "odd.py").write_text(FUNCTION + "# edited\n")
    with pytest.raises(ProvenanceError) as caught:
        verify_command.callback(str(root), ("odd_at=2",), 2, 0.0, 0.0)
    assert str(caught.value) == (
        f"{root} cannot be verified: the copy of its code is not what ran: odd.py. "
        f"Bring back what it had, or verify what is there now: flambe verify {root}/config.yml."
    )


@pytest.mark.slow
def test_a_stage_that_raises_is_named(verify):
    code, rows, err = verify("raise ValueError('it broke')")
    assert (code, rows) == (1, [])
    assert err.count("error:") == 1
    assert "flambe verify: error: walk/0: ValueError: it broke (" in err


DECORATED = "A function with @flambe.launch is verified by a run of it: run its program once, then flambe verify logs/FUNCTION/exp.0."


def test_a_decorated_function_is_verified_by_its_run(tmp_path):
    program = tmp_path / "train.py"
    program.write_text("import flambe\n")
    with pytest.raises(UsageError) as caught:
        verify_command.callback(str(program), (), 2, 0.0, 0.0)
    assert str(caught.value) == f"{program} is a program; expected a YAML file, a spec or a run directory. {DECORATED}"
    config = tmp_path / "config.yaml"
    config.write_text("epochs: 3\nlr: 0.1\n")
    with pytest.raises(ConfigFaults) as faults:
        verify_command.callback(str(config), (), 2, 0.0, 0.0)
    assert str(faults.value).endswith(f"expected !Experiment, or another tag. {DECORATED}")


def test_overrides_belong_to_a_file(verify, tmp_path):
    code, _, err = verify("pass", "a.b=1")
    assert code == 2
    assert "overrides change a YAML file" in err

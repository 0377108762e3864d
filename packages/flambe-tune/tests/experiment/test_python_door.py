"""Experiments and pipelines as Python objects: read from YAML, written back, run without a command."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from flambe import Component, Link, Schema
from flambe.compile import yaml
from flambe.errors import ConfigError
from flambe.experiment import Experiment, GridSearchOptions
from flambe.experiment.session import Summary
from flambe.pipeline import Pipeline

PARTS = """
from flambe import Component

class Own(Component):
    def __init__(self, size=1, inner=None):
        super().__init__()
        self.size, self.inner = size, inner

    def metric(self):
        return 1 / self.size
"""
TEXT = """\
# of the first stage
!Experiment
name: e
pipeline:
  # first
  first: !door_parts.Own
    size: !g [1, 2]  # two sizes
  second: !door_parts.Own
    inner: !door_parts.Own
      inner: !@ first
reduce:
  first: 1
seed: 5
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "door_parts.py").write_text(PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("door_parts", None)


def test_an_experiment_comes_and_goes_and_runs(desk: Path) -> None:
    header = f"door_parts: {desk}/door_parts.py\n---\n"
    experiment = yaml.load(header + TEXT)
    assert isinstance(experiment, Experiment)
    assert isinstance(experiment.pipeline["first"], Schema)
    assert experiment.pipeline["second"].inner.inner == Link(["first"])
    assert yaml.dump(experiment) == header + TEXT
    experiment.pipeline["first"].size = GridSearchOptions([1, 2, 4])
    summary = experiment.run(debug=True)
    assert (summary.status, summary.counts["done"]) == ("COMPLETE", 4)
    assert (desk / "flambe-output" / "e" / "exp.0" / "stages" / "first" / "size=4").is_dir()


def test_resources_start_at_the_file(desk: Path) -> None:
    (desk / "sub").mkdir()
    (desk / "sub" / "words.txt").write_text("a")
    (desk / "sub" / "e.yaml").write_text(
        "!Experiment\nresources:\n  words: words.txt  # here\n  far: !cluster /data/far\npipeline:\n"
        "  a: !door_parts.Own\n    size: !file words\n    inner: [!@ words, !@ far]\n".replace(
            "!@ words,", "!@ 'words' ,"
        )
    )
    (desk / "sub" / "e.yaml").write_text("door_parts: ../door_parts.py\n---\n" + (desk / "sub" / "e.yaml").read_text())
    experiment = yaml.load("sub/e.yaml")
    spec = experiment.spec()
    here = str(desk / "sub" / "words.txt")
    assert spec.environment.files == {"words": here, "far": "/data/far"}
    assert spec.stages[0].body["size"] == {"$file": here}
    assert spec.stages[0].body["inner"] == [{"$file": here}, {"$file": "/data/far"}]
    again = yaml.load(yaml.dump(experiment))
    assert again.spec().stages == spec.stages
    assert again.spec().environment.files == spec.environment.files


def test_a_name_is_the_files(desk: Path) -> None:
    (desk / "my exp.yaml").write_text("!Experiment\npipeline:\n  a: !TextField\n")
    with open("my exp.yaml") as stream:
        assert yaml.load(stream).name == "my-exp"


def test_one_made_in_python_finds_its_modules_and_can_be_read_again(desk: Path) -> None:
    from door_parts import Own

    experiment = Experiment(
        name="py", pipeline={"a": Schema(Own, size=GridSearchOptions([1, 2])), "b": Schema(Own, inner=Link(["a"]))}
    )
    assert experiment.spec().environment.extensions == {"door_parts": str(desk / "door_parts.py")}
    text = yaml.dump(experiment)
    assert text == (
        "!Experiment\nname: py\npipeline:\n  a: !door_parts.Own\n    size: !g [1, 2]\n  b: !door_parts.Own\n    inner: !@ a\n"
    )
    assert yaml.load(text).spec().stages == experiment.spec().stages
    assert experiment.run(debug=True).counts["done"] == 4


def test_classes_have_the_names_that_yaml_gives_them(desk: Path) -> None:
    from torch.nn import Linear

    from flambe.compile import compile_text
    from flambe.field import TextField
    from flambe.nlp.classification import TextClassifier

    made = {
        "a": Schema(TextField),
        "b": Schema(Linear, in_features=1, out_features=2),
        "c": Schema(TextClassifier, embedder=1, output_layer=2),
    }
    spec = Experiment(name="e", pipeline=made).spec()
    text = "!Experiment\nname: e\npipeline:\n  a: !TextField\n  b: !torch.Linear {in_features: 1, out_features: 2}\n"
    written = compile_text(text, name="e")
    assert [stage.body for stage in spec.stages[:2]] == [stage.body for stage in written.stages]
    assert spec.stages[2].body["$new"] == "flambe.nlp.classification:TextClassifier"
    assert yaml.load(text).spec().stages == written.stages


def test_what_stages_share_is_one_object_and_a_stage_is_one_of_its_own(desk: Path) -> None:
    from door_parts import Own

    shared, whole = Own.schema(size=3), Own.schema(size=4)
    experiment = Experiment(
        name="py", pipeline={"a": Own.schema(inner=shared), "b": Own.schema(inner=shared), "c": whole, "d": whole}
    )
    bodies = {stage.name: stage.body for stage in experiment.spec().stages}
    assert bodies["b"]["inner"] == {"$link": ["a", "inner"]}
    assert bodies["c"] == bodies["d"] == {"$new": "door_parts:Own", "size": 4}


class Here(Component):
    pass


def test_a_class_of_the_program_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Here, "__module__", "__main__")
    with pytest.raises(
        ConfigError, match="Here is defined in the program itself, where workers cannot find it. Move it"
    ):
        Experiment(name="e", pipeline={"a": Schema(Here)}).parse()


def test_a_pipeline_comes_and_goes(desk: Path) -> None:
    text = f"door_parts: {desk}/door_parts.py\n---\n!Pipeline\nname: p\nstages:\n  # one\n  a: !door_parts.Own\n    size: 2\nreduce:\n  a: 1\n"
    pipeline = yaml.load(text)
    assert isinstance(pipeline, Pipeline)
    assert yaml.dump(pipeline) == text
    assert pipeline.spec().stages[0].reduce == 1


def test_wrong_arguments_are_found_before_anything_is_built(desk: Path) -> None:
    import door_parts

    from flambe.errors import ConfigFaults
    from flambe.learn import Trainer

    stages = {
        "data": Schema(door_parts.Own, size=2),
        "more": Schema(door_parts.Own, siez=3),
        "train": Schema(Trainer, dataset=Link(["data"]), train_sampler=5),
    }
    with pytest.raises(ConfigFaults) as caught:
        Experiment("wrong", pipeline=stages, save_path=str(desk)).run(debug=True)
    assert [str(fault) for fault in caught.value.faults] == [
        "Own has no argument 'siez'. Did you mean 'size'?",
        "train.dataset: the link 'data' gives an Own; expected an object with train and val",
        "train_sampler of Trainer is 5; expected an object with sample",
        "Trainer needs the arguments 'val_sampler', 'model', 'loss_fn', 'metric_fn', 'optimizer'",
    ]
    assert not (desk / "wrong").exists()


def test_algorithms_of_tune_are_schemas_too(desk: Path) -> None:
    parts = importlib.import_module("door_parts")
    own = Schema(parts.Own, size=GridSearchOptions([1, 2]))
    searched = {"own": Schema(OptunaSearch, trial_budget=4, seed=3)}
    spec = Experiment("e", {"own": own}, search=searched, schedulers={"own": Schema(ASHAScheduler, max_t=3)}).spec()
    assert spec.stages[0].scheduler == {"$new": "ray.tune.schedulers:AsyncHyperBandScheduler", "max_t": 3}
    assert spec.stages[0].search == {"$new": "ray.tune.search.optuna:OptunaSearch", "trial_budget": 4, "seed": 3}


@pytest.mark.slow
def test_runs_of_other_folders_share_a_store(desk: Path) -> None:
    parts = importlib.import_module("door_parts")

    def run(folder: str, store: str) -> Summary:
        own = Schema(parts.Own, size=GridSearchOptions([1, 2]))
        search = {"own": Schema(ASHAScheduler, max_t=3)}
        return Experiment("e", {"own": own}, save_path=str(desk / folder), schedulers=search).run(
            workers=1, store=store
        )

    first = run("a", str(desk / "shared"))
    assert first.counts["reused"] == 0
    second = run("b", str(desk / "shared"))
    assert second.counts["reused"] == 2
    assert second.result_digest == first.result_digest

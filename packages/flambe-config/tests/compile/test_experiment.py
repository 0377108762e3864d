"""The parameters of !Experiment (both generations) and of !Pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flambe.compile import compile_text
from flambe.compile.compiler import name_of
from flambe.spec.nodes import Spec


def test_every_parameter_is_lowered(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x")
    spec = kit.pipeline(
        "a: !Anything\n  data: !@ data\n  far: !@ far\nb: !Anything\n  x: !@ a",
        f"""
resume: [a]
debug: true
devices: {{cpu: 2, gpu: 0.5}}
save_path: ~/somewhere
resources:
  local: {{data: {tmp_path}/train.csv}}
  remote: {{far: /on/the/machine}}
search: {{b: !Anything {{n: 1}}}}
schedulers: {{b: !ray.HyperBandScheduler {{max_t: 3, reward_attr: acc}}}}
reduce: {{a: 2, b: 0}}
env: null
max_failures: 3
stop_on_failure: true
merge_plot: false
user_provider: null
seed: 7
ordering: arrival
""",
    )
    assert (spec.kind, spec.name, spec.seed, spec.debug, spec.resume) == ("experiment", "t", 7, True, ["a"])
    assert (spec.max_failures, spec.stop_on_failure, spec.merge_plot, spec.ordering) == (3, True, False, "arrival")
    assert spec.devices == {"cpus": 2, "gpus": 0.5}
    assert spec.output_dir == str(Path("~/somewhere").expanduser())
    assert spec.stages[0].body["data"] == {"$file": f"{tmp_path}/train.csv"}
    assert spec.stages[0].body["far"] == {"$file": "/on/the/machine"}
    assert spec.environment.files == {"data": f"{tmp_path}/train.csv", "far": "/on/the/machine"}
    assert [stage.reduce for stage in spec.stages] == [2, None]
    assert spec.stages[1].search == {"$new": "flambe.toys.parts:Anything", "n": 1}
    assert spec.stages[1].scheduler == {"$new": "ray.tune.schedulers:HyperBandScheduler", "max_t": 3}


def test_defaults() -> None:
    spec = compile_text("!Experiment\npipeline:\n  a: !Anything\n", name="from-the-file")
    bare = Spec(name="from-the-file", stages=spec.stages)
    assert (spec.name, spec.output_dir, spec.stop_on_failure) == (bare.name, "flambe-output", False)


def test_flat_resources(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    spec = kit.pipeline(
        "a: !Anything\n  p: !@ one\n  q: !@ two", f"resources:\n  one: {tmp_path}/x\n  two: !cluster /far"
    )
    assert spec.stages[0].body["p"] == {"$file": f"{tmp_path}/x"}
    assert spec.stages[0].body["q"] == {"$file": "/far"}


def test_pipeline_of_version_1() -> None:
    spec = compile_text(
        "!Pipeline\nstages:\n  a: !Anything\n  b: !Anything {x: !ref a}\nreduce: {b: 1}\nalgorithm: {b: !Anything {}}\n"
        "cpus_per_trial: {b: 2}\ngpus_per_trial: {b: 1}\n",
        name="p",
    )
    assert [stage.name for stage in spec.stages] == ["a", "b"]
    assert spec.stages[1].resources == {"cpus": 2, "gpus": 1}
    assert spec.stages[1].reduce == 1
    assert spec.stages[1].search == {"$new": "flambe.toys.parts:Anything"}


@pytest.mark.parametrize(
    ("rest", "fault"),
    [
        ("sede: 1", "5:1: !Experiment has no parameter 'sede'. Did you mean 'seed'?"),
        ("b: !Anything", "5:1: !Experiment has no parameter 'b'. A stage stands below 'pipeline:', indented further than it."),
        ("seed: -1", "5:7: seed cannot be this; expected an integer, 0 or more"),
        ("debug: 1", "5:8: debug cannot be this; expected true or false"),
        ("devices: {tpu: 1}", "5:10: devices cannot be this; expected amounts of cpu and gpu, such as {cpu: 2, gpu: 1}"),
        ("ordering: random", "5:11: ordering cannot be this; expected step or arrival"),
        ("reduce: {b: 1}", "5:10: reduce names 'b', which is no stage; expected one of a"),
        ("reduce: {a: best}", "5:13: reduce of 'a' cannot be this; expected how many variants to keep, an integer"),
        ("reduce: 2", "5:9: reduce cannot be this; expected a mapping of stage: value"),
        ("schedulers: {aa: !Anything }", "5:14: schedulers names 'aa', which is no stage. Did you mean 'a'?"),
        ("search: {a: 3}", "5:13: search of 'a' cannot be this; expected a tag such as !ray.ASHAScheduler, with its arguments"),
        ("resume: b", "5:9: resume names 'b', which is no stage; expected one of a"),
        ("resume: [a, b]", "5:13: resume names 'b', which is no stage; expected one of a"),
        ("resume: {a: 1}", "5:9: resume cannot be this; expected the name of a stage, or a list of names"),
        ("resources: {x: /nowhere}", "5:16: there is no file /nowhere"),
        ("resources: {x: s3://b/k}", "5:16: s3://b/k would have to be downloaded, which this version does not do. Download it yourself and name the local path."),
        ("resources: {x: [1]}", "5:16: the resource 'x' has no path; expected the text of a path"),
        ("resources: {a: .}", "4:6: the stage 'a' has the name of a resource. Rename one of them."),
    ],
)  # fmt: skip
def test_faults(kit: Any, rest: str, fault: str) -> None:
    def compile_it() -> Any:
        return compile_text(f"!Experiment\nname: t\npipeline:\n  a: !Anything\n{rest}\n", name="t")

    (found,) = kit.faults(compile_it)
    assert found == (fault if not fault.startswith("4:6") else fault.replace("4:6", "4:3"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("!Experiment\nname: a b\npipeline: {a: !Anything }", "2:7: the name 'a b' cannot be used; expected letters, digits, '-' and '_', beginning with a letter or digit"),
        ("!Experiment", "1:1: !Experiment needs the parameter 'pipeline'"),
        ("!Experiment\nname: x", "1:1: the experiment has no 'pipeline'; expected a mapping of its stages"),
        ("!Experiment\npipeline: []", "2:11: pipeline holds no stages; expected a mapping of stage name: !Component"),
        ("!Experiment\npipeline: {a: 5}", "2:15: the stage 'a' is no component; expected a tag such as !Trainer, with its arguments"),
        ("!Experiment\npipeline: {a: !g [!Anything , 1]}", "2:15: the stage 'a' is no component; expected a tag such as !Trainer, with its arguments. A list of components to try is a search of arguments: put !g inside of the stage."),
        ("!Experiment\npipeline: {a b: !Anything }", "2:12: the stage name 'a b' cannot be used; expected letters, digits, '_' and '-'"),
        ("pipeline: {a: !Anything }", "1:1: this is nothing that can be run: the document has no tag; expected !Experiment, or another tag. Write !Experiment in the line above."),
        ("just text", "1:1: this is nothing that can be run: the document has no tag; expected !Experiment, or another tag"),
        ("!g [1]", "1:1: !g is nothing that can be run; expected !Experiment, or another tag"),
        ("!Experimen\npipeline: {}", "1:1: unknown tag !Experimen. Did you mean '!Experiment'?"),
    ],
)  # fmt: skip
def test_faults_of_the_whole(kit: Any, text: str, fault: str) -> None:
    assert kit.faults(lambda: compile_text(text, name="t")) == [fault]


def test_a_name_with_many_dashes_is_judged_at_once(kit: Any) -> None:
    # 0.4's pattern backtracked for hours on such names.
    assert kit.faults(lambda: compile_text(f"!Experiment\nname: {'a-' * 40}!\npipeline: {{a: !Anything }}", name="t"))


def test_names_from_files() -> None:
    assert [name_of(path) for path in ("a/b.yaml", "my exp.yml", "-", "...yaml", "x.train.yaml")] == [
        "b", "my-exp", "stdin", "config", "x",
    ]  # fmt: skip

"""The parameters of !Experiment (both generations) and of !Pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flambe.compile import compile_text
from flambe.compile.compiler import compile_whole, name_of
from flambe.errors import ConfigFaults
from flambe.record.provenance import spec_to_yaml
from flambe.runnable.error import NonExistentResourceError
from flambe.spec.digest import spec_digest
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


def test_what_flambe_sets_in_schedulers_is_warned_of() -> None:
    text = """!Experiment
schedulers:
  b: !ray.ASHAScheduler {metric: loss, mode: min, max_t: 3, time_attr: training_iteration}
pipeline:
  b: !Anything {x: !g [1, 2]}
"""
    compiled = compile_whole(text, name="t", file="<t>", overrides=(), argv=())
    assert [str(warning) for warning in compiled.warnings] == [
        "<t>:3:26: metric of ASHAScheduler is the text 'loss', which has no effect: it is what metric() of the stage returns",
        "<t>:3:40: mode of ASHAScheduler is the text 'min', which has no effect: which metrics are better the stage says itself (lower_is_better)",
        "<t>:3:6: the scheduler of 'b' has nothing to decide: Anything has no run(), so every variant ends after one step",
    ]
    assert compiled.spec.stages[0].scheduler == {"$new": "ray.tune.schedulers:ASHAScheduler", "max_t": 3}


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
    assert spec.environment.files == {"one": f"{tmp_path}/x", "two": "/far"}
    assert spec.environment.remote == ["two"]


def test_resources_by_url_and_their_record_compiles_to_an_equal_spec(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    stages = "a: !Anything\n  p: !@ one\n  q: !@ two\n  r: !file three\n  s: !file https://host/four.txt\n"
    given = (
        f"resources:\n  local:\n    one: {tmp_path}/x\n    three: s3://bucket/a/x\n"
        "  remote:\n    two: ~/far\n    web: https://host/x\n"
    )
    spec = kit.pipeline(stages, given)
    assert [spec.stages[0].body[name]["$file"] for name in "pqrs"] == [
        f"{tmp_path}/x", "~/far", "s3://bucket/a/x", "https://host/four.txt",
    ]  # fmt: skip
    assert spec.environment.remote == ["two", "web"]
    again = compile_text(spec_to_yaml(spec), name="t")
    assert spec_digest(again) == spec_digest(spec)


@pytest.mark.parametrize(
    "top", ["!Anything {p: !file a}", "!Experiment\nname: t\npipeline:\n  s: !Anything {p: !file a}"]
)
def test_an_environment_is_recorded_too(top: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    header = f"!Environment\nlocal_files: {{a: {tmp_path}/x}}\nremote_files: {{b: /far}}\nextra: {{fold: 3}}\n---\n"
    spec = compile_text(header + top, name="t")
    assert spec.environment.extra == {"fold": 3}
    assert spec_digest(compile_text(spec_to_yaml(spec), name="t")) == spec_digest(spec)


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("local_files: {a: ./nowhere}", "2:18: there is no file "),
        ("local_files: {a: .}\nremote_files: {a: /far}", "3:19: the file 'a' is there twice. Rename one of them."),
        ("remote_files: {a: far}", "2:19: 'far' is a relative path, and this file is on the machines of a cluster; expected"),
        ("extra: [1]", "2:8: extra of !Environment cannot be this; expected a mapping of plain data"),
        ("local_files: {abc: .}", "5:15: no file is called 'abd'. Did you mean 'abc'?"),
    ],
)  # fmt: skip
def test_faults_of_an_environment(kit: Any, header: str, fault: str) -> None:
    last = "!Anything {p: !file abd}" if "abc" in header else "!Anything"
    text = f"!Environment\n{header}\n---\n# a comment\n{last}\n"
    found = kit.faults(lambda: compile_text(text, name="t"))
    assert found[0].startswith(fault)


def test_a_file_that_is_not_there_is_the_documented_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        compile_text("!Anything {a: !file x, b: !file ./nowhere}", name="t")
    assert all(isinstance(fault, NonExistentResourceError) for fault in caught.value.faults)
    assert len(caught.value.faults) == 2


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
        ("seed: -1", "5:7: seed is -1; expected an integer, 0 or more"),
        ("debug: 1", "5:8: debug is 1; expected true or false. Write true."),
        ("devices: {tpu: 1}", "5:10: devices is {tpu: 1}; expected amounts of cpu and gpu, such as {cpu: 2, gpu: 1}"),
        ("ordering: random", "5:11: ordering is the text 'random'; expected step or arrival"),
        ("reduce: {b: 1}", "5:10: reduce names 'b', which is no stage; expected one of a"),
        ("reduce: {a: best}", "5:13: reduce of 'a' is the text 'best'; expected how many variants to keep, 1 or more"),
        ("reduce: 2", "5:9: reduce is 2; expected a mapping of stage: value"),
        ("schedulers: {aa: !Anything }", "5:14: schedulers names 'aa', which is no stage. Did you mean 'a'?"),
        ("search: {a: 3}", "5:13: search of 'a' is 3; expected a tag such as !RandomSearch, with its arguments"),
        ("resume: b", "5:9: resume names 'b', which is no stage; expected one of a"),
        ("resume: [a, b]", "5:13: resume names 'b', which is no stage; expected one of a"),
        ("resume: {a: 1}", "5:9: resume is {a: 1}; expected the name of a stage, or a list of names"),
        ("resources: {x: /nowhere}", "5:16: there is no file /nowhere"),
        ("resources: {x: s3://b/k#md5=1}", "5:16: 'md5=1' is no checksum; expected #sha256= and 64 hexadecimal digits"),
        ("resources: {x: https://me:hunter2@host/k}", "5:16: the URL of a file holds a password. Use a signed URL, or download it."),
        ("resources: {x: !cluster data/k}", "5:16: 'data/k' is a relative path, and this file is on the machines of a cluster; expected a path that begins with / or ~, or a URL"),
        ("resources: {x: /, y: !file x}", "5:22: the resource 'y' has no path; expected the text of a path or URL, or !cluster PATH"),
        ("resources: {x: [1]}", "5:16: the resource 'x' has no path; expected the text of a path or URL, or !cluster PATH"),
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
        ("!Experiment", "1:1: !Experiment has no 'pipeline'; expected its stages below 'pipeline:', each as name: !Component"),
        ("!Experiment\nname: x", "1:1: !Experiment has no 'pipeline'; expected its stages below 'pipeline:', each as name: !Component"),
        ("!Experiment\npipeline: []", "2:11: pipeline holds no stages; expected a mapping of stage name: !Component"),
        ("!Experiment\npipeline: {a: 5}", "2:15: the stage 'a' is no component; expected a tag such as !Trainer, with its arguments"),
        ("!Experiment\npipeline: {a: !g [!Anything , 1]}", "2:15: the stage 'a' is no component; expected a tag such as !Trainer, with its arguments. A list of components to try is a search of arguments: put !g inside of the stage."),
        ("!Experiment\npipeline: {a b: !Anything }", "2:12: the stage name 'a b' cannot be used; expected letters, digits, '_' and '-'"),
        ("pipeline: {a: !Anything }", "1:1: this is nothing that can be run: the document has no tag; expected !Experiment, or another tag. Write !Experiment in the line above."),
        ("just text", "1:1: this is nothing that can be run: the document has no tag; expected !Experiment, or another tag"),
        ("!g [1]", "1:1: !g is nothing that can be run; expected !Experiment, or another tag"),
        ("!Experimen\npipeline: {}", "1:1: unknown tag !Experimen. Did you mean '!Experiment'?"),
        ("!Experimnt\nname: t\npipeline:\n  a: !Nothing {x: !@ b}\n  c: !@ a", "1:1: unknown tag !Experimnt. Did you mean '!Experiment'?"),
        ("!my_parts.Runner {x: !Nope {}}", "1:1: unknown tag !my_parts.Runner: no header names the module 'my_parts'. Write before the experiment: 'my_parts: path/to/my_parts.py', then '---'."),
    ],
)  # fmt: skip
def test_faults_of_the_whole(kit: Any, text: str, fault: str) -> None:
    assert kit.faults(lambda: compile_text(text, name="t")) == [fault]


@pytest.mark.parametrize("count", [0, -1])
def test_a_reduction_to_none_keeps_all_and_warns(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    spec = compile_text(f"!Experiment\npipeline:\n  a: !Anything\nreduce: {{a: {count}}}\n", name="t")
    assert spec.stages[0].reduce is None
    assert capsys.readouterr().err == f"warning: <t>:4:13: reduce of 'a' is {count}, which keeps every variant\n"


def test_a_name_with_many_dashes_is_judged_at_once(kit: Any) -> None:
    # 0.4's pattern backtracked for hours on such names.
    assert kit.faults(lambda: compile_text(f"!Experiment\nname: {'a-' * 40}!\npipeline: {{a: !Anything }}", name="t"))


def test_names_from_files() -> None:
    assert [name_of(path) for path in ("a/b.yaml", "my exp.yml", "-", "...yaml", "x.train.yaml")] == [
        "b", "my-exp", "stdin", "config", "x",
    ]  # fmt: skip

"""``Experiment`` as a Python object: the spec it gives, and what it refuses."""

from __future__ import annotations

import sys

import pytest

from flambe.build.component import Component
from flambe.build.link import Link
from flambe.build.schema import Schema
from flambe.errors import ConfigError
from flambe.experiment import Experiment, GridSearchOptions, SampledUniformSearchOptions
from flambe.runnable.error import ParsingRunnableError, UnsuccessfulRunnableError


class Part(Component):
    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.size = size


class Whole(Component):
    def __init__(self, part: Part, rate: float = 0.1, file: str = "") -> None:
        super().__init__()
        self.part, self.rate = part, rate

    def metric(self) -> float:
        return self.part.size * self.rate


def _experiment(tmp_path, **changes):
    given = {
        "name": "parts",
        "pipeline": {
            "part": Schema(Part, size=GridSearchOptions([1, 2, 3])),
            "whole": Schema(Whole, part=Link(("part",)), rate=SampledUniformSearchOptions(0.1, 0.9, 2)),
        },
        "save_path": str(tmp_path / "out"),
        "reduce": {"whole": 1},
        "seed": 4,
        **changes,
    }
    return Experiment(**given)


def test_the_spec_of_an_experiment(tmp_path):
    spec = _experiment(
        tmp_path, devices={"cpu": 2}, schedulers={"whole": {"$new": "ray.tune.schedulers:FIFOScheduler"}}
    ).spec()
    assert [stage.name for stage in spec.stages] == ["part", "whole"]
    assert spec.stages[0].body["size"] == {"$grid": [1, 2, 3]}
    assert spec.stages[1].body["part"] == {"$link": ["part"]}
    assert spec.stages[1].reduce == 1
    assert spec.devices == {"cpus": 2}
    drawn = spec.stages[1].body["rate"]["$grid"]
    assert len(drawn) == 2
    assert all(0.1 <= rate <= 0.9 for rate in drawn)
    assert _experiment(tmp_path).spec().stages[1].body == spec.stages[1].body
    assert _experiment(tmp_path, seed=5).spec().stages[1].body["rate"]["$grid"] != drawn


def test_a_resource_becomes_its_path(tmp_path):
    (tmp_path / "words.txt").write_text("a")
    for resources in ({"words": str(tmp_path / "words.txt")}, {"local": {"words": str(tmp_path / "words.txt")}}):
        pipeline = {"whole": Schema(Whole, part=Schema(Part), file=Link(("words",)))}
        spec = _experiment(tmp_path, pipeline=pipeline, resources=resources, reduce={}).spec()
        assert spec.stages[0].body["file"] == {"$file": str(tmp_path / "words.txt")}


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"name": "a b"}, ParsingRunnableError, "the name 'a b' cannot be used"),
        ({"name": "a" * 60 + "!"}, ParsingRunnableError, "cannot be used"),
        ({"pipeline": {"part": 3}, "reduce": {}}, ValueError, "the stage 'part' is a int, expected a Schema"),
        ({"reduce": {"hole": 1}}, ParsingRunnableError, "reduce names 'hole', which is no stage. Did you mean 'whole'?"),
        ({"resources": {"part": "."}}, ParsingRunnableError, "the stage 'part' has the name of a resource"),
        ({"resources": {"words": "nowhere.txt"}}, ParsingRunnableError, "the resource 'words' does not exist"),
        ({"resume": "hole"}, ConfigError, "resume names 'hole', which is no stage. Did you mean 'whole'?"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, changes, error, text):
    with pytest.raises(error, match=text.replace("?", r"\?")):
        _experiment(tmp_path, **changes).parse()


def test_a_pipeline_that_is_no_mapping(tmp_path):
    with pytest.raises(TypeError, match="the pipeline is a list, expected a mapping"):
        _experiment(tmp_path, pipeline=[])


@pytest.mark.parametrize("bad", [(3, 1, 2), (1, 3, 0)])
def test_samples_that_cannot_be_drawn(bad):
    with pytest.raises(ValueError):
        SampledUniformSearchOptions(*bad)


def test_both_ends_of_whole_numbers_are_drawn():
    assert set(SampledUniformSearchOptions(1, 3, 60).elements) == {1, 2, 3}


@pytest.mark.slow
def test_it_runs(tmp_path):
    module = tmp_path / "own_parts.py"
    module.write_text(
        "from flambe.build.component import Component\n\n\n"
        "class Own(Component):\n"
        "    def __init__(self, size=1):\n        super().__init__()\n        self.size = size\n\n"
        "    def metric(self):\n        return 1 / self.size\n"
    )
    pipeline = {"own": {"$new": "own_parts:Own", "size": {"$grid": [1, 2, 4]}}}
    experiment = _experiment(tmp_path, pipeline=pipeline, reduce={}, extensions={"own_parts": str(module)}, debug=True)
    summary = experiment.run()
    assert summary.best["params"] == {"own.size": 1}
    assert "ray" not in sys.modules or summary.counts["done"] == 3
    pipeline["own"]["size"]["$grid"].append(0)
    with pytest.raises(UnsuccessfulRunnableError, match="1 variants failed"):
        _experiment(tmp_path, pipeline=pipeline, reduce={}, extensions={"own_parts": str(module)}, debug=True).run()

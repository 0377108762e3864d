"""``Experiment`` as a Python object: the spec it gives, and what it refuses."""

from __future__ import annotations

import functools
import getpass
import importlib
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flambe.build.component import Component
from flambe.build.link import Link
from flambe.build.schema import Schema
from flambe.errors import ConfigError, UsageError
from flambe.experiment import ClusterResource, Experiment, GridSearchOptions, SampledUniformSearchOptions
from flambe.runnable import RemoteEnvironment
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


def test_what_only_a_cluster_has_is_not_looked_for(tmp_path):
    pipeline = {"whole": Schema(Whole, part=Schema(Part), file=Link(("words",)))}
    for resources in (
        {"words": ClusterResource("/data/words.txt")},
        {"local": {}, "remote": {"words": "/data/words.txt"}},
    ):
        spec = _experiment(tmp_path, pipeline=pipeline, resources=resources, reduce={}).spec()
        assert spec.stages[0].body["file"] == {"$file": "/data/words.txt"}
        assert spec.environment.remote == ["words"]


def test_resources_behind_urls_are_fetched_on_request(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    served = tmp_path / "served"
    served.mkdir()
    (served / "words.txt").write_text("a")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{server.server_port}/words.txt"
        given = {"words": there, "here": str(served / "words.txt"), "far": ClusterResource(there)}
        found = _experiment(tmp_path).process_resources(given, str(tmp_path / "fetched"))
        server.shutdown()
    assert found == {**given, "words": str(tmp_path / "fetched/words__words.txt")}
    assert (tmp_path / "fetched/words__words.txt").read_text() == "a"


def test_an_object_is_as_good_as_its_schema(tmp_path, monkeypatch):
    module = "from flambe.build import Component\nclass Piece(Component):\n    def __init__(self, size):\n        self.size = size\n"
    (tmp_path / "piece_of_mine.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    piece = importlib.import_module("piece_of_mine").Piece
    schema = _experiment(tmp_path, pipeline={"part": Schema(piece, size=2)}, reduce={}).spec()
    built = _experiment(tmp_path, pipeline={"part": piece(size=2)}, reduce={}).spec()
    assert built.stages == schema.stages
    assert built.environment == schema.environment
    assert built.environment.extensions == {"piece_of_mine": str(tmp_path / "piece_of_mine.py")}


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"name": "a b"}, ParsingRunnableError, "the name 'a b' cannot be used"),
        ({"name": "a" * 60 + "!"}, ParsingRunnableError, "cannot be used"),
        ({"seed": "a"}, ParsingRunnableError, "seed is 'a'; expected an integer, 0 or more, or several of them"),
        ({"seed": [1, -1]}, ParsingRunnableError, r"seed is \[1, -1\]; expected an integer, 0 or more, or several of them"),
        ({"seed": []}, ParsingRunnableError, r"seed is \[\]; expected an integer, 0 or more, or several of them"),
        ({"seed": 1.5}, ParsingRunnableError, "seed is 1.5; expected an integer, 0 or more, or several of them"),
        ({"pipeline": {"part": 3}, "reduce": {}}, ValueError, "the stage 'part' is a int, expected a Schema"),
        ({"pipeline": {"part": object()}, "reduce": {}}, ValueError, "the stage 'part': object is not plain data, expected a Schema"),
        ({"reduce": {"hole": 1}}, ParsingRunnableError, "reduce names 'hole', which is no stage. Did you mean 'whole'?"),
        ({"resources": {"part": "."}}, ParsingRunnableError, "the stage 'part' has the name of a resource"),
        ({"resources": {"words": "nowhere.txt"}}, ParsingRunnableError, "the resource 'words' does not exist"),
        ({"resume": "hole"}, ConfigError, "resume names 'hole', which is no stage. Did you mean 'whole'?"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, changes, error, text):
    with pytest.raises(error, match=text.replace("?", r"\?")):
        _experiment(tmp_path, **changes).parse()


def test_to_begin_anew_and_to_resume_at_once_is_refused(tmp_path):
    for resume, named in (("part", "part"), (["part", "whole"], "part, whole")):
        with pytest.raises(
            UsageError, match=rf"--force takes no earlier result, and resume: {named} says whose to take"
        ):
            _experiment(tmp_path, resume=resume).run(force=True)
    assert not list(tmp_path.rglob("run.json"))


def test_who_runs_it_and_where(tmp_path):
    assert _experiment(tmp_path).get_user() == getpass.getuser()
    assert _experiment(tmp_path, user_provider=lambda: "bob").get_user() == "bob"
    remote = RemoteEnvironment("key", "10.0.0.1", ["10.0.0.2"], "ubuntu", local_user="ann")
    experiment = _experiment(tmp_path, user_provider=lambda: "bob", env=remote)
    assert (experiment.get_user(), experiment.env) == ("ann", remote)


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


def test_distributions_algorithms_and_seeds_in_python(tmp_path):
    from flambe.compile.search import expand, total
    from flambe.search import RandomSearch, choice, quniform, uniform

    part = Schema(Part, size=choice({"few": 1, "many": quniform(5, 7, 3)}, probs=[0.75, 0.25]))
    experiment = _experiment(
        tmp_path,
        pipeline={"part": part, "whole": Schema(Whole, part=Link(("part",)), rate=uniform(-4, -1, transform="pow10"))},
        search={"whole": RandomSearch(6)},
        seed=[4, 9],
        extensions={__name__: __file__},
    )
    experiment.parse()
    spec = experiment.spec()
    assert spec.stages[0].body["size"] == {
        "$grid": [1, {"$quniform": [5, 7, 3]}], "names": ["few", "many"], "probs": [0.75, 0.25],
    }  # fmt: skip
    assert (spec.seed, spec.seeds, total(spec)) == (4, [4, 9], 12)
    rates = [one.stages[1].body["rate"] for one in expand(spec)]
    assert rates[:6] == rates[6:]
    assert all(0.0001 <= rate <= 0.1 for rate in rates)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda s: s.uniform(2, 1), "!uniform has low 2 above high 1, expected !uniform [low, high]"),
        (lambda s: s.uniform(0, 1, transform=abs), "a spec cannot hold a function: transform is pow2, pow10 or exp"),
        (lambda s: s.normal(0, -1), "!normal has the scale -1, expected 0 or more"),
        (lambda s: s.beta(0, 1), "!beta has a 0, expected more than 0"),
        (lambda s: s.quniform(0, 1, 0), "!quniform has 0 values, expected an integer from 1 to 100,000"),
        (lambda s: s.choice([]), "a choice needs at least one option"),
        (lambda s: s.choice([1, 2], probs=[1]), "probs are [1], expected 2 numbers that add up to 1"),
        (lambda s: s.RandomSearch(0), "trial_budget is 0, expected 1 or more"),
        (lambda s: s.GridSearch(space={}), "an algorithm has no space of its own: what is searched stands in the arguments of a stage"),
        (lambda s: s.Search(3), "the task is a int, expected a Schema"),
    ],
)  # fmt: skip
def test_what_is_no_distribution_or_algorithm(make, text):
    import flambe.search

    with pytest.raises(ValueError) as error:
        make(flambe.search)
    assert str(error.value) == text


def test_a_distribution_needs_an_algorithm():
    from flambe.search import BOHB, Hyperband, Search, uniform

    for algorithm in (BOHB(9), Hyperband(9, max_steps=3)):
        Search(Schema(Part, size=uniform(1, 2)), algorithm).parse()
    with pytest.raises(ConfigError, match=r"part\.size is !uniform \[1, 2\], which has no list of values to try"):
        Search(Schema(Part, size=uniform(1, 2))).parse()


def test_search_and_pipeline_of_1_0():
    from flambe.pipeline import Pipeline
    from flambe.search import GridSearch, Search, choice

    search = Search(
        Schema(Part, size=choice([1, 2])), GridSearch(), cpus_per_trial=2, gpus_per_trial=0.5, refresh_waitime=5.0
    ).spec()
    assert [(stage.name, stage.resources) for stage in search.stages] == [("part", {"cpus": 2, "gpus": 0.5})]
    stages = {"part": Schema(Part, size=choice([1, 2])), "whole": Schema(Whole, part=Link(("part",)))}
    spec = Pipeline("two", stages, reduce={"part": 1}, gpus_per_trial={"whole": 1}).spec()
    assert [(stage.reduce, stage.resources) for stage in spec.stages] == [(1, None), (None, {"gpus": 1})]
    with pytest.raises(
        ParsingRunnableError, match="cpus_per_trial names 'hole', which is no stage. Did you mean 'whole'"
    ):
        Pipeline("two", stages, cpus_per_trial={"hole": 1}).spec()


def test_a_sample_is_of_different_numbers_from_end_to_end():
    assert sorted(SampledUniformSearchOptions(1, 3, 9).elements) == [1, 2, 3]
    assert len(set(SampledUniformSearchOptions(0.0, 1.0, 50, decimals=2).elements)) == 50

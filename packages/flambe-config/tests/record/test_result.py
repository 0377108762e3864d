"""Results by key: what is taken, what is left alone, and what a key covers."""

import json
import os
import shutil
from importlib.metadata import version

import msgspec
import pytest

from flambe.record import run
from flambe.record.code import code_of, forget_code
from flambe.record.keeper import Keeper
from flambe.record.layout import RunPaths
from flambe.record.metrics import metric_line
from flambe.record.opening import open_run
from flambe.record.refused import DiskRefused
from flambe.record.result import ResultStore, checkpoint_is_whole, stage_key, unit_seed
from flambe.record.run import StageRecord, read_record
from flambe.runner.plan import concrete_units
from flambe.runner.unit import StepReport
from flambe.spec.digest import file_digest
from flambe.spec.nodes import Spec, Stage


def spec_of(out, **changes):
    return Spec(name="toy", output_dir=str(out), stages=[Stage(name="count", body={"$new": "toy:Counter"})], **changes)


def hand_in(scratch):
    (scratch / "checkpoint").mkdir()
    (scratch / "checkpoint" / "manifest.json").write_bytes(b'{"files": {}}')
    (scratch / "exports.json").write_text("{}")
    (scratch / "artifacts").mkdir()
    (scratch / "artifacts" / "plot.txt").write_text("a plot")
    return scratch


def made(out, *, close=True):
    """A run with one committed unit."""
    keeper = Keeper(open_run(spec_of(out), tool="t", fresh=True))
    (unit,) = concrete_units(keeper.spec, keeper.paths.root)
    keeper.plan(unit)
    scratch = keeper.start(unit, 1, "w")
    streams = {"metrics/count.jsonl": metric_line(1, {"loss": 0.5}, 1.0), "outputs.log": b"hello\n"}
    keeper.commit(unit, 1, hand_in(scratch), StepReport(step=1, more=False, metric=0.5, streams=streams))
    if close:
        keeper.close(run.COMPLETE)
    return keeper, unit


def files_of(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_reused_result_is_all_of_it(tmp_path):
    first, unit = made(tmp_path)
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    again.plan(unit)
    again.reuse(unit, ResultStore(tmp_path).find(unit.key))
    here, there = (keeper.paths.unit("count", "0").root for keeper in (again, first))
    assert files_of(here).keys() == files_of(there).keys()
    assert (here / "artifacts" / "plot.txt").read_text() == "a plot"
    assert again.close(run.COMPLETE).result_digest == first.record.result_digest


def test_running_a_unit_again_leaves_the_result_it_was_taken_from_alone(tmp_path, monkeypatch):
    """A kill between the copy and its event: the unit goes on from its own steps, over files of the earlier run."""
    first, unit = made(tmp_path)
    before = files_of(first.paths.root)
    again = Keeper(open_run(spec_of(tmp_path), tool="t"))
    again.plan(unit)
    scratch = again.start(unit, 1, "w")
    (scratch / "steps" / "1").mkdir(parents=True)
    streams = {"metrics/count.jsonl": b"{}\n", "outputs.log": b"hello\n"}
    again.report(unit, 1, StepReport(step=1, more=True, streams=streams), scratch / "steps" / "1")
    found = ResultStore(tmp_path).find(unit.key)
    with monkeypatch.context() as patch:
        patch.setattr(again.ledger, "append", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space")))
        with pytest.raises(DiskRefused, match="No space"):
            again.reuse(unit, found)
    scratch = again.start(unit, 2, "w", from_step=1)
    again.report(unit, 2, StepReport(step=2, more=True, streams=streams), None)
    again.close(run.CANCELLED)
    assert files_of(first.paths.root) == before


def test_reuse_of_its_own_result_keeps_it(tmp_path):
    keeper, unit = made(tmp_path, close=False)
    other = msgspec.structs.replace(unit, key="the code was changed")
    keeper.plan(other)
    keeper.plan(unit)  # and changed back
    assert keeper.state.done == {}
    keeper.reuse(unit, ResultStore(tmp_path).find(unit.key))
    assert checkpoint_is_whole(keeper.paths.unit("count", "0").checkpoint)
    assert keeper.close(run.COMPLETE).counts["done"] == 1


def test_the_store_goes_on_over_what_it_cannot_read(tmp_path):
    keeper, unit = made(tmp_path / "good")
    ledgers = {
        "garbage": b"\x00\xff\n",
        "torn": b'{"event":"commit","unit":"count/0","ke',
        "other": b'[1,2]\n{"event":"commit"}\n{"event":"commit","unit":7,"key":"k","complete":true}\n',
        "empty": b"",
    }
    for name, data in ledgers.items():
        (tmp_path / name / "exp.0").mkdir(parents=True)
        (tmp_path / name / "exp.0" / "ledger.jsonl").write_bytes(data)
    (tmp_path / "folder" / "ledger.jsonl").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    store = ResultStore(tmp_path)
    assert store.find(unit.key).folder == keeper.paths.unit("count", "0").root
    assert store.find("k") is None
    locked.chmod(0o755)


def test_a_run_that_goes_away_while_ledgers_are_looked_for_is_no_fault(tmp_path, monkeypatch):
    from flambe.record import result

    _, unit = made(tmp_path)
    real = result._ledgers

    def with_a_ghost(folder, depth=8):
        yield folder / "gone" / "ledger.jsonl"
        yield from real(folder, depth)

    monkeypatch.setattr(result, "_ledgers", with_a_ghost)
    assert ResultStore(tmp_path).find(unit.key) is not None


def test_results_are_found_where_a_run_was_moved_to(tmp_path):
    keeper, unit = made(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    found = ResultStore(tmp_path / "b").find(unit.key)
    assert found.folder == tmp_path / "b" / "toy" / "exp.0" / "stages" / "count" / "0"
    assert found.folder != keeper.paths.unit("count", "0").root


def test_a_result_whose_input_has_changed_is_not_taken(tmp_path):
    from flambe.record.inputs import describe_input

    data = tmp_path / "data.csv"
    data.write_text("1,2\n")
    keeper, unit = made(tmp_path / "out")
    path = keeper.paths.unit("count", "0").record
    record = read_record(path, StageRecord)
    record.inputs = [describe_input(str(data))]
    run.write_record(path, record)
    store = ResultStore(tmp_path / "out")
    assert store.find(unit.key) is not None
    os.utime(data, ns=(1, 1))  # another time, the same content
    assert store.find(unit.key) is not None
    data.write_text("1,3\n")
    assert store.find(unit.key) is None
    data.unlink()
    assert store.find(unit.key) is None


def test_references_to_other_stages_follow_the_names_of_this_run(tmp_path):
    """A stage that was searched in one run and is fixed in the next has another folder, and the same result."""

    def units(out, params):
        body = {"$new": "toy:Data", "n": 3}
        train = {"$new": "toy:Train", "data": {"$link": ["data"]}}
        spec = Spec(
            name="toy",
            output_dir=str(out),
            stages=[Stage(name="data", body=body, params=params), Stage(name="train", body=train)],
        )
        keeper = Keeper(open_run(spec, tool="t", fresh=True))
        data, trained = concrete_units(spec, keeper.paths.root)
        keeper.plan(data)
        keeper.plan(trained)
        return keeper, data, trained

    def write(keeper, unit, variant):
        scratch = keeper.start(unit, 1, "w")
        part = scratch / "checkpoint" / "part"
        part.mkdir(parents=True)
        reference = {"stage": "data", "path": f"../../../data/{variant}/checkpoint"}
        inner = {"stage": "data", "path": f"../../../../data/{variant}/checkpoint/field"}
        part_text = json.dumps({"config": {"$new": "x:Y", "field": [{"$result": inner}]}, "files": {}})
        (part / "manifest.json").write_text(part_text)
        files = {"part/manifest.json": file_digest(part / "manifest.json")}
        config = {"$new": "toy:Train", "data": {"$result": reference}}
        (scratch / "checkpoint" / "manifest.json").write_text(json.dumps({"config": config, "files": files}))
        (scratch / "exports.json").write_text(json.dumps({".data": {"$result": reference}, "": {"$saved": ""}}))
        return keeper.commit(unit, 1, scratch, StepReport(step=1, more=False))

    first, data, trained = units(tmp_path, {"n": 3})
    assert data.variant == "n=3"
    keeper_scratch = first.start(data, 1, "w")
    first.commit(data, 1, hand_in(keeper_scratch), StepReport(step=1, more=False))
    write(first, trained, "n=3")
    first.close(run.COMPLETE)
    before = files_of(first.paths.root)

    again, data, trained = units(tmp_path, {})
    assert data.variant == "0"
    store = ResultStore(tmp_path)
    for unit in (data, trained):
        again.reuse(unit, store.find(unit.key))
    folder = again.paths.unit("train", "0")
    manifest = json.loads((folder.checkpoint / "manifest.json").read_text())
    assert (folder.checkpoint / manifest["config"]["data"]["$result"]["path"]).resolve().is_dir()
    assert manifest["config"]["data"]["$result"]["path"] == "../../../data/0/checkpoint"
    part = json.loads((folder.checkpoint / "part" / "manifest.json").read_text())
    assert part["config"]["field"][0]["$result"]["path"] == "../../../../data/0/checkpoint/field"
    assert json.loads(folder.exports.read_text())[".data"]["$result"]["path"] == "../../../data/0/checkpoint"
    assert checkpoint_is_whole(folder.checkpoint)
    again.close(run.COMPLETE)
    assert files_of(first.paths.root) == before
    # It is as good as one that was made here.
    shutil.rmtree(first.paths.root)
    assert ResultStore(tmp_path).find(trained.key) is not None


# -- keys ----------------------------------------------------------------------------------------------------------------


def key(body, **changes):
    given = {"needs": {}, "seed": 0, "threads": 1, "extensions": {}} | changes
    return stage_key(body, **given)


@pytest.fixture
def code(tmp_path):
    """Extensions: `used` imports `helper`, which lies beside it; `named` is only in the header; `far` is imported by it."""
    for name, text in {
        "used": "import helper\nfrom far.deep import thing\n",
        "helper": "x = 1\n",
        "unrelated": "y = 1\n",
    }.items():
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "__init__.py").write_text(text)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "deep.py").write_text("thing = 1\n")
    (tmp_path / "far" / "__init__.py").write_text("")
    return tmp_path


def test_a_key_covers_the_code_that_a_stage_can_reach_and_no_other(code):
    extensions = {
        "used": str(code / "src" / "used"),
        "unrelated": str(code / "src" / "unrelated"),
        "far": str(code / "far"),
    }
    body = {"$new": "used:Thing"}

    def now():
        forget_code()
        return key(body, extensions=extensions)

    base = now()
    assert now() == base

    def changes(path):
        file = code / path
        text = file.read_text()
        file.write_text(text + "# changed\n")
        after = now()
        file.write_text(text)
        assert now() == base
        return after != base

    assert changes("src/used/__init__.py")
    assert changes("src/helper/__init__.py")  # beside it, importable, in no header
    assert changes("far/deep.py")  # another extension of the header, which it imports
    assert not changes("src/unrelated/__init__.py")
    forget_code()
    assert key(body, extensions={**extensions, "more": "/nowhere"}) == base
    assert key(body, extensions=dict(reversed(extensions.items()))) == base


def test_a_key_covers_the_version_of_a_distribution_that_has_another_name_than_its_module():
    assert code_of(["yaml", "msgspec"], {}) == {
        "msgspec": f"msgspec {version('msgspec')}",
        "yaml": f"yaml PyYAML {version('PyYAML')}",
    }


def test_a_key_does_not_depend_on_where_code_lies(code, tmp_path):
    body = {"$new": "used:Thing"}
    extensions = {"used": str(code / "src" / "used")}
    there = tmp_path / "elsewhere"
    shutil.copytree(code / "src", there)
    assert key(body, extensions=extensions) == key(body, extensions={"used": str(there / "used")})


def test_code_is_looked_at_again_by_the_next_run_of_a_process(code, tmp_path):
    body, extensions = {"$new": "used:Thing"}, {"used": str(code / "src" / "used")}
    before = key(body, extensions=extensions)
    (code / "src" / "used" / "__init__.py").write_text("import helper\nnew = 1\n")
    assert key(body, extensions=extensions) == before  # one run has one version of the code
    Keeper(open_run(spec_of(tmp_path / "out"), tool="t")).close(run.COMPLETE)
    assert key(body, extensions=extensions) != before


def test_a_key_covers_order_seed_threads_and_needs(tmp_path):
    body = {"$new": "toy:A", "x": 1, "y": 2}
    base = key(body)
    others = [
        key({"$new": "toy:A", "y": 2, "x": 1}),  # the order of arguments is build order
        key(body, seed=1),
        key(body, threads=2),
        key(body, needs={"a": "k"}),
        key(body, needs={"a": "other"}),
    ]
    assert len({base, *others}) == 6
    assert key(body, needs={"a": "1", "b": "2"}) == key(body, needs={"b": "2", "a": "1"})
    here, there = (
        concrete_units(spec_of(tmp_path / name), RunPaths(tmp_path / name).root)[0].key for name in ("a", "b")
    )
    assert here == there


def test_seeds_are_in_their_range_and_differ():
    seeds = {unit_seed(seed, {"$new": "toy:A", "x": x}, {}) for seed in range(30) for x in range(30)}
    assert len(seeds) == 900
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62

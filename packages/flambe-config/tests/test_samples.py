"""One sample of each document of each released version: they must load for ever, and are never written again."""

import importlib
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import flambe
from flambe.errors import ConfigError
from flambe.reading.reader import Reader
from flambe.record.claim import code_opened
from flambe.record.damage import result_is_whole
from flambe.record.layout import RunPaths
from flambe.record.ledger import fold, read_events
from flambe.record.metrics import read_metrics
from flambe.record.result import (
    ResultStore,
    artifacts_are_whole,
    artifacts_digest,
    checkpoint_is_whole,
    exports_digest,
    run_digest,
    unit_digest,
)
from flambe.record.run import RunRecord, StageRecord, read_record
from flambe.spec.codec import dump_spec, load_spec, needed_version, unescape
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import is_concrete, links

DATA = Path(__file__).parent / "data"
V1 = DATA / "v1.0"
V1_1 = DATA / "v1.1"
V1_2 = DATA / "v1.2"


@pytest.fixture
def sample(monkeypatch):
    monkeypatch.syspath_prepend(str(V1))
    importlib.invalidate_caches()
    yield {"sample": str(V1 / "sample.py")}
    sys.modules.pop("sample", None)


def test_a_spec_of_1_0():
    spec = load_spec((V1 / "spec.json").read_bytes())
    assert (spec.name, spec.seed, spec.kind, spec.max_failures) == ("sample", 7, "experiment", 3)
    assert [stage.name for stage in spec.stages] == ["words", "cell", "walk"]
    assert not is_concrete(spec)
    walk = spec.stage("walk")
    assert (walk.reduce, walk.resources) == (1, {"cpus": 1})
    assert [(target.path, target.attr, target.call, target.copy) for _, target in links(walk.body)] == [
        (("cell",), (), False, True),
        (("words", 0), ("a", "b"), True, False),
    ]
    notes = unescape(walk.body["notes"])
    assert math.isnan(notes.pop("nan"))
    assert notes == {"$odd": 1, 2: "two", "raw": b"x"}
    assert unescape(walk.body["limits"])[1:] == [math.inf, -math.inf, -0.0, 123456789012345678901234567890]
    assert unescape(walk.body["raw"]) == b"\0\1"
    assert walk.body["path"] == {"$file": "/home/somebody/data.csv"}
    assert walk.body["secret"] == {"$env": "API_TOKEN"}
    assert walk.body["own"] == {"$yaml": "!mine", "value": {"x": 1}}
    assert spec.source.files[0].text.startswith("sample: sample.py")
    assert spec.origins == {"/stages/1/body/scale": [0, 4, 8]}
    assert load_spec(dump_spec(spec)) == spec


def test_a_spec_of_1_1(capsys):
    spec = load_spec((V1_1 / "spec.json").read_bytes())
    assert capsys.readouterr().err == ""
    assert (spec.seeds, spec.source.raw) == ([11, 12], "!Pipeline\nname: sample\n")
    assert [file.path for file in spec.source.files] == ["sample.yaml", "base.yaml"]
    scale = spec.stage("cell").body["scale"]
    assert (scale["names"], scale["probs"]) == (["half", "whole", "more"], [0.25, 0.25, 0.5])
    walk = spec.stage("walk").body
    assert walk["steps"] == {"$quniform": [1, 9, 3]}
    assert walk["notes"]["rate"] == {"$uniform": [-5, -1], "transform": "pow10"}
    assert needed_version(spec) == "1.1"
    assert load_spec(dump_spec(spec)) == spec
    # What an unfinished run of this version is found by.
    assert spec_digest(spec) == "e8fb2a46a595e5b06d4f78f8abdfd604e4c6f530c3b826f1285a21ce15f098de"


def test_a_run_directory_of_1_0():
    paths = RunPaths(V1 / "run")
    record = read_record(paths.record, RunRecord)
    state = fold(read_events(paths.ledger))
    assert record.status == "COMPLETE"
    assert state.counts() == record.counts
    assert record.counts == {"expected": 3, "done": 3, "reused": 0, "failed": 0, "pruned": 0, "pending": 0}
    # What continues, compares and proves runs: these may not drift either.
    assert spec_digest(load_spec(paths.spec.read_bytes())) == record.spec_digest
    assert run_digest(record.spec_digest, state) == record.result_digest
    walk = paths.unit("walk", "scale=0.5")
    unit = read_record(walk.record, StageRecord)
    assert (unit.step, unit.complete, unit.metric, unit.params) == (2, True, 7.5, {"cell.scale": 0.5})
    assert [line["walk/sum"] for line in read_metrics(walk.metrics / "walk.jsonl")] == [4.5, 7.5]
    digest = unit_digest(walk.root, params=unit.params, step=unit.step, complete=unit.complete)
    assert digest == state.done["walk/scale=0.5"]["digest"]
    assert paths.best("walk").resolve().name == "scale=0.5"
    rows = list(Reader(str(V1)).unit_rows("stage == 'walk' and metric > 7"))
    assert [row["variant"] for row in rows] == ["scale=0.5"]


def test_a_spec_of_1_2(capsys):
    spec = load_spec((V1_2 / "spec.json").read_bytes())
    assert capsys.readouterr().err == ""
    body = spec.stages[0].body
    assert (spec.kind, body["snapshot"], body["settings"]) == ("function", "git", {"context": True})
    assert needed_version(spec) == "1.2"
    assert load_spec(dump_spec(spec)) == spec
    assert spec_digest(spec) == "5ab0dd9ef9c6d16665d1fb144836c4fadc2ab8b59097253e7da341ff79bdee3e"


def test_a_run_directory_of_1_1(capsys):
    """One whose code is a shared tree, and that was gone on with by another config; and a sweep beside it."""
    root = V1_2 / "runs/my_task/exp.0"
    record = read_record(root / "run.json", RunRecord)
    assert capsys.readouterr().err == ""
    assert (record.flambe_record, record.resumes, record.exit.code, record.result) == ("1.1", 1, 0, 0.25)
    assert record.command.env == {"PLACE": None}
    assert (record.code.mode, record.code.tree) == ("git", Path(record.code.path).name)
    assert (root / record.code.path / "main.py").is_file()
    assert spec_digest(load_spec((root / "spec.1.json").read_bytes())) == record.spec_digest
    state = fold(read_events(root / "ledger.jsonl"))
    assert run_digest(record.spec_digest, state) == record.result_digest
    assert [line["loss"] for line in read_metrics(root / "metrics/train.jsonl")] == [0.5, 0.25]
    sweep = root.parent / "exp.1"
    assert read_record(sweep / "run.json", RunRecord).flambe_record == "1.0"
    rates = [read_record(sweep / f"stages/main/lr={lr}/run.json", StageRecord).result for lr in (1.0, 2.0)]
    assert rates == [1.0, 2.0]


def test_the_ledger_of_a_population():
    """A variant that went on from the state of another, at another rate, with a first metric that is no number."""
    root = V1_2 / "ledgers/population/exp.0"
    state = fold(read_events(root / "ledger.jsonl"))
    record = read_record(root / "run.json", RunRecord)
    assert state.counts() == record.counts
    assert run_digest(record.spec_digest, state) == record.result_digest
    (exploit,) = (event for event in state.events if event.get("decision") == "exploit")
    assert {name: exploit[name] for name in ("unit", "step", "donor", "donor_step", "choice")} == {
        "unit": "walk/rate=2.0", "step": 2, "donor": "walk/rate=1.0", "donor_step": 2, "choice": {"rate": 4.0},
    }  # fmt: skip
    assert exploit["key"] == f"{state.planned['walk/rate=2.0']['key']}@2"
    assert state.reduced["walk"]["kept"] == ["walk/rate=2.0"]
    first = [reports[0]["metric"] for unit, reports in state.reports.items() if unit.startswith("walk/")]
    assert len(first) == 2
    assert all(math.isnan(metric) for metric in first)
    (run,) = Reader(str(root), index=None)
    # Two steps at its donor's rate, two at the one it chose then.
    assert [(unit.id, unit.status, unit.metric, unit.kept) for unit in run.units()] == [
        ("walk/rate=1.0", "COMPLETE", 8.0, False), ("walk/rate=2.0", "COMPLETE", 12.0, True), ("look/rate=2.0", "COMPLETE", None, None),
    ]  # fmt: skip


def test_a_stage_that_was_decided_about_as_a_whole(tmp_path):
    """A population whose ledger says that it is settled, and whose record says who took over from whom."""
    root = V1_2 / "ledgers/settled/exp.0"
    state = fold(read_events(root / "ledger.jsonl"))
    record = read_record(root / "run.json", RunRecord)
    assert run_digest(record.spec_digest, state) == record.result_digest
    worse, better = "walk/rate=1.159726447", "walk/rate=1.813535471"
    taken = {"step": 4, "donor": better, "donor_step": 4, "choice": {"rate": 1.450828377}}
    unit = read_record(root / f"stages/{worse}/run.json", StageRecord)
    assert (unit.takeovers, unit.params) == ([taken], {"walk.rate": 1.450828377})
    assert state.taken_over(worse) == [taken]
    (settle,) = (event for event in state.events if event["event"] == "settle")
    assert settle["stages"] == ["walk"]
    shutil.copytree(root, tmp_path / "settled/exp.0", symlinks=True)
    settled = ResultStore(tmp_path).find_settled(settle["key"])
    assert [f"{one.stage}/{one.variant}" for one in settled.units] == [better, worse]
    assert [event["choice"] for event in settled.decisions if event["decision"] == "exploit"] == [{"rate": 1.450828377}]
    (run,) = Reader(str(root), index=None)
    assert [(one.id, one.takeovers, one.metric) for one in run.units()] == [
        (better, [], 10.881212826), (worse, [taken], 10.155798638), ("look/rate=1.813535471", [], None),
    ]  # fmt: skip


def test_the_ledger_of_results_that_were_taken_again():
    made, taken = (V1_2 / f"ledgers/one/exp.{number}" for number in (0, 1))
    commits, reuses = (fold(read_events(root / "ledger.jsonl")).done for root in (made, taken))
    assert [event["event"] for event in (*commits.values(), *reuses.values())] == ["commit", "commit", "reuse", "reuse"]
    for unit, event in commits.items():
        same = ("key", "digest", "exports", "artifacts")
        assert [event[name] for name in same] == [reuses[unit][name] for name in same]
        assert event["exports"] == exports_digest(RunPaths(made).folder(unit))
        assert result_is_whole(RunPaths(taken).folder(unit).root, reuses[unit])
    assert math.isnan(reuses["walk/0"]["metric"])
    unit = read_record(taken / "stages/walk/0/run.json", StageRecord)
    assert (unit.reused_from, math.isnan(unit.metric)) == ("../exp.0/stages/walk/0", True)
    (run,) = Reader(str(taken), index=None)
    assert run.counts()["reused"] == 2
    assert math.isnan(run.units()[0].metric)


def test_the_ledger_of_a_variant_that_somebody_ended():
    root = V1_2 / "ledgers/task/exp.0"
    state = fold(read_events(root / "ledger.jsonl"))
    assert (state.failed["main/rate=3.0"]["signal"], state.failed["main/rate=3.0"]["final"]) == ("SIGTERM", True)
    assert state.counts() == {"expected": 2, "done": 1, "reused": 0, "failed": 1, "pruned": 0, "pending": 0}
    unit = read_record(root / "stages/main/rate=3.0/run.json", StageRecord)
    assert (unit.status, unit.status_reason, unit.exit.code, unit.exit.signal) == (
        "CANCELLED",
        "SIGTERM",
        143,
        "SIGTERM",
    )
    record = read_record(root / "run.json", RunRecord)
    assert code_opened(state.events) == record.code
    (run,) = Reader(str(root), index=None)
    assert [(unit.variant, unit.status) for unit in run.units()] == [
        ("rate=1.0", "COMPLETE"),
        ("rate=3.0", "CANCELLED"),
    ]
    assert run.counts()["failed"] == 1
    done = RunPaths(root).folder("main/rate=1.0")
    assert state.done["main/rate=1.0"]["artifacts"] == artifacts_digest(done)
    assert artifacts_are_whole(done.root, state.done["main/rate=1.0"])


def test_results_of_1_0_are_taken_again(tmp_path, sample):
    shutil.copytree(V1 / "run", tmp_path / "sample" / "exp.0", symlinks=True)
    unit = read_record(V1 / "run/stages/walk/scale=0.5/run.json", StageRecord)
    found = ResultStore(tmp_path).find(unit.key)
    walk = flambe.load(found.folder / "checkpoint", extensions=sample)
    assert walk.metric() == 7.5
    assert walk.words.words == ["a", "b", "c"]
    assert walk.seen[2] == {"pair": (1, 2.5), "raw": b"\0\1", "nothing": None}


def test_a_saved_component_of_1_0(sample):
    assert checkpoint_is_whole(V1 / "component")
    walk = flambe.load(V1 / "component", extensions=sample)
    assert (walk.steps, walk.done) == (3, 2)
    assert walk.notes == {"deep": [1, (2, 3)], 4: "four"}
    assert np.array_equal(walk.cell.weights, np.array([2.0, 3.0], "float32"))
    cell = flambe.load(V1 / "component" / "cell", extensions=sample)
    assert np.array_equal(cell.weights, walk.cell.weights)
    assert not walk.run()


def test_other_major_versions_of_each_document_are_refused_with_both_numbers(tmp_path, sample):
    def older(path, target):
        text = path.read_text()
        assert '"1.0"' in text
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace('"1.0"', '"2.3"', 1))
        return target

    with pytest.raises(ConfigError, match=r"is of version 2\.3, this program reads version 1\.x"):
        load_spec(older(V1 / "spec.json", tmp_path / "spec.json").read_text())
    with pytest.raises(ConfigError, match=r"is of version 2\.3, this program reads version 1\.x"):
        read_record(older(V1 / "run/run.json", tmp_path / "run.json"), RunRecord)
    shutil.copytree(V1 / "component", tmp_path / "component")
    older(V1 / "component/manifest.json", tmp_path / "component/manifest.json")
    with pytest.raises(flambe.errors.FlambeError, match=r"2\.3.*1\."):
        flambe.load(tmp_path / "component", extensions=sample)


def test_newer_minor_versions_are_read_with_a_warning(tmp_path, capsys):
    text = (V1 / "run/run.json").read_text().replace('"1.0"', '"1.4",\n "news": {"a": [1]}', 1)
    (tmp_path / "run.json").write_text(text)
    assert read_record(tmp_path / "run.json", RunRecord).name == "sample"
    assert "is of version 1.4, newer than 1.1" in capsys.readouterr().err

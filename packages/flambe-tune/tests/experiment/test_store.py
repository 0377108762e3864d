"""A store that several machines share, in a folder and on S3: taken whole or not at all, put there beside the run."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from flambe.errors import MachineError, UsageError
from flambe.pipeline.settled_key import grown_key
from flambe.record.ledger import fold, read_events
from flambe.record.result import ResultStore
from flambe.record.shared_store import SharedStore
from flambe.spec.nodes import Spec, Stage

SPEC = Spec(
    name="x",
    stages=[
        Stage(name="data", body={"$new": "m:Data"}),
        Stage(name="train", body={"$new": "m:T", "data": {"$link": ["data"]}, "lr": {"$grid": [1, 2, 3]}}, reduce=1),
        Stage(name="judge", body={"$new": "m:J", "train": {"$link": ["train"]}}),
    ],
)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An address on moto's HTTP server."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="results")
        yield "s3://results/of/all"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "shared") if request.param == "folder" else request.getfixturevalue("bucket")


def _run(lab, address, spec=SPEC):
    """Run a spec as a machine of its own, which shares nothing but the store."""
    lab.folder.mkdir(exist_ok=True)
    with SharedStore(address, ResultStore(lab.folder), lab.folder) as store:
        _, record = lab.run(
            spec, store=store, steps=lambda unit: 2, metric=lambda unit, step: unit.params.get("train.lr")
        )
        root = lab.folder / "x/exp.0"
        state = fold(read_events(root / "ledger.jsonl"))
        for unit, event in state.done.items():
            if event["event"] == "commit":
                store.offer(root / "stages" / unit, event)
    assert not list(lab.folder.glob(".store-*"))
    return record, state


def test_what_one_machine_did_another_takes(labs, address):
    first, second, third = labs(3)
    done, _ = _run(first, address)
    assert done.counts["reused"] == 0
    taken, state = _run(second, address)
    assert taken.counts["reused"] == taken.counts["done"] == 5
    assert taken.result_digest == done.result_digest
    assert all(event["source"].startswith(f"{address}/") for event in state.done.values())
    assert _run(third, address)[0].result_digest == done.result_digest


def test_data_that_lies_elsewhere_on_another_machine_is_the_same_data(labs, tmp_path):
    first, second, third = labs(3)

    def given(lab, text):
        lab.folder.mkdir()
        (lab.folder / "more.txt").write_text("more")
        (lab.folder / "words.txt").write_text(text)
        files = [{"$file": str(lab.folder / name)} for name in ("words.txt", "more.txt")]
        data, *rest = SPEC.stages
        return msgspec.structs.replace(
            SPEC, stages=[msgspec.structs.replace(data, body={**data.body, "path": {"$grid": files}}), *rest]
        )

    done, there = _run(first, str(tmp_path / "shared"), given(first, "words"))
    taken, here = _run(second, str(tmp_path / "shared"), given(second, "words"))
    assert taken.counts["reused"] == taken.counts["done"] == len(there.done) == len(here.done)
    assert taken.result_digest == done.result_digest
    _, other = _run(third, str(tmp_path / "shared"), given(third, "wordS"))
    again = {unit: event["event"] for unit, event in other.done.items() if unit.startswith(("data", "train"))}
    assert {unit for unit, event in again.items() if event == "reuse"} == {unit for unit in again if "more.txt" in unit}


def test_what_is_torn_or_changed_or_of_another_key_is_run_again(labs, tmp_path, capsys):
    address = tmp_path / "shared"
    first, second, third = labs(3)
    done, state = _run(first, str(address))
    keys = {unit: event["key"] for unit, event in state.done.items()}
    names = sorted(keys)
    (address / f"{keys[names[0]]}.tar").write_bytes(b"torn")
    (address / f"{keys[names[2]]}.tar").write_bytes((address / f"{keys[names[3]]}.tar").read_bytes())
    changed = address / f"{keys[names[4]]}.tar"
    with tarfile.open(changed) as old:
        members = [(member, old.extractfile(member).read()) for member in old.getmembers() if member.isfile()]
    with tarfile.open(changed, "w") as new:
        for member, data in members:
            data = data if member.name != "exports.json" else json.dumps({"other": 1}).encode()
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    again, state = _run(second, str(address))
    assert again.result_digest == done.result_digest
    assert {unit for unit, event in state.done.items() if event["event"] == "commit"} == {names[0], names[2], names[4]}
    assert (
        capsys.readouterr().err.count(f"{keys[names[0]]}.tar cannot be taken, and will be replaced: truncated header\n")
        == 1
    )
    # What has taken their places is whole.
    assert _run(third, str(address))[0].counts["reused"] == 5
    assert capsys.readouterr().err == ""


def test_an_archive_writes_nothing_outside(labs, tmp_path):
    address = tmp_path / "shared"
    first, second = labs(2)
    _, state = _run(first, str(address))
    key = state.done["data/0"]["key"]
    with tarfile.open(address / f"{key}.tar", "w") as archive:
        entry = tarfile.TarInfo("../../outside")
        archive.addfile(entry, io.BytesIO(b""))
    again, _ = _run(second, str(address))
    assert again.counts["done"] == 5
    assert not list(tmp_path.rglob("outside"))


def test_a_store_that_is_not_there_is_said_before_anything_runs(bucket, tmp_path, bench):
    with pytest.raises(MachineError, match="looking at s3://nothing/of/it: S3 refused with NoSuchBucket"):
        SharedStore("s3://nothing/of/it", ResultStore(tmp_path), tmp_path)
    with pytest.raises(UsageError, match="https://x/y is no store; expected a folder, or s3://bucket/folder"):
        SharedStore("https://x/y", ResultStore(tmp_path), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="the store .*file/below cannot be used: Not a directory"):
        SharedStore(str(tmp_path / "file/below"), ResultStore(tmp_path), tmp_path)
    _, _, said = bench.tune(bench.spec(), "--store", "s3://nothing/of/it", code=4)
    assert "S3 refused with NoSuchBucket" in said
    assert not list((tmp_path / "out").rglob("run.json"))


def test_results_that_were_there_before_the_store_are_put_there_too(bench, tmp_path):
    spec, store = bench.spec(rates=1, steps=1), str(tmp_path / "shared")
    bench.tune(spec)
    rows, _, _ = bench.tune(spec, "--store", store)
    assert [row["reused"] for row in rows] == [True] * 3
    rows, _, _ = bench.tune(spec, "--store", store, "--output-dir", str(tmp_path / "elsewhere"))
    assert [row["reused"] for row in rows] == [True] * 3


def test_a_search_over_data_is_known_by_what_is_in_it(tmp_path):
    def key(folder, text):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words.txt").write_text(text)
        body = {"$new": "m:T", "lr": {"$uniform": [0, 1]}, "path": {"$file": str(tmp_path / folder / "words.txt")}}
        search = {"$new": "m:Mine", "first": body["path"]}
        stage = Stage(name="train", body=body, search=search)
        return grown_key(Spec(name="x", stages=[stage]), [stage], {})

    assert key("here", "words") == key("there", "words") != key("changed", "wordS")

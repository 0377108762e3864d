"""``Logger``: metric lines and checkpoints in a folder, in their files when a call returns."""

import errno
import json
import math
import multiprocessing
import os
import time

import numpy as np
import pytest

from flambe.errors import FlambeError, ProvenanceError
from flambe.record.artifact_type import InvalidArtifactError
from flambe.record.logger import Logger
from flambe.record.metrics import InvalidLogName, MetricFile, read_metrics


def test_metrics_are_lines_of_their_log(tmp_path):
    logger = Logger(tmp_path / "exp.7")
    logger.log_metrics({"loss": 0.5, "step": 3, "lr": np.float32(0.25)}, log_name="train")
    logger.log_metrics({"acc": math.nan, "worst": -math.inf}, log_name="train")
    logger.log_metrics({"x": 1})
    first, second = read_metrics(tmp_path / "exp.7/metrics/train.jsonl")
    assert 0 <= first.pop("_t") <= second.pop("_t")
    assert (first, second) == ({"step": 3, "loss": 0.5, "lr": 0.25}, {"acc": "NaN", "worst": "-Infinity"})
    assert (tmp_path / "exp.7/metrics/metrics.jsonl").exists()
    assert (logger.log_id, logger.log_dir) == (7, str(tmp_path / "exp.7"))
    assert logger.get_info()["metrics_dir"] == str(tmp_path / "exp.7/metrics")


def test_seconds_go_on_with_the_file(tmp_path):
    path = tmp_path / "train.jsonl"
    began = time.time()
    first = MetricFile(path)
    first.add(1, {"x": 1}, walltime=began + 60)
    first.close()
    MetricFile(path).add(2, {"x": 2})
    one, two = (line["_t"] for line in read_metrics(path))
    assert 59 < one <= two < one + 30


@pytest.mark.parametrize("name", ["info", "config", "mlxp", "artifacts", "a/b", "a.b", "..", "", "ä", None])
def test_a_log_has_a_name_that_is_free(tmp_path, name):
    with pytest.raises(InvalidLogName):
        Logger(tmp_path).log_metrics({"x": 1}, log_name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_cannot_be_encoded_leaves_the_file_as_it_was(tmp_path):
    logger = Logger(tmp_path)
    logger.log_metrics({"x": 1})
    before = (tmp_path / "metrics/metrics.jsonl").read_bytes()
    for wrong in ({"y": 2, "x": object()}, {"x": [1]}, {"x": np.ones(2)}):
        with pytest.raises((TypeError, ValueError)):
            logger.log_metrics(wrong)
    with pytest.raises(ValueError, match="begins with '_'"):
        logger.log_metrics({"_t": 1})
    assert (tmp_path / "metrics/metrics.jsonl").read_bytes() == before


def test_a_disk_that_takes_half_a_line_has_taken_none(tmp_path, monkeypatch):
    """As a full disk does: the first write takes what there is room for, the next one is refused."""
    logger = Logger(tmp_path)
    logger.log_metrics({"x": 1})
    logger.log_artifact("hello", "note.txt", "text")
    files = [tmp_path / "metrics/metrics.jsonl", tmp_path / "artifacts.jsonl"]
    before = [file.read_bytes() for file in files]
    real, writes = os.write, []

    def half(descriptor, data):
        writes.append(descriptor)
        if writes.count(descriptor) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            logger.log_metrics({"x": 2})
        with pytest.raises(OSError, match="No space left"):
            logger.log_artifact("hello", "more.txt", "text")
    assert [file.read_bytes() for file in files] == before
    logger.log_metrics({"x": 3})
    assert [line["x"] for line in read_metrics(files[0])] == [1, 3]


def test_a_later_process_goes_on_after_a_torn_line(tmp_path):
    Logger(tmp_path).log_metrics({"x": 1})
    with (tmp_path / "metrics/metrics.jsonl").open("ab") as stream:
        stream.write(b'{"x": 2, "y')
    Logger(tmp_path).log_metrics({"x": 3})
    assert [line["x"] for line in read_metrics(tmp_path / "metrics/metrics.jsonl")] == [1, 3]


def _log_many(folder, who):
    logger = Logger(folder)
    for count in range(500):
        logger.log_metrics({"who": who, "count": count})


def test_several_processes_share_a_file(tmp_path):
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_log_many, args=(tmp_path, who)) for who in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    lines = [json.loads(line) for line in (tmp_path / "metrics/metrics.jsonl").read_text().splitlines()]
    for who in range(4):
        assert [line["count"] for line in lines if line["who"] == who] == list(range(500))


def test_a_checkpoint_is_found_again_and_replaced(tmp_path):
    logger = Logger(tmp_path)
    with pytest.raises(InvalidArtifactError, match="there is no checkpoint 'checkpoint'"):
        logger.load_checkpoint()
    logger.log_checkpoint({"weights": np.arange(3.0), "epoch": 1})
    logger.log_checkpoint({"weights": np.arange(4.0), "epoch": 2})
    found = Logger(tmp_path).load_checkpoint()
    assert found["epoch"] == 2
    assert found["weights"].tolist() == [0, 1, 2, 3]
    assert Logger(tmp_path / "other").load_checkpoint(run=tmp_path)["epoch"] == 2
    with pytest.raises(InvalidArtifactError, match="Did you mean 'checkpoint'"):
        logger.load_checkpoint("chekpoint")


class Plain:
    """Something that only a pickle can hold."""

    value = 3


def test_what_no_file_format_holds_is_a_pickle_if_both_sides_say_so(tmp_path):
    logger = Logger(tmp_path)
    logger.log_checkpoint({"epoch": 1})
    with pytest.raises(FlambeError, match="store it with allow_pickle=True"):
        logger.log_checkpoint({"model": Plain()})
    logger.log_checkpoint({"model": Plain()}, allow_pickle=True)
    with pytest.raises(ProvenanceError, match="If you trust it, pass allow_pickle=True"):
        logger.load_checkpoint()
    assert logger.load_checkpoint(allow_pickle=True)["model"].value == 3


def test_artifacts_by_their_two_names(tmp_path):
    logger = Logger(tmp_path)
    logger.log_artifacts({"a": np.ones(2)}, "arrays", artifact_type="numpy")
    logger.log_artifact("hello", "note.txt", "text")
    assert logger.load_artifacts("arrays")["a"].tolist() == [1, 1]
    assert [entry.name for entry in logger.artifacts()] == ["arrays", "note.txt"]
    logger.close()
    logger.log_metrics({"x": 1})
    assert Logger(tmp_path / "x").load_artifact("note.txt", run=tmp_path) == "hello"

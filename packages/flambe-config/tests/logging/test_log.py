"""Metrics from inside a unit: one line each, encoded wholly or not at all."""

import enum
import json
import logging
import math

import numpy as np
import pytest

import flambe
from flambe.logging.log import MetricBuffer, get_trial_dir, log, log_scalar, log_scalars, log_text, use_buffer
from flambe.record.metrics import metric_line, read_metrics


class Answer(enum.IntEnum):
    """A number with a name."""

    YES = 1


@pytest.fixture
def buffer():
    buffer = MetricBuffer()
    use_buffer(buffer)
    yield buffer
    use_buffer(None)


def lines(buffer):
    return [json.loads(line) for line in buffer.take().splitlines()]


def test_what_is_logged_is_one_line_each(buffer):
    flambe.log("loss", 0.5, 3)
    log("acc", {"train": 1, "test": np.float32(0.5)}, 4)
    log("note", "done", 5, walltime=buffer.began + 2.0)
    log("flag", True)
    found = lines(buffer)
    times = [line.pop("_t") for line in found]
    assert found == [
        {"step": 3, "loss": 0.5},
        {"step": 4, "acc/train": 1, "acc/test": 0.5},
        {"step": 5, "note": "done"},
        {"flag": True},
    ]
    assert times[2] == 2.0
    assert buffer.take() == b""


def test_numbers_that_json_has_not_are_text(buffer):
    log_scalars("x", {"a": math.nan, "b": math.inf, "c": np.float64("-inf"), "d": np.array(math.nan)}, 1)
    (line,) = lines(buffer)
    assert [line[f"x/{key}"] for key in "abcd"] == ["NaN", "Infinity", "-Infinity", "NaN"]


def test_what_cannot_be_recorded_is_refused_or_named_and_writes_nothing(buffer, caplog):
    with pytest.raises(TypeError, match="a metric is a number or text, not list"):
        log_scalar("x", [1, 2])
    with pytest.raises(ValueError, match="begins with '_'"):
        log("_t", 3)
    with pytest.raises(ValueError, match="begins with '_'"):
        log_scalars("_x", {"a": 1})
    with pytest.raises(ValueError, match="step"):
        log("step", 3, 1)
    with caplog.at_level(logging.INFO):
        log("image", np.zeros((2, 2)))
    assert "image: ndarray is no number, mapping or text; it was not recorded (log_image" in caplog.text
    assert buffer.take() == b""


def test_kinds_of_numbers_and_texts_are_what_they_are_at_heart(buffer):
    log_scalars("x", {"a": np.float64(0.5), "b": Answer.YES, "c": np.str_("t"), "d": np.bool_(True), "e": 10**30}, 1)
    (line,) = lines(buffer)
    assert [line[f"x/{key}"] for key in "abcde"] == [0.5, 1, "t", True, 10**30]


def test_a_step_of_numpy_is_a_number(buffer):
    log("loss", 1.0, np.int64(7))
    assert lines(buffer)[0]["step"] == 7


def test_outside_a_unit_nothing_is_recorded_and_nothing_is_wrong():
    log("loss", 0.5)
    log_text("a", "b")
    assert get_trial_dir() is None


def test_a_torn_last_line_is_left_out(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(metric_line(1, {"x": 1}, 0.1) + b'{"step": 2, "x"')
    assert [line["step"] for line in read_metrics(path)] == [1]
    assert list(read_metrics(tmp_path / "nothing")) == []

"""What is logged beside numbers: kept as artifacts, by the functions and by records of data."""

import logging
import math
import subprocess
import sys

import numpy as np
import pytest

import flambe.logging
from flambe.logging import (
    EmbeddingT,
    GraphT,
    HistogramT,
    ImageT,
    PRCurveT,
    ScalarsT,
    ScalarT,
    TextT,
    log_audio,
    log_histogram,
    log_image,
    log_pr_curve,
    log_pr_curves,
    log_scalar,
    log_text,
)
from flambe.logging.buffer import METRICS_VARIABLE, MetricBuffer, use_buffer
from flambe.logging.curve import histogram, pr_curve
from flambe.logging.datatypes import DATA_TYPES, DataLoggingFilter
from flambe.logging.log import record, records_of_data
from flambe.record.artifact_type import InvalidArtifactError
from flambe.record.artifacts import Artifacts
from flambe.record.metrics import read_metrics


@pytest.fixture
def buffer(tmp_path):
    buffer = MetricBuffer(Artifacts(tmp_path))
    use_buffer(buffer)
    yield buffer
    use_buffer(None)


def test_each_is_an_artifact_of_its_tag_and_step(buffer, tmp_path):
    log_image("a/picture", np.ones((2, 3)), 1)
    log_image("a/picture", np.zeros((2, 3)), 2)
    log_audio("beep", np.zeros(10), 3, sample_rate=100)
    log_histogram("weights", np.arange(10), 4, bins=5)
    log_pr_curve("curve", [0, 1, 1], [0.2, 0.4, 0.8], 5, num_thresholds=3)
    log_image("no step", np.ones((2, 3)))
    entries = buffer.artifacts.entries()
    assert [(e.type, e.name, e.tag, e.step) for e in entries][:5] == [
        ("image", "a/picture/1.png", "a/picture", 1),
        ("image", "a/picture/2.png", "a/picture", 2),
        ("audio", "beep/3.wav", "beep", 3),
        ("histogram", "weights/4.json", "weights", 4),
        ("pr_curve", "curve/5.json", "curve", 5),
    ]
    assert entries[5].name.startswith("no_step~")
    assert entries[5].tag == "no step"
    found = buffer.artifacts.load("weights/4.json")
    assert (found["counts"], found["edges"][:2]) == ([2, 2, 2, 2, 2], [0.0, 1.8])
    assert buffer.artifacts.load("beep/3.wav")[0] == 100
    assert buffer.take() == b""


@pytest.mark.parametrize("tag", ["../../x", "/etc/x", ".hidden", "a//b", "a\nb", "", "x" * 300])
def test_a_tag_is_no_way_out_of_the_folder(buffer, tmp_path, tag):
    log_image(tag, np.ones((1, 1)), 1)
    (entry,) = buffer.artifacts.entries()
    assert entry.tag == tag
    assert (tmp_path / entry.path).resolve().is_relative_to(tmp_path / "artifacts/image")
    assert buffer.artifacts.load(entry.name).shape == (1, 1, 1)


def test_tags_that_no_file_can_have_stay_apart(buffer):
    for tag in ("a b", "a_b", "a  b"):
        log_image(tag, np.ones((1, 1)), 1)
    assert len({entry.name for entry in buffer.artifacts.entries()}) == 3


def test_records_by_a_logger_of_ones_own_obey_its_level(buffer):
    mine = logging.getLogger("mine")
    mine.setLevel(logging.INFO)
    with records_of_data():
        mine.info(ScalarT("x", 1, 2))
        log_scalar("y", 2, 3, logger=mine)
        log_text("z", "said", 3, logger=mine)
        mine.debug(ScalarT("not", 1, 2))
        mine.info("plain %s", "words")
        mine.setLevel(logging.WARNING)
        log_scalar("quiet", 2, 3, logger=mine)
    mine.info(ScalarT("outside", 1))
    lines = [(line.step, dict(line.values)) for line in buffer.take_lines()]
    assert lines == [(2, {"x": 1}), (3, {"y": 2}), (3, {"z": "said"})]


def test_every_type_of_record_is_kept(buffer):
    class Model:
        def named_parameters(self):
            return [("weight", np.ones((2, 3)))]

        def __str__(self):
            return "Model(2, 3)"

    for data in (
        ScalarT("s", 1.5, 1),
        ScalarsT("many", {"a": 1, "b": 2}, 1),
        TextT("t", "text", 1),
        ImageT("i", np.ones((2, 2)), 1),
        HistogramT("h", [1, 2], 1),
        PRCurveT("p", [1, 0], [1, 0], 1, weights=[1, 2]),
        EmbeddingT(np.ones((2, 3)), metadata=["a", ("b", 1)], global_step=1, metadata_header=["name"]),
        GraphT(Model(), None, verbose=True),
    ):
        record(data, buffer)
        assert isinstance(data, DATA_TYPES)
    assert [dict(line.values) for line in buffer.take_lines()] == [
        {"s": 1.5},
        {"many/a": 1, "many/b": 2},
        {"t": "text"},
    ]
    assert [entry.type for entry in buffer.artifacts.entries()] == [
        "image",
        "histogram",
        "pr_curve",
        "checkpoint",
        "text",
    ]
    found = buffer.artifacts.load("default/1.safetensors")
    assert found["mat"].shape == (2, 3)
    assert found["metadata"] == ["a", ["b", "1"]]
    assert buffer.artifacts.load("graph.txt") == "Model(2, 3)\nweight [2, 3]\n"


def test_a_record_shows_no_pixels():
    assert repr(ImageT("i", np.ones((2, 2)), 1)) == "ImageT('i', ndarray of (2, 2), 1)"
    assert repr(ScalarT("s", 0.5, 3)) == "ScalarT(tag='s', scalar_value=0.5, global_step=3, walltime=None)"


def test_a_filter_tells_data_from_words():
    def passes(filter_, msg, level=logging.INFO):
        return filter_.filter(logging.LogRecord("x", level, "", 0, msg, None, None))

    only_data = DataLoggingFilter(default=False, level=logging.INFO, dont_include=[TextT])
    assert passes(only_data, ScalarT("x", 1))
    assert not passes(only_data, ScalarT("x", 1), logging.DEBUG)
    assert not passes(only_data, TextT("x", "y"))
    assert not passes(only_data, "words")
    assert passes(DataLoggingFilter(), "words")


def test_what_is_no_image_is_an_error_where_it_is_logged(buffer, tmp_path):
    with pytest.raises(InvalidArtifactError, match=r"an array of shape \(3,\) is no image"):
        log_image("x", np.ones(3), 1)
    with pytest.raises(ValueError, match="none of 2 values is a finite number"):
        log_histogram("x", [math.nan, math.inf], 1)
    assert buffer.artifacts.entries() == []


def test_outside_a_unit_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log_image("x", np.ones((2, 2)), 1)
    log_pr_curves("x", [1], [1], 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bins", ["auto", "fd", "tensorflow", 7, [0.0, 1.0, 1e9]])
def test_every_value_is_in_a_bin_and_there_are_never_too_many(bins):
    values = np.concatenate([np.random.default_rng(0).random(10_000), [1e9]])
    found = histogram(values, bins)
    assert sum(found["counts"]) == found["num"] == 10_001
    assert len(found["edges"]) == len(found["counts"]) + 1 <= 513
    negative = histogram(-values, "tensorflow")
    assert sum(negative["counts"]) == 10_001
    assert (negative["min"], negative["max"]) == (-1e9, -values.min())


def test_a_curve_counts_what_is_at_or_above_each_threshold():
    found = pr_curve([1, 1, 0, 0], [1.0, 0.6, 0.5, 0.0], 3)
    assert found["thresholds"] == [0, 0.5, 1]
    assert (found["tp"], found["fp"], found["fn"], found["tn"]) == ([2, 2, 1], [2, 1, 0], [0, 0, 1], [0, 1, 2])
    assert found["recall"] == [1, 1, 0.5]
    weighted = pr_curve([1, 0], [1.0, 1.0], 2, weights=[3.0, 1.0])
    assert weighted["precision"] == [0.75, 0.75]


def test_a_program_of_a_unit_logs_to_the_unit(tmp_path):
    code = (
        "import flambe.logging as l; l.log('x', 1.5, 2); l.log_histogram('h', [1, 2], 3); l.log('x', float('nan'), 4)"
    )
    environment = {METRICS_VARIABLE: str(tmp_path / "program.jsonl"), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    buffer = MetricBuffer()
    buffer.add_encoded((tmp_path / "program.jsonl").read_bytes())
    assert [(line.step, line.values) for line in buffer.take_lines()] == [(2, {"x": 1.5}), (4, {"x": "NaN"})]
    assert [line["step"] for line in read_metrics(tmp_path / "program.jsonl")] == [2, 4]
    artifacts = Artifacts(tmp_path)
    assert [entry.tag for entry in artifacts.fresh()] == ["h"]
    assert artifacts.fresh() == []


def test_the_room_has_what_the_manual_names():
    for name in flambe.logging.__all__:
        assert getattr(flambe.logging, name).__doc__
    assert flambe.logging.log is flambe.log

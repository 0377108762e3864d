"""Event files, read back with the classes of tensorboardX; and the same metrics in them as in the metric lines, once each."""

import json
import math
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time

import msgspec
import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.proto.plugin_pr_curve_pb2 import PrCurvePluginData
from tensorboardX.summary import compute_curve

from flambe.learn.tensorboard import TensorBoard, event
from flambe.learn.tensorboard.crc32c import checksums
from flambe.logging import log_audio, log_histogram, log_image, log_pr_curve
from flambe.logging.buffer import MetricBuffer, use_buffer
from flambe.logging.curve import pr_curve
from flambe.logging.mirror import Mirror
from flambe.record.artifacts import Artifacts
from flambe.record.logger import Logger
from flambe.record.metrics import Line, read_metrics
from flambe.runner.execute import execute
from flambe.spec.codec import dump_spec
from flambe.spec.nodes import Environment, Spec, Stage


def events(data):
    """Read what stands in an event file, checking every length and checksum."""
    at, found = 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        body = data[at + 12 : at + 12 + length]
        for place, checked in ((at + 8, data[at : at + 8]), (at + 12 + length, body)):
            crc = crc32c(checked)
            assert struct.unpack_from("<I", data, place)[0] == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        assert len(body) == length
        found.append(Event.FromString(body))
        at += 16 + length
    return found


def scalars(found):
    return [
        (e.step, v.tag, v.simple_value)
        for e in found
        for v in e.summary.value
        if v.WhichOneof("value") == "simple_value"
    ]


@pytest.mark.parametrize("count", [1, 3, 60, 500])
def test_checksums_are_those_of_the_format(count):
    lengths = np.random.default_rng(count).integers(0, 90, count).tolist()
    messages = [os.urandom(length) for length in [*lengths, 0, 4095, 4096, 4097, 70_001]]
    assert checksums(messages) == [crc32c(message) for message in messages]


def test_numbers_and_texts_of_lines():
    board = TensorBoard()
    lines = [
        (3, {"loss": 0.5, "acc": 1, "good": True, "nothing": None}, 1e9 + 0.25),
        (-1, {"loss": "NaN", "high": "Infinity", "low": "-Infinity", "huge": 1e300, "note": "düster"}, 2e9),
        (2**40, {}, 3e9),
    ]
    first, second, third, fourth = events(board.begin({}, []) + board.metrics(lines))
    assert first.file_version == "brain.Event:2"
    assert (second.step, second.wall_time) == (3, 1e9 + 0.25)
    assert scalars([second]) == [(3, "loss", 0.5), (3, "acc", 1.0), (3, "good", 1.0)]
    values = {value.tag: value for value in third.summary.value}
    assert third.step == -1
    assert math.isnan(values["loss"].simple_value)
    assert [values[tag].simple_value for tag in ("high", "low", "huge")] == [math.inf, -math.inf, math.inf]
    assert values["note/text_summary"].tensor.string_val[0].decode() == "düster"
    assert values["note/text_summary"].metadata.plugin_data.plugin_name == "text"
    assert fourth.step == 2**40


def test_the_parameters_of_a_variant_and_the_tags_it_is_measured_by():
    _, experiment, session = events(TensorBoard().begin({"lr": 0.1, "cell": "lstm", "tied": True}, ["loss", "acc"]))
    said = HParamsPluginData.FromString(experiment.summary.value[0].metadata.plugin_data.content).experiment
    assert [(info.name, info.type) for info in said.hparam_infos] == [("lr", 3), ("cell", 1), ("tied", 2)]
    assert [info.name.tag for info in said.metric_infos] == ["loss", "acc"]
    assert session.summary.value[0].tag == "_hparams_/session_start_info"
    said = HParamsPluginData.FromString(session.summary.value[0].metadata.plugin_data.content).session_start_info
    assert said.hparams["lr"].number_value == 0.1
    assert said.hparams["cell"].string_value == "lstm"
    assert said.hparams["tied"].bool_value is True


def test_images_sounds_histograms_and_curves(tmp_path):
    rng = np.random.default_rng(0)
    artifacts = Artifacts(tmp_path)
    buffer = MetricBuffer(artifacts)
    labels, predictions = rng.integers(0, 2, 200), rng.random(200)
    use_buffer(buffer)
    try:
        log_image("sample", rng.random((3, 5, 7)), 4, walltime=1e9)
        log_audio("beep", rng.random(100) - 0.5, 5, sample_rate=8000)
        log_histogram("weights", [0.0, 1.0, 1.0, 4.0, math.nan], 6, bins=4)
        log_pr_curve("curve", labels, predictions, 7)
    finally:
        use_buffer(None)
    # Another one at the same folder: what a program of the unit has logged is seen too.
    (data,) = Mirror(Artifacts(tmp_path), {}, 0.0).of([]).values()
    _, image, audio, histogram, curve = events(data)
    assert (image.step, image.wall_time, audio.step, histogram.step, curve.step) == (4, 1e9, 5, 6, 7)
    value = image.summary.value[0].image
    assert (value.height, value.width, value.colorspace) == (5, 7, 3)
    assert value.encoded_image_string == (tmp_path / "artifacts/image/sample/4.png").read_bytes()
    value = audio.summary.value[0].audio
    assert (value.sample_rate, value.num_channels, value.length_frames, value.content_type) == (
        8000,
        1,
        100,
        "audio/wav",
    )
    value = histogram.summary.value[0].histo
    assert (value.min, value.max, value.num, value.sum, value.sum_squares) == (0, 4, 4, 6, 18)
    assert (list(value.bucket_limit), list(value.bucket)) == ([0, 1, 2, 3, 4], [0, 1, 2, 0, 1])
    value = curve.summary.value[0]
    assert PrCurvePluginData.FromString(value.metadata.plugin_data.content).num_thresholds == 127
    assert [dim.size for dim in value.tensor.tensor_shape.dim] == [6, 127]
    assert np.allclose(np.reshape(value.tensor.float_val, (6, 127)), compute_curve(labels, predictions, 127), atol=1e-5)


def test_a_curve_of_what_cannot_be_measured_is_refused():
    for labels, predictions in (([0, 2], [0.5, 0.5]), ([0, 1], [0.5, 1.5]), ([0], [0.5, 0.5]), ([], [])):
        with pytest.raises(ValueError, match="curve"):
            pr_curve(labels, predictions)


def test_what_has_no_step_is_counted(tmp_path):
    mirror = Mirror(Artifacts(tmp_path), {}, 100.0)
    lines = [Line(None, {"a": 1.0}, 0.5), Line(None, {"b": 2.0}, 1.0), Line(None, {"a": 3.0}, 1.5)]
    (first,) = mirror.of(lines[:2]).values()
    (second,) = mirror.of(lines[2:]).values()
    assert scalars(events(first + second)) == [(0, "a", 1.0), (0, "b", 2.0), (1, "a", 3.0)]
    assert [e.wall_time for e in events(first + second)][1:] == [100.5, 101.0, 101.5]
    assert mirror.of([]) == {}


def test_what_is_logged_by_hand_is_there_too_soon(tmp_path):
    logger = Logger(tmp_path)
    logger.log_metrics({"loss": np.float32(0.5), "step": 3}, log_name="train")
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert scalars(events(file.read_bytes())) == [(3, "train/loss", 0.5)]
    for step in range(4, 400):  # in a moment: some at once, the rest at the end
        logger.log_metrics({"loss": 0.25, "step": step}, log_name="train")
    assert 256 <= len(scalars(events(file.read_bytes()))) < 397
    logger.log_metrics({"acc": math.inf})
    logger.close()
    assert [place for place, *_ in scalars(events(file.read_bytes()))] == [*range(3, 400), 0]
    logger.log_metrics({"acc": 1})
    logger.close()
    assert scalars(events(file.read_bytes()))[-2:] == [(0, "acc", math.inf), (1, "acc", 1.0)]


def test_it_loads_neither_torch_nor_what_it_replaces():
    code = "import sys; from flambe.spec.hooks import sinks; print(*sinks(), *({'torch', 'tensorboardX', 'boto3'} & {*sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "tensorboard\n"


def test_it_can_be_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAMBE_TENSORBOARD", "0")
    assert Mirror(Artifacts(tmp_path), {}, 0.0).of([Line(1, {"a": 1.0}, 0.5)]) == {}


CODE = """
import os, signal
import flambe
import numpy as np
from flambe.logging import ImageT, log_histogram, log_image

import logging


class Climb(flambe.Component):
    def __init__(self, steps=6, rate=1.0, die_in=None):
        super().__init__()
        self.steps, self.rate, self.die_in, self.done = steps, rate, die_in, 0
        self.register_attrs("done")

    def run(self):
        self.done += 1
        for part in range(3):
            flambe.log("climb/height", self.rate * (self.done + part / 4), 3 * self.done + part)
        log_image("climb/picture", np.full((2, 2), self.done, "uint8"), self.done)
        if self.done == self.die_in and not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        logging.getLogger("climbing").info(ImageT("by/record", np.zeros((1, 1)), self.done))
        return self.done < self.steps

    def metric(self):
        return self.rate * self.done
"""


@pytest.fixture
def climb(tmp_path, monkeypatch):
    folder = tmp_path / "ext" / "climbing"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(CODE))
    monkeypatch.chdir(tmp_path)

    def make(**arguments):
        return Spec(
            name="climb",
            output_dir=str(tmp_path / "out"),
            stages=[Stage(name="up", body={"$new": "climbing:Climb", **arguments}, params={"rate": 1.0})],
            environment=Environment(extensions={"climbing": str(folder)}),
        )

    yield make
    sys.modules.pop("climbing", None)
    sys.path[:] = [entry for entry in sys.path if not entry.endswith("/ext")]


def files(unit):
    return sorted((unit / "tensorboard").iterdir())


def in_the_metric_lines(unit):
    return [(line["step"], "climb/height", line["climb/height"]) for line in read_metrics(unit / "metrics/up.jsonl")]


def test_a_run_has_its_metrics_as_events_too_and_so_has_one_that_reuses_it(climb, tmp_path):
    execute(climb(), tool="test", on_unit=lambda row: None)
    unit = tmp_path / "out/climb/exp.0/stages/up/rate=1.0"
    (file,) = files(unit)
    found = events(file.read_bytes())
    assert scalars(found) == in_the_metric_lines(unit)
    assert len(scalars(found)) == 18
    assert [e.step for e in found if e.summary.value and e.summary.value[0].tag == "climb/picture"] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert [e.step for e in found if e.summary.value and e.summary.value[0].tag == "by/record"] == [1, 2, 3, 4, 5, 6]
    assert Artifacts(unit).load("climb/picture/3.png")[0, 0, 0] == 3
    # Nothing is computed again, and it is all there.
    execute(climb(), tool="test", on_unit=lambda row: None)
    other = tmp_path / "out/climb/exp.1/stages/up/rate=1.0"
    assert files(other)[0].read_bytes() == file.read_bytes()
    assert len(Artifacts(other).entries()) == 12


def test_stages_have_plots_of_their_own_where_merge_plot_is_false(climb, tmp_path):
    execute(msgspec.structs.replace(climb(), merge_plot=False), tool="test", on_unit=lambda row: None)
    unit = tmp_path / "out/climb/exp.0/stages/up/rate=1.0"
    found = events(files(unit)[0].read_bytes())
    assert scalars(found) == [(step, f"up/{tag}", value) for step, tag, value in in_the_metric_lines(unit)]
    assert {e.summary.value[0].tag for e in found if e.summary.value} >= {"up/climb/picture", "up/by/record"}


@pytest.mark.slow
def test_a_killed_run_goes_on_and_no_metric_is_there_twice(climb, tmp_path):
    text = dump_spec(climb(die_in=4)).decode()
    code = "import sys; from flambe.cli.umbrella import main; sys.exit(main(['exec']))"
    command = [sys.executable, "-c", code]
    first = subprocess.run(command, input=text, text=True, capture_output=True, cwd=tmp_path)
    assert first.returncode == -signal.SIGKILL
    unit = tmp_path / "out/climb/exp.0/stages/up/rate=1.0"
    assert json.loads((unit / "run.json").read_text())["status"] == "RUNNING"
    # What a kill in the middle of handing over leaves: more than was reported.
    with files(unit)[0].open("ab") as stream:
        stream.write(TensorBoard().metrics([(99, {"climb/height": 99.0}, time.time())]) + b"torn")
    (unit / "tensorboard" / "events.out.tfevents.0000000001.1").write_bytes(b"of an attempt that reported nothing")
    again = subprocess.run(command, input=text, text=True, capture_output=True, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(files(unit)) == 2
    found = [one for file in files(unit) for one in events(file.read_bytes())]
    assert scalars(found) == in_the_metric_lines(unit)
    assert [step for step, _, _ in scalars(found)] == [3 * step + part for step in range(1, 7) for part in range(3)]
    assert [entry.step for entry in Artifacts(unit).entries() if entry.tag == "climb/picture"] == [1, 2, 3, 4, 5, 6]


def test_a_histogram_as_tensorboard_counts_has_every_value():
    found = event.histogram("x", [0, 1, 2], [3, 4], low=0, high=2, sums=(7, 8, 9))
    (value,) = Event.FromString(event.event(1.0, 2, found)).summary.value
    assert sum(value.histo.bucket) == value.histo.num == 7

"""``flambe.log``: numbers, texts, images, curves and the like, from anywhere inside a running unit.

Numbers and texts become metric lines of its run directory, everything else typed artifacts; the installed sinks (TensorBoard's,
of flambe-nn) get both. Outside a running unit nothing is recorded, and nothing is wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flambe.logging.buffer import METRICS_VARIABLE, MetricBuffer, current_buffer, use_buffer
from flambe.logging.datatypes import (
    DATA_TYPES,
    AudioT,
    Data,
    EmbeddingT,
    GraphT,
    HistogramT,
    ImageT,
    PRCurveT,
    ScalarsT,
    ScalarT,
    TextT,
)
from flambe.record.layout import ARTIFACTS
from flambe.runner.environment import active

_logger = logging.getLogger(__name__)
_UNSAFE = re.compile(r"[^\w.,+=@\[\]()-]+")


def log(tag: str, data: Any, global_step: int | None = None, walltime: float | None = None) -> None:
    """Log a number, several (a mapping) or a text under ``tag``.

    Numbers are int, float, bool or anything with ``.item()`` (a 0-dim tensor). Other data is named in an INFO line and not
    recorded. walltime: seconds since the epoch, default now.
    """
    if isinstance(data, Mapping):
        log_scalars(tag, data, global_step, walltime)
    elif isinstance(data, str):
        log_text(tag, data, global_step, walltime)
    elif isinstance(data, bool | int | float) or (hasattr(data, "item") and getattr(data, "ndim", 0) == 0):
        log_scalar(tag, data, global_step, walltime)
    else:
        _logger.info(
            "%s: %s is no number, mapping or text; it was not recorded (log_image and the like do)",
            tag,
            type(data).__qualname__,
        )


def log_scalar(
    tag: str,
    data: Any,
    global_step: int | None = None,
    walltime: float | None = None,
    logger: logging.Logger | None = None,
) -> None:
    """Log one number. logger: log a record through this logger instead, so that its level and filters apply."""
    if logger is not None:
        logger.info(ScalarT(tag, data, global_step, walltime))
    elif (buffer := current_buffer()) is not None:
        buffer.add(global_step, {tag: data}, walltime)


def log_scalars(
    tag: str,
    data: Mapping[str, Any],
    global_step: int | None = None,
    walltime: float | None = None,
    logger: logging.Logger | None = None,
) -> None:
    """Log several numbers as ``tag/key``."""
    _log(ScalarsT(tag, data, global_step, walltime), logger)


def log_text(
    tag: str,
    data: str,
    global_step: int | None = None,
    walltime: float | None = None,
    logger: logging.Logger | None = None,
) -> None:
    """Log a text."""
    _log(TextT(tag, data, global_step, walltime), logger)


def log_image(
    tag: str,
    data: Any,
    global_step: int | None = None,
    walltime: float | None = None,
    logger: logging.Logger | None = None,
) -> None:
    """Log an image [H, W], [C, H, W] or [H, W, C], C from 1 to 4: floats from 0 to 1, integers to 255.

    Where both layouts fit, the one with three channels is meant, else [C, H, W]. Raises InvalidArtifactError for what is no image.
    """
    _log(ImageT(tag, data, global_step, walltime), logger)


def log_audio(
    tag: str,
    data: Any,
    global_step: int | None = None,
    sample_rate: int = 44100,
    walltime: float | None = None,
    logger: logging.Logger | None = None,
) -> None:
    """Log sound [N] or [N, channels]: floats from -1 to 1, ``sample_rate`` of them a second."""
    _log(AudioT(tag, data, global_step, sample_rate, walltime), logger)


def log_histogram(
    tag: str,
    data: Any,
    global_step: int | None = None,
    bins: str | int | Sequence[float] = "auto",
    walltime: float | None = None,
    logger: logging.Logger | None = None,
) -> None:
    """Log how values are distributed. bins: as of ``numpy.histogram``, or ``tensorflow``. Raises ValueError when none is finite."""
    _log(HistogramT(tag, data, global_step, bins, walltime), logger)


def log_pr_curve(
    tag: str,
    labels: Any,
    predictions: Any,
    global_step: int | None = None,
    num_thresholds: int = 127,
    walltime: float | None = None,
    logger: logging.Logger | None = None,
) -> None:
    """Log a precision-recall curve. labels: 0 or 1; predictions: from 0 to 1; at most 127 thresholds are taken.

    Raises ValueError for other values.
    """
    _log(PRCurveT(tag, labels, predictions, global_step, num_thresholds, None, walltime), logger)


log_pr_curves = log_pr_curve


def _log(data: Data, logger: logging.Logger | None) -> None:
    if logger is not None:
        logger.info(data)
    elif (buffer := current_buffer()) is not None:
        record(data, buffer)


def record(data: Data, buffer: MetricBuffer) -> None:
    """Put one record of data where it belongs: its numbers and texts into metric lines, everything else into a file."""
    match data:
        case ScalarT():
            buffer.add(data.global_step, {data.tag: data.scalar_value}, data.walltime)
        case ScalarsT():
            values = {f"{data.main_tag}/{key}": value for key, value in data.tag_scalar_dict.items()}
            buffer.add(data.global_step, values, data.walltime)
        case TextT():
            buffer.add(data.global_step, {data.tag: str(data.text_string)}, data.walltime)
        case ImageT():
            _keep(buffer, data.img_tensor, "image", data.tag, data.global_step, "png", data.walltime)
        case AudioT():
            _keep(
                buffer, (data.sample_rate, data.snd_tensor), "audio", data.tag, data.global_step, "wav", data.walltime
            )
        case HistogramT():
            from flambe.logging.curve import histogram

            _keep(
                buffer,
                histogram(data.values, data.bins),
                "histogram",
                data.tag,
                data.global_step,
                "json",
                data.walltime,
            )
        case PRCurveT():
            from flambe.logging.curve import pr_curve

            curve = pr_curve(data.labels, data.predictions, data.num_thresholds, data.weights)
            _keep(buffer, curve, "pr_curve", data.tag, data.global_step, "json", data.walltime)
        case EmbeddingT():
            _keep(buffer, _embedding(data), "checkpoint", data.tag, data.global_step, "safetensors")
        case GraphT():
            _keep(buffer, _graph(data), "text", "graph", None, "txt")


def _keep(
    buffer: MetricBuffer, value: Any, type: str, tag: str, step: int | None, suffix: str, walltime: float | None = None
) -> None:
    if buffer.artifacts is not None:
        step = None if step is None else int(step)
        name = _file_name(tag, step, suffix)
        buffer.artifacts.save(value, name, type, tag=tag, step=step, walltime=walltime)


def _file_name(tag: str, step: int | None, suffix: str) -> str:
    """Return ``tag/step.suffix``, or ``tag.suffix`` without a step. What no file name can have is replaced, and a hash told apart."""
    parts = [_UNSAFE.sub("_", part)[:100] for part in tag.split("/")]
    name = "/".join(part if part and not part.startswith(".") else f"_{part}" for part in parts)
    if name != tag:
        name = f"{name}~{hashlib.sha256(tag.encode()).hexdigest()[:6]}"
    return f"{name}.{suffix}" if step is None else f"{name}/{step}.{suffix}"


def _embedding(data: EmbeddingT) -> dict[str, Any]:
    from flambe.record.artifact_format import array_of

    return {
        "mat": array_of(data.mat),
        "metadata": None if data.metadata is None else [str(item) if not isinstance(item, list | tuple) else [*map(str, item)] for item in data.metadata],
        "metadata_header": None if data.metadata_header is None else [*map(str, data.metadata_header)],
        "label_img": None if data.label_img is None else array_of(data.label_img),
    }  # fmt: skip


def _graph(data: GraphT) -> str:
    lines = [str(data.model)]
    if data.verbose and callable(getattr(data.model, "named_parameters", None)):
        lines += [f"{name} {list(value.shape)}" for name, value in data.model.named_parameters()]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def records_of_data() -> Iterator[None]:
    """Within, records of data that reach the root logger are logged to the running unit: ``logger.info(ImageT(…))``."""
    handler, root = DataHandler(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class DataHandler(logging.Handler):
    """Logs records of data to the running unit."""

    def emit(self, record_: logging.LogRecord) -> None:
        """Take a record, if it is one of data."""
        buffer = current_buffer()
        if isinstance(record_.msg, DATA_TYPES) and buffer is not None:
            record(record_.msg, buffer)


def get_trial_dir() -> Path | None:
    """Return the folder that the running unit's code may write into; None outside a unit.

    What is there when the unit ends goes into the run directory with its result.
    """
    running = active()
    if running is not None:
        return running.folder / ARTIFACTS
    if METRICS_VARIABLE in os.environ:  # a program that a unit runs
        from flambe.runnable.environment import get_env

        return Path(get_env().output_path)
    return None


__all__ = [
    "METRICS_VARIABLE",
    "MetricBuffer",
    "current_buffer",
    "get_trial_dir",
    "log",
    "log_audio",
    "log_histogram",
    "log_image",
    "log_pr_curve",
    "log_pr_curves",
    "log_scalar",
    "log_scalars",
    "log_text",
    "record",
    "use_buffer",
]

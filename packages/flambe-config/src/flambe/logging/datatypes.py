"""What can be logged, as records: ``logger.info(ScalarT("loss", 0.5, 3))`` logs to the running unit, as ``log_scalar`` does.

global_step: the place on the x axis. walltime: seconds since the epoch; None is now.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class ScalarT(NamedTuple):
    """One number."""

    tag: str
    scalar_value: Any
    global_step: int | None = None
    walltime: float | None = None


class ScalarsT(NamedTuple):
    """Several numbers, as ``main_tag/key``."""

    main_tag: str
    tag_scalar_dict: Mapping[str, Any]
    global_step: int | None = None
    walltime: float | None = None


class TextT(NamedTuple):
    """A text."""

    tag: str
    text_string: str
    global_step: int | None = None
    walltime: float | None = None


class ImageT(NamedTuple):
    """An image [H, W], [C, H, W] or [H, W, C]: floats from 0 to 1, or integers to 255."""

    tag: str
    img_tensor: Any
    global_step: int | None = None
    walltime: float | None = None

    def __repr__(self) -> str:
        return f"ImageT({self.tag!r}, {_shape(self.img_tensor)}, {self.global_step})"


class AudioT(NamedTuple):
    """Sound [N] or [N, channels]: floats from -1 to 1, sample_rate of them a second."""

    tag: str
    snd_tensor: Any
    global_step: int | None = None
    sample_rate: int = 44100
    walltime: float | None = None

    def __repr__(self) -> str:
        return f"AudioT({self.tag!r}, {_shape(self.snd_tensor)}, {self.global_step})"


class HistogramT(NamedTuple):
    """How values are distributed. bins: as of ``numpy.histogram``, or ``tensorflow``."""

    tag: str
    values: Any
    global_step: int | None = None
    bins: str | int | Sequence[float] = "auto"
    walltime: float | None = None

    def __repr__(self) -> str:
        return f"HistogramT({self.tag!r}, {_shape(self.values)}, {self.global_step})"


class PRCurveT(NamedTuple):
    """Precision and recall. labels: 0 or 1; predictions: from 0 to 1; weights: of each, or one for all."""

    tag: str
    labels: Any
    predictions: Any
    global_step: int | None = None
    num_thresholds: int = 127
    weights: Any = None
    walltime: float | None = None

    def __repr__(self) -> str:
        return f"PRCurveT({self.tag!r}, {_shape(self.labels)}, {self.global_step})"


class EmbeddingT(NamedTuple):
    """Points [N, D], with a text or a row of texts (metadata_header names their columns) and an image each."""

    mat: Any
    metadata: Sequence[Any] | None = None
    label_img: Any = None
    global_step: int | None = None
    tag: str = "default"
    metadata_header: Sequence[str] | None = None

    def __repr__(self) -> str:
        return f"EmbeddingT({self.tag!r}, {_shape(self.mat)}, {self.global_step})"


class GraphT(NamedTuple):
    """A model, as it prints itself. verbose: with the number of its parameters, by name and shape."""

    model: Any
    input_to_model: Any = None
    verbose: bool = False
    kwargs: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"GraphT({type(self.model).__qualname__})"


Data = ScalarT | ScalarsT | TextT | ImageT | AudioT | HistogramT | PRCurveT | EmbeddingT | GraphT
DATA_TYPES = (ScalarT, ScalarsT, TextT, ImageT, AudioT, HistogramT, PRCurveT, EmbeddingT, GraphT)


class DataLoggingFilter(logging.Filter):
    """Lets records of data through that are of ``level`` or above, and none of the types ``dont_include``.

    default: whether records of something else pass.
    """

    def __init__(
        self,
        default: bool = True,
        level: int = logging.NOTSET,
        dont_include: Sequence[type] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.default = default
        self.level = level
        self.dont_include = tuple(dont_include or ())

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        if not isinstance(record.msg, DATA_TYPES):
            return self.default
        return record.levelno >= self.level and not isinstance(record.msg, self.dont_include)


def _shape(value: Any) -> str:
    return f"{type(value).__qualname__} of {tuple(getattr(value, 'shape', ()))}"

"""Logging from inside a run: ``flambe.log`` and the like, and what commands say and keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily
from flambe.logging.datatypes import (
    AudioT,
    EmbeddingT,
    GraphT,
    HistogramT,
    ImageT,
    PRCurveT,
    ScalarsT,
    ScalarT,
    TextT,
)
from flambe.logging.log import (
    get_trial_dir,
    log,
    log_audio,
    log_histogram,
    log_image,
    log_pr_curve,
    log_pr_curves,
    log_scalar,
    log_scalars,
    log_text,
)

if TYPE_CHECKING:
    from flambe.logging.console import setup_global_logging
    from flambe.logging.trial import TrialLogging

__all__ = [
    "AudioT",
    "EmbeddingT",
    "GraphT",
    "HistogramT",
    "ImageT",
    "PRCurveT",
    "ScalarT",
    "ScalarsT",
    "TextT",
    "TrialLogging",
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
    "setup_global_logging",
]

# ``log`` has to be there at once: it is a function here, and the file that it is in has the same name.
__getattr__ = lazily(__name__, {"TrialLogging": "trial", "setup_global_logging": "console"})

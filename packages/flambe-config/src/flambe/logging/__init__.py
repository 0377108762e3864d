"""Logging from inside a run."""

from flambe.logging.log import get_trial_dir, log, log_scalar, log_scalars, log_text

__all__ = ["get_trial_dir", "log", "log_scalar", "log_scalars", "log_text"]

"""The names of columns: those that every run has, and what the first part of the others says."""

from __future__ import annotations

CONFIG, INFO, PARAMS, ARTIFACT = "config.", "info.", "params.", "artifact."
PREFIXES = (CONFIG, INFO, PARAMS, ARTIFACT)

RUN_COLUMNS = (
    "run", "id", "name", "index", "kind", "status", "status_reason", "stage", "metric_name", "metric",
    "lower_is_better", "best", "expected", "done", "reused", "failed", "pruned", "running", "pending", "seconds",
    "created", "started", "ended", "host", "tool", "spec_digest", "result_digest",
)  # fmt: skip
UNIT_COLUMNS = (
    "run", "unit", "stage", "variant", "status", "metric_name", "metric", "lower_is_better", "best", "kept", "step",
    "complete", "seconds", "attempt", "error", "started", "ended", "key", "seed", "reused_from", "path",
)  # fmt: skip
_PLAIN = frozenset({*RUN_COLUMNS, *UNIT_COLUMNS})


def is_detail(column: str) -> bool:
    """Whether a column is a metric or an artifact, which are read only when somebody asks."""
    return column not in _PLAIN and not column.startswith((CONFIG, INFO, PARAMS))


__all__ = ["ARTIFACT", "CONFIG", "INFO", "PARAMS", "PREFIXES", "RUN_COLUMNS", "UNIT_COLUMNS", "is_detail"]

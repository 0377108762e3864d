"""Arguments of Ray Tune's schedulers and searchers that say what a stage says itself, and so have no effect here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flambe.compile.annotations import written
from flambe.spec.nodes import NEW

SET_BY_US = {
    "metric": "it is what metric() of the stage returns",
    "mode": "which metrics are better the stage says itself (lower_is_better)",
    "time_attr": "time is counted in steps, which are calls of run()",
}
"""Argument → what counts in its place."""


def unheeded(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each such argument in the node of an algorithm, and what to tell of it."""
    name = str(node.get(NEW, "")).rpartition(":")[2]
    for key, why in SET_BY_US.items():
        if key in node and node[key] != "training_iteration":  # Tune's name for steps
            yield key, f"{key} of {name} is {written(node[key])}, which has no effect: {why}"

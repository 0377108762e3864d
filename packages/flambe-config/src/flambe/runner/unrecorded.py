"""Runs of which nothing is kept, as ``__log__: false`` asks: they are written as all others are, to a folder that goes away."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from flambe.spec.nodes import Spec


def is_unrecorded(spec: Spec) -> bool:
    """Whether nothing is to be kept of a run."""
    return spec.kind == "function" and spec.stages[0].body.get("settings", {}).get("log", True) is False


@contextmanager
def forgotten(*specs: Spec) -> Iterator[list[Spec]]:
    """Yield specs that write to a folder which is gone afterwards, and copy nothing that nobody will look at."""
    folder = tempfile.mkdtemp(prefix="flambe-")
    try:
        yield [_in(folder, spec) for spec in specs]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in(folder: str, spec: Spec) -> Spec:
    stage = spec.stages[0]
    settings = {**stage.body.get("settings", {}), "requirements": "none", "dirty": "include"}
    body = {**stage.body, "snapshot": "none", "settings": settings}
    return msgspec.structs.replace(spec, output_dir=folder, stages=[msgspec.structs.replace(stage, body=body)])


__all__ = ["forgotten", "is_unrecorded"]

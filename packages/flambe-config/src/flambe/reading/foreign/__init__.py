"""Run directories of other tools, read as they are: those of mlxp (mlxpy) and expyrun. Nothing of them is run or changed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flambe.reading.foreign.foreign_run import ForeignRun

MLXP, EXPYRUN = "mlxp", "expyrun"
_RECORDS = {"": ("run.json",), MLXP: ("metadata/info.yaml", "metadata"), EXPYRUN: ("config.yml",)}


def recognize(path: str, files: Collection[str], folders: Collection[str]) -> str | None:
    """Return whose run a folder is, by what is in it; None when it is no run of another tool."""
    name = path.rpartition("/")[2]
    if "metadata" in folders and name.isdigit():
        return MLXP
    if "config.yml" in files and name.startswith("exp.") and name[4:].isdigit():
        from flambe.reading.foreign.expyrun import is_expyrun

        return EXPYRUN if is_expyrun(Path(path)) else None
    return None


def record_of(kind: str) -> tuple[str, ...]:
    """Return what changes in a folder whenever its run does: the first of these that is there."""
    return _RECORDS[kind]


def open_foreign(kind: str, path: Path) -> ForeignRun:
    """Return the reader of a run of another tool."""
    if kind == MLXP:
        from flambe.reading.foreign.mlxp import MlxpRun

        return MlxpRun(path)
    from flambe.reading.foreign.expyrun import ExpyrunRun

    return ExpyrunRun(path)


__all__ = ["EXPYRUN", "MLXP", "open_foreign", "recognize", "record_of"]

"""``UnitResults``: what units have made (checkpoint, exports, artifacts), taken into their folders (``stages/*/*/``)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from flambe.record import layout, run
from flambe.record.artifacts import sweep_artifacts
from flambe.record.parcel import add, take
from flambe.record.reference import move_references
from flambe.record.result import artifacts_digest, copy_result, exports_digest, unit_digest
from flambe.record.run import StageRecord, write_record
from flambe.record.scratch import Scratch

_LISTED = (layout.ARTIFACTS, layout.ARTIFACT_INDEX)
_RESULT = (*_LISTED, layout.EXPORT_TENSORS, layout.EXPORTS, layout.CHECKPOINT)
"""What a result is made of, in the order in which it is taken into its unit's folder."""


class UnitResults:
    """Units are named by their ids. shared: a unit may write artifacts into its folder itself, so what it hands in goes beside them."""

    def __init__(self, paths: layout.RunPaths, scratch: Scratch, *, shared: bool) -> None:
        self._paths = paths
        self._scratch = scratch
        self._shared = shared

    def clear(self, unit: str, *, keep_artifacts: bool) -> None:
        """Take away what a torn commit may have left of a result. keep_artifacts: those that are listed are the unit's own."""
        folder = self._paths.folder(unit)
        # Lists go before what they list.
        own = () if keep_artifacts else (folder.root / layout.ARTIFACT_INDEX, folder.root / layout.ARTIFACTS)
        for path in (folder.exports, folder.export_tensors, folder.checkpoint, *own):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        run.sweep(folder.root)
        if keep_artifacts:
            sweep_artifacts(folder.root)

    def take(self, unit: str, made: Path, *, artifacts_only: bool = False) -> None:
        """Take what an attempt has left in its folder."""
        there = set(os.listdir(made))
        root = self._paths.folder(unit).root
        for name in _LISTED if artifacts_only else _RESULT:
            if name in there and not (name == layout.ARTIFACTS and _is_empty(made / name)):
                self._take(made / name, root / name)

    def copy(
        self, unit: str, source: Path, record: StageRecord, variants: Mapping[str, str], files: Mapping[str, str]
    ) -> None:
        """Put a copy of the result in the folder ``source``, with a record of its own, in the place of whatever a unit has.

        variants, files: what it refers to, see ``move_references``.
        """
        root = self._paths.folder(unit).root
        if source.resolve() == root.resolve():
            return
        aside = self._scratch.place(unit, "reuse")
        copy_result(source, aside)
        move_references(aside, variants, files)
        write_record(aside / layout.RUN, record)
        # All at once: a torn copy would be files that belong to the other run too.
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        os.rename(aside, root)

    def digests(self, unit: str, record: StageRecord) -> dict[str, str | None]:
        """Return what tells a committed result from any other: of what was computed, of what later stages are given, and of artifacts."""
        folder = self._paths.folder(unit)
        return {
            "digest": unit_digest(folder.root, params=record.params, step=record.step, complete=record.complete),
            "exports": exports_digest(folder),
            "artifacts": artifacts_digest(folder),
        }

    def _take(self, made: Path, place: Path) -> None:
        beside = self._shared and place.exists()
        if beside and place.name == layout.ARTIFACTS:
            add(made, place)
        elif beside and place.name == layout.ARTIFACT_INDEX:
            with place.open("ab") as index:
                index.write(made.read_bytes())
        else:
            take(made, place)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not os.listdir(folder)


__all__ = ["UnitResults"]

"""What a stage gets from others: their committed results, by kind.

Values come from ``exports.json``; an immutable component is one object per process, its arrays memory-mapped; a mutable one is
built fresh and given its state. Two links of one stage to the same place are one object.
"""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

from flambe.build.builder import Scope, evaluate
from flambe.build.saved import load_component
from flambe.build.saving import borrowed_parts
from flambe.errors import FlambeError, RunFailed
from flambe.record.layout import CHECKPOINT, RUN
from flambe.record.run import StageRecord, read_record
from flambe.runner.exports import RESULT, SAVED, TENSOR, export_name, exported_tensor, read_exports
from flambe.runner.unit import Unit
from flambe.spec.codec import unescape
from flambe.spec.nodes import LinkTarget, links

_SHARED_LIMIT = 8
_shared: OrderedDict[tuple[str, str], Any] = OrderedDict()
"""Immutable components of this process: (key of the result, part) → object. The least recently used one goes first."""


class Handover:
    """The objects that one unit takes from the stages it links to.

    borrowed: id of an immutable object → ``{"stage": …, "path": …}``, path relative to the unit's own checkpoint folder.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._parts: dict[tuple[str, str], Any] = {}
        self._values: dict[str, Any] = {}
        self.borrowed: dict[int, dict[str, Any]] = {}
        # Nothing borrowed may be freed while its id is a key of `borrowed`.
        self._alive: list[Any] = []

    def fetch(self) -> None:
        """Resolve every link of the unit's body to another stage, so that building it draws no random number for them."""
        found = [(path, target) for path, target in links(self._unit.body) if target.stage != self._unit.stage]
        wanted = [target for _, target in found]
        places = {_text(target): (self._unit.stage, *path) for path, target in reversed(found)}
        for stage in dict.fromkeys(target.stage for target in wanted):
            folder = self._folder(stage)
            exports = read_exports(folder)
            targets = [target for target in wanted if target.stage == stage]
            entries = {export_name(target): exports.get(export_name(target)) for target in targets}
            roots = _roots([entry[SAVED] for entry in entries.values() if isinstance(entry, dict) and SAVED in entry])
            for target in targets:
                entry = entries[export_name(target)]
                try:
                    self._values[_text(target)] = self._resolve(stage, folder, target, entry, roots)
                except FlambeError as error:
                    error.position = error.position or self._unit.where(places[_text(target)])
                    raise

    def resolve(self, target: LinkTarget) -> Any:
        """Return what a link to another stage gives; ``!copy`` gives a copy of its own."""
        value = self._values[_text(target)]
        return copy.deepcopy(value) if target.copy else value

    def _folder(self, stage: str) -> Path:
        try:
            return Path(self._unit.needs[stage])
        except KeyError:
            raise RunFailed(f"{self._unit.id} links to the stage {stage!r}, whose result it was not given") from None

    def _resolve(self, stage: str, folder: Path, target: LinkTarget, entry: Any, roots: list[str]) -> Any:
        if entry is None:
            # The result is older than this link: its component answers as the live object would have.
            return self._from_component(stage, folder, target)
        if isinstance(entry, dict):
            if SAVED in entry:
                return self._part(stage, folder, entry[SAVED], roots)
            if RESULT in entry:
                reference = entry[RESULT]
                owner = (folder / CHECKPOINT / reference["path"]).resolve()
                return self._load(reference["stage"], _unit_folder(owner), _part_of(owner))
            if TENSOR in entry:
                return exported_tensor(folder, entry[TENSOR])
        return unescape(entry)

    def _from_component(self, stage: str, folder: Path, target: LinkTarget) -> Any:
        whole = self._part(stage, folder, "", [""])
        scope = Scope(stage=stage)
        scope.objects[(stage,)] = whole
        return evaluate(target, scope)

    def _part(self, stage: str, folder: Path, part: str, roots: list[str]) -> Any:
        root = next(root for root in roots if _inside(part, root))
        if (stage, root) not in self._parts:
            self._parts[stage, root] = self._load(stage, folder, root)
        value = self._parts[stage, root]
        for name in part[len(root) :].strip("/").split("/") if part != root else ():
            value = _child(value, name)
        return value

    def _load(self, stage: str, folder: Path, part: str) -> Any:
        key = (read_record(folder / RUN, StageRecord).key, part)
        if key in _shared:
            _shared.move_to_end(key)
            value = _shared[key]
        else:
            value = load_component(folder / CHECKPOINT / part, extensions=self._unit.extensions, verify=False)
            if getattr(value, "immutable", False):
                _shared[key] = value
                while len(_shared) > _SHARED_LIMIT:
                    _shared.popitem(last=False)
        if getattr(value, "immutable", False):
            path = os.path.join("..", "..", "..", stage, folder.name, CHECKPOINT, part)
            # With its parts: a stage may hold a field of a dataset alone.
            self.borrowed.update(borrowed_parts(value, {"stage": stage, "path": os.path.normpath(path)}))
            self._alive.append(value)
        return value


def _text(target: LinkTarget) -> str:
    return target.stage + export_name(target)


def _roots(parts: list[str]) -> list[str]:
    """Return the parts that lie in no other part: each is loaded once, what lies inside is walked to."""
    roots: list[str] = []
    for part in sorted(set(parts), key=len):
        if not any(_inside(part, root) for root in roots):
            roots.append(part)
    return roots


def _inside(part: str, root: str) -> bool:
    return root == "" or part == root or part.startswith(root + "/")


def _child(value: Any, name: str) -> Any:
    for step in name.split("."):
        if isinstance(value, dict):
            value = value[step]
        elif isinstance(value, list | tuple):
            value = value[int(step)]
        else:
            value = getattr(value, step)
    return value


def _unit_folder(checkpoint_part: Path) -> Path:
    """Return the unit folder that a path inside its checkpoint belongs to."""
    return next(folder.parent for folder in (checkpoint_part, *checkpoint_part.parents) if folder.name == CHECKPOINT)


def _part_of(checkpoint_part: Path) -> str:
    part = checkpoint_part.relative_to(_unit_folder(checkpoint_part) / CHECKPOINT).as_posix()
    return "" if part == "." else part

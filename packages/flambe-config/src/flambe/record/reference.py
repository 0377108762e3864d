"""References of a result: to another one, as a borrowed immutable lies in the folder of another stage and says so by its path; and to
the files that the config named.

A result that is taken from an earlier run refers to the variants of that run, and to data where it lay then; the same stages may be
called otherwise here, and the same data may lie elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flambe.record.layout import CONFIG_YAML, MANIFEST, UnitPaths
from flambe.record.run import replace_file
from flambe.spec.digest import file_digest
from flambe.spec.nodes import FILE

_RESULT = "$result"


def move_references(folder: Path, variants: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Point what the unit in ``folder`` refers to at the variants of its own run, and at data where it lies now.

    variants: stage → variant, for every stage above. files: path of a declared input → its path here. Nothing is written where all names are the same already; a file that is
    written is a new one, so the run it was linked from keeps its own.
    """
    paths = UnitPaths(folder)
    moved: dict[str, str] = {}  # words of a config → what they are now
    # From the leaves up: a manifest holds the digests of the manifests below it.
    for path in sorted(paths.checkpoint.rglob(MANIFEST), key=lambda path: len(path.parts), reverse=True):
        manifest = msgspec.json.decode(path.read_bytes())
        manifest["config"] = _moved(manifest.get("config"), variants, files, moved)
        if moved:
            _move_words(path.with_name(CONFIG_YAML), moved)
            before = dict(manifest["files"])
            manifest["files"] = {name: file_digest(path.parent / name) for name in before}
            replace_file(path, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    exports = msgspec.json.decode(paths.exports.read_bytes())
    seen = dict(moved)
    exports = _moved(exports, variants, files, seen)
    for name, value in exports.items():
        if isinstance(value, str) and value in files:  # what was handed on is the path itself
            exports[name] = seen[value] = files[value]
    if seen:
        replace_file(paths.exports, msgspec.json.encode(exports))


def _moved(node: Any, variants: Mapping[str, str], files: Mapping[str, str], moved: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_moved(item, variants, files, moved) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(path := node.get(FILE), str) and path in files:
        moved[_file_words(path)] = _file_words(files[path])
        return {**node, FILE: files[path]}
    reference = node.get(_RESULT)
    if not isinstance(reference, dict):
        return {key: _moved(item, variants, files, moved) for key, item in node.items()}
    parts = str(reference["path"]).split("/")
    # ../../../{stage}/{variant}/checkpoint/…
    first = next((place for place, part in enumerate(parts) if part != ".."), len(parts))
    stage, variant = (*parts[first : first + 2], "", "")[:2]
    here = variants.get(stage, variant)
    if here == variant:
        return node
    moved[f"../{stage}/{variant}/"] = f"../{stage}/{here}/"
    return {**node, _RESULT: {**reference, "path": "/".join([*parts[: first + 1], here, *parts[first + 2 :]])}}


def _file_words(path: str) -> str:
    from flambe.compile.dump import scalar

    return f"!file {scalar(path)}"


def _move_words(path: Path, moved: Mapping[str, str]) -> None:
    if not path.exists():
        return
    text = path.read_text()
    # A path ends where another one, which begins with it, goes on.
    words = "|".join(re.escape(old) + ("" if old.endswith("/") else r"(?![^\s,\]}])") for old in moved)
    after = re.sub(words, lambda match: moved[match[0]], text)
    if after != text:
        replace_file(path, after.encode())

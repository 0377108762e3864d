"""The paths of a config that start at their YAML file, made absolute: so that its text means the same in another folder.

Those of ``!file``, of the resources and of the header are such; all other text stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence as Many
from typing import NamedTuple

from flambe.compile.placeholder import protected
from flambe.compile.yaml import Mapping, Node, Scalar, bared, child, each, text_of
from flambe.errors import Position


class Edit(NamedTuple):
    """A value that was changed. old: its text; None for a pair that is new, before the key at ``position``."""

    position: Position
    old: str | None
    new: str


def anchor(tree: Node, header: Node | None, folder: str) -> list[Edit]:
    """Make the paths that start at their YAML file absolute: those of ``!file``, resources and the header.

    folder: where those start that were written on the command line. Returns what was changed.
    """
    edits = [] if header is None else anchor_header(header)
    for node in each(tree):
        if node.tag == "!file" and isinstance(node, Scalar) and "/" in node.text:
            edits += _anchor(node, folder)
    if tree.tag in ("!Experiment", "!Pipeline", "!flambe.experiment.Experiment"):
        resources = child(tree, "resources")
        if resources is not None:
            edits += _anchor_files(bared(resources), folder)
    return edits


def anchor_header(header: Node) -> list[Edit]:
    """Make the paths of a header absolute; return what was changed."""
    edits: list[Edit] = []
    is_long = header.tag == "!Environment"
    for _, value in _pairs(child(header, "extensions") if is_long else header):
        source = bared(value)
        if isinstance(source, Scalar) and (
            source.text.startswith(".") or source.text.endswith(".py") or os.path.exists(_joined(source, ""))
        ):
            edits += _anchor(source, "")
    files = child(header, "local_files") if is_long else None
    return edits if files is None else edits + _anchor_files(bared(files), "")


def _pairs(node: Node | None) -> list[tuple[Node, Node]]:
    return node.items if isinstance(node, Mapping) else []


def _anchor_files(files: Node, folder: str) -> list[Edit]:
    values = {text_of(key): bared(value) for key, value in _pairs(files)}
    if values and all(key in ("local", "remote") and isinstance(value, Mapping) for key, value in values.items()):
        return _anchor_files(values["local"], folder) if "local" in values else []
    paths = [value for value in values.values() if isinstance(value, Scalar) and value.tag is None]
    return [edit for path in paths for edit in _anchor(path, folder)]


def _anchor(node: Scalar, folder: str) -> list[Edit]:
    if not node.text or is_fixed(node.text) or "://" in node.text:
        return []
    path = os.path.normpath(_joined(node, folder))
    # A reference in the path stays one; in the folder before it there is none.
    refers = protected(node.text) != node.text
    if refers and protected(path.removesuffix(os.path.normpath(node.text))) == path:
        return []
    return [rewrite(node, path if refers else protected(path))]


def is_fixed(path: str) -> bool:
    """Whether a path means the same in every folder, or begins with what nobody knows yet."""
    return path.startswith(("/", "~", "$", "{", "!P"))


def rewrite(node: Scalar, text: str) -> Edit:
    """Change the text of a value."""
    edit = Edit(node.position, node.text, text)
    node.text, node.plain = text, False
    return edit


def edited(text: str, edits: Many[Edit]) -> str | None:
    """Return a text of YAML with its values changed and all else as it is; None where that cannot be done in place."""
    from flambe.compile.dump import scalar

    lines = text.split("\n")
    for edit in sorted(edits, key=lambda edit: edit.position, reverse=True):
        line, column = edit.position.line - 1, edit.position.column - 1
        before, after = lines[line][:column], lines[line][column:]
        if edit.old is None:
            if before.strip():
                return None  # a mapping in braces
            lines[line] = f"{before}{edit.new}\n{lines[line]}"
            continue
        plain = scalar(edit.new)
        place = after.find(edit.old)
        quoted = place > 0 and after[place - 1] in "'\""
        if place < 0 or "\n" in edit.old or (quoted and plain != edit.new) or (before.lstrip()[:1] in ("{", "[")):
            return None
        lines[line] = before + after[:place] + (edit.new if quoted else plain) + after[place + len(edit.old) :]
    return "\n".join(lines)


def _start(node: Node, folder: str) -> str:
    return os.path.dirname(node.position.file) if os.path.isfile(node.position.file) else folder


def _joined(node: Scalar, folder: str) -> str:
    return os.path.join(os.path.abspath(_start(node, folder)), node.text)

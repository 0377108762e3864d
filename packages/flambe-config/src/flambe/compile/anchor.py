"""The paths of a config that start at their YAML file, made absolute: so that its text means the same in another folder.

Those of ``!file``, of the resources and of the header are such; all other text stays as it is.
"""

from __future__ import annotations

import os

from flambe.compile.placeholder import protected
from flambe.compile.yaml import Mapping, Node, Scalar, bared, child, each, text_of


def anchor(tree: Node, header: Node | None, folder: str) -> bool:
    """Make the paths that start at their YAML file absolute: those of ``!file``, resources and the header.

    folder: where those start that were written on the command line. Returns whether there were any.
    """
    changed = False if header is None else anchor_header(header)
    for node in each(tree):
        if node.tag == "!file" and isinstance(node, Scalar) and "/" in node.text:
            changed |= _anchor(node, folder)
    if tree.tag in ("!Experiment", "!Pipeline"):
        resources = child(tree, "resources")
        if resources is not None:
            changed |= _anchor_files(bared(resources), folder)
    return changed


def anchor_header(header: Node) -> bool:
    """Make the paths of a header absolute; return whether there were any."""
    if not isinstance(header, Mapping):
        return False
    changed = False
    extensions = child(header, "extensions") if header.tag == "!Environment" else header
    for _, value in _pairs(extensions):
        source = bared(value)
        if isinstance(source, Scalar) and (
            source.text.startswith(".") or source.text.endswith(".py") or os.path.exists(_joined(source, ""))
        ):
            changed |= _anchor(source, "")
    files = child(header, "local_files") if header.tag == "!Environment" else None
    return (files is not None and _anchor_files(bared(files), "")) or changed


def _pairs(node: Node | None) -> list[tuple[Node, Node]]:
    return node.items if isinstance(node, Mapping) else []


def _anchor_files(files: Node, folder: str) -> bool:
    values = {text_of(key): bared(value) for key, value in _pairs(files)}
    if values and all(key in ("local", "remote") and isinstance(value, Mapping) for key, value in values.items()):
        return "local" in values and _anchor_files(values["local"], folder)
    changed = False
    for value in values.values():
        if isinstance(value, Scalar) and value.tag is None:
            changed |= _anchor(value, folder)
    return changed


def _anchor(node: Scalar, folder: str) -> bool:
    text = node.text
    if not text or text.startswith(("/", "~", "$", "{", "!P")) or "://" in text:
        return False
    # A path with a reference in it keeps that; the folder before it may hold anything.
    start = protected(os.path.abspath(_start(node, folder)))
    if start.startswith("!P") and protected(text) != text:
        return False
    node.text, node.plain = os.path.normpath(_joined(node, folder)), False
    if start.startswith("!P"):
        node.text = protected(node.text)
    return True


def _start(node: Node, folder: str) -> str:
    return os.path.dirname(node.position.file) if os.path.isfile(node.position.file) else folder


def _joined(node: Scalar, folder: str) -> str:
    return os.path.join(os.path.abspath(_start(node, folder)), node.text)

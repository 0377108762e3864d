"""Parts of the trees that an import writes: what it adds to what stood in a file."""

from __future__ import annotations

import posixpath

from flambe.compile.yaml import Mapping, Node, Scalar, Sequence, child, text_of
from flambe.errors import Position

HERE = Position("", 0, 0)
"""The place of what the import itself writes."""

Path = tuple[str, ...]


def word(text: str) -> Scalar:
    """Return a value that is written without quotes, such as a key."""
    return Scalar(None, HERE, text, True)


def quoted(text: str) -> Scalar:
    """Return a text, which gets quotes where it needs them."""
    return Scalar(None, HERE, text, False)


def listed(paths: list[str]) -> Node:
    """Return one path, or a list of several."""
    if len(paths) == 1:
        return quoted(paths[0])
    node = Sequence(None, HERE)
    node.items = [quoted(path) for path in paths]
    return node


def copied(tree: Mapping) -> Mapping:
    """Return a copy of the maps of a tree, so that keys can be put into them."""
    copy = Mapping(tree.tag, tree.position)
    copy.items = [(key, copied(value) if isinstance(value, Mapping) else value) for key, value in tree.items]
    return copy


def wrapped(tree: Mapping, path: Path) -> Mapping:
    """Return a tree that has ``tree`` at ``path``."""
    for key in reversed(path):
        outer = Mapping(None, HERE)
        outer.items = [(Scalar(None, HERE, key, False), tree)]
        tree = outer
    return tree


def put(tree: Mapping, path: tuple[str, ...], value: Node) -> None:
    """Put a value into a tree, making the maps on the way."""
    for key in path[:-1]:
        inner = child(tree, key)
        if not isinstance(inner, Mapping):
            inner = Mapping(None, HERE)
            tree.items.append((Scalar(None, HERE, key, False), inner))
        tree = inner
    tree.items.append((Scalar(None, HERE, path[-1], False), value))


def put_default(tree: Mapping, path: Path, file: str) -> None:
    """Name a file as the first ``__default__`` of the map at ``path``; a map that is not there comes before the others."""
    for key in path:
        inner = child(tree, key)
        if not isinstance(inner, Mapping):
            inner = Mapping(None, HERE)
            tree.items.insert(0, (Scalar(None, HERE, key, False), inner))
        tree = inner
    present = child(tree, "__default__")
    if present is None:
        tree.items.insert(0, (word("__default__"), quoted(file)))
        return
    before = [text_of(item) or "" for item in (present.items if isinstance(present, Sequence) else [present])]
    tree.items[0] = (tree.items[0][0], listed([file, *before]))


def relative(file: str, own: str) -> str:
    """Return the path of ``file`` as the file ``own`` names it."""
    path = posixpath.relpath(file, posixpath.dirname(own) or ".")
    return path if path.startswith("../") else f"./{path}"

"""Declared inputs: the files and folders that a body names (``$file``), told by what is in them and not by where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from flambe.record.content import TREE, content_digest
from flambe.spec.nodes import FILE, with_files

DIGEST = "sha256"


def declared_files(node: Any) -> dict[str, str]:
    """Return path → digest of each file and folder that is named below ``node``, in the order of their names.

    What has an address is named by that, and what is not there by its path: neither is in the mapping. One process sees one
    version of all of them until ``forget_files``.
    """
    found = {path: _digest(path) for path in dict.fromkeys(_paths(node))}
    return {path: digest for path, digest in found.items() if digest is not None}


def forget_files() -> None:
    """Look at all files again: a run begins."""
    _digest.cache_clear()


def by_content(node: Any, files: Mapping[str, str]) -> Any:
    """Return ``node`` with each of ``files`` (path → digest) by name and content, of a folder by its content alone.

    The name of a file counts, as its ending often says how it is to be read; that of a folder may be the place itself.
    """

    def told(path: str) -> dict[str, str]:
        return dict(zip((FILE, DIGEST), _told(path, files[path]), strict=True)) if path in files else {FILE: path}

    return with_files(node, told) if files else node


def brought_here(node: Any, there: Mapping[str, str], here: Mapping[str, str]) -> Any:
    """Return ``node`` with the files of ``here`` in place of those of ``there`` that are the same: equal where ``by_content`` is."""
    known = {_told(path, digest): path for path, digest in here.items()}

    def moved(path: str) -> dict[str, str]:
        return {FILE: known.get(_told(path, there[path]), path) if path in there else path}

    return with_files(node, moved) if there else node


def by_name(node: Any, files: Mapping[str, str]) -> Any:
    """Return ``node`` with each of ``files`` as a text for people, ``train.csv-1f2e3d4c``: equal where ``by_content`` is."""

    def told(path: str) -> Any:
        return f"{os.path.basename(path)}-{files[path][:8]}" if path in files else {FILE: path}

    return with_files(node, told) if files else node


def _told(path: str, digest: str) -> tuple[str, str]:
    return "" if digest.startswith(TREE) else os.path.basename(path), digest


@cache
def _digest(path: str) -> str | None:
    return None if "://" in path else content_digest(os.path.expanduser(path))


def _paths(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(path := node.get(FILE), str):
            yield path
        else:
            for item in node.values():
                yield from _paths(item)
    elif isinstance(node, list):
        for item in node:
            yield from _paths(item)


__all__ = ["brought_here", "by_content", "by_name", "declared_files", "forget_files"]

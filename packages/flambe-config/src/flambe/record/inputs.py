"""Inputs of a result: the files that were read for it, as its record has them, and whether they are still what they were.

``path`` is where a file lay, ``place`` the way to it that means the same in another working folder, where there is one. What a
``$file`` of the config names is ``declared``: the key covers its content.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from flambe.record.content import TREE, content_digest

Input = dict[str, Any]

_DATA, _CACHE, _HOME = "data:", "cache:", "~/"
"""What a place begins with that does not start at the working folder."""


def describe_input(path: str, *, at_most: int | None = None, place: str | None = None) -> Input:
    """Return path, size, time of change and digest of a file. at_most: bytes of a file whose digest is wanted; else it is None.

    place: see ``place_of``.
    """
    stat = os.stat(path)
    digest = content_digest(path) if at_most is None or stat.st_size <= at_most else None
    described = {"path": path, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": digest}
    return described if place is None else {**described, "place": place}


def declared_input(path: str, digest: str) -> Input:
    """Return what a record says of a file or folder that a key covers with ``digest``. ``declared`` is false if it has another one by
    now: what was made of it is not what the key says, and is never taken.
    """
    try:
        stat = os.stat(os.path.expanduser(path))
        size, changed = stat.st_size, stat.st_mtime_ns
    except OSError:
        size = changed = 0
    found = content_digest(os.path.expanduser(path))
    described = {"path": path, "size": size, "mtime_ns": changed, "sha256": found}
    return {**described, "declared": found == digest}


def _covered(read: Mapping[str, Any], declared: Mapping[str, Any]) -> bool:
    """Whether what was ``read`` is the content of a ``declared`` input, or lies in it."""
    if not declared.get("declared"):
        return False
    top = os.path.realpath(os.path.expanduser(declared["path"]))
    return bool(read["path"] == top and read["sha256"] == declared["sha256"]) or read["path"].startswith(top + os.sep)


def joined(earlier: list[Input], more: list[Input]) -> list[Input]:
    """Return the inputs of all that a result rests on, ``earlier`` ones first; one that was read twice and had changed stays twice."""
    if not earlier or not more:
        return earlier or more
    known = {tuple(described.values()) for described in earlier}
    declared = [described for described in earlier if "declared" in described]
    fresh = (described for described in more if tuple(described.values()) not in known)
    return [*earlier, *(one for one in fresh if "declared" in one or not any(_covered(one, top) for top in declared))]


def moved_files(there: Iterable[Mapping[str, Any]], here: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return path there → path here of the declared inputs that lie elsewhere: the file of the same name and content."""
    ours = {_content_of(described): described["path"] for described in here if described.get("declared")}
    found = {described["path"]: ours.get(_content_of(described)) for described in there if described.get("declared")}
    return {path: now for path, now in found.items() if now is not None and now != path}


def _content_of(described: Mapping[str, Any]) -> tuple[str, str]:
    digest = described["sha256"]
    return digest, "" if digest.startswith(TREE) else os.path.basename(described["path"])


def place_of(path: str, folder: str) -> str | None:
    """Return the way to a file that means the same elsewhere: from the working folder ``folder``, when it was named so or lies below
    it; from where public data is kept, our cache folder or the user's home (``data:``, ``cache:``, ``~/``); else None.
    """
    if not os.path.isabs(path):
        return os.path.relpath(path, folder)
    for mark, starts in {"": [folder], **_starts()}.items():
        for start in starts:
            for whole in (path, os.path.realpath(path)):
                way = os.path.relpath(whole, start)
                if way.partition(os.sep)[0] != os.pardir:
                    return mark + way
    return None


def input_is_unchanged(described: Mapping[str, Any]) -> bool:
    """Whether a file is still what a record says; its content is read only when size or time differ."""
    try:
        digest, path = described["sha256"], os.path.expanduser(described["path"])
        stat = os.stat(path)
        if not str(digest).startswith(TREE):
            if stat.st_size != described["size"]:
                return False
            if stat.st_mtime_ns == described["mtime_ns"]:
                return True
        return digest is not None and content_digest(path) == digest
    except OSError:
        return False


def inputs_hold(inputs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a result may be taken here that was made from ``inputs``."""
    return all(input_holds(described) for described in inputs)


def input_holds(described: Mapping[str, Any]) -> bool:
    """Whether a file that a result rests on has not changed, as seen from here: neither at its place in this working folder nor where
    it lay, as far as there are such files. What a key covers has not: its result would not have been found.
    """
    if "declared" in described:
        return bool(described["declared"])
    here = _path_here(described)
    if here is None:
        return input_is_unchanged(described)
    if described["sha256"] is None or content_digest(here) != described["sha256"]:
        return False
    return not os.path.exists(described["path"]) or input_is_unchanged(described)


def input_here(described: Mapping[str, Any]) -> Input:
    """Return an input that holds as it lies here."""
    here = _path_here(described)
    if here is None:
        return dict(described)
    return {**described, "path": here, "mtime_ns": os.stat(here).st_mtime_ns}


def _path_here(described: Mapping[str, Any]) -> str | None:
    """Return the file at the place of an input, if there is one, and it is another than the input's own path."""
    place = described.get("place")
    if place is None:
        return None
    known = _starts()
    mark = next((mark for mark in known if place.startswith(mark)), "")
    for start in known.get(mark) or [os.getcwd()]:
        real = os.path.realpath(os.path.join(start, place.removeprefix(mark)))
        if os.path.exists(real):
            return None if real == described["path"] else real
    return None


def _starts() -> dict[str, list[str]]:
    """Return the folders that places start at, by what those begin with: of several the first that has the file."""
    from platformdirs import user_cache_dir

    cache = user_cache_dir("flambe", appauthor=False)
    data = os.environ.get("FLAMBE_DATA")
    return {
        _DATA: [*([os.path.expanduser(data)] if data else []), os.path.join(cache, "data")],
        _CACHE: [cache],
        _HOME: [os.path.expanduser("~")],
    }


__all__ = [
    "Input", "declared_input", "describe_input", "input_here", "input_holds", "input_is_unchanged", "inputs_hold", "joined",
    "moved_files", "place_of",
]  # fmt: skip

"""What fields made of columns of text, kept on this machine: the same field on the same texts does not read them twice.

A dataset of a stage of its own is stored with the run. This is for all others, and for the next run: an entry is named by the
digest of everything it depends on, and its arrays are memory-mapped, so processes share them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import platformdirs

from flambe.build.component import Component
from flambe.build.made import arguments_of
from flambe.build.state import LoadError, get_state, load_state, read_state, write_state
from flambe.dataset.column import DenseColumn, RaggedColumn, column_from_state
from flambe.dataset.raw import Objects
from flambe.errors import FlambeError
from flambe.field.field import Field, packs

Columns = list[DenseColumn | RaggedColumn]

# Less text than this is cut faster than it is looked up.
LEAST_BYTES = 1 << 18
# The least recently used entries make room.
MOST_BYTES = 4 << 30
_VERSION = "2"


def folder() -> Path | None:
    """Where entries are; None when FLAMBE_PREPARED is 0."""
    if os.environ.get("FLAMBE_PREPARED") == "0":
        return None
    return Path(platformdirs.user_cache_dir("flambe", appauthor=False)) / "prepared"


def set_up(field: Field, splits: Mapping[str, Objects]) -> dict[str, Columns] | None:
    """Set a field up on its column in every split, and return the packed columns if they are known already.

    splits: name to the values ``[N]``.
    """
    entry = _entry(field, splits)
    if entry is not None:
        try:
            found = read_state(entry, verify=True)
        except LoadError:
            shutil.rmtree(entry, ignore_errors=True)  # not there yet, or torn: made again
        else:
            load_state(field, found["field"])
            os.utime(entry)
            return {
                split: [column_from_state(column) for column in columns] for split, columns in found["splits"].items()
            }
    field.setup(*splits.values())
    if entry is None:
        return None
    packed: dict[str, Columns] = {}
    for split, values in splits.items():
        columns = field.pack(values)
        if columns is None:
            return None
        packed[split] = list(columns)
    _keep(entry, field, packed)
    return packed


def _entry(field: Field, splits: Mapping[str, Objects]) -> Path | None:
    """Return the folder of the entry; None for what is not worth one or not known well enough to be named."""
    base = folder()
    recipe = _recipe(field) if base is not None and packs(field) else None
    if base is None or recipe is None:
        return None
    size = 0
    for values in splits.values():
        if values.ndim != 1:
            return None
        items = values.tolist()
        if not all(issubclass(kind, str) for kind in set(map(type, items))):
            return None
        size += sum(map(len, items))
    if size < LEAST_BYTES:
        return None
    # The state before: special tokens, and what an earlier set-up has seen.
    parts = [_VERSION, sys.byteorder, recipe, {key: _plain(value) for key, value in get_state(field).items()}]
    digest = hashlib.blake2b(msgspec.json.encode(parts), digest_size=16)
    for split, values in splits.items():
        texts = values.tolist()
        digest.update(f"{split} {len(texts)} ".encode())
        digest.update(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)).data)
        digest.update("".join(texts).encode("utf-8", "surrogatepass"))
    return base / digest.hexdigest()


def _recipe(value: Any) -> Any:
    """Return what a component of ours is, as plain data; None for those of others, and for arguments that only a run can tell."""
    if value is None or isinstance(value, bool | int | float):
        return ["value", repr(value)]
    if isinstance(value, str):
        # What a file says is not in its name.
        return None if os.path.exists(value) else ["text", value]
    if isinstance(value, list | tuple):
        items = [_recipe(item) for item in value]
        return None if None in items else ["list", items]
    kind = type(value)
    if not isinstance(value, Component) or not kind.__module__.startswith("flambe."):
        return None
    arguments = arguments_of(value, defaults=True)
    if arguments is None:
        return None
    recipes = {name: _recipe(argument) for name, argument in arguments.items()}
    if None in recipes.values():
        return None
    return ["component", kind.__module__, kind.__qualname__, _code(kind.__module__.rpartition(".")[0]), recipes]


@cache
def _code(package: str) -> str:
    """Return the digest of a package's sources: another version of a tokenizer may cut otherwise."""
    digest = hashlib.blake2b(digest_size=16)
    for place in sys.modules[package].__path__:
        for path in sorted(Path(place).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return [value.dtype.str, value.tobytes()] if isinstance(value, np.ndarray) else repr(value)


def _keep(entry: Path, field: Field, packed: Mapping[str, Columns]) -> None:
    made: Path | None = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
        splits = {split: [column.state() for column in columns] for split, columns in packed.items()}
        write_state(made, {"field": dict(get_state(field)), "splits": splits})
        os.rename(made, entry)  # fails where another process was faster
        _make_room(entry.parent)
    except (OSError, FlambeError):
        # A cache that cannot be written (a full or read-only disk) is no reason to fail.
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _make_room(base: Path) -> None:
    entries = [path for path in base.iterdir() if not path.name.startswith(".")]
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in entries}
    total = sum(sizes.values())
    for path in sorted(entries, key=lambda path: path.stat().st_mtime)[:-1]:
        if total <= MOST_BYTES:
            return
        total -= sizes[path]
        # Whoever has its arrays mapped keeps them.
        shutil.rmtree(path, ignore_errors=True)

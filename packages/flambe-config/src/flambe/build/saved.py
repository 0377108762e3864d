"""``flambe.save`` and ``flambe.load``: saved components as folders, archives and addresses."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flambe.build.encoding import State
from flambe.build.loading import load_component
from flambe.build.manifest import Manifest, read_manifest
from flambe.build.parts import parts_of
from flambe.build.saving import SaveError, borrowed_parts, put_in_place, save_component
from flambe.build.state import LoadError, read_state, write_state
from flambe.build.trust import Extensions, import_extensions
from flambe.errors import FlambeError
from flambe.record.layout import CHECKPOINT, MANIFEST
from flambe.spec.hooks import codecs_in_use, scheme

ARCHIVE = ".tar.gz"
_TIMEOUT_S = 60
_MOST_MEMBERS = 100_000
_LARGEST_RATIO = 100
"""Bytes that one byte of an archive may become: states shrink by a third, and a file of zeros, which no training makes, by a thousand."""
_LEAST_BYTES = 64 * 2**20
_PICKLE = "nothing is stored as pickle: opening one runs whatever code is in it"


def save(
    obj: Any,
    path: str | os.PathLike[str],
    compress: bool = False,
    pickle_only: bool = False,
    overwrite: bool = False,
    pickle_module: Any = None,
    pickle_protocol: int | None = None,
    *,
    extensions: Extensions = (),
) -> None:
    """Write ``obj`` as a saved component.

    compress: one file ``<path>.tar.gz`` in place of a folder. overwrite: replace what is there.
    pickle_only, pickle_module: refused. pickle_protocol: accepted from older code, without effect.
    extensions: module → source of classes that are in no distribution.

    Raises ``SaveError`` (a ValueError) when the place is taken, FlambeError naming what cannot be saved.
    """
    _refuse_pickle(pickle_only or pickle_module is not None)
    _write(
        path,
        compress,
        overwrite,
        lambda folder: save_component(obj, folder, extensions=extensions, overwrite=overwrite),
    )


def load(
    path: str | os.PathLike[str],
    map_location: Any = None,
    extensions: Extensions | None = None,
    auto_install: bool = False,
    pickle_module: Any = None,
    *,
    verify: bool | None = None,
    rename: Mapping[str, str] | None = None,
) -> Any:
    """Return the component that is saved at ``path``.

    path: a folder (of a component, or of a unit in a run directory), a ``.tar.gz``, or an address (``s3://…``,
    ``https://….tar.gz``). map_location: device for its tensors.
    extensions: modules that may be imported for it, ``{"my_ext": "path/to/my_ext"}`` or names of installed ones; no other
    module is, but those of flambe and torch. auto_install: refused, install what is missing yourself.
    pickle_module: refused. verify: True compares every file with its digest, False none. By default what comes out of an archive or from
    an address is compared whole; of a folder all but the data of tensors is, whose length has to be right: it is read when it
    is used.
    rename: classes or modules that were called otherwise when it was saved, ``{"old_module:Old": "new_module:New"}`` or
    ``{"old_module": "new_module"}``.

    Random-number generators stand where they stood before. Weights are pages of the files in a folder: do not write into these files
    while the object lives (replacing and deleting them is fine).

    Raises ``LoadError`` and ``ProvenanceError`` as ``load_component``.
    """
    _refuse_pickle(pickle_module is not None)
    if auto_install:
        raise FlambeError("flambe.load installs nothing", hint="pip install the extension, then say extensions={…}.")
    if extensions is not None:
        import_extensions(extensions if isinstance(extensions, Mapping) else {name: name for name in extensions})
    with _local(path) as (folder, kept):
        if verify is None and not kept:
            verify = True
        # A folder that goes away is read into memory.
        loaded = load_component(folder, extensions=extensions, mmap=kept, verify=verify, rename=rename)
    if map_location is not None:
        _move(loaded, map_location)
    return loaded


def save_state_to_file(
    state: Mapping[str, Any],
    path: str | os.PathLike[str],
    compress: bool = False,
    pickle_only: bool = False,
    overwrite: bool = False,
    pickle_module: Any = None,
    pickle_protocol: int | None = None,
) -> None:
    """Write a ``State`` as ``state.safetensors`` and ``state.json`` in the folder ``path`` (or ``<path>.tar.gz``).

    pickle_only, pickle_module: refused. pickle_protocol: accepted from older code, without effect.
    """
    _refuse_pickle(pickle_only or pickle_module is not None)

    def write(folder: Path) -> None:
        aside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
        try:
            write_state(aside, state)
            put_in_place(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    _write(path, compress, overwrite, write)


def load_state_from_file(path: str | os.PathLike[str], map_location: Any = None, pickle_module: Any = None) -> State:
    """Return the ``State`` in a folder: one that ``save_state_to_file`` wrote, or the whole tree of a saved component.

    map_location: device for its tensors. pickle_module: refused. Raises ``LoadError``.
    """
    _refuse_pickle(pickle_module is not None)
    with _local(path) as (folder, kept):
        state = (
            _tree_state(folder, kept) if (folder / MANIFEST).exists() else read_state(folder, mmap=kept, verify=True)
        )
    if not isinstance(state, State):
        state = State(state)
    if map_location is not None:
        for key, value in state.items():
            if hasattr(value, "to"):
                state[key] = value.to(map_location)
    return state


def _tree_state(folder: Path, mmap: bool) -> State:
    """Return the states of all parts as one flat state."""
    whole = State()

    def add(place: Path, prefix: str) -> None:
        manifest = read_manifest(place)
        own = read_state(place, mmap=mmap)
        whole.update({prefix + key: value for key, value in own.items() if not key.startswith("$")})
        for key, value in own._metadata.items():
            whole._metadata[(prefix + key).removesuffix(".")] = value
        for name in manifest.parts:
            add(place / name, f"{prefix}{name}.")

    add(folder, "")
    return whole


# --- places ---


def _write(path: str | os.PathLike[str], compress: bool, overwrite: bool, write: Callable[[Path], Any]) -> None:
    text = os.fspath(path)
    if "://" in text:
        raise SaveError(
            f"flambe.save writes to this machine, not to {text}", hint="flambe-build ships components to other places."
        )
    place = Path(text)
    if not compress:
        if place.exists() and not overwrite and (not place.is_dir() or any(place.iterdir())):
            raise SaveError(f"{place} is there already", hint="Name another place, or say overwrite=True.")
        write(place)
        return
    archive = place.with_name(place.name.removesuffix(ARCHIVE) + ARCHIVE)
    if archive.exists() and not overwrite:
        raise SaveError(f"{archive} is there already", hint="Name another place, or say overwrite=True.")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{archive.name}.", dir=archive.parent) as scratch:
        folder = Path(scratch) / archive.name.removesuffix(ARCHIVE)
        write(folder)
        packed = Path(scratch) / archive.name
        _pack(folder, packed)
        put_in_place(packed, archive)


def _pack(folder: Path, archive: Path) -> None:
    """Write a folder as ``.tar.gz``. Names are below the folder's own; equal content gives equal bytes."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
        entry.mode = 0o755 if entry.isdir() else 0o644
        return entry

    with (
        open(archive, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.add(folder, arcname=folder.name, filter=plain)


@contextlib.contextmanager
def _local(path: str | os.PathLike[str]) -> Iterator[tuple[Path, bool]]:
    """Give the folder of what is at ``path``, and whether it stays there afterwards."""
    text = os.fspath(path)
    if "://" not in text and Path(text).is_dir():
        folder = Path(text)
        inside = folder / CHECKPOINT
        # What people see of a result is the folder of its unit.
        is_unit = not (folder / MANIFEST).exists() and (inside / MANIFEST).exists()
        yield inside if is_unit else folder, True
        return
    with tempfile.TemporaryDirectory(prefix="flambe-load-") as scratch:
        folder = Path(scratch)
        if "://" in text:
            place = _download(text, folder)
        else:
            place = Path(text)
            if not place.exists():
                raise LoadError(f"there is nothing at {place}")
        if place.is_file():
            place = _unpack(place, folder / "unpacked")
        yield place, False


def _download(url: str, folder: Path) -> Path:
    name = url.partition("://")[0]
    target = folder / "download"
    if name not in ("http", "https"):
        scheme(name).download(url, target)
        inside = sorted(target.iterdir()) if target.is_dir() else []
        return inside[0] if len(inside) == 1 and inside[0].is_file() else target
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, open(target, "wb") as stream:
            shutil.copyfileobj(answer, stream)
    except (urllib.error.URLError, TimeoutError) as error:
        raise LoadError(f"cannot fetch {url}: {getattr(error, 'reason', error)}") from error
    return target


def _unpack(archive: Path, folder: Path) -> Path:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            # The filter refuses members that lead out of the folder.
            tar.extractall(folder, members=_plain_members(tar, archive), filter="data")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError) as error:
        raise LoadError(
            f"{archive} is no archive of a component: {error}", expected=f"a folder or a {ARCHIVE}"
        ) from error
    inside = sorted(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _plain_members(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yield files and folders, which is all that ``save`` writes, and no more of them than an honest archive has."""
    most = _LEAST_BYTES + _LARGEST_RATIO * archive.stat().st_size
    total = 0
    for number, member in enumerate(tar, start=1):
        if not (member.isreg() or member.isdir()):
            raise LoadError(f"{archive} holds {member.name!r}, which is no file", expected="files and folders")
        total += member.size
        if number > _MOST_MEMBERS or total > most:
            much = f"more than {_MOST_MEMBERS:,} files" if number > _MOST_MEMBERS else f"more than {most:,} bytes"
            raise LoadError(
                f"{archive} would unpack to {much}", hint="Unpack it yourself if you trust it, and load the folder."
            )
        yield member


def _move(value: Any, location: Any) -> None:
    for part in parts_of(value):
        if any(codec.is_module(part.value) for codec in codecs_in_use().values()):
            part.value.to(location)


def _refuse_pickle(asked: bool) -> None:
    if asked:
        raise SaveError(
            _PICKLE, hint="Leave out pickle_only and pickle_module; the saved folder holds the same object."
        )


__all__ = [
    "LoadError",
    "Manifest",
    "SaveError",
    "borrowed_parts",
    "load",
    "load_component",
    "load_state_from_file",
    "read_manifest",
    "save",
    "save_component",
    "save_state_to_file",
]

"""Objects to a saved component: a folder for each part, written aside and put in place by one rename."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import inspect
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from flambe.build.config import SAVED, ConfigWriter, readable
from flambe.build.digester import Digester
from flambe.build.encoding import Encoder
from flambe.build.made import made_of
from flambe.build.manifest import Manifest, portable_sources
from flambe.build.parts import Part, is_part, parts_of
from flambe.build.state import begin_encoded, own_state
from flambe.build.trust import Extensions
from flambe.errors import FlambeError
from flambe.record.layout import CONFIG_YAML, MANIFEST, SOURCE_PY, VERSION_TXT
from flambe.spec.nodes import LINK, NEW, kind_of

_LIBRARIES = frozenset({"flambe", "torch", "ray", "numpy"})


class SaveError(FlambeError, ValueError):
    """Something that cannot be written where or how it was asked for."""


def save_component(
    obj: Any,
    folder: Path,
    *,
    borrowed: Mapping[int, Mapping[str, Any]] | None = None,
    extensions: Extensions = (),
    overwrite: bool = False,
) -> dict[int, str]:
    """Write ``obj`` and its parts to ``folder``, which appears whole or not at all.

    borrowed: id of an immutable object of another stage → ``{"stage": …, "path": …}``, the path relative to ``folder``; such an object
    is written as that reference. extensions: module → source of classes that are in no distribution.
    overwrite: put the new one in the place of what is there.

    Returns the folder of every part by the id of its object, relative to ``folder`` (``""``: the object itself).
    Raises ``SaveError`` when something is there, FlambeError naming the part and the value that cannot be saved.
    """
    folder = Path(folder)
    if not is_part(obj):
        raise SaveError(
            f"a {type(obj).__module__}.{type(obj).__qualname__} cannot be saved as a component",
            expected="a Component, or a torch module that a tag or a Schema built",
        )
    _check_free(folder, overwrite=overwrite)
    aside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    aside.mkdir(parents=True)
    try:
        writer = _TreeWriter(obj, aside, borrowed or {}, extensions)
        writer.write()
        put_in_place(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return writer.folders


def borrowed_parts(obj: Any, reference: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return the references of ``obj`` and of all its parts, for ``borrowed``: a stage may hold a field of a dataset alone."""
    return {
        id(part.value): {**reference, "path": os.path.join(reference["path"], *part.place)} for part in parts_of(obj)
    }


class _TreeWriter:
    def __init__(
        self, root: Any, aside: Path, borrowed: Mapping[int, Mapping[str, Any]], extensions: Extensions
    ) -> None:
        self._aside = aside
        self._borrowed = borrowed
        self._extensions = portable_sources(
            extensions if isinstance(extensions, Mapping) else dict.fromkeys(extensions, "")
        )
        self._parts = parts_of(root, stop=borrowed, arguments=True)
        self._by_folder = {part.folder: part for part in self._parts}
        self.folders = {id(part.value): part.folder for part in self._parts}
        self._configs: dict[str, dict[str, Any]] = {}
        self._files: dict[str, dict[str, str]] = {}

    def write(self) -> None:
        with Digester() as digester:
            states = {part.folder: self._begin_state(part, digester) for part in self._parts}
            self._files = {folder: end() for folder, end in reversed(states.items())}
        for part in self._parts:
            self._write_words(part)
        # From the leaves up: a manifest holds the digests of the manifests below it.
        for part in reversed(self._parts):
            self._write_manifest(part)

    def _begin_state(self, part: Part, digester: Digester) -> Callable[[], dict[str, str]]:
        encoder = Encoder()
        try:
            writer = ConfigWriter(encoder, self.folders, self._borrowed, part.folder)
            self._configs[part.folder] = writer.write(part.value)
            tree = encoder.encode(own_state(part), "")
        except FlambeError as error:
            error.what = f"{part.key.removesuffix('.') or type(part.value).__qualname__}: {error.what}"
            raise
        return begin_encoded(self._aside / part.folder, tree, encoder, digester)

    def _write_words(self, part: Part) -> None:
        """Write the files that are for people."""
        from flambe.compile.dump import node_to_yaml

        class_: Any = type(part.value)
        texts = {
            CONFIG_YAML: node_to_yaml(readable(self._inlined(self._configs[part.folder], part.folder, {}, ()))),
            VERSION_TXT: f"{class_.__name__}:{getattr(class_, '_flambe_version', '0.0.0')}\n",
        }
        source = source_of(class_)
        if source is not None:
            texts[SOURCE_PY] = source
        for name, text in texts.items():
            data = text.encode()
            (self._aside / part.folder / name).write_bytes(data)
            self._files[part.folder][name] = hashlib.sha256(data).hexdigest()

    def _inlined(self, node: Any, here: str, seen: dict[str, tuple[Any, ...]], path: tuple[Any, ...]) -> Any:
        """Return a config with the configs of its parts in it; a part that came already is a link."""
        if isinstance(node, list):
            return [self._inlined(item, here, seen, (*path, index)) for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        kind = kind_of(node)
        if kind == SAVED:
            folder = os.path.normpath(os.path.join(here, node[SAVED])).removeprefix(".")
            rest = {key: value for key, value in node.items() if key != SAVED}
            if folder in seen:
                return {LINK: list(seen[folder]), **rest} if seen[folder] else node
            if rest:
                return node
            seen[folder] = path
            return self._inlined(self._configs[folder], folder, seen, path)
        if kind == LINK:
            # A link of a part starts at the part's own arguments.
            base = seen.get(here, ())
            return {**node, LINK: [*base, *node[LINK]]}
        if kind not in (None, NEW, "$tuple"):
            return node
        return {
            key: self._inlined(item, here, seen, path if key.startswith("$") else (*path, key))
            for key, item in node.items()
        }

    def _write_manifest(self, part: Part) -> None:
        made = made_of(part.value)
        assert made is not None
        below = [
            folder
            for folder in self.folders.values()
            if folder == part.folder or folder.startswith(f"{part.folder}/") or not part.folder
        ]
        files = {name: self._files[part.folder][name] for name in sorted(self._files[part.folder])}
        for child in part.children:
            name = f"{child}/{MANIFEST}"
            files[name] = hashlib.sha256((self._aside / part.folder / name).read_bytes()).hexdigest()
        manifest = Manifest(
            class_=made.target,
            factory=made.factory,
            version=str(getattr(type(part.value), "_flambe_version", "0.0.0")),
            config=self._configs[part.folder],
            parts=part.children,
            extensions=self._used(
                {type(self._by_folder[folder].value) for folder in below} | _classes_in(self._configs[part.folder])
            ),
            files=files,
        )
        path = self._aside / part.folder / MANIFEST
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")

    def _used(self, classes: set[Any]) -> dict[str, str]:
        tops = {(item if isinstance(item, str) else item.__module__).partition(".")[0] for item in classes}
        return {module: source for module, source in self._extensions.items() if module.partition(".")[0] in tops}


def _classes_in(node: Any) -> set[Any]:
    """Return the modules that a config names."""
    if isinstance(node, list):
        return set().union(*map(_classes_in, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    found = set().union(*map(_classes_in, node.values())) if node else set()
    return found | ({node[NEW].partition(":")[0]} if NEW in node else set())


@cache
def source_of(class_: Any) -> str | None:
    """Return the source of a class that is in no installed distribution, None for the others."""
    if class_.__module__.partition(".")[0] in _LIBRARIES:
        return None
    try:
        file = inspect.getsourcefile(class_) or ""
        if "site-packages" in file or "dist-packages" in file or file.startswith(sys.base_prefix + os.sep):
            return None
        return inspect.getsource(class_)
    except (OSError, TypeError):
        # Classes typed into a console have no file.
        return None


def _check_free(folder: Path, *, overwrite: bool) -> None:
    if overwrite or not folder.exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise SaveError(f"{folder} is there already", hint="Name another place, or say overwrite=True.")


def put_in_place(aside: Path, place: Path) -> None:
    """Rename ``aside`` to ``place``. What stands there is swapped out in the same instant, and deleted then."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists() or (place.is_dir() and aside.is_dir() and not any(place.iterdir())) or not aside.is_dir():
        os.replace(aside, place)
        return
    if not _exchange(aside, place):
        # Without the system call there is an instant with nothing at the place, and the old one whole beside it.
        old = aside.with_name(aside.name + ".old")
        os.rename(place, old)
        os.rename(aside, place)
        os.rename(old, aside)
    shutil.rmtree(aside) if aside.is_dir() else aside.unlink()


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names by ``renameat2(RENAME_EXCHANGE)`` (Linux 3.15). Returns False where there is no such thing."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        return False
    here = -100  # AT_FDCWD
    if call(here, os.fsencode(first), here, os.fsencode(second), 2) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(code, os.strerror(code), str(second))


__all__ = ["SaveError", "borrowed_parts", "put_in_place", "save_component", "source_of"]

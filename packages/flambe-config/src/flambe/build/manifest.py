"""``manifest.json``: what one folder of a saved component holds, with the digest of every file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flambe.build.state import LoadError, compare_digest
from flambe.errors import ConfigError
from flambe.record.code import module_digest
from flambe.record.layout import COMPONENT_VERSION, MANIFEST, STATE_TENSORS
from flambe.spec.codec import FlambeVersionError, read_document
from flambe.spec.nodes import NEW, kind_of
from flambe.spec.shape import check_body


class Manifest(msgspec.Struct, kw_only=True):
    """One folder of a saved component.

    class_: ``module:QualName`` as the config names it. factory: the class method that made it, if one did. version: that of the class.
    config: its ``$new`` node; ``{"$saved": folder}`` is a part (relative to this folder), ``{"$result": …}`` a borrowed immutable.
    parts: sub-folders, each a manifest of its own. extensions: modules of the user that are needed, see ``portable_sources``.
    files: name → SHA-256 of every other file here, and of the manifests of the parts: one digest holds the whole tree.
    """

    flambe_component: str = COMPONENT_VERSION
    class_: str = msgspec.field(name="class")
    factory: str | None = None
    version: str = "0.0.0"
    config: dict[str, Any]
    parts: list[str] = []
    extensions: dict[str, str] = {}
    files: dict[str, str] = {}


def portable_sources(extensions: Mapping[str, str]) -> dict[str, str]:
    """Return what a manifest says of extensions: what they are, and never where on this machine they lie.

    extensions: module → source. A file or folder becomes ``sha256:…`` over the module's Python files, so equal code is saved alike
    wherever it lies; a requirement or an address stays; of a path that is not here, the last name stays.
    """
    return {module: _portable(module, source) for module, source in extensions.items()}


def _portable(module: str, source: str) -> str:
    digest = module_digest(module, source)
    if digest is not None:
        return f"sha256:{digest}"
    if source.startswith(("/", "~")):
        return Path(source).name
    return re.sub(r"file://[^@#]*/", "", source)


def read_manifest(folder: Path, *, verify: bool | None = True) -> Manifest:
    """Read a manifest. verify: compare the files of this folder with their digests; None: all but the one of tensors.

    Raises ``LoadError`` for no, a torn or a foreign manifest, and with both digests for a file that was changed.
    """
    path = folder / MANIFEST
    try:
        if path.exists() and not path.is_file():
            raise LoadError(f"{path} is no file")  # a device would be read for ever
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LoadError(
            f"{folder} holds no saved component (no {MANIFEST})",
            hint="flambe.save writes one; in a run directory it is the folder checkpoint of a stage.",
        ) from error
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror}") from error
    try:
        head = read_document(data, "flambe_component", COMPONENT_VERSION, where=str(path), kind="manifest")
        manifest = msgspec.convert(head, Manifest)
        check_body(manifest.config, str(path))
    except FlambeVersionError:
        raise
    except (msgspec.ValidationError, ConfigError) as error:
        raise LoadError(f"{path} is no manifest: {error}") from error
    if any("\0" in name for name in manifest.parts):
        raise LoadError(f"{path} is no manifest: a part has a name that no folder can have")
    if kind_of(manifest.config) != NEW:
        raise LoadError(f"{path} is no manifest: its config names no class")
    if verify is not False:
        for name, digest in manifest.files.items():
            if verify or name != STATE_TENSORS:
                compare_digest(folder / name, digest)
    return manifest


__all__ = ["Manifest", "portable_sources", "read_manifest"]

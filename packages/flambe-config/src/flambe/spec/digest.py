"""Digests: equal content, equal digest."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import msgspec

from flambe.spec.nodes import FILE, Spec, with_files


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a node-form value, as hex. Key order counts: it is build order."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()


def spec_digest(spec: Spec, *, placed: bool = True) -> str:
    """Return the digest of a spec: all of it but ``origins``, ``source``, ``output_dir``, its version and the folders of extensions.

    placed: whether the places of data count too. A run goes on with the same files only; what it came to is the same anywhere.

    Where a run is written and where code lies does not change what it computes; the keys of its units cover the code. Defaults are left out, so that a field which a later version adds
    changes the digest of no spec without it.
    """
    # Whole numbers become what a file of them is read as: an amount of 1 is 1.0.
    bare = msgspec.to_builtins(msgspec.convert(msgspec.to_builtins(spec), type(spec)))
    for name in ("flambe_spec", "origins", "source", "output_dir"):
        bare.pop(name, None)
    if spec.kind == "function":
        for stage in bare["stages"]:
            stage["body"].pop("code", None)
    extensions = bare.get("environment", {}).get("extensions", {})
    for module, source in extensions.items():
        if os.path.isabs(source):
            extensions[module] = ""
    if not placed:
        files = bare.get("environment", {}).get("files", {})
        files.update({name: "" for name, source in files.items() if os.path.isabs(source)})
        bare = without_places(bare)
    return digest_of(bare)


def without_places(node: Any) -> Any:
    """Return ``node`` with no path of a ``$file``: where data lies does not change what is computed, and keys cover its content."""
    return with_files(node, lambda path: {FILE: path if "://" in path else ""})


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, as hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""Digests: equal content, equal digest."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import msgspec

from flambe.spec.nodes import Spec


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a node-form value, as hex. Key order counts: it is build order."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()


def spec_digest(spec: Spec) -> str:
    """Return the digest of a spec: all of it but ``origins``, ``source``, ``output_dir``, its version and the folders of extensions.

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
    return digest_of(bare)


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, as hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

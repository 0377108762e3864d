"""What a saved component is made of, read from its manifests and tensor headers; nothing is built or imported."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from flambe.errors import ConfigError
from flambe.export.artifact import describe, read_artifact
from flambe.record.layout import COMPONENT_VERSION, MANIFEST, STATE_TENSORS
from flambe.spec.codec import check_version

_LARGEST_HEADER = 100_000_000


def inspect(folder: Path) -> dict[str, Any]:
    """Return class, digest, extensions, parts and tensors of the saved component in ``folder``.

    ``parts`` maps each part (a path, ``"."`` for the root) to its class and version; ``tensors`` maps a dotted name
    to ``[dtype, shape]``; ``parameters`` counts the numbers in them. Raises ConfigError when there is no component.
    """
    artifact = read_artifact(folder) or describe(folder)
    parts: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    extensions: dict[str, str] = {}
    for path in sorted(folder.rglob(MANIFEST)):
        manifest = _manifest(path)
        name = path.parent.relative_to(folder).as_posix()
        parts[name] = {"class": manifest["class"], "version": manifest.get("version", "0.0.0")}
        extensions.update(manifest.get("extensions") or {})
        state = path.parent / STATE_TENSORS
        if state.is_file():
            prefix = "" if name == "." else name.replace("/", ".") + "."
            tensors.update({prefix + key: value for key, value in tensor_header(state).items()})
    return {
        "artifact": str(folder),
        "class": artifact.component,
        "digest": artifact.digest,
        "files": len(artifact.files),
        "bytes": artifact.bytes,
        "extensions": extensions,
        "parts": parts,
        "tensors": tensors,
        "parameters": sum(math.prod(shape) for _, shape in tensors.values()),
    }


def differences(one: Path, other: Path) -> dict[str, Any]:
    """Return how two saved components differ: in class, files, parts and tensor shapes. Equal ones say so.

    The digests are those of the files as they are, whatever an ``artifact.json`` says of them: equal digests are equal files.
    """
    a, b = inspect(one), inspect(other)
    here, there = describe(one), describe(other)
    files_a, files_b = here.files, there.files
    found: dict[str, Any] = {"equal": here.digest == there.digest, "digests": [here.digest, there.digest]}
    if a["class"] != b["class"]:
        found["class"] = [a["class"], b["class"]]
    for key, left, right in (
        ("parts", a["parts"], b["parts"]),
        ("tensors", a["tensors"], b["tensors"]),
        ("files", files_a, files_b),
    ):
        changed = {name: [left.get(name), right.get(name)] for name in {**left, **right}}
        changed = {name: pair for name, pair in sorted(changed.items()) if pair[0] != pair[1]}
        if changed:
            found[key] = changed
    return found


def tensor_header(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Return name → (dtype, shape) from the header of a safetensors file, without reading a tensor.

    Format: https://github.com/huggingface/safetensors (8 bytes of length, little endian, then JSON).
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(_LARGEST_HEADER, path.stat().st_size):
            raise ConfigError(f"{path} is no safetensors file")
        try:
            header = json.loads(stream.read(length))
            return {name: (x["dtype"], x["shape"]) for name, x in header.items() if name != "__metadata__"}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path} is no safetensors file: {error}") from error


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
        check_version(manifest["flambe_component"], what=str(path), reads=COMPONENT_VERSION)
        manifest["class"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no manifest of a saved component: {error}") from error
    return dict(manifest)

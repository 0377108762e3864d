"""Types of artifacts: how a value becomes a file, and how the file is read again.

=================================  =============================================================  =========================
type                               values                                                         file
=================================  =============================================================  =========================
``numpy``                          an array, or a mapping of them                                 ``.npy``, ``.npz``
``image``                          an array, a figure of matplotlib, an image of Pillow           ``.png``
``audio``                          samples, -1 to 1; read as (rate, int16 [N, channels])          ``.wav``
``json`` ``histogram`` ``pr_curve``  plain data; NaN, bytes and other keys in the spec's node form  ``.json``
``text``                           text                                                           UTF-8
``table``                          a list of mappings, a mapping of columns, a data frame         ``.csv``
``checkpoint``                     tensors and plain data, nested as you like                     ``.safetensors``
``torch``                          what ``torch.save`` takes; read with weights only              ``.pt``
``pickle``                         anything; ``allow_pickle=True`` to write it and to read it     ``.pkl``
=================================  =============================================================  =========================

A type of your own is a pair of functions, ``save(value, path)`` and ``load(path)``, that other processes can import. Their
import paths are recorded with each artifact, and nothing is imported because a record says so: whoever reads registers the
type too, or names the module.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from flambe.errors import ConfigError, FlambeError, ProvenanceError, did_you_mean

Save = Callable[[Any, str], None]
Load = Callable[[str], Any]

PICKLE = "pickle"
_FORMAT = "flambe.record.artifact_format"
_TORCH = "flambe.learn.torch_file"
_NAME = re.compile(r"[A-Za-z][\w-]{0,63}", re.A)


class InvalidArtifactError(ConfigError, ValueError):
    """An artifact that cannot be written or read so: its name, its type, or its value."""


class ArtifactType(NamedTuple):
    """How values of one type are stored. save, load: ``module:function``. ours: whether it is one of the table above."""

    name: str
    save: str
    load: str
    ours: bool = False


def register_type(name: str, save: Save | str, load: Load | str) -> ArtifactType:
    """Make a type known in this process, for writing and for reading.

    save, load: functions of a module, or their import paths ``module:function``; modules are imported when they are needed.
    Raises InvalidArtifactError for a name that is taken or no name, and for functions that nobody else could import.
    """
    if not _NAME.fullmatch(name) or name in _OURS:
        raise InvalidArtifactError(
            f"the artifact type {name!r} cannot be registered",
            expected=f"letters, digits, '_' and '-', and none of {', '.join(_OURS)}",
        )
    known = ArtifactType(name, _import_path(save), _import_path(load))
    _registered[name] = known
    return known


def type_of(name: str) -> ArtifactType:
    """Return a type by its name. Raises InvalidArtifactError when there is none."""
    found = _OURS.get(name) or _registered.get(name)
    if found is None:
        known = [*_OURS, *_registered]
        raise InvalidArtifactError(
            f"there is no artifact type {name!r}; there are {', '.join(known)}",
            hint=did_you_mean(name, known) or "register_type makes one of your own.",
        )
    return found


def reader_of(name: str, load: str | None, extensions: Collection[str]) -> Load:
    """Return what reads a recorded artifact of a type. load: the import path that its record names; extensions: modules to trust.

    Raises ProvenanceError (exit code 3) for a type of somebody's that this process neither registered nor was told to trust.
    """
    if load is None or name in _OURS or name in _registered:
        return function_of(type_of(name).load)
    top = load.partition(":")[0].partition(".")[0]
    if top not in extensions:
        raise ProvenanceError(
            f"artifacts of type {name!r} are read by {load}, which is not imported because a file says so",
            hint=f"If you trust it: register_type({name!r}, save=…, load={load!r}), or extensions=[{top!r}].",
        )
    from flambe.build.trust import resolve

    found: Load = resolve(load, [top])
    return found


def function_of(given: str) -> Callable[..., Any]:
    """Return the function ``module:function``. Raises InvalidArtifactError when there is none."""
    module, _, name = given.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if module.startswith("flambe.") and str(error.name).startswith("flambe."):
            raise FlambeError(f"{module} is not installed", hint="pip install flambe-nn") from None
        raise InvalidArtifactError(f"{given} cannot be imported: {error}") from error
    if not callable(found):
        raise InvalidArtifactError(f"the module {module} has no function {name}")
    function: Callable[..., Any] = found
    return function


def _import_path(function: Callable[..., Any] | str) -> str:
    if isinstance(function, str):
        path = function
    else:
        path = f"{getattr(function, '__module__', None)}:{getattr(function, '__qualname__', '')}"
    module, colon, name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in f"{module}.{name}".split(".")) or module == "__main__":
        raise InvalidArtifactError(
            f"{path} cannot be imported by another process",
            expected="a function at the top of a module that can, as module:function",
        )
    return path


def _ours(name: str, form: str) -> ArtifactType:
    return ArtifactType(name, f"{_FORMAT}:save_{form}", f"{_FORMAT}:load_{form}", ours=True)


_OURS = {
    **{name: _ours(name, name) for name in ("numpy", "image", "audio", "json", "text", "table", "checkpoint", PICKLE)},
    **{name: _ours(name, "json") for name in ("histogram", "pr_curve")},
    "torch": ArtifactType("torch", f"{_TORCH}:save", f"{_TORCH}:load", ours=True),
}
_registered: dict[str, ArtifactType] = {}

__all__ = ["ArtifactType", "InvalidArtifactError", "register_type", "type_of"]

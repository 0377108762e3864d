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
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from flambe.errors import ConfigError, FlambeError, ProvenanceError, did_you_mean

Save = Callable[[Any, str], None]
Load = Callable[[str], Any]

PICKLE = "pickle"
_TORCH = "flambe.learn.torch_file"
_STATE = "$state.json"
_NAME = re.compile(r"[A-Za-z][\w-]{0,63}", re.A)


class InvalidArtifactError(ConfigError, ValueError):
    """An artifact that cannot be written or read so: its name, its type, or its value."""


class ArtifactType(NamedTuple):
    """How values of one type are stored. save, load: functions, or ``module:function``. ours: whether it is one of the table above."""

    name: str
    save: Save | str
    load: Load | str
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


def function_of(given: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return a function, imported where only its path was given."""
    if callable(given):
        return given
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


def array_of(value: Any) -> np.ndarray[Any, Any]:
    """Return an array, or a tensor of whatever library and device, as a numpy array."""
    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    return np.asarray(value)


# -- what is ours -----------------------------------------------------------------------------------------------------


def _save_numpy(value: Any, path: str) -> None:
    with open(path, "wb") as stream:  # given a name, savez adds a suffix of its own
        if isinstance(value, Mapping):
            np.savez(stream, allow_pickle=False, **{str(name): _storable(item) for name, item in value.items()})
        else:
            np.save(stream, _storable(value), allow_pickle=False)


def _storable(value: Any) -> np.ndarray[Any, Any]:
    array = array_of(value)
    if array.dtype.hasobject:
        raise InvalidArtifactError(
            f"an array of {array.dtype} has no stored form", hint="Give it a type: array.astype(str), or float."
        )
    return array


def _load_numpy(path: str) -> Any:
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        return {name: found[name] for name in found.files}


def _save_image(value: Any, path: str) -> None:
    if callable(getattr(value, "savefig", None)):
        value.savefig(path, format="png")
    elif callable(getattr(value, "save", None)) and hasattr(value, "mode"):
        value.save(path, format="PNG")
    else:
        from flambe.record import png

        Path(path).write_bytes(png.encode(pixels_of(value)))


def pixels_of(value: Any) -> np.ndarray[Any, Any]:
    """Return an image as pixels [H, W, C], uint8.

    value: [H, W], [H, W, C] or [C, H, W] with C from 1 to 4 (where both fit, the latter); floats from 0 to 1, integers to 255.
    Raises InvalidArtifactError for other shapes.
    """
    array = array_of(value)
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and array.shape[0] in (1, 2, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise InvalidArtifactError(
            f"an array of shape {array_of(value).shape} is no image", expected="[H, W], [C, H, W] or [H, W, C]"
        )
    if array.dtype.kind == "f":
        array = np.nan_to_num(array) * 255
    elif array.dtype.kind == "b":
        array = array * np.uint8(255)
    if array.dtype != np.uint8:
        array = np.clip(array, 0, 255).astype(np.uint8)
    return array


def _load_image(path: str) -> Any:
    from flambe.record import png

    return png.decode(Path(path).read_bytes())


def _save_audio(value: Any, path: str) -> None:
    import wave

    rate, samples = value if isinstance(value, tuple) else (44100, value)
    array = array_of(samples)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.ndim != 2 or not 0 < array.shape[1] <= 16:
        raise InvalidArtifactError(
            f"an array of shape {array_of(samples).shape} is no audio", expected="[N] or [N, channels]"
        )
    if array.dtype.kind == "f":
        array = np.clip(np.nan_to_num(array), -1, 1) * 32767
    with wave.open(path, "wb") as file:
        file.setnchannels(array.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(array.astype("<i2")).tobytes())


def _load_audio(path: str) -> Any:
    import wave

    with wave.open(path, "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return file.getframerate(), samples


def _save_json(value: Any, path: str) -> None:
    from flambe.spec.codec import dump_json, escape

    try:
        Path(path).write_bytes(dump_json(escape(value)))
    except TypeError as error:
        raise InvalidArtifactError(f"this is no plain data: {error}") from error


def _load_json(path: str) -> Any:
    from flambe.spec.codec import unescape

    return unescape(msgspec.json.decode(Path(path).read_bytes()))


def _save_text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise InvalidArtifactError(f"a {type(value).__qualname__} is no text")
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(value)


def _load_text(path: str) -> str:
    return Path(path).read_bytes().decode()


def _save_table(value: Any, path: str) -> None:
    from flambe.record import table

    try:
        _save_text(table.encode(table.rows_of(value)), path)
    except TypeError as error:
        raise InvalidArtifactError(f"a cell of this table cannot be written: {error}") from error


def _load_table(path: str) -> Any:
    from flambe.record import table

    return table.decode(_load_text(path))


def _save_checkpoint(value: Any, path: str) -> None:
    from flambe.build.encoding import Encoder
    from flambe.build.tensors import write_tensors
    from flambe.spec.hooks import Tensor

    encoder = Encoder()
    try:
        text = msgspec.json.encode(encoder.encode(value, ""))
    except FlambeError as error:
        error.hint = "Give its state (model.state_dict(), say), or store it with allow_pickle=True."
        raise
    # One file, so that a kill leaves the old one or the new one; the JSON lies in it as a tensor of bytes.
    write_tensors(Path(path), {**encoder.tensors, _STATE: Tensor("U8", (len(text),), memoryview(text))})


def _load_checkpoint(path: str) -> Any:
    from flambe.build.encoding import Decoder
    from flambe.build.tensors import read_tensors

    tensors = read_tensors(Path(path))
    if _STATE not in tensors:
        raise InvalidArtifactError(f"{path} holds tensors and no checkpoint")
    return Decoder(tensors).decode(msgspec.json.decode(bytes(tensors.pop(_STATE).data)))


def _save_pickle(value: Any, path: str) -> None:
    import pickle

    with open(path, "wb") as stream:
        pickle.dump(value, stream)


def _load_pickle(path: str) -> Any:
    import pickle

    with open(path, "rb") as stream:
        return pickle.load(stream)  # noqa: S301 - asked for by name, see Artifacts.load


_OURS = {
    known.name: known
    for known in (
        ArtifactType("numpy", _save_numpy, _load_numpy, ours=True),
        ArtifactType("image", _save_image, _load_image, ours=True),
        ArtifactType("audio", _save_audio, _load_audio, ours=True),
        ArtifactType("json", _save_json, _load_json, ours=True),
        ArtifactType("histogram", _save_json, _load_json, ours=True),
        ArtifactType("pr_curve", _save_json, _load_json, ours=True),
        ArtifactType("text", _save_text, _load_text, ours=True),
        ArtifactType("table", _save_table, _load_table, ours=True),
        ArtifactType("checkpoint", _save_checkpoint, _load_checkpoint, ours=True),
        ArtifactType("torch", f"{_TORCH}:save", f"{_TORCH}:load", ours=True),
        ArtifactType(PICKLE, _save_pickle, _load_pickle, ours=True),
    )
}
_registered: dict[str, ArtifactType] = {}

__all__ = ["ArtifactType", "InvalidArtifactError", "register_type", "type_of"]

"""The files of our own artifact types: a pair of functions each, ``save_TYPE(value, path)`` and ``load_TYPE(path)``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flambe.errors import FlambeError
from flambe.record.artifact_type import InvalidArtifactError

_STATE = "$state.json"


def array_of(value: Any) -> np.ndarray[Any, Any]:
    """Return an array, or a tensor of whatever library and device, as a numpy array."""
    if callable(getattr(value, "detach", None)):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    return np.asarray(value)


def save_numpy(value: Any, path: str) -> None:
    """Write an array, or a mapping of them."""
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


def load_numpy(path: str) -> Any:
    """Read an array, or a mapping of them."""
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        return {name: found[name] for name in found.files}


def save_image(value: Any, path: str) -> None:
    """Write an array, a figure of matplotlib or an image of Pillow as PNG."""
    if callable(getattr(value, "savefig", None)):
        value.savefig(path, format="png")
    elif callable(getattr(value, "save", None)) and hasattr(value, "mode"):
        value.save(path, format="PNG")
    else:
        from flambe.record import png

        Path(path).write_bytes(png.encode(pixels_of(value)))


def pixels_of(value: Any) -> np.ndarray[Any, Any]:
    """Return an image as pixels [H, W, C], uint8.

    value: [H, W], [C, H, W] or [H, W, C] with C from 1 to 4 (where both fit, the one with three channels, else [C, H, W]); floats
    from 0 to 1, integers to 255.
    Raises InvalidArtifactError for other shapes.
    """
    array = array_of(value)
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and array.shape[0] in (1, 2, 3, 4) and (array.shape[0] == 3 or array.shape[2] != 3):
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


def load_image(path: str) -> Any:
    """Return the pixels [H, W, C], uint8, of a PNG file."""
    from flambe.record import png

    return png.decode(Path(path).read_bytes())


def save_audio(value: Any, path: str) -> None:
    """Write samples, or (rate, samples): [N] or [N, channels], floats from -1 to 1 or 16-bit integers."""
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


def load_audio(path: str) -> Any:
    """Return (rate, samples [N, channels], int16)."""
    import wave

    with wave.open(path, "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return file.getframerate(), samples


def save_json(value: Any, path: str) -> None:
    """Write plain data."""
    from flambe.spec.codec import dump_json, escape

    try:
        Path(path).write_bytes(dump_json(escape(value)))
    except TypeError as error:
        raise InvalidArtifactError(f"this is no plain data: {error}") from error


def load_json(path: str) -> Any:
    """Read plain data."""
    from flambe.spec.codec import unescape

    return unescape(msgspec.json.decode(Path(path).read_bytes()))


def save_text(value: Any, path: str) -> None:
    """Write a text as it is."""
    if not isinstance(value, str):
        raise InvalidArtifactError(f"a {type(value).__qualname__} is no text")
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(value)


def load_text(path: str) -> str:
    """Read a text."""
    return Path(path).read_bytes().decode()


def save_table(value: Any, path: str) -> None:
    """Write a table, see ``flambe.record.table``."""
    from flambe.record import table

    try:
        save_text(table.encode(table.rows_of(value)), path)
    except TypeError as error:
        raise InvalidArtifactError(f"a cell of this table cannot be written: {error}") from error


def load_table(path: str) -> Any:
    """Return the rows of a table."""
    from flambe.record import table

    return table.decode(load_text(path))


def save_checkpoint(value: Any, path: str) -> None:
    """Write tensors and plain data, nested, as one safetensors file."""
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


def load_checkpoint(path: str) -> Any:
    """Read what ``save_checkpoint`` wrote."""
    from flambe.build.encoding import Decoder
    from flambe.build.tensors import read_tensors

    tensors = read_tensors(Path(path))
    if _STATE not in tensors:
        raise InvalidArtifactError(f"{path} holds tensors and no checkpoint")
    return Decoder(tensors).decode(msgspec.json.decode(bytes(tensors.pop(_STATE).data)))


def save_pickle(value: Any, path: str) -> None:
    """Write anything."""
    import pickle

    with open(path, "wb") as stream:
        pickle.dump(value, stream)


def load_pickle(path: str) -> Any:
    """Read what ``save_pickle`` wrote, which runs code: see ``Artifacts.load``."""
    import pickle

    with open(path, "rb") as stream:
        return pickle.load(stream)  # noqa: S301 - asked for by name, see Artifacts.load

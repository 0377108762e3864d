"""Values to tagged JSON and back, tensors put aside.

Beside the escapes of the spec (``$map``, ``$float``, ``$bytes``):

==============================  ==================================================================
``{"$tensor": name, "codec"}``  a tensor in the file beside; ``codec``: ``numpy``, ``torch``, …
``{"$tuple": […]}`` ``$set`` ``$frozenset`` ``$deque``   with their items
``{"$int": "…"}``               an integer of more than 63 bits
``{"$scalar": [type, value]}``  a numpy number
``{"$text": […], "shape"}``     an array of text
``{"$path": "…"}``              a ``pathlib.Path``
``{"$kind": name, "items"}``    ``OrderedDict``, ``Counter``, ``defaultdict`` of a plain type
``{"$state": {…}, "metadata"}`` a ``State``
``{"$data": "module:Class", …}``  an Enum member (``name``), a dataclass or a named tuple (``fields``)
==============================  ==================================================================
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import enum
import math
import pathlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from flambe.build.tensors import address, array_tensor, tensor_array
from flambe.errors import FlambeError
from flambe.spec.hooks import Tensor, codecs, codecs_in_use
from flambe.spec.nodes import BYTES, FLOAT, MAP

TENSOR = "$tensor"
_NUMPY = "numpy"
_BIG = 1 << 63
_FACTORIES: dict[str, Any] = {kind.__name__: kind for kind in (int, float, list, dict, set, str)}
_ATOMS = frozenset({type(None), bool, str})


class State(OrderedDict[str, Any]):
    """A flat map of ``.``-joined keys to values. ``_metadata``: prefix → class and version of the part there."""

    _metadata: OrderedDict[str, dict[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._metadata = OrderedDict()


class Encoder:
    """Turns values into node form; what tensors it meets are in ``tensors`` afterwards, each memory once.

    special: asked first about every value, with its path; returns a node, or None for "not mine".
    """

    def __init__(self, special: Callable[[Any, str], Any] | None = None) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._special = special
        self._names: dict[tuple[Any, ...], str] = {}

    def encode(self, value: Any, path: str) -> Any:
        """Return the node of ``value``. Raises FlambeError naming ``path`` for what cannot be saved."""
        kind = type(value)
        if kind in _ATOMS:
            return value
        if self._special is not None and (node := self._special(value, path)) is not None:
            return node
        if kind is int:
            return value if -_BIG <= value < _BIG else {"$int": str(value)}
        if kind is float:
            if math.isfinite(value):
                return value
            return {FLOAT: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
        if isinstance(value, dict):
            return self._map(value, path)
        if isinstance(value, list | tuple | set | frozenset | collections.deque):
            return self._sequence(value, path)
        if isinstance(value, bytes | bytearray):
            return {BYTES: base64.b64encode(value).decode()}
        node = self._tensor(value, path)
        return self._other(value, path) if node is None else node

    def _map(self, value: dict[Any, Any], path: str) -> Any:
        if all(type(key) is str and not key.startswith("$") for key in value):
            items: Any = {key: self.encode(item, _join(path, key)) for key, item in value.items()}
        else:
            items = {
                MAP: [[self.encode(key, path), self.encode(item, _join(path, key))] for key, item in value.items()]
            }
        if isinstance(value, State):
            return {"$state": items, "metadata": self.encode(dict(value._metadata), path)}
        if isinstance(value, OrderedDict):
            return {"$kind": "OrderedDict", "items": items}
        if isinstance(value, collections.Counter):
            return {"$kind": "Counter", "items": items}
        if isinstance(value, collections.defaultdict):
            factory = getattr(value.default_factory, "__name__", "")
            if _FACTORIES.get(factory) is not value.default_factory and value.default_factory is not None:
                raise unsavable(value, path, "make its default_factory a plain type")
            return {"$kind": f"defaultdict:{factory}", "items": items}
        return items

    def _sequence(self, value: Any, path: str) -> Any:
        items = [self.encode(item, _join(path, index)) for index, item in enumerate(value)]
        if isinstance(value, list):
            return items
        if isinstance(value, collections.deque):
            return {"$deque": items, "maxlen": value.maxlen}
        if isinstance(value, set | frozenset):
            # Sets of text iterate in another order in each process.
            kind = "$set" if isinstance(value, set) else "$frozenset"
            return {kind: sorted(items, key=msgspec.json.encode)}
        names = getattr(value, "_fields", None)
        if names is not None:
            return {"$data": _name_of(type(value)), "fields": dict(zip(names, items, strict=True))}
        return {"$tuple": items}

    def _tensor(self, value: Any, path: str) -> Any:
        if isinstance(value, np.generic):
            return (
                {"$scalar": [value.dtype.str, self.encode(value.item(), path)]} if value.dtype.kind in "biuf" else None
            )
        if isinstance(value, np.ndarray):
            tensor = array_tensor(value)
            if tensor is not None:
                return self._put(tensor, path, _NUMPY)
            items = value.reshape(-1).tolist()
            if not all(isinstance(item, str) for item in items):
                raise unsavable(
                    value, path, f"arrays of {value.dtype} have no stored form", what=f"arrays of {value.dtype}"
                )
            return {
                "$text": items,
                "shape": list(value.shape),
                "dtype": "object" if value.dtype.kind == "O" else value.dtype.str,
            }
        for name, codec in codecs_in_use().items():
            try:
                tensor = codec.tensor_of(value)
            except FlambeError as error:
                error.what = f"{path}: {error.what}"
                raise
            if tensor is not None:
                return self._put(tensor, path, name)
        return None

    def _put(self, tensor: Tensor, path: str, codec: str) -> Any:
        name = path or "value"
        # Whatever views the same memory in the same way is one tensor: tied weights are stored once, and stay tied.
        # Every tensor is held in self.tensors until the end, and who saves holds what was copied, so no address is used twice.
        where = (tensor.memory or address(tensor)) if tensor.data.nbytes else (path,)
        key = (tensor.dtype, tensor.shape, *where)
        if key not in self._names:
            while name in self.tensors:
                name += "~"
            self._names[key] = name
            self.tensors[name] = tensor
        return {TENSOR: self._names[key], "codec": codec}

    def _other(self, value: Any, path: str) -> Any:
        if isinstance(value, enum.Enum):
            return {"$data": _name_of(type(value)), "name": value.name}
        if isinstance(value, pathlib.PurePath):
            return {"$path": str(value)}
        if isinstance(value, int):
            return self.encode(int(value), path)
        if isinstance(value, float):
            return self.encode(float(value), path)
        if isinstance(value, str):
            return str(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if item.init}
            return {
                "$data": _name_of(type(value)),
                "fields": {key: self.encode(item, _join(path, key)) for key, item in fields.items()},
            }
        raise unsavable(value, path)


class Decoder:
    """Turns node form back into values.

    find_class: ``module:Class`` → class, for the data classes among them; it decides what may be reached.
    """

    def __init__(self, tensors: Mapping[str, Tensor], find_class: Callable[[str], Any] | None = None) -> None:
        self._tensors = tensors
        self._find_class = find_class or _known_data_class
        self._made: dict[tuple[str, str], Any] = {}

    def decode(self, node: Any) -> Any:
        """Return the value of a node. Raises FlambeError for what no encoder has written: it may come from anybody."""
        try:
            return self._decode(node)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise FlambeError(f"the saved state is damaged: {type(error).__name__}: {error}") from error

    def _decode(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        first = next(iter(node), "")
        if first.startswith("$"):
            return self._tagged(first, node)
        return {key: self._decode(item) for key, item in node.items()}

    def _tagged(self, tag: str, node: dict[str, Any]) -> Any:
        value = node[tag]
        match tag:
            case "$tensor":
                return self._tensor(value, node["codec"])
            case "$map":
                return {self._decode(key): self._decode(item) for key, item in value}
            case "$float":
                return float(value.replace("Infinity", "inf"))
            case "$bytes":
                return base64.b64decode(value)
            case "$int":
                return int(value)
            case "$tuple":
                return tuple(self._decode(value))
            case "$set":
                return set(self._decode(value))
            case "$frozenset":
                return frozenset(self._decode(value))
            case "$deque":
                return collections.deque(self._decode(value), node["maxlen"])
            case "$scalar":
                return np.dtype(value[0]).type(self._decode(value[1]))
            case "$text":
                return np.array(value, dtype=node["dtype"]).reshape(node["shape"])
            case "$path":
                return pathlib.Path(value)
            case "$kind":
                return self._kind(value, self._decode(node["items"]))
            case "$state":
                state = State(self._decode(value))
                state._metadata = OrderedDict(self._decode(node["metadata"]))
                texts = (*state, *state._metadata, *(part.get("version", "") for part in state._metadata.values()))
                if not all(isinstance(text, str) for text in texts):
                    raise TypeError("its keys and versions are no text")
                return state
            case "$data":
                class_ = self._find_class(value)
                return class_[node["name"]] if "name" in node else class_(**self._decode(node["fields"]))
        raise FlambeError(f"there is no value of the kind {tag}", hint="A newer flambe may have written it.")

    def _kind(self, name: str, items: dict[Any, Any]) -> Any:
        kind, _, factory = name.partition(":")
        if kind == "defaultdict":
            return collections.defaultdict(_FACTORIES.get(factory), items)
        return OrderedDict(items) if kind == "OrderedDict" else collections.Counter(items)

    def _tensor(self, name: str, codec: str) -> Any:
        key = (name, codec)
        if key not in self._made:
            try:
                tensor = self._tensors[name]
            except KeyError:
                raise FlambeError(f"the tensor {name!r} is not in the file beside") from None
            if codec == _NUMPY:
                self._made[key] = tensor_array(tensor)
            elif codec in codecs():
                self._made[key] = codecs()[codec].to_value(tensor, codec)
            else:
                raise FlambeError(
                    f"the tensor {name!r} is one of {codec}, which nothing here reads", hint="pip install flambe-nn"
                )
        return self._made[key]


def unsavable(value: Any, path: str, hint: str | None = None, *, what: str | None = None) -> FlambeError:
    """Return the error for a value without a stored form."""
    kind = what or f"objects of type {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
    return FlambeError(
        f"{path or 'the value'}: {kind} cannot be saved",
        hint=f"{hint[0].upper()}{hint[1:]}."
        if hint
        else "Store what it is made of in _state, and take it back in _load_state.",
    )


def check(value: Any, path: str) -> None:
    """Raise the error that encoding ``value`` would raise, without touching the data of tensors."""
    kind = type(value)
    if kind in _ATOMS or kind is int or kind is float:
        return
    if isinstance(value, dict) and not isinstance(value, collections.defaultdict):
        for key, item in value.items():
            check(key, path)
            check(item, _join(path, key))
    elif isinstance(value, list | tuple | set | frozenset | collections.deque):
        for index, item in enumerate(value):
            check(item, _join(path, index))
    elif not (hasattr(value, "dtype") and hasattr(value, "shape")) or getattr(value.dtype, "kind", "f") in "OUSMmV":
        # Only tensors have data worth sparing.
        Encoder().encode(value, path)


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _name_of(class_: type) -> str:
    return f"{class_.__module__}:{class_.__qualname__}"


def _known_data_class(name: str) -> Any:
    from flambe.build.trust import find_data_class

    return find_data_class(name)


__all__ = ["Decoder", "Encoder", "State", "check", "unsavable"]

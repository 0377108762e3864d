"""The state of an object and all below it, as a flat map, and as a pair of files.

``get_state`` and ``load_state`` go between objects and a ``State``; ``write_state`` and ``read_state`` between a ``State`` (or any
map of storable values) and ``state.safetensors`` beside ``state.json``. Equal states give equal bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flambe.build.component import ATTRS, Component
from flambe.build.digester import Digester
from flambe.build.encoding import Decoder, Encoder, State, check
from flambe.build.parts import Part, parts_of
from flambe.build.registrable import target_of
from flambe.build.tensors import TornFile, begin_tensors, read_tensors
from flambe.cli.console import VERBOSE, say
from flambe.errors import FlambeError
from flambe.record.layout import STATE_JSON, STATE_TENSORS
from flambe.record.run import replace_file
from flambe.spec.codec import check_version
from flambe.spec.digest import file_digest

VERSION = "1.0"


class LoadError(FlambeError, RuntimeError):
    """A saved state or component that does not fit, is not whole, or cannot be made here."""


def get_state(obj: Any, *, borrowed: Container[int] = (), destination: State | None = None, prefix: str = "") -> State:
    """Return the state of ``obj`` and its parts: tensors (the living ones), registered attributes, what ``_state`` adds.

    borrowed: ids of objects that belong to other stages; their state is not part of it.
    Raises FlambeError naming the key of a value that cannot be saved.
    """
    state = State() if destination is None else destination
    for part in parts_of(obj, stop=borrowed):
        _add_state(part, state, prefix + part.key)
    for key, value in state.items():
        check(value, key)
    return state


def own_state(part: Part) -> State:
    """Return the state of one part without that of the parts below it; keys are relative to it."""
    state = State()
    _add_state(part, state, "")
    return state


def _add_state(part: Part, state: State, prefix: str) -> None:
    metadata: dict[str, Any] = {"class": target_of(type(part.value)), "version": _version_of(part.value)}
    state._metadata[prefix.removesuffix(".")] = metadata
    for inner in part.inner:
        for key, value in inner.codec.own_state(inner.module).items():
            state[prefix + inner.prefix + key] = value
    if isinstance(part.value, Component):
        for name in part.value.__dict__.get(ATTRS, ()):
            state[prefix + name] = getattr(part.value, name)
        part.value._state(state, prefix, metadata)


def load_state(
    obj: Any, state: Mapping[str, Any], *, strict: bool = False, borrowed: Container[int] = (), prefix: str = ""
) -> None:
    """Put a state back into ``obj`` and its parts; tensors of modules are copied in place, so what was tied stays tied.

    Raises ``LoadError`` for another major version of a class, for what a ``_load_state`` complains of, and with ``strict``
    for keys that are missing or not expected.
    """
    _Loading(state, strict).load(parts_of(obj, stop=borrowed), prefix)


def load_own(obj: Any, state: Mapping[str, Any], *, strict: bool = False, take: bool = False) -> list[str]:
    """Put back the state of ``obj`` alone (keys relative to it). Returns complaints about missing and unexpected keys.

    take: the state was read for this object alone, so modules may keep the memory of its tensors.
    """
    return _Loading(state, strict, take).load(parts_of(obj)[:1], "")


class _Loading:
    def __init__(self, state: Mapping[str, Any], strict: bool, take: bool = False) -> None:
        self._state = state
        self._take = take
        self._metadata: Mapping[str, Any] = getattr(state, "_metadata", {})
        self._strict = strict
        self._missing: list[str] = []
        self._unexpected: list[str] = []
        self._errors: list[str] = []
        self._claimed: set[str] = set()

    def load(self, parts: list[Part], prefix: str) -> list[str]:
        # Parts first, then what holds them: an optimizer is given its state when its parameters have theirs.
        for part in reversed(parts):
            self._load_part(part, prefix + part.key)
        self._find_unexpected(parts, prefix)
        if self._errors:
            raise LoadError("the state does not fit: " + "; ".join(map(str, self._errors)))
        complaints = []
        if self._missing:
            complaints.append(f"missing: {', '.join(self._missing)}")
        if self._unexpected:
            complaints.append(f"not expected: {', '.join(self._unexpected)}")
        if complaints and self._strict:
            raise LoadError(f"the state does not fit {type(parts[0].value).__qualname__}: " + "; ".join(complaints))
        return complaints

    def _load_part(self, part: Part, prefix: str) -> None:
        metadata = dict(self._metadata.get(prefix.removesuffix("."), {}))
        check_class_version(part.value, metadata.get("version"), prefix.removesuffix("."))
        for inner in part.inner:
            own = inner.codec.own_state(inner.module)
            keys = {key: prefix + inner.prefix + key for key in own}
            self._claimed.update(keys.values())
            self._missing.extend(full for full in keys.values() if full not in self._state)
            given = {key: self._state[full] if full in self._state else own[key] for key, full in keys.items()}
            del own  # views of what is loaded: whoever has one may look at it
            if any(full in self._state for full in keys.values()):
                inner.codec.load_own_state(inner.module, given, take=self._take)
        if isinstance(part.value, Component):
            for name in part.value.__dict__.get(ATTRS, ()):
                self._claimed.add(prefix + name)
                if prefix + name in self._state:
                    setattr(part.value, name, self._state[prefix + name])
                else:
                    self._missing.append(prefix + name)
            part.value._load_state(
                self._state, prefix, metadata, self._strict, self._missing, self._unexpected, self._errors
            )

    def _find_unexpected(self, parts: list[Part], prefix: str) -> None:
        # A class with a _load_state of its own answers for all keys that are below it and below none of its parts.
        owners = {prefix + part.key: _reads_more(part.value) for part in parts}
        for key in self._state:
            if key in self._claimed or not key.startswith(prefix):
                continue
            owner = key
            while owner not in owners and owner:
                owner = owner[:-1].rpartition(".")[0]
                owner = f"{owner}." if owner else ""
            if not owners.get(owner, False):
                self._unexpected.append(key)


def _reads_more(value: Any) -> bool:
    return isinstance(value, Component) and type(value)._load_state is not Component._load_state


def check_class_version(value: Any, saved: str | None, where: str) -> None:
    """Compare the saved version of a class with the one it has now.

    Raises ``LoadError`` when the major numbers differ; a different minor one is a warning. ``0.0.0`` was not versioned.
    """
    now = _version_of(value)
    if saved is None or saved in (now, "0.0.0"):
        return
    name = f"{type(value).__qualname__}{f' at {where}' if where else ''}"
    before_parts, now_parts = saved.split("."), now.split(".")
    if before_parts[0] != now_parts[0]:
        raise LoadError(
            f"{name} was saved as version {saved}, the class here is version {now}",
            hint="Use the code it was saved with, or train again.",
        )
    if before_parts[1:2] != now_parts[1:2]:
        say(f"warning: {name} was saved as version {saved}, the class here is version {now}")
    else:
        say(f"{name} was saved as version {saved}, the class here is version {now}", level=VERBOSE)


def _version_of(value: Any) -> str:
    return str(getattr(type(value), "_flambe_version", "0.0.0"))


def write_state(folder: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """Write a map of storable values as ``state.safetensors`` and ``state.json`` into ``folder``, making it if needed.

    Returns the SHA-256 of each file by name. ``state.json`` comes last, whole, and names the digest of the other: a folder
    without it is no state. Raises FlambeError naming the place of what cannot be saved, before anything is written.
    """
    encoder = Encoder()
    tree = encoder.encode(state if isinstance(state, dict) else dict(state), "")
    with Digester() as digester:
        return begin_encoded(folder, tree, encoder, digester)()


def begin_encoded(folder: Path, tree: Any, encoder: Encoder, digester: Digester) -> Callable[[], dict[str, str]]:
    """Write the tensors of what an encoder has made; what is returned writes the rest, as ``write_state`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    digest_of_tensors = begin_tensors(folder / STATE_TENSORS, encoder.tensors, digester)

    def end() -> dict[str, str]:
        digest = digest_of_tensors()
        text = msgspec.json.encode({"flambe_state": VERSION, "tensors": digest, "state": tree})
        replace_file(folder / STATE_JSON, text)
        return {STATE_TENSORS: digest, STATE_JSON: hashlib.sha256(text).hexdigest()}

    return end


def read_state(
    folder: Path,
    *,
    mmap: bool = True,
    verify: bool = False,
    tensors: str = STATE_TENSORS,
    tree: Any = None,
    find_class: Callable[[str], Any] | None = None,
) -> Any:
    """Read what ``write_state`` wrote.

    mmap: arrays are pages of the file, loaded when touched. verify: read the tensors' file whole and compare its digest.
    tensors: name of that file. tree: the content of ``state.json`` when it is stored elsewhere.
    find_class: see ``Decoder``. Raises ``LoadError`` when a file is missing, torn or not the one that was written.
    """
    if tree is None:
        tree = read_tree(folder)
    try:
        check_version(tree["flambe_state"], what=str(folder / STATE_JSON), reads=VERSION)
        expected, encoded = str(tree["tensors"]), tree["state"]
    except (KeyError, TypeError) as error:
        raise LoadError(f"{folder / STATE_JSON} is no saved state") from error
    path = folder / tensors
    if verify:
        compare_digest(path, expected)
    try:
        return Decoder(read_tensors(path, mmap=mmap), find_class).decode(encoded)
    except FileNotFoundError as error:
        raise LoadError(f"{path} is missing") from error
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror}") from error
    except TornFile as error:
        raise LoadError(error.what) from error


def read_tree(folder: Path) -> Any:
    """Return the content of a ``state.json``. Raises ``LoadError``."""
    path = folder / STATE_JSON
    try:
        if path.exists() and not path.is_file():
            raise LoadError(f"{path} is no file")  # a device would be read for ever
        tree = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise LoadError(f"{path} is missing: there is no saved state in {folder}") from error
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise LoadError(f"{path} is torn: {error}") from error
    if not isinstance(tree, dict) or "state" not in tree:
        raise LoadError(f"{path} is no saved state")
    return tree


def compare_digest(path: Path, expected: str) -> None:
    """Raise ``LoadError`` with both digests unless the file has the digest that was recorded."""
    # A manifest may name anything: a device would be read for ever.
    if not path.is_file():
        raise LoadError(f"{path} is missing")
    found = file_digest(path)
    if found != expected:
        raise LoadError(
            f"{path} is torn or was changed: its SHA-256 is {found}, recorded was {expected}",
            hint="Take the original again; verify=False loads it as it is.",
        )


def state_digest(folder: Path) -> str:
    """Return one SHA-256 over every state file in ``folder`` and below it, with their places."""
    digest = hashlib.sha256()
    names = (STATE_TENSORS, STATE_JSON)
    for path in sorted(
        (path for name in names for path in folder.rglob(name)), key=lambda path: path.relative_to(folder).as_posix()
    ):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


__all__ = [
    "LoadError",
    "State",
    "get_state",
    "load_own",
    "load_state",
    "own_state",
    "read_state",
    "state_digest",
    "write_state",
]

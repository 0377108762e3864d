"""What other distributions may add to the floor, each found by an entry point and used only when needed.

=================  ==========================  ====================================================
entry point group  Protocol                    shipped by
=================  ==========================  ====================================================
``flambe.codec``   ``Codec`` version 1         flambe-nn (torch tensors, modules, random numbers)
``flambe.scheme``  ``Scheme`` version 1        flambe-export (``s3://``)
``flambe.sink``    ``Sink`` version 1          flambe-nn (``tensorboard``)
=================  ==========================  ====================================================

Short names of tags come from data files instead (``flambe/<room>/tags.json``), so that compiling imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from flambe.errors import FlambeError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flambe.record.artifacts import Artifact


class Tensor(NamedTuple):
    """A tensor without its library. dtype: safetensors' name (``F32``, ``BF16``, ``I64``, …); data: C order.

    memory: what tells the memory that ``data`` is a copy of from all other; None where ``data`` is no copy.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview
    memory: tuple[Any, ...] | None = None


class Codec(Protocol):
    """How one library's objects are stored, and how its global state is set."""

    version: int

    def tensor_of(self, value: Any) -> Tensor | None:
        """Return the stored form of a tensor (no copy where possible), or None for what is no tensor of this codec."""

    def to_value(self, tensor: Tensor, like: str) -> Any:
        """Return a tensor of this codec. ``like`` is the codec's name as stored beside it."""

    def is_module(self, value: Any) -> bool:
        """Whether ``value`` is a plain object of this library that holds tensors and children (an nn.Module)."""

    def children(self, module: Any) -> Iterable[tuple[str, Any]]:
        """Yield (attribute, child module) of a module, direct children only."""

    def own_state(self, module: Any) -> dict[str, Any]:
        """Return a module's own tensors by name, without those of its children."""

    def load_own_state(self, module: Any, state: dict[str, Any], *, take: bool = False) -> None:
        """Put tensors into a module, in place. take: their memory may become the module's, else it is copied."""

    def deferring(self) -> AbstractContextManager[Any]:
        """Return what is entered where modules are made that are given a state: they need not be filled before."""

    def seed(self, seed: int) -> None:
        """Seed the library's random-number generators."""

    def rng_state(self) -> dict[str, Any]:
        """Return the state of its generators, as storable values."""

    def set_rng_state(self, state: dict[str, Any]) -> None:
        """Put generators back."""

    def prepare(self, *, threads: int) -> None:
        """Bring the library's process-wide settings (threads, default dtype, grad mode) to a known state."""


class Scheme(Protocol):
    """Storage behind ``scheme://`` addresses."""

    version: int

    def download(self, url: str, destination: Path) -> None:
        """Fetch the file or all files below ``url`` into ``destination`` (a folder)."""

    def exists(self, url: str) -> bool:
        """Whether anything is stored at or below ``url``."""

    def names(self, url: str) -> list[str]:
        """Return the names of all that is stored below ``url``, relative to it, sorted."""

    def upload(self, file: Path, url: str) -> None:
        """Store a file at ``url``, at once as a whole."""


class Sink(Protocol):
    """Another form of what a unit logs: bytes that are added to one file of the unit, in a folder of the hook's name.

    They are made where the unit runs and travel with its metric lines, so they are cut back with these when it goes on from
    an earlier step. Each attempt of a unit has a file of its own.
    """

    version: int

    def file_name(self, began: float) -> str:
        """Return the name of the file of an attempt that began then, in seconds since the epoch."""

    def begin(self, params: Mapping[str, Any], tags: Sequence[str]) -> bytes:
        """Return how the file begins. params: what the variant is known by; tags: of its first metrics."""

    def metrics(self, lines: Iterable[tuple[int, Mapping[str, Any], float]]) -> bytes:
        """Return metric lines: step, tag → number or text as in a metric file, seconds since the epoch."""

    def artifact(self, artifact: Artifact, path: Path) -> bytes:
        """Return a logged image, sound, histogram or curve, whose file is at ``path``; nothing for what has no form here."""


def codecs() -> dict[str, Codec]:
    """Return the installed codecs by name, loading them. Only processes that build objects call this."""
    return dict(_loaded("flambe.codec", 1))


def codecs_in_use() -> dict[str, Codec]:
    """Return the codecs whose library (of the same name) this process has imported: no other has objects here."""
    names = [name for name in _names("flambe.codec") if name in sys.modules]
    return {name: codecs()[name] for name in names}


def codecs_to_come() -> set[str]:
    """Return the names of the installed codecs whose library this process has not imported."""
    return {name for name in _names("flambe.codec") if name not in sys.modules}


def scheme(name: str) -> Scheme:
    """Return the storage for ``name://``. Raises FlambeError with the install line when there is none."""
    hooks: dict[str, Scheme] = dict(_loaded("flambe.scheme", 1))
    if name in hooks:
        return hooks[name]
    raise FlambeError(f"nothing here reads {name}:// addresses", hint="pip install 'flambe-export[s3]'")


def sinks() -> dict[str, Sink]:
    """Return the installed sinks by name, loading them."""
    return dict(_loaded("flambe.sink", 1))


@cache
def _entries() -> Any:
    """Return what all installed distributions offer: to find one group takes as long as to find all."""
    return entry_points()


@cache
def _names(group: str) -> tuple[str, ...]:
    return tuple(entry.name for entry in _entries().select(group=group))


@cache
def _loaded(group: str, version: int) -> tuple[tuple[str, Any], ...]:
    return tuple(_load(group, version))


def _load(group: str, version: int) -> Iterator[tuple[str, Any]]:
    for entry in _entries().select(group=group):
        hook = entry.load()()
        if hook.version != version:
            raise FlambeError(
                f"the {group} hook {entry.name!r} speaks version {hook.version}, this floor version {version}",
                hint=f"Upgrade {entry.dist.name if entry.dist else entry.name} or flambe-config.",
            )
        yield entry.name, hook

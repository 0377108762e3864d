"""What other distributions may add to the floor, each found by an entry point and used only when needed.

=================  ==========================  ====================================================
entry point group  Protocol                    shipped by
=================  ==========================  ====================================================
``flambe.codec``   ``Codec`` version 1         flambe-nn (torch tensors, modules, random numbers)
``flambe.scheme``  ``Scheme`` version 1        flambe-export (``s3://``)
=================  ==========================  ====================================================

Short names of tags come from data files instead (``flambe/<room>/tags.json``), so that compiling imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from flambe.errors import FlambeError


class Tensor(NamedTuple):
    """A tensor without its library. dtype: safetensors' name (``F32``, ``BF16``, ``I64``, …); data: C order."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


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

    def load_own_state(self, module: Any, state: dict[str, Any]) -> None:
        """Copy tensors into a module, in place."""

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


def codecs() -> dict[str, Codec]:
    """Return the installed codecs by name, loading them. Only processes that build objects call this."""
    return dict(_loaded("flambe.codec", 1))


def codecs_in_use() -> dict[str, Codec]:
    """Return the codecs whose library (of the same name) this process has imported: no other has objects here."""
    names = [name for name in _names("flambe.codec") if name in sys.modules]
    return {name: codecs()[name] for name in names}


def scheme(name: str) -> Scheme:
    """Return the storage for ``name://``. Raises FlambeError with the install line when there is none."""
    hooks: dict[str, Scheme] = dict(_loaded("flambe.scheme", 1))
    if name in hooks:
        return hooks[name]
    raise FlambeError(f"nothing here reads {name}:// addresses", hint="pip install 'flambe-export[s3]'")


@cache
def _names(group: str) -> tuple[str, ...]:
    return tuple(entry.name for entry in entry_points(group=group))


@cache
def _loaded(group: str, version: int) -> tuple[tuple[str, Any], ...]:
    return tuple(_load(group, version))


def _load(group: str, version: int) -> Iterator[tuple[str, Any]]:
    for entry in entry_points(group=group):
        hook = entry.load()()
        if hook.version != version:
            raise FlambeError(
                f"the {group} hook {entry.name!r} speaks version {hook.version}, this floor version {version}",
                hint=f"Upgrade {entry.dist.name if entry.dist else entry.name} or flambe-config.",
            )
        yield entry.name, hook

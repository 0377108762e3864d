"""The defaults list of Hydra: its entries, and the parts that a config is put together from, in their order.

Hydra merges a list of (config, package): what comes later wins, and ``_self_`` is the config's own content, last where it is
not named. Packages of entries count from the package of the config they stand in; ``# @package`` headers from the top.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from flambe.compile.importing.dialect import HYDRA, read_mapping
from flambe.compile.yaml import Mapping, Node, Scalar, Sequence
from flambe.errors import ConfigError, Position

Package = tuple[str, ...]

_HEADER = re.compile(r"\s*#\s*@package\s+(?P<package>\S+)[ \t]*(?:\n|\Z)")
"""Hydra looks at the first line that is not empty."""
_INTERPOLATION = re.compile(r"\$\{([^}:]+)\}")
MISSING = "???"


class Entry(NamedTuple):
    """A line of a defaults list.

    group: from the top of the folder, None for a config without one. package: as written. place: folders as written, which
    the package follows from where there is none.
    """

    position: Position
    group: str | None
    package: str | None
    names: tuple[str, ...]
    place: str = ""
    optional: bool = False
    override: bool = False
    is_self: bool = False

    @property
    def label(self) -> str:
        """The entry as it is spoken of: ``model: small``."""
        name = ", ".join(self.names)
        return f"{self.group}: {name}" if self.group is not None else name


class Config:
    """A file of the folder. name: its path without ``.yaml``; entries: its defaults list; body: the rest."""

    def __init__(self, name: str, file: str, text: str) -> None:
        self.name = name
        self.file = file
        self.group = posixpath.dirname(name)
        self.body = read_mapping(text, file, HYDRA)
        header = _HEADER.match(text)
        self.header: str | None = header["package"] if header else None
        self.entries: list[Entry] = []
        self.has_defaults = False
        for index, (key, value) in enumerate(self.body.items):
            if isinstance(key, Scalar) and key.text == "defaults":
                self.has_defaults = True
                del self.body.items[index]
                self.entries = _entries(value, self.group)
                break
        if not any(entry.is_self for entry in self.entries):
            self.entries.append(Entry(self.body.position, None, None, (), is_self=True))

    def package(self) -> Package:
        """Return its package where no entry and no parent says another."""
        if self.header is not None:
            return header_package(self.header, self.group)
        return tuple(part for part in self.group.split("/") if part)


class Choices(NamedTuple):
    """What ``override`` entries choose: key of a group → its entry."""

    overrides: dict[str, Entry]
    used: set[str]


class Part(NamedTuple):
    """A config that stands in a defaults list, and the package that it gets."""

    config: Config
    package: Package
    entry: Entry | None


def _entries(node: Node, group: str) -> list[Entry]:
    if not isinstance(node, Sequence):
        if isinstance(node, Scalar) and not node.text:
            return []
        raise ConfigError("defaults is no list", position=node.position, expected="- group: name")
    return [entry for item in node.items for entry in _entry(item, group)]


def _entry(item: Node, group: str) -> list[Entry]:
    if isinstance(item, Scalar):
        text = item.text.strip()
        if text == "_self_":
            return [Entry(item.position, None, None, (), is_self=True)]
        optional = text.startswith("optional ")
        path, _, package = text.removeprefix("optional ").strip().partition("@")
        return [Entry(item.position, None, package or None, (_join(group, path),), posixpath.dirname(path), optional)]
    if isinstance(item, Mapping) and item.items:
        return [_choice(key, value, group) for key, value in item.items]
    raise ConfigError("this is no entry of a defaults list", position=item.position, expected="- group: name")


def _choice(key: Node, value: Node, group: str) -> Entry:
    assert isinstance(key, Scalar)
    words = key.text.split()
    path, _, package = words[-1].partition("@")
    names: tuple[str, ...]
    if isinstance(value, Sequence):
        names = tuple(item.text for item in value.items if isinstance(item, Scalar))
    else:
        chosen = HYDRA.value(value) if isinstance(value, Scalar) else None
        names = () if chosen is None else (str(chosen),)
    return Entry(
        key.position,
        _join(group, path),
        package or None,
        names,
        path,
        optional="optional" in words[:-1],
        override="override" in words[:-1],
    )


def _join(group: str, path: str) -> str:
    return path[1:] if path.startswith("/") else posixpath.join(group, path)


def header_package(header: str, group: str) -> Package:
    """Return the package of a ``# @package`` header."""
    own = [part for part in group.split("/") if part]
    parts: list[str] = []
    for part in header.split("."):
        if part == "_group_":
            parts += own
        elif part == "_name_":
            raise ValueError(header)
        elif part and part != "_global_":
            parts.append(part)
    return tuple(parts)


def entry_package(entry: Entry, config: Config, package: Package) -> Package:
    """Return the package of an entry's config. package: of the config that the entry stands in. Raises ValueError for one
    that cannot be told.
    """
    if entry.package is not None:
        words = [word for word in entry.package.split(".") if word]
        if "_group_" in words or "_name_" in words:
            raise ValueError(entry.package)
        if words[:1] == ["_global_"]:
            return tuple(words[1:])
        return (*package, *words[words[:1] == ["_here_"] :])
    if config.header is not None:
        return header_package(config.header, config.group)
    return (*package, *(part for part in entry.place.split("/") if part))


def key_of(entry: Entry, package: Package) -> str:
    """Return the key by which ``override`` entries name an entry. package: of the config it stands in."""
    assert entry.group is not None
    if entry.package is None:
        return entry.group
    words = entry.package.split(".")
    below = words[1:] if words[0] == "_global_" else [*package, *(word for word in words if word != "_here_")]
    return f"{entry.group}@{'.'.join(below)}"


def filled_in(name: str, chosen: dict[str, str]) -> str | None:
    """Return the name of an entry with ``${group}`` replaced by what is chosen there; None where that is not known."""
    missing = False

    def choice(match: re.Match[str]) -> str:
        nonlocal missing
        missing = missing or match[1].strip() not in chosen
        return chosen.get(match[1].strip(), "")

    filled = _INTERPOLATION.sub(choice, name)
    return None if missing or "${" in filled else filled

"""What the configs of a folder of Hydra are put together from: their defaults lists followed, with every choice made."""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from flambe.compile.importing.hydra_defaults import (
    MISSING,
    Config,
    Entry,
    Package,
    Part,
    entry_package,
    filled_in,
    key_of,
)
from flambe.compile.importing.translation import Translation
from flambe.compile.yaml import Mapping, Node, text_of
from flambe.errors import ConfigError


class Body(NamedTuple):
    """The content of a config without its defaults list, at a package."""

    config: Config
    package: Package


Item = Part | Body


class Choice:
    """What the ``override`` entries of a config tree chose, and what each group holds after them."""

    def __init__(self) -> None:
        self.overrides: dict[str, Entry] = {}
        self.used: set[str] = set()
        self.chosen: dict[str, str] = {}


class Parts:
    """Follows the defaults lists of a folder. configs: by name. split: those that could not stay one file."""

    def __init__(self, folder: str, configs: dict[str, Config], translation: Translation) -> None:
        self._folder = folder
        self._configs = configs
        self._translation = translation
        self._open: list[tuple[str, Package]] = []
        self.split: set[str] = set()

    # Choices -----------------------------------------------------------------------------------------------------

    def choices(self, config: Config, package: Package, overrides: dict[str, Entry] | None = None) -> Choice:
        """Return what a tree of configs chooses; overrides may bring configs with more of them."""
        known: dict[str, Entry] = dict(overrides or {})
        while True:
            choice = Choice()
            choice.overrides = dict(known)
            self.collect(config, package, choice)
            if choice.overrides.keys() == known.keys():
                return choice
            known = choice.overrides

    def collect(self, config: Config, package: Package, choice: Choice) -> None:
        """Add the choices of a tree of configs to those that are made; of two for one group the first counts."""
        for entry in config.entries:
            if entry.override and entry.group is not None:
                choice.overrides.setdefault(key_of(entry, package), entry)
        for part in self._parts(config, package, choice, quiet=True):
            self._guarded(part, lambda part=part: self.collect(part.config, part.package, choice))

    def _guarded(self, part: Part, action: object) -> None:
        mark = (part.config.name, part.package)
        if mark in self._open:
            position = part.entry.position if part.entry else part.config.body.position
            raise ConfigError(f"{part.config.name} stands in its own defaults list", position=position)
        self._open.append(mark)
        assert callable(action)
        action()
        self._open.pop()

    def _parts(self, config: Config, package: Package, choice: Choice, *, quiet: bool = False) -> list[Part]:
        """Return the configs that the entries of a defaults list bring, in order."""
        parts: list[Part] = []
        for entry in config.entries:
            parts += self._entry_parts(entry, config, package, choice, quiet=quiet)
        return parts

    def _entry_parts(
        self, entry: Entry, config: Config, package: Package, choice: Choice, *, quiet: bool = False
    ) -> list[Part]:
        if entry.is_self or entry.override:
            if not quiet and entry.override and (entry.group or "").partition("/")[0] == "hydra":
                self._hydra_group(entry)
            return []
        if entry.group is not None and entry.group.partition("/")[0] == "hydra":
            if not quiet:
                self._hydra_group(entry)
            return []
        names = entry.names
        if entry.group is not None:
            key = key_of(entry, package)
            if key in choice.overrides:
                choice.used.add(key)
                names = choice.overrides[key].names
            if names:
                choice.chosen[key] = names[0]
        parts = []
        for name in names:
            filled = filled_in(name, choice.chosen)
            found = self._find(entry, filled) if filled is not None and filled != MISSING else None
            if found is None:
                if not quiet and not (entry.optional and filled is not None):
                    self._not_found(entry, name, filled)
                continue
            try:
                parts.append(Part(found, entry_package(entry, found, package), entry))
            except ValueError as error:
                if not quiet:
                    self._translation.note(
                        entry.position,
                        f"the package {error} of {entry.label} cannot be told",
                        "Write it out.",
                        left=True,
                    )
        return parts

    def _find(self, entry: Entry, name: str) -> Config | None:
        name = name.removesuffix(".yaml")
        return self._configs.get(posixpath.join(entry.group, name) if entry.group is not None else name)

    def _not_found(self, entry: Entry, name: str, filled: str | None) -> None:
        group = entry.group or ""
        known = [one for one in self._configs if posixpath.dirname(one) == group]
        example = f"{group}=@{self._folder}/{known[0] if known else group + '/NAME'}.yaml"
        if name == MISSING:
            what = f"{group} has to be chosen on the command line"
        elif filled is None:
            what = f"what {entry.label} means is known only when the program runs"
        else:
            what = f"{entry.label} names no file of this folder"
        self._translation.note(
            entry.position, what, f"Write the file under {group or 'its key'}, or {example}.", left=True
        )

    def _hydra_group(self, entry: Entry) -> None:
        group = (entry.group or "").removeprefix("hydra/")
        remedy = {
            "launcher": "Run several at once with flambe tune, or on a cluster with flambe submit.",
            "sweeper": "A search is written into the config: !g [a, b], !uniform [low, high].",
            "job_logging": "What a program prints is kept in outputs.log; --quiet and --verbose say how much.",
            "hydra_logging": "--quiet and --verbose say how much is printed.",
        }.get(group, "It has no counterpart; remove it.")
        self._translation.note(entry.position, f"hydra/{group} is left out", remedy)

    def items(self, config: Config, package: Package, choice: Choice) -> list[Item]:
        """Return what a config is put together from, in order. One with parts outside of its package is split up."""
        items: list[Item] = []
        for entry in config.entries:
            if entry.is_self:
                items.append(Body(config, package))
            for part in self._entry_parts(entry, config, package, choice):
                inside: list[Item] = []
                self._guarded(part, lambda: inside.extend(self.items(part.config, part.package, choice)))  # noqa: B023
                is_below = all(one.package[: len(part.package)] == part.package for one in inside)
                is_whole = is_below and not _clears(self.bodies(inside, choice))
                items += [part] if is_whole else inside
                if not is_whole:
                    self.split.add(part.config.name)
        return items

    def bodies(self, items: list[Item], choice: Choice) -> list[Body]:
        """Return the bodies that items consist of, in order."""
        bodies: list[Body] = []
        for item in items:
            if isinstance(item, Body):
                bodies.append(item)
            else:
                bodies += self.bodies(self.items(item.config, item.package, choice), choice)
        return bodies

    def note_unused(self, choice: Choice) -> None:
        """Note the overrides that no entry had the key of."""
        for key, entry in choice.overrides.items():
            if key not in choice.used and not key.startswith("hydra/"):
                self._translation.note(
                    entry.position, f"override {entry.label} changes no entry of a defaults list", "Remove it."
                )


def _clears(bodies: list[Body]) -> bool:
    """Whether a single value stands where a later body has a map: what came before both is gone then, so order must stay."""
    values: set[Package] = set()
    for body in bodies:
        maps, here = {body.package}, set()
        todo: list[tuple[Package, Node]] = [(body.package, body.config.body)]
        while todo:
            path, node = todo.pop()
            if isinstance(node, Mapping):
                maps.add(path)
                todo += [((*path, text_of(key) or ""), value) for key, value in node.items]
            else:
                here.add(path)
        if any(path[:size] in values for path in maps for size in range(1, len(path) + 1)):
            return True
        values |= here
    return False

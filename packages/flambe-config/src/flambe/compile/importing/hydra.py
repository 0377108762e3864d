"""Config folders of Hydra → ours: defaults lists, packages, interpolations and ``_target_``."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from flambe.compile.importing.comments import Comments
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
from flambe.compile.importing.hydra_settings import Settings, read_settings
from flambe.compile.importing.hydra_values import Values
from flambe.compile.importing.program import Program
from flambe.compile.importing.translation import Translation
from flambe.compile.importing.writer import Writer
from flambe.compile.yaml import Mapping, Node, Scalar, Sequence
from flambe.errors import ConfigError, Position

HERE = Position("", 0, 0)
"""The place of what the import itself writes."""


class _Body(NamedTuple):
    """The content of a config without its defaults list, at a package."""

    config: Config
    package: Package


_Item = Part | _Body


class _Choice:
    """What the ``override`` entries of a config tree chose, and what each group holds after them."""

    def __init__(self) -> None:
        self.overrides: dict[str, Entry] = {}
        self.used: set[str] = set()
        self.chosen: dict[str, str] = {}


class HydraFolder:
    """A folder of Hydra configs. program: what runs them. primary: names of the configs it starts from."""

    def __init__(
        self,
        folder: str,
        program: Program,
        translation: Translation,
        *,
        primary: Iterable[str] = (),
        as_tags: bool = False,
        without: Iterable[str] = (),
    ) -> None:
        self._folder = folder
        self._program = program
        self.translation = translation
        self._configs: dict[str, Config] = {}
        self._comments: dict[str, Comments] = {}
        self._values = Values(translation, program, as_tags=as_tags)
        self._writer = Writer(self._comments)
        self._open: list[tuple[str, Package]] = []
        self._seen: set[str] = set()
        self._read(set(without))
        self._primary = self._primary_configs(list(primary))

    # Reading -----------------------------------------------------------------------------------------------------

    def _read(self, without: set[str]) -> None:
        for path in sorted(yaml_files(self._folder)):
            if path.rpartition(".")[0] in without:
                continue
            file = posixpath.join(self._folder, path)
            if path.endswith(".yml"):
                self.translation.note(
                    Position(file, 1, 1), "Hydra reads .yaml files only", "Rename it if it belongs to the configs."
                )
                continue
            with open(file, encoding="utf-8") as stream:
                text = stream.read()
            self._configs[path.removesuffix(".yaml")] = Config(path.removesuffix(".yaml"), file, text)
            self._comments[file] = Comments(text)
        if not self._configs:
            raise ConfigError(f"{self._folder} holds no .yaml file", expected="a folder of Hydra configs")

    def _primary_configs(self, asked: list[str]) -> list[str]:
        names = [
            name.removesuffix(".yaml") for name in asked or [one.config for one in self._program.starts if one.config]
        ]
        for name in names:
            if name not in self._configs:
                raise ConfigError(
                    f"{self._folder} holds no {name}.yaml", expected="the config that the program starts from"
                )
        if names:
            return list(dict.fromkeys(names))
        top = [name for name in self._configs if "/" not in name]
        if "config" in top:
            return ["config"]
        included = {name for config in self._configs.values() for entry in config.entries for name in entry.names}
        return [name for name in top if name not in included]

    # The whole folder ----------------------------------------------------------------------------------------------

    def translate(self) -> Translation:
        """Return the files that do what the folder did."""
        for name in self._primary:
            self._root(self._configs[name])
        for name, config in self._configs.items():
            if name in self._seen:
                continue
            if name == "hydra" or name.startswith("hydra/"):
                self.translation.note(
                    Position(config.file, 1, 1),
                    "settings of Hydra itself have no place in a config",
                    "Give them to the command: flambe run --help, flambe submit --help.",
                )
            elif config.header is not None and config.package() == () and config.group and len(self._primary) == 1:
                self._experiment(config)
            else:
                self._file(config, config.package(), _Choice())
        self._values.note_texts()
        return self.translation

    def settings(self, body: Mapping) -> Settings:
        """Take how a config is run out of its body, and return it."""
        return read_settings(body, self.translation)

    def _root(self, config: Config) -> None:
        settings = self.settings(config.body)
        choice = self._choices(config, config.package())
        path = self._file(config, config.package(), choice, settings=settings)
        self._unused(choice)
        if settings.sweep:
            self._sweep(config, path, settings)

    def _experiment(self, config: Config) -> None:
        """Write a config that is added to the primary one (``+experiment=name``) as one that stands alone."""
        primary = self._configs[self._primary[0]]
        choice = _Choice()
        self._collect(primary, primary.package(), choice)
        self._collect(config, (), choice)
        overrides = dict(choice.overrides)
        plain = self._choices(primary, primary.package())
        mine = {key: entry for key, entry in overrides.items() if key not in plain.overrides}
        if not mine:
            base = self._path_of(primary)
        else:
            names = ",".join(f"{posixpath.basename(key)}={'+'.join(entry.names)}" for key, entry in mine.items())
            choice = self._choices(primary, primary.package(), dict(overrides))
            settings = self.settings(primary.body)
            base = self._file(
                primary, primary.package(), choice, settings=settings,
                path=f"{primary.name},{names.replace('/', '-')}.yaml",
            )  # fmt: skip
            self._unused(choice)
        self._file(config, (), choice, parent=base)

    def _path_of(self, config: Config) -> str:
        return next(
            (path for path, written in self.translation.files.items() if written.sources[:1] == (config.file,)),
            f"{config.name}.yaml",
        )

    def _unused(self, choice: _Choice) -> None:
        for key, entry in choice.overrides.items():
            if key not in choice.used and not key.startswith("hydra/"):
                self.translation.note(
                    entry.position, f"override {entry.label} changes no entry of a defaults list", "Remove it."
                )

    def _sweep(self, config: Config, path: str, settings: Settings) -> None:
        tree = Mapping(None, HERE)
        name = f"{config.name}.sweep.yaml"
        for key, value in settings.sweep.items():
            _put(tree, tuple(key.split(".")), value)

        def text(own: str) -> str:
            tree.items = [pair for pair in tree.items if _text(pair[0]) != "__default__"]
            tree.items.insert(0, (_key("__default__"), _plain(_relative(path, own))))
            return self._writer.text(tree)

        self.translation.add(name, text, (config.file,), ["hydra.sweeper.params is this file: what --multirun tried"])

    # Choices -----------------------------------------------------------------------------------------------------

    def _choices(self, config: Config, package: Package, overrides: dict[str, Entry] | None = None) -> _Choice:
        """Return what a tree of configs chooses; overrides may bring configs with more of them."""
        known: dict[str, Entry] = dict(overrides or {})
        while True:
            choice = _Choice()
            choice.overrides = dict(known)
            self._collect(config, package, choice)
            if choice.overrides.keys() == known.keys():
                return choice
            known = choice.overrides

    def _collect(self, config: Config, package: Package, choice: _Choice) -> None:
        for entry in config.entries:
            if entry.override and entry.group is not None:
                choice.overrides.setdefault(key_of(entry, package), entry)
        for part in self._parts(config, package, choice, quiet=True):
            self._guarded(part, lambda part=part: self._collect(part.config, part.package, choice))

    def _guarded(self, part: Part, action: object) -> None:
        mark = (part.config.name, part.package)
        if mark in self._open:
            position = part.entry.position if part.entry else part.config.body.position
            raise ConfigError(f"{part.config.name} stands in its own defaults list", position=position)
        self._open.append(mark)
        assert callable(action)
        action()
        self._open.pop()

    def _parts(self, config: Config, package: Package, choice: _Choice, *, quiet: bool = False) -> list[Part]:
        """Return the configs that the entries of a defaults list bring, in order."""
        parts: list[Part] = []
        for entry in config.entries:
            parts += self._entry_parts(entry, config, package, choice, quiet=quiet)
        return parts

    def _entry_parts(
        self, entry: Entry, config: Config, package: Package, choice: _Choice, *, quiet: bool = False
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
                    self.translation.note(
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
        self.translation.note(
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
        self.translation.note(entry.position, f"hydra/{group} is left out", remedy)

    # One file ----------------------------------------------------------------------------------------------------

    def _items(self, config: Config, package: Package, choice: _Choice) -> list[_Item]:
        """Return what a config is put together from, in order. One with parts outside of its package is split up."""
        items: list[_Item] = []
        for entry in config.entries:
            if entry.is_self:
                items.append(_Body(config, package))
            for part in self._entry_parts(entry, config, package, choice):
                inside: list[_Item] = []
                self._guarded(part, lambda: inside.extend(self._items(part.config, part.package, choice)))  # noqa: B023
                is_below = all(one.package[: len(part.package)] == part.package for one in inside)
                is_whole = is_below and not _clears(self._bodies(inside, choice))
                items += [part] if is_whole else inside
                if not is_whole:
                    self._seen.add(part.config.name)
        return items

    def _bodies(self, items: list[_Item], choice: _Choice) -> list[_Body]:
        """Return the bodies that items consist of, in order."""
        bodies: list[_Body] = []
        for item in items:
            if isinstance(item, _Body):
                bodies.append(item)
            else:
                bodies += self._bodies(self._items(item.config, item.package, choice), choice)
        return bodies

    def _file(
        self,
        config: Config,
        package: Package,
        choice: _Choice,
        *,
        settings: Settings | None = None,
        parent: str | None = None,
        path: str | None = None,
    ) -> str:
        """Write a config as it is at a package; return its path. settings: of one that is run. parent: a file that it is added to."""
        self._seen.add(config.name)
        items = self._items(config, package, choice)
        own = path or f"{config.name}.yaml"
        return self._write(items, config, package, choice, own, settings=settings, parent=parent)

    def _write(
        self,
        items: list[_Item],
        config: Config,
        package: Package,
        choice: _Choice,
        path: str,
        *,
        settings: Settings | None = None,
        parent: str | None = None,
    ) -> str:
        """Write items as one file: as many of the last ones as fit into it, those before them as its parents."""
        tree = Mapping(None, HERE)
        did: list[str] = []
        below: list[str] = []
        rest = _without_empty(_commuted(self._inside(items, package)), package)
        if rest and isinstance(rest[-1], _Body):
            body = rest.pop()
            tree = self._values.tree(body.config.body, body.package)
            if body.package[: len(package)] == package:
                tree = _wrapped(tree, body.package[len(package) :])
            did += self._values.did()
            below = self._comments[body.config.file].below
        kept: list[Part] = []
        while rest and isinstance(rest[-1], Part) and _fits(rest[-1], kept, package, tree):
            kept.insert(0, rest.pop())  # type: ignore[arg-type]
        attached = [(part.package[len(package) :], self._file(part.config, part.package, choice)) for part in kept]
        parents = ([parent] if parent else []) + self._parents(rest, config, package, choice, path)
        if parents or attached:
            did.append("defaults is __default__ now")

        def text(own: str) -> str:
            whole = _copied(tree)
            for at, file in reversed(attached):
                _put_default(whole, at, _relative(file, own))
            run = None
            if settings is not None:
                start = Position(config.file, 1, 1)
                run = self._program.run_section(own, name=settings.name, output_dir=settings.output_dir, position=start)
            if run is not None:
                whole.items.insert(0, (_key("__run__"), run))
            if parents:
                paths = [_relative(file, own) for file in parents]
                whole.items.insert(0, (_key("__default__"), _paths(paths)))
            return self._program.header(self._values.modules(tree), own) + self._writer.text(whole, below=below)

        return self.translation.add(path, text, (config.file,), did)

    def _inside(self, items: list[_Item], package: Package) -> list[_Item]:
        """Return the items that are below a package; a file cannot speak of anything else."""
        inside: list[_Item] = []
        for item in items:
            if item.package[: len(package)] == package:
                inside.append(item)
                continue
            position = item.entry.position if isinstance(item, Part) and item.entry else item.config.body.position
            where, own = ".".join(item.package) or "the top", ".".join(package)
            self.translation.note(
                position,
                f"{item.config.name} belongs to {where}, which is outside of {own}, where this config stands",
                "Name its file under __default__ there.",
            )
        return inside

    def _parents(self, items: list[_Item], config: Config, package: Package, choice: _Choice, path: str) -> list[str]:
        """Return the files that stand for items which did not fit into ``path`` itself, in order."""
        stem = path.removesuffix(".yaml")
        parents: list[str] = []
        waiting: list[_Item] = []

        def flush(end: str) -> None:
            if waiting:
                parents.append(self._write(list(waiting), config, package, choice, f"{stem}.{end}.yaml"))
                waiting.clear()

        for item in items:
            if isinstance(item, Part) and item.package == package:
                flush("defaults")
                parents.append(self._file(item.config, item.package, choice))
            else:
                waiting.append(item)
                if isinstance(item, _Body):
                    flush("self" if item.config is config else "defaults")
        flush("defaults")
        return parents


def yaml_files(folder: str) -> Iterable[str]:
    """Yield the YAML files of a folder, as paths below it."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in names:
            if name.endswith((".yaml", ".yml")) and not name.startswith("."):
                yield posixpath.relpath(posixpath.join(root, name), folder)


# Items ---------------------------------------------------------------------------------------------------------------


def _without_empty(items: list[_Item], package: Package) -> list[_Item]:
    """Return items without the empty bodies; one that makes a map where nothing else does is kept."""
    return [
        item
        for item in items
        if not (isinstance(item, _Body) and not item.config.body.items and item.package == package)
    ]


def _commuted(items: list[_Item]) -> list[_Item]:
    """Return items with a body moved to the end, where what comes after it touches other keys."""
    for index, item in enumerate(items):
        if isinstance(item, _Body) and all(
            isinstance(later, Part) and _is_apart(item, later.package) for later in items[index + 1 :]
        ):
            return [*items[:index], *items[index + 1 :], item]
    return items


def _clears(bodies: list[_Body]) -> bool:
    """Whether a single value stands where a later body has a map: what came before both is gone then, so order must stay."""
    values: set[Package] = set()
    for body in bodies:
        maps, here = {body.package}, set()
        todo: list[tuple[Package, Node]] = [(body.package, body.config.body)]
        while todo:
            path, node = todo.pop()
            if isinstance(node, Mapping):
                maps.add(path)
                todo += [((*path, _text(key)), value) for key, value in node.items]
            else:
                here.add(path)
        if any(path[:size] in values for path in maps for size in range(1, len(path) + 1)):
            return True
        values |= here
    return False


def _is_apart(body: _Body, package: Package) -> bool:
    """Whether a body says nothing about what is at ``package``."""
    if package[: len(body.package)] != body.package or package == body.package:
        return False
    node: Node | None = body.config.body
    for key in package[len(body.package) :]:
        if not isinstance(node, Mapping):
            return False
        node = _get(node, key)
        if node is None:
            return True
    return False


def _fits(part: Part, later: list[Part], package: Package, tree: Mapping) -> bool:
    """Whether a part may stand in the file as a ``__default__`` of the map at its package: then it is below all that is
    written there, and below what stands as a ``__default__`` further down.
    """
    at = part.package[len(package) :]
    if not at or any(one.package != part.package and part.package[: len(one.package)] == one.package for one in later):
        return False
    node: Node | None = tree
    for key in at:
        node = _get(node, key) if isinstance(node, Mapping) else None
        if node is None:
            return True
        if not isinstance(node, Mapping):
            return False
    return True


# Trees ---------------------------------------------------------------------------------------------------------------


def _text(key: Node) -> str:
    return key.text if isinstance(key, Scalar) else ""


def _get(node: Mapping, key: str) -> Node | None:
    return next((value for name, value in node.items if _text(name) == key), None)


def _key(text: str) -> Scalar:
    return Scalar(None, HERE, text, True)


def _plain(text: str) -> Scalar:
    return Scalar(None, HERE, text, False)


def _paths(paths: list[str]) -> Node:
    if len(paths) == 1:
        return _plain(paths[0])
    node = Sequence(None, HERE)
    node.items = [_plain(path) for path in paths]
    return node


def _copied(tree: Mapping) -> Mapping:
    """Return a copy of the maps of a tree, so that keys can be put into them."""
    copy = Mapping(tree.tag, tree.position)
    copy.items = [(key, _copied(value) if isinstance(value, Mapping) else value) for key, value in tree.items]
    return copy


def _wrapped(tree: Mapping, path: Package) -> Mapping:
    for key in reversed(path):
        outer = Mapping(None, HERE)
        outer.items = [(Scalar(None, HERE, key, False), tree)]
        tree = outer
    return tree


def _put(tree: Mapping, path: tuple[str, ...], value: Node) -> None:
    """Put a value into a tree, making the maps on the way."""
    for key in path[:-1]:
        inner = _get(tree, key)
        if not isinstance(inner, Mapping):
            inner = Mapping(None, HERE)
            tree.items.append((Scalar(None, HERE, key, False), inner))
        tree = inner
    tree.items.append((Scalar(None, HERE, path[-1], False), value))


def _put_default(tree: Mapping, path: Package, file: str) -> None:
    """Name a file as the first ``__default__`` of the map at ``path``; a map that is not there comes before the others."""
    for key in path:
        inner = _get(tree, key)
        if not isinstance(inner, Mapping):
            inner = Mapping(None, HERE)
            tree.items.insert(0, (Scalar(None, HERE, key, False), inner))
        tree = inner
    present = _get(tree, "__default__")
    if present is None:
        tree.items.insert(0, (_key("__default__"), _plain(file)))
        return
    before = (
        [item.text for item in present.items if isinstance(item, Scalar)]
        if isinstance(present, Sequence)
        else [_text(present)]
    )
    tree.items[0] = (tree.items[0][0], _paths([file, *before]))


def _relative(file: str, own: str) -> str:
    """Return the path of ``file`` as the file ``own`` names it."""
    path = posixpath.relpath(file, posixpath.dirname(own) or ".")
    return path if path.startswith("../") else f"./{path}"

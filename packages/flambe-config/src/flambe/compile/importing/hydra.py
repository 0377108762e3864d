"""Config folders of Hydra → ours: defaults lists, packages, interpolations and ``_target_``."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable

from flambe.cli.streams import read_text
from flambe.compile.importing.arrangement import commuted, fits, without_empty
from flambe.compile.importing.comments import Comments
from flambe.compile.importing.hydra_defaults import Config, Package, Part
from flambe.compile.importing.hydra_parts import Body, Choice, Item, Parts
from flambe.compile.importing.hydra_settings import Settings, read_settings
from flambe.compile.importing.hydra_values import Values
from flambe.compile.importing.program import Program
from flambe.compile.importing.translation import Translation
from flambe.compile.importing.tree import HERE, copied, listed, put, put_default, quoted, relative, word, wrapped
from flambe.compile.importing.writer import Writer
from flambe.compile.yaml import Mapping, text_of
from flambe.errors import ConfigError, Position


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
        self._parts = Parts(folder, self._configs, translation)
        self._run: dict[str, Settings] = {}
        self._seen = self._parts.split
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
            text = read_text(file, what="config")
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
                self._file(config, config.package(), Choice())
        self._values.note_texts()
        return self.translation

    def settings(self, body: Mapping) -> Settings:
        """Take how a config is run out of its body, and return it."""
        return read_settings(body, self.translation)

    def _root(self, config: Config) -> None:
        settings = self._run[config.name] = self.settings(config.body)
        choice = self._parts.choices(config, config.package())
        path = self._file(config, config.package(), choice, settings=settings)
        self._parts.note_unused(choice)
        if settings.sweep:
            self._sweep(config, path, settings)

    def _experiment(self, config: Config) -> None:
        """Write a config that is added to the primary one (``+experiment=name``) as one that stands alone."""
        primary = self._configs[self._primary[0]]
        choice = Choice()
        self._parts.collect(primary, primary.package(), choice)
        self._parts.collect(config, (), choice)
        overrides = dict(choice.overrides)
        plain = self._parts.choices(primary, primary.package())
        mine = {key: entry for key, entry in overrides.items() if key not in plain.overrides}
        if not mine:
            base = self._path_of(primary)
        else:
            names = ",".join(f"{posixpath.basename(key)}={'+'.join(entry.names)}" for key, entry in mine.items())
            choice = self._parts.choices(primary, primary.package(), dict(overrides))
            settings = self._run[primary.name]
            base = self._file(
                primary, primary.package(), choice, settings=settings,
                path=f"{primary.name},{names.replace('/', '-')}.yaml",
            )  # fmt: skip
            self._parts.note_unused(choice)
        self._file(config, (), choice, parent=base)

    def _path_of(self, config: Config) -> str:
        return next(
            (path for path, written in self.translation.files.items() if written.sources[:1] == (config.file,)),
            f"{config.name}.yaml",
        )

    def _sweep(self, config: Config, path: str, settings: Settings) -> None:
        tree = Mapping(None, HERE)
        name = f"{config.name}.sweep.yaml"
        for key, value in settings.sweep.items():
            put(tree, tuple(key.split(".")), value)

        def text(own: str) -> str:
            tree.items = [pair for pair in tree.items if text_of(pair[0]) != "__default__"]
            tree.items.insert(0, (word("__default__"), quoted(relative(path, own))))
            return self._writer.text(tree)

        self.translation.add(name, text, (config.file,), ["hydra.sweeper.params is this file: what --multirun tried"])

    # One file ----------------------------------------------------------------------------------------------------

    def _file(
        self,
        config: Config,
        package: Package,
        choice: Choice,
        *,
        settings: Settings | None = None,
        parent: str | None = None,
        path: str | None = None,
    ) -> str:
        """Write a config as it is at a package; return its path. settings: of one that is run. parent: a file that it is added to."""
        self._seen.add(config.name)
        items = self._parts.items(config, package, choice)
        own = path or f"{config.name}.yaml"
        return self._write(items, config, package, choice, own, settings=settings, parent=parent)

    def _write(
        self,
        items: list[Item],
        config: Config,
        package: Package,
        choice: Choice,
        path: str,
        *,
        settings: Settings | None = None,
        parent: str | None = None,
    ) -> str:
        """Write items as one file: as many of the last ones as fit into it, those before them as its parents."""
        tree = Mapping(None, HERE)
        did: list[str] = []
        below: list[str] = []
        rest = without_empty(commuted(self._inside(items, package)), package)
        if rest and isinstance(rest[-1], Body):
            body = rest.pop()
            tree = self._values.tree(body.config.body, body.package)
            if body.package[: len(package)] == package:
                tree = wrapped(tree, body.package[len(package) :])
            did += self._values.did()
            below = self._comments[body.config.file].below
        kept: list[Part] = []
        while rest and isinstance(rest[-1], Part) and fits(rest[-1], kept, package, tree):
            kept.insert(0, rest.pop())  # type: ignore[arg-type]
        attached = [(part.package[len(package) :], self._file(part.config, part.package, choice)) for part in kept]
        parents = ([parent] if parent else []) + self._parents_of(rest, config, package, choice, path)
        if parents or attached:
            did.append("defaults is __default__ now")

        def text(own: str) -> str:
            whole = copied(tree)
            for at, file in reversed(attached):
                put_default(whole, at, relative(file, own))
            run = None
            if settings is not None:
                start = Position(config.file, 1, 1)
                run = self._program.run_section(own, name=settings.name, output_dir=settings.output_dir, position=start)
            if run is not None:
                whole.items.insert(0, (word("__run__"), run))
            if parents:
                paths = [relative(file, own) for file in parents]
                whole.items.insert(0, (word("__default__"), listed(paths)))
            return self._program.header(self._values.modules(tree), own) + self._writer.text(whole, below=below)

        return self.translation.add(path, text, (config.file,), did)

    def _inside(self, items: list[Item], package: Package) -> list[Item]:
        """Return the items that are below a package; a file cannot speak of anything else."""
        inside: list[Item] = []
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

    def _parents_of(self, items: list[Item], config: Config, package: Package, choice: Choice, path: str) -> list[str]:
        """Return the files that stand for items which did not fit into ``path`` itself, in order."""
        stem = path.removesuffix(".yaml")
        parents: list[str] = []
        waiting: list[Item] = []

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
                if isinstance(item, Body):
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

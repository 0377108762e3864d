"""The modules that tags may come from, looked up on the disk: where a name is defined, whatever re-exports it."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from typing import Any

import msgspec

import flambe
from flambe.compile.source import Class, Function, Module, read_module


class Found(msgspec.Struct):
    """Where a name was defined. item: None when it is a plain value or cannot be read."""

    module: str
    name: str
    item: Class | Function | Module | None


class Library:
    """The modules that tags may come from: those installed, and the folders of the extensions header.

    roots: extension module → the folder to look for it in (or the single file that it is).
    """

    def __init__(self, roots: dict[str, str] | None = None) -> None:
        self._roots = roots or {}
        self._places: dict[str, tuple[str | None, list[str] | None] | None] = {}
        self._modules: dict[str, Module | None] = {}

    def add_root(self, module: str, root: str) -> None:
        """Look for the top-level ``module`` in the folder ``root``, or read it from that file."""
        self._roots[module] = root
        self._places.clear()
        self._modules.clear()

    def exists(self, module: str) -> bool:
        """Whether a module can be found."""
        return self._place(module) is not None

    def _place(self, module: str) -> tuple[str | None, list[str] | None] | None:
        """Return (source file or None, folders of submodules or None) of a module; None when it is not there."""
        if module not in self._places:
            self._places[module] = self._look(module)
        return self._places[module]

    def _look(self, module: str) -> tuple[str | None, list[str] | None] | None:
        parent, _, last = module.rpartition(".")
        if not all(part.isidentifier() for part in module.split(".")):
            return None
        folders: list[str] | None
        if parent:
            place = self._place(parent)
            if place is None or place[1] is None:
                return None
            folders = place[1]
        elif module == "flambe":
            return flambe.__file__, list(flambe.__path__)
        elif module in self._roots:
            root = self._roots[module]
            if os.path.isfile(root):
                return root, None
            folders = [root]
        else:
            folders = None
        if folders is not None:
            plain = _plain_file(folders, last)
            if plain is not None:
                return plain
        if parent or folders is not None:
            spec = importlib.machinery.PathFinder.find_spec(module, folders)
        else:
            spec = _find_top(module)
        if spec is None:
            return None
        source = spec.origin if spec.origin and spec.origin.endswith(".py") else None
        locations = spec.submodule_search_locations
        return source, None if locations is None else list(locations)

    def file(self, module: str) -> str | None:
        """Return the path of a module's source, None when it has none."""
        place = self._place(module)
        return place[0] if place else None

    def module(self, name: str) -> Module | None:
        """Return what the source of a module says; None when it has no source."""
        if name not in self._modules:
            place = self._place(name)
            path = place[0] if place else None
            self._modules[name] = (
                None if path is None else read_module(path, name, is_package=bool(place and place[1] is not None))
            )
        return self._modules[name]

    def find(self, module: str, name: str, _seen: frozenset[tuple[str, str]] = frozenset()) -> Found | None:
        """Return where the (dotted) ``name`` of ``module`` is defined, following imports; None when it is not there."""
        head, _, rest = name.partition(".")
        found = self._find_one(module, head, _seen)
        if not rest or found is None:
            return found
        if isinstance(found.item, Module):
            return self.find(found.module, rest, _seen)
        return Found(found.module, f"{found.name}.{rest}", None)

    def _find_one(self, module: str, name: str, seen: frozenset[tuple[str, str]]) -> Found | None:
        if (module, name) in seen or len(seen) > 50:
            return None
        seen = seen | {(module, name)}
        info = self.module(module)
        if info is None:
            return Found(module, name, None) if self.exists(module) else None
        item = info.classes.get(name) or info.functions.get(name)
        if item is not None:
            return Found(module, name, item)
        if name in info.assigned:
            target = info.assigned[name]
            found = self.find(module, target, seen) if target else None
            return found or Found(module, name, None)
        if name in info.imports:
            origin, _, attribute = info.imports[name].partition(":")
            found = self.find(origin, attribute, seen) if attribute else None
            if found is not None:
                return found
            inner = f"{origin}.{attribute}" if attribute else origin
            return Found(inner, "", self.module(inner)) if self.exists(inner) else Found(module, name, None)
        for star in reversed(info.stars):
            if not name.startswith("_") or name in self._exported(star):
                found = self._find_one(star, name, seen)
                if found is not None:
                    return found
        if self.exists(f"{module}.{name}"):
            return Found(f"{module}.{name}", "", self.module(f"{module}.{name}"))
        return None

    def _exported(self, module: str) -> list[str]:
        info = self.module(module)
        return (info.exported or []) if info else []

    def exports(self, module: str, name: str) -> bool:
        """Whether the source of ``module`` shows a class or function called ``name``."""
        found = self.find(module, name)
        return found is not None and isinstance(found.item, Class | Function)

    def may_export(self, module: str, name: str) -> bool:
        """Whether ``module`` has the name, or might make it at run time."""
        if self.find(module, name) is not None:
            return True
        info = self.module(module)
        return info is None or info.dynamic

    def names(self, module: str, _depth: int = 0) -> list[str]:
        """Return the public names of a module, for suggestions."""
        info = self.module(module)
        if info is None:
            return []
        names = [*info.classes, *info.functions, *info.assigned, *info.imports, *(info.exported or ())]
        if _depth < 3:
            for star in info.stars:
                names += self.names(star, _depth + 1)
        return [name for name in dict.fromkeys(names) if not name.startswith("_")]

    def registered_alias(self, module: str, tag: str) -> str | None:
        """Return the class of ``module`` that carries ``@alias(tag)``, by the name that the module gives it."""
        for name in self.names(module):
            found = self.find(module, name)
            if found is not None and isinstance(found.item, Class) and tag in found.item.aliases:
                return name
        return None

    def reads_own_yaml(self, target: str) -> bool:
        """Whether the class ``module:Name`` has a ``from_yaml`` of its own or from a class of the user's."""
        module, _, name = target.partition(":")
        if module.partition(".")[0] in ("flambe", "torch", "ray"):
            return False  # none of them has one
        found = self.find(module, name.partition(".")[0])
        if found is None or not isinstance(found.item, Class):
            return False
        ancestors, _ = self.ancestors(found)
        return any(
            "from_yaml" in one.item.methods
            for one in ancestors
            if isinstance(one.item, Class) and not one.module.startswith("flambe.")
        )

    def flag(self, target: str, name: str) -> bool:
        """Whether the class of a ``$new`` says ``name = True`` in its body, itself or by inheritance."""
        module, _, rest = target.partition(":")
        found = self.find(module, rest.partition(".")[0])
        if found is None or not isinstance(found.item, Class):
            return False
        order, _ = self.ancestors(found)
        said = (one.item.flags.get(name) for one in order if isinstance(one.item, Class))
        return next((value for value in said if value is not None), False)

    def ancestors(self, found: Found) -> tuple[list[Found], bool]:
        """Return the classes of a class's method resolution order, and whether all of them could be read.

        Depth first, the last of equals stays: C3 on every hierarchy that Python accepts and that has one root.
        """
        order: list[Found] = []
        complete = True

        def visit(one: Found, depth: int) -> None:
            nonlocal complete
            assert isinstance(one.item, Class)
            order.append(one)
            for base in one.item.bases:
                if base in ("object", "Generic", "Protocol", "ABC", "typing.Generic", "abc.ABC", "typing.Protocol"):
                    continue
                parent = self.find(one.module, base) if base else None
                if parent is None or not isinstance(parent.item, Class) or depth > 40:
                    complete = False
                else:
                    visit(parent, depth + 1)

        visit(found, 0)
        unique: dict[tuple[str, str], Found] = {}
        for one in reversed(order):
            unique.setdefault((one.module, one.name), one)
        return list(reversed(unique.values())), complete


def _plain_file(folders: list[str], name: str) -> tuple[str, list[str] | None] | None:
    """Return (source file, folders of submodules) of a module that is Python source in the first folder to have any.

    None for all else (namespaces, compiled modules), which Python's own finder knows: that costs ten times as much.
    """
    for folder in folders:
        path = os.path.join(folder, name)
        inner = os.path.join(path, "__init__.py")
        if os.path.isfile(inner):
            return inner, [path]
        if os.path.isfile(f"{path}.py"):
            return f"{path}.py", None
        if os.path.isdir(path) or os.path.isfile(f"{path}.so"):
            return None
    return None


def _find_top(module: str) -> Any:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is not None and getattr(finder, "__name__", "") not in ("FrozenImporter",):
            spec = find(module, None)
            if spec is not None:
                return spec
    return None

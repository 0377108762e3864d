"""The code that a stage can reach: digests of extension files, versions of installed distributions."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import ModuleType

from flambe.errors import ConfigError
from flambe.spec.digest import file_digest

_OURS = ("flambe-config", "flambe-nn", "flambe-export", "torch", "numpy")
_imported: dict[str, tuple[ModuleType | None, str]] = {}
"""What this process has imported: top-level module → (the module, the digest of its code then)."""


def code_of(modules: Iterable[str], extensions: Mapping[str, str]) -> dict[str, str]:
    """Return module → digest for ``modules`` (top-level names) and every extension that they import, sorted.

    extensions: module → source. An extension is followed into the others that are named, and into what lies beside it on the
    import path. Installed modules are told by their version. One process sees one version of all code until ``forget_code``.
    """
    places = _reachable(frozenset(modules), tuple(extensions.items()))
    return {name: _digest(place) if place else _version(name, extensions.get(name)) for name, place in places}


def local_code(modules: Iterable[str], extensions: Mapping[str, str]) -> dict[str, str]:
    """Return the part of ``code_of`` that lies in files of the user."""
    places = _reachable(frozenset(modules), tuple(extensions.items()))
    return {name: _digest(place) for name, place in places if place}


def local_places(module: str, place: Path) -> dict[str, Path]:
    """Return where ``module`` is, whose file or folder is ``place``, and everything that it imports from beside it."""
    found = _reachable(frozenset({module}), ((module, str(place)),))
    return {name: where for name, where in found if where is not None}


def module_digest(module: str, source: str) -> str | None:
    """Return the digest of a module's Python files, wherever they lie; None when ``source`` is no file or folder here.

    source: the module's file or folder, or a folder that contains it, beside what else may be there.
    """
    place = _place_of(source or None)
    top = module.partition(".")[0]
    if place is None:
        return None
    inside = (place / top, place / f"{top}.py", place / "src" / top) if place.is_dir() else ()
    return _digest(next((there for there in inside if there.exists()), place))


def forget_code() -> None:
    """Look at all code again: a run begins."""
    for cached in (_reachable, _digest, _imports):
        cached.cache_clear()


def check_imported(expected: Mapping[str, str], extensions: Mapping[str, str]) -> None:
    """Compare the code that this process has imported with that of the key: a result must not be kept under the name of
    another one. expected: see ``local_code``. Raises ConfigError.
    """
    found = local_code(expected, extensions)
    for name, digest in expected.items():
        if name not in found:
            continue  # not from a file here: an installed copy of it, on another machine
        module = sys.modules.get(name)
        if name not in _imported or _imported[name][0] is not module:
            _imported[name] = (module, found[name])
        if _imported[name][1] != digest:
            raise ConfigError(
                f"the code of the extension {name} was changed while this process had it loaded, or since the run began",
                hint="Give the same command again, in a new process.",
            )


@cache
def _reachable(modules: frozenset[str], extensions: tuple[tuple[str, str], ...]) -> tuple[tuple[str, Path | None], ...]:
    sources = {name.partition(".")[0]: source for name, source in extensions}
    places: dict[str, Path | None] = {}
    todo = [(name, _place_of(sources.get(name))) for name in modules]
    while todo:
        name, place = todo.pop()
        if name in places:
            continue
        places[name] = place
        if place is not None:
            for other in _imports(place) - places.keys():
                there = _place_of(sources[other]) if other in sources else _beside(name, place, other)
                if there is not None:
                    todo.append((other, there))
    return tuple(sorted(places.items()))


def _place_of(source: str | None) -> Path | None:
    place = None if source is None else Path(os.path.expanduser(source))
    return place if place is not None and place.exists() else None


def _beside(name: str, place: Path, other: str) -> Path | None:
    """Return the file or package ``other`` in the folder from which ``name`` is imported."""
    if other in sys.stdlib_module_names:
        return None
    inside = place.is_dir() and ((place / name).is_dir() or (place / f"{name}.py").is_file())
    folder = place if inside else place / "src" if (place / "src" / name).is_dir() else place.parent
    for there in (folder / other / "__init__.py", folder / f"{other}.py"):
        if there.is_file():
            return there.parent if there.name == "__init__.py" else there
    return None


@cache
def _digest(place: Path) -> str:
    whole = hashlib.sha256()
    for file in _files(place):
        whole.update(f"{file.relative_to(place).as_posix()}\0{file_digest(file)}\n".encode())
    return whole.hexdigest()


@cache
def _imports(place: Path) -> frozenset[str]:
    """Return the top-level names of what the files of an extension import."""
    found: set[str] = set()
    for file in _files(place):
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue  # importing it will say so, if anything does
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return frozenset(found)


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(file for file in place.rglob("*.py") if file.is_file())


@cache
def _version(module: str, source: str | None) -> str:
    if module == "flambe":
        return ",".join(f"{name} {number}" for name in _OURS if (number := _installed(name)) is not None)
    if source is not None and source.startswith("git+"):
        return source  # with its commit, which says more than a version
    number = _installed(module)
    if number is None and source is None and module not in sys.stdlib_module_names:
        # sklearn is of scikit-learn. Who brings what is said in a file of every distribution: a tenth of a second.
        numbers = {name: _installed(name) for name in packages_distributions().get(module, ())}
        number = ",".join(f"{name} {numbers[name]}" for name in sorted(numbers)) or None
    return (source or module) if number is None else f"{module} {number}"


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

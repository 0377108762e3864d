"""What a tag may reach. A spec names classes to import and may come from anywhere, so this is an allow-list.

==============================  ==========================================================================
who                             what
==============================  ==========================================================================
classes of this process         whatever is registered (``Component`` subclasses, ``register``, ``make_component``)
our rooms (``flambe.*``)        Registrable classes, and what a room's ``tags.json`` lists
``torch``                       classes of modules, optimizers, learning-rate schedulers and samplers, and ``FUNCTIONS``
``ray.tune``                    schedulers and searchers
modules that the caller names   classes and functions that live in the same top-level package
modules imported already        torch modules, optimizers, schedulers and samplers
==============================  ==========================================================================

Everything else is refused with exit code 3. What was found is checked by identity: it has to be the object that its own
``__module__`` and ``__qualname__`` name, so a module that merely imported ``os.system`` does not lend it.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import importlib.util
import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from flambe.build.reach import FUNCTIONS, LIBRARY_BASES, RAY_BASES, RAY_ROOMS, TORCH_ROOMS
from flambe.build.registrable import Registrable, class_of_tag, class_of_target
from flambe.errors import ConfigError, FlambeError, ProvenanceError, did_you_mean
from flambe.spec.nodes import NEW, kind_of, walk
from flambe.spec.shape import module_fault

Extensions = Mapping[str, str] | Collection[str]


def locate(target: str, extensions: Extensions = ()) -> tuple[Any, str | None]:
    """Return the class or function ``module:QualName`` and the name of its factory (``module:Class.factory``), or None.

    extensions: modules that the caller vouches for (a header's ``module → source``, or names alone).
    Raises ``ProvenanceError`` (exit code 3) for what a tag may not reach, ``ConfigError`` for what does not exist.
    """
    module_name, colon, qualname = target.partition(":")
    if not colon:
        found = class_of_tag(target)
        if found is not None:
            return found, None
        owner, _, factory = target.rpartition(".")
        found = class_of_tag(owner)
        if found is not None:
            return found, _checked_factory(found, factory, target)
        raise ConfigError(f"{target!r} names nothing", expected="module:Class or module:Class.factory")
    found = class_of_target(target)
    if found is not None:
        return found, None
    owner, _, factory = qualname.rpartition(".")
    found = class_of_target(f"{module_name}:{owner}")
    if owner and found is not None and not isinstance(getattr(found, factory, None), type):
        return found, _checked_factory(found, factory, target)
    return _imported(target, module_name, qualname, extensions)


def resolve(target: str, extensions: Extensions = ()) -> Any:
    """Return what ``locate`` finds, as one callable: the class, the function, or the bound factory."""
    found, factory = locate(target, extensions)
    return found if factory is None else getattr(found, factory)


def is_library_class(value: Any) -> bool:
    """Whether ``value`` is a class of torch modules, optimizers, learning-rate schedulers or samplers."""
    return _derives(value, LIBRARY_BASES)


def is_tune_class(value: Any) -> bool:
    """Whether ``value`` is one of Ray Tune's schedulers or searchers."""
    return _derives(value, RAY_BASES)


def _imported(target: str, module_name: str, qualname: str, extensions: Extensions) -> tuple[Any, str | None]:
    top = module_name.partition(".")[0]
    named = any(module_name == name or module_name.startswith(name + ".") for name in extensions)
    listed = target in FUNCTIONS or target in _listed_targets()
    if not (
        named
        or listed
        or top == "flambe"
        or _inside(module_name, (*TORCH_ROOMS, *RAY_ROOMS))
        or module_name in sys.modules
    ):
        raise refused(target)
    trusted = named or listed or top in ("flambe", "torch", "ray")
    # A module that is only here by chance is looked at as it is: its __getattr__ could import more.
    module = _import(module_name, target) if trusted else sys.modules[module_name]
    found, factory = _walk(module, qualname, target, lazy=trusted)
    if listed and factory is None:
        return found, None
    owner_top = str(getattr(found, "__module__", None)).partition(".")[0]
    if not _is_itself(found):
        raise refused(
            target,
            f"it is {getattr(found, '__module__', '?')}:{getattr(found, '__qualname__', '?')} under another name",
        )
    if named and owner_top == top:
        return found, factory
    if listed or (
        top == "flambe" and owner_top == "flambe" and isinstance(found, type) and issubclass(found, Registrable)
    ):
        return found, factory
    allowed = is_tune_class(found) if _inside(module_name, RAY_ROOMS) else is_library_class(found)
    if allowed and factory is None and (owner_top == top or _inside(module_name, TORCH_ROOMS)):
        return found, None
    raise refused(target)


def refused(target: str, why: str | None = None) -> ProvenanceError:
    """Return the error for a target that a tag may not reach, with the remedy."""
    module = target.partition(":")[0].partition(".")[0]
    # Naming a module of Python would not help, and should not.
    hint = (
        None
        if module_fault(module)
        else (
            f"If you trust it, name its module: `{module}: path/to/{module}` in the header of the file, or "
            f'extensions={{"{module}": "path/to/{module}"}} in flambe.load.'
        )
    )
    return ProvenanceError(
        f"{target} may not be reached from here" + (f": {why}" if why else ""),
        expected="a class of flambe, torch or ray.tune, or of a module that is named",
        hint=hint,
    )


def _import(module_name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise
        import flambe

        top, _, room = module_name.partition(".")
        if top == "flambe":
            # Its message has the install line of the room's distribution.
            try:
                getattr(flambe, room.partition(".")[0])
            except AttributeError as missing:
                raise FlambeError(f"cannot build {target}: {missing}") from error
        hint = f"pip install {'ray[tune]' if top == 'ray' else top}, or name where it is in the header of the file."
        raise FlambeError(f"cannot build {target}: there is no module {error.name}", hint=hint) from error


def _walk(module: ModuleType, qualname: str, target: str, *, lazy: bool) -> tuple[Any, str | None]:
    """Go down the qualified name: a class or function first, then nested classes, at last perhaps a factory."""
    value: Any = module
    parts = qualname.split(".")
    for index, part in enumerate(parts):
        if part.startswith("_") and part != "__main__":
            raise refused(target, f"{part} is private")
        try:
            step = getattr(value, part) if lazy or value is not module else vars(module)[part]
        except (AttributeError, KeyError):
            names = [name for name in dir(value) if not name.startswith("_")]
            raise ConfigError(f"{target}: {value.__name__} has no {part}", hint=did_you_mean(part, names)) from None
        if isinstance(step, ModuleType):
            raise refused(target, f"{part} is a module")
        if isinstance(value, type) and not isinstance(step, type):
            if index != len(parts) - 1:
                raise refused(target)
            return value, _checked_factory(value, part, target)
        value = step
    if not callable(value):
        raise ConfigError(f"{target} is a {type(value).__qualname__}", expected="a class or a function")
    return value, None


def _checked_factory(class_: type, name: str, target: str) -> str:
    from flambe.build.registrable import factories_of

    known = factories_of(class_)
    if name not in known:
        if getattr(class_, name, None) is None:
            raise ConfigError(
                f"{target}: {class_.__qualname__} has no factory {name!r}", hint=did_you_mean(name, known)
            )
        raise refused(
            target, f"{name} is no factory of {class_.__qualname__} (@registrable_factory above @classmethod)"
        )
    return name


def _is_itself(found: Any) -> bool:
    module = sys.modules.get(getattr(found, "__module__", None) or "")
    value: Any = module
    for part in str(getattr(found, "__qualname__", "")).split("."):
        value = getattr(value, part, None)
    return value is found


def _inside(module_name: str, rooms: Collection[str]) -> bool:
    return any(module_name == room or module_name.startswith(room + ".") for room in rooms)


def _derives(value: Any, bases: Collection[tuple[str, str]]) -> bool:
    # By name: asking isinstance would import torch.
    return isinstance(value, type) and any((base.__module__, base.__qualname__) in bases for base in value.__mro__)


@functools.cache
def _listed_targets() -> frozenset[str]:
    import flambe

    found: set[str] = set()
    for entry in flambe.__path__:
        for path in sorted(Path(entry).glob("*/tags.json")):
            found.update(json.loads(path.read_text(encoding="utf-8")).values())
    return frozenset(found)


def find_data_class(target: str, extensions: Extensions = ()) -> type:
    """Return an Enum, dataclass or named tuple that a saved state holds.

    It has to be imported already, or be one of ours or of a module that the caller names. Raises ``ProvenanceError``.
    """
    module_name, _, qualname = target.partition(":")
    top = module_name.partition(".")[0]
    named = any(module_name == name or module_name.startswith(name + ".") for name in extensions)
    if module_name not in sys.modules and not named and top != "flambe":
        raise refused(target)
    found: Any = _import(module_name, target)
    for part in qualname.split("."):
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
    plain = isinstance(found, type) and (
        issubclass(found, enum.Enum) or dataclasses.is_dataclass(found) or hasattr(found, "_fields")
    )
    if not plain or not _is_itself(found):
        raise refused(target, "only Enums, dataclasses and named tuples are data")
    return cast(type, found)


_imported_from: dict[str, str] = {}
_found_at: dict[tuple[str, str, Path], ModuleType] = {}
"""What a module and its source, seen from a folder, were when they were imported."""


def extensions_of(node: Any) -> dict[str, str]:
    """Return the extensions of this process, module → source, that the ``$new`` nodes in a node name."""
    tops = {str(value[NEW]).partition(":")[0].partition(".")[0] for _, value in walk(node) if kind_of(value) == NEW}
    return {module: source for module, source in _imported_from.items() if module.partition(".")[0] in tops}


def import_extensions(extensions: Mapping[str, str], base: Path | None = None) -> None:
    """Import the modules that a header names, each from its source.

    A source is a folder that contains the module, the package's own folder, a ``.py`` file, a git address with the commit that
    ``-i`` fetched, or (another URL, a requirement) something that has to be installed already. Nothing is fetched here.
    base: what relative paths start from; default the working folder.

    Raises FlambeError naming the module when it cannot be found, or is loaded already from somewhere else.
    """
    from flambe.logging.undisturbed import undisturbed

    base = base or Path.cwd()
    there = sys.modules
    if all(name in there and there[name] is _found_at.get((name, source, base)) for name, source in extensions.items()):
        # As for every unit of a process but its first ones.
        _imported_from.update(extensions)
        return
    # An extension that calls logging.basicConfig must not take over the log of the run.
    with undisturbed():
        for module, source in extensions.items():
            _import_extension(module, source, base)
            _imported_from[module] = source
            _found_at[module, source, base] = sys.modules[module]


def _import_extension(module: str, source: str, base: Path) -> None:
    fault = module_fault(module)
    if fault is not None:
        raise ConfigError(f"the extension {module!r} {fault}", hint="Rename it.")
    folder = _search_folder(module, source, base)
    if folder is not None:
        text = str(folder)
        loaded = sys.modules.get(module.partition(".")[0])
        if loaded is not None and not _lives_in(loaded, folder):
            raise FlambeError(
                f"the extension {module} is loaded already, from {getattr(loaded, '__file__', None) or 'elsewhere'}, not from {source}",
                hint="Rename one of the two modules; one process can hold only one of a name.",
            )
        if text not in sys.path:
            sys.path.insert(0, text)
            importlib.invalidate_caches()
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        local = folder is not None or source.startswith((".", "/", "~"))
        raise FlambeError(
            f"the extension {module} cannot be imported: no module {error.name} in {source}"
            if local
            else f"the extension {module} is not installed",
            hint=f"Its source should be a folder with {module}/ or {module}.py in it."
            if local
            else f"pip install {_requirement(source)}, or compile its config with -i (--install-extensions).",
        ) from error


def _search_folder(module: str, source: str, base: Path) -> Path | None:
    """Return the folder for the import path, None when the source is no local path."""
    if "://" in source:
        from flambe.compile.git import fetched, parse_source

        git = parse_source(source)
        checkout = None if git is None else fetched(module, git)
        if checkout is None:
            return None
        path = checkout.folder
    else:
        path = (base / Path(source).expanduser()).resolve()
    top = module.partition(".")[0]
    if path.is_file():
        return path.parent if path.stem == top else None
    if not path.is_dir():
        return None
    if (path / top).is_dir() or (path / f"{top}.py").is_file():
        return path
    if (path / "src" / top).is_dir():
        return path / "src"
    return path.parent if path.name == top else path


def _lives_in(module: ModuleType, folder: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place and Path(place).resolve().is_relative_to(folder) for place in places)


def _requirement(source: str) -> str:
    if source.startswith("ssh://") or (
        source.startswith("https://") and not source.endswith((".whl", ".tar.gz", ".zip"))
    ):
        return f"'git+{source}'"
    return f"'{source}'" if any(sign in source for sign in "<>= ") else source


__all__ = ["FUNCTIONS", "find_data_class", "import_extensions", "is_library_class", "locate", "refused", "resolve"]

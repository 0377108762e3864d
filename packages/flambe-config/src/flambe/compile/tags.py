"""Tags: the short name after ``!`` → ``module:QualName``, found in data files and on the disk, never by importing."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

import msgspec

import flambe
from flambe.errors import ConfigError

if TYPE_CHECKING:
    from flambe.compile.library import Library

# 0.4 wrote PyTorch's and Tune's classes without their module. These are looked through in order.
FLAT = {
    "torch": ("torch.nn", "torch.optim", "torch.optim.lr_scheduler", "torch.utils.data"),
    "ray": ("ray.tune.schedulers", "ray.tune.search"),
}
OPEN = ("flambe", "torch", "ray")


@cache
def short_names() -> dict[str, str]:
    """Return every short name of the installed packages: tag without ``!`` → ``module:QualName``.

    They are in ``flambe/<room>/tags.json``.
    """
    names: dict[str, str] = {}
    for folder in flambe.__path__:
        try:
            rooms = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir())
        except FileNotFoundError:
            continue
        for room in rooms:
            path = os.path.join(room, "tags.json")
            try:
                with open(path, "rb") as stream:
                    data = stream.read()
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                found = msgspec.json.decode(data, type=dict[str, str])
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                what = f"{path} is no map of tags: {error}"
                raise ConfigError(what, rule="unreadable-file", hint="Install its package again.") from error
            for tag, target in found.items():
                names.setdefault(tag.removeprefix("!"), target)
    return names


@cache
def _tags_of_targets() -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag, target in short_names().items():
        known = tags.get(target)
        name = target.rpartition(":")[2]
        if known is None or (tag.rpartition(".")[2] == name and known.rpartition(".")[2] != name):
            tags[target] = tag
    return tags


def tag_of(target: str) -> str:
    """Return the tag that people write for ``module:QualName``, with its ``!``."""
    if target == "flambe.experiment:Experiment":  # a form of the language, no class of an object
        return "!Experiment"
    tags = _tags_of_targets()
    if target in tags:
        return "!" + tags[target]
    module, _, name = target.partition(":")
    class_name, _, factory = name.rpartition(".")
    if class_name and f"{module}:{class_name}" in tags:
        return f"!{tags[f'{module}:{class_name}']}.{factory}"
    registry = sys.modules.get("flambe.build.registrable")
    if registry is not None:  # only a process that builds objects has classes of its own
        class_, factory = registry.class_of_target(target), ""
        if class_ is None and class_name:
            class_, factory = registry.class_of_target(f"{module}:{class_name}"), f".{name.rpartition('.')[2]}"
        if class_ is not None and class_ in registry.registered_tags().values():
            return f"!{registry.Registrable.get_default_tag(class_)}{factory}"
    return f"!{module}.{name}"


def resolve(tag: str, library: Library, extensions: dict[str, str], folder: str | None = None) -> str:
    """Return what a tag (without ``!``) stands for. folder: of the config; only used to say what its header lacks.

    Tried in order: the short names; a short name with a factory; a module of the extensions header; the flat names
    of torch and Tune; the import path of one of the open packages. Raises ``ConfigError`` (without a position), also for
    what building would refuse (``flambe.build.trust``), as far as the source tells.
    """
    target = _named(tag, library, extensions, folder)
    private = next((name for name in target.partition(":")[2].split(".") if name.startswith("_")), None)
    if private is not None:
        raise _unreachable(tag, target, why=f"{private} is private")
    return target


def _named(tag: str, library: Library, extensions: dict[str, str], folder: str | None) -> str:
    names = short_names()
    if tag.endswith(":"):
        raise ConfigError(f"unknown tag !{tag}", rule="unknown-tag", hint="Remove the colon after the tag.")
    if tag in names:
        return names[tag]
    prefix, _, last = tag.rpartition(".")
    if prefix in names:
        return f"{names[prefix]}.{last}"
    head, _, rest = tag.partition(".")
    first = rest.partition(".")[0]
    if head in FLAT and rest:
        for module in FLAT[head]:
            if library.exports(module, first):
                target = f"{module}:{rest}"
                return target if head in extensions else _allowed(tag, target, library)
    if head in extensions and rest:
        return _own(tag, _in_module(tag, library), library)
    if head in FLAT and rest and not library.exists(head):
        what, hint = f"unknown tag !{tag}", f"The package {head!r} is not installed here."
        raise ConfigError(what, rule="unknown-tag", hint=hint)
    if head in FLAT and rest and not _shows(head, first, library):
        from flambe.compile.suggestion import unknown_short

        error = unknown_short(tag, library)
        if error is not None:
            raise error
    if head in OPEN and rest and library.exists(head):
        return _allowed(tag, _in_module(tag, library), library)
    from flambe.compile.suggestion import unknown

    raise unknown(tag, library, extensions, folder)


def _shows(head: str, name: str, library: Library) -> bool:
    """Whether torch or ray itself has a name: they make many at run time, so that none is refused for not being there."""
    from flambe.build.reach import FUNCTIONS

    found = library.find(head, name)
    return f"{head}:{name}" in FUNCTIONS or (found is not None and found.item is not None)


def _in_module(tag: str, library: Library) -> str:
    parts = tag.split(".")
    size = 1
    while size < len(parts) and library.exists(".".join(parts[: size + 1])):
        size += 1
    module, rest = ".".join(parts[:size]), parts[size:]
    if not rest:
        raise ConfigError(f"!{tag} is a module", rule="unknown-tag", expected=f"a class in it, such as !{tag}.Name")
    info = library.module(module)
    # Our root makes its rooms and a few listed names at run time, and nothing else.
    is_listed = module != "flambe" or info is None or rest[0] in (info.exported or ())
    if not (library.may_export(module, rest[0]) and is_listed):
        alias = library.registered_alias(module, rest[0])
        if alias is not None:
            return f"{module}:{'.'.join([alias, *rest[1:]])}"
        from flambe.compile.suggestion import nothing_in

        raise nothing_in(tag, module, rest[0], library)
    return f"{module}:{'.'.join(rest)}"


def _allowed(tag: str, target: str, library: Library) -> str:
    """Return the target when building will allow it too, as far as the source of torch or Tune tells."""
    from flambe.build.reach import FUNCTIONS, LIBRARY_BASES, RAY_BASES
    from flambe.compile.source import Class

    head = target.partition(".")[0].partition(":")[0]
    module, _, name = target.partition(":")
    found = library.find(module, name.partition(".")[0])
    if head not in FLAT:
        return _own(tag, target, library)
    if target in FUNCTIONS or (found is None and module != head):
        return target
    if found is not None and isinstance(found.item, Class):
        ancestors, complete = library.ancestors(found)
        bases = {(one.module, one.name) for one in ancestors}
        if not complete or bases & (LIBRARY_BASES if head == "torch" else RAY_BASES):
            return target
    kinds = "modules, optimizers, schedulers and samplers" if head == "torch" else "schedulers and searchers"
    hint = f"To allow all of {head}, declare it before the experiment: '{head}: {head}', then '---'."
    raise _unreachable(tag, target, expected=f"one of {head}'s {kinds}", hint=hint)


def _own(tag: str, target: str, library: Library) -> str:
    """Return the target unless it is something that a module of ours or of the header only imports."""
    from flambe.compile.source import Class, Function, Module

    module, _, name = target.partition(":")
    head = module.partition(".")[0]
    first = name.partition(".")[0]
    found = library.find(module, first)
    if found is None:
        return target
    info = library.module(module)
    imported = info.imports.get(first, "") if info is not None else ""
    if imported.endswith(":") or not found.name or isinstance(found.item, Module):
        raise _unreachable(tag, target, why=f"{first} is a module that {module} imports")
    top = found.module.partition(".")[0]
    # What comes from another package may have been registered under this tag; Python's own library never is.
    if top != head and top in sys.stdlib_module_names:
        raise _unreachable(tag, target, why=f"{first} is {found.module}.{found.name}, which {module} only imports")
    if head == "flambe" and target not in _tags_of_targets():
        is_class = isinstance(found.item, Class)
        ancestors, complete = library.ancestors(found) if is_class else ([], True)
        registrable = any((one.module, one.name) == ("flambe.build.registrable", "Registrable") for one in ancestors)
        if isinstance(found.item, Class | Function) and complete and not registrable:
            raise _unreachable(
                tag, target, expected="a component of flambe", hint="`flambe-compile --schema` has them all."
            )
    return target


def _unreachable(
    tag: str, target: str, *, why: str | None = None, expected: str | None = None, hint: str | None = None
) -> ConfigError:
    what = f"the tag !{tag} may not reach {target}" + (f": {why}" if why else "")
    return ConfigError(what, rule="unreachable-tag", expected=expected, hint=hint)


def flat_names(library: Library) -> list[str]:
    """Return the tags of torch's and Tune's classes that are written without their module, such as ``torch.Adam``."""
    return [
        f"{head}.{name}"
        for head, modules in FLAT.items()
        for module in modules
        if library.exists(module)
        for name in library.names(module)
        if name[:1].isupper()
    ]

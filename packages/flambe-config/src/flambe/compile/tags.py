"""Tags: the short name after ``!`` → ``module:QualName``, found in data files and on the disk, never by importing."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

import msgspec

import flambe
from flambe.errors import ConfigError, did_you_mean

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
                raise ConfigError(f"{path} is no map of tags: {error}", hint="Install its package again.") from error
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


def resolve(tag: str, library: Library, extensions: dict[str, str]) -> str:
    """Return what a tag (without ``!``) stands for.

    Tried in order: the short names; a short name with a factory; a module of the extensions header; the flat names
    of torch and Tune; the import path of one of the open packages. Raises ``ConfigError`` (without a position).
    """
    names = short_names()
    if tag.endswith(":"):
        raise ConfigError(f"unknown tag !{tag}", hint="Remove the colon after the tag.")
    if tag in names:
        return names[tag]
    prefix, _, last = tag.rpartition(".")
    if prefix in names:
        return f"{names[prefix]}.{last}"
    head, _, rest = tag.partition(".")
    if head in extensions and rest:
        return _in_module(tag, library)
    if head in FLAT and rest:
        first = rest.partition(".")[0]
        for module in FLAT[head]:
            if library.exports(module, first):
                return _allowed(tag, f"{module}:{rest}", library)
        if not library.exists(head):
            raise ConfigError(f"unknown tag !{tag}", hint=f"The package {head!r} is not installed here.")
    if head in OPEN and rest and library.exists(head):
        return _allowed(tag, _in_module(tag, library), library)
    raise _unknown(tag, library, extensions)


def _in_module(tag: str, library: Library) -> str:
    parts = tag.split(".")
    size = 1
    while size < len(parts) and library.exists(".".join(parts[: size + 1])):
        size += 1
    module, rest = ".".join(parts[:size]), parts[size:]
    if not rest:
        raise ConfigError(f"!{tag} is a module", expected=f"a class in it, such as !{tag}.Name")
    if not library.may_export(module, rest[0]):
        alias = library.registered_alias(module, rest[0])
        if alias is not None:
            return f"{module}:{'.'.join([alias, *rest[1:]])}"
        known = [f"{module}.{name}" for name in library.names(module)]
        head = parts[0]
        if head in FLAT:
            known += [name for name in _all_names(library, {}) if name.startswith(f"{head}.")]
        raise ConfigError(f"unknown tag !{tag}: the module {module!r} has no {rest[0]!r}", hint=_nearest(tag, known))
    return f"{module}:{'.'.join(rest)}"


def _allowed(tag: str, target: str, library: Library) -> str:
    """Return the target when building will allow it too, as far as the source of torch or Tune tells."""
    from flambe.build.reach import FUNCTIONS, LIBRARY_BASES, RAY_BASES
    from flambe.compile.source import Class

    head = target.partition(".")[0].partition(":")[0]
    module, _, name = target.partition(":")
    found = library.find(module, name.partition(".")[0])
    if head not in FLAT or target in FUNCTIONS or found is None:
        return target
    if isinstance(found.item, Class):
        ancestors, complete = library.ancestors(found)
        bases = {(one.module, one.name) for one in ancestors}
        if not complete or bases & (LIBRARY_BASES if head == "torch" else RAY_BASES):
            return target
    kinds = "modules, optimizers, schedulers and samplers" if head == "torch" else "schedulers and searchers"
    raise ConfigError(
        f"the tag !{tag} may not reach {target}",
        expected=f"one of {head}'s {kinds}",
        hint=f"To allow all of {head}, declare it before the experiment: '{head}: {head}', then '---'.",
    )


def _nearest(tag: str, names: list[str]) -> str | None:
    hint = did_you_mean(tag, names)
    return None if hint is None else hint.replace("'", "'!", 1)


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


def _all_names(library: Library, extensions: dict[str, str]) -> list[str]:
    names = [*short_names(), *flat_names(library)]
    for module in extensions:
        if library.exists(module):
            names += [f"{module}.{name}" for name in library.names(module)]
    return names


def _unknown(tag: str, library: Library, extensions: dict[str, str]) -> ConfigError:
    from flambe.compile.lowering import OWN_TAGS

    head = tag.partition(".")[0]
    for own in ("@", "$"):
        if tag.startswith(own):
            return ConfigError(f"unknown tag !{tag}", hint=f"A link is written with a space: !{own} {tag[1:]}")
    hint = _nearest(tag, [*_all_names(library, extensions), *OWN_TAGS])
    if hint is None and head == "__main__":
        hint = "Define the class, or register it, before its tag is read."
    elif hint is None and head in sys.stdlib_module_names:
        hint = "Tags reach components, not Python's own library."
    elif hint is None and "." in tag and library.exists(head):
        hint = f"To use the installed module {head!r}, declare it before the experiment: '{head}: {head}', then '---'."
    elif hint is None and "." in tag:
        hint = f"Declare where {head!r} comes from before the experiment: '{head}: path/to/its/folder', then '---'."
    elif hint is None and not any(target.startswith("flambe.learn") for target in short_names().values()):
        hint = "The components of flambe-nn are not installed: pip install flambe-nn."
    return ConfigError(f"unknown tag !{tag}", hint=hint)

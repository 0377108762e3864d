"""What an editor's YAML language server needs to know: a JSON Schema of configs, and the list of our tags."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from flambe.compile.annotations import Type, describe, in_full
from flambe.compile.defaults import default_of
from flambe.compile.docstrings import Docstrings, explained, paragraph
from flambe.compile.experiment import EXPERIMENT, PIPELINE
from flambe.compile.extensions import read_header
from flambe.compile.kinds import Kinds
from flambe.compile.library import Library
from flambe.compile.lowering import DISTRIBUTIONS, GRID_TAGS, SAMPLE_TAGS, Lowering
from flambe.compile.reference import LINK_TAGS
from flambe.compile.signatures import KEYWORD, POSITIONAL, Signature, factories_of, signature_of, takes_any
from flambe.compile.source import Class
from flambe.compile.tags import flat_names, resolve, short_names
from flambe.errors import ConfigError, ConfigFaults

# What a link, a search or an object may stand for: the server sees a tagged value as text, a list or a mapping.
_MOST = 8  # tags that an editor shows for one argument
_TAGGED = {"type": ["string", "array", "object", "null"]}
_WORDS = {
    "name": "The name of the experiment; its runs are below it.",
    "pipeline": "The stages, in the order in which they run: name: !Component.",
    "stages": "The stages, in the order in which they run: name: !Component.",
    "resume": "The stages (and all above) whose results are taken from earlier runs.",
    "debug": "One process, variants one after another.",
    "devices": "What each variant needs: {cpu: 2, gpu: 1}.",
    "save_path": "Where run directories are made.",
    "resources": "Files that links can name: name: path.",
    "search": "For each stage the algorithm that searches.",
    "algorithm": "For each stage the algorithm that searches.",
    "schedulers": "For each stage what ends bad variants early: train: !ray.ASHAScheduler.",
    "reduce": "For each stage how many of its best variants later stages see.",
    "max_failures": "How often a unit that fails is tried again.",
    "stop_on_failure": "Whether a unit that fails ends the run.",
    "merge_plot": "Whether equal tags of different stages share one plot in TensorBoard.",
    "seed": "What every random number of the run comes from. !seeds 5 runs everything for five of them.",
    "ordering": "step, or arrival (quicker, not repeatable).",
    "cpus_per_trial": "For each stage the CPUs of a variant.",
    "gpus_per_trial": "For each stage the GPUs of a variant.",
}


def extension_tags(file: str, library: Library) -> dict[str, str]:
    """Return the tags of what the header of a config declares: tag → ``module:Name``. ``library`` gets its modules.

    Raises ``ConfigError`` for a file or header that cannot be read.
    """
    from flambe.cli.streams import read_text
    from flambe.compile.document import split

    lowering = Lowering(
        library,
        extensions={},
        folder=os.path.dirname(os.path.abspath(file)),
        files={},
        seed=0,
        link_root=lambda name: None,
    )
    found = read_header(split(read_text(file, what="config"), file).header, lowering)
    if lowering.faults:
        raise ConfigFaults(lowering.faults)
    tags: dict[str, str] = {}
    for module in found.extensions:
        for name in library.names(module):
            known = library.find(module, name)
            # What it only imports from elsewhere is no tag of it.
            if known and isinstance(known.item, Class) and known.module.partition(".")[0] == module.partition(".")[0]:
                tags[f"{module}.{name}"] = f"{module}:{name}"
    return tags


def custom_tags(own: Iterable[str] = ()) -> list[str]:
    """Return the entries of the setting ``yaml.customTags``: every tag, with the kinds of value it may have.

    own: tags of extensions.
    """
    kinds: dict[str, tuple[str, ...]] = dict.fromkeys(("Experiment", "Pipeline", "Search"), ("mapping",))
    kinds |= dict.fromkeys([*LINK_TAGS, "file", "env", "cluster", "required", "P"], ("scalar",))
    kinds |= dict.fromkeys([*GRID_TAGS, *SAMPLE_TAGS], ("sequence",))
    kinds |= dict.fromkeys(["choice", *DISTRIBUTIONS], ("sequence", "mapping"))
    kinds["seeds"] = ("scalar", "sequence", "mapping")
    for name in [*short_names(), *own, *_reachable()]:
        kinds.setdefault(name, ("scalar", "mapping", "sequence"))
    kinds |= dict.fromkeys(_factories(), ("mapping",))
    return [f"!{name} {kind}" for name in sorted(kinds, key=str.lower) for kind in kinds[name]]


def _factories() -> Iterator[str]:
    """Yield our tags with a factory, such as ``TabularDataset.autogen``."""
    library = Library()
    for name, target in short_names().items():
        if target.startswith("flambe."):
            yield from (f"{name}.{factory}" for factory in factories_of(library, target, "flambe."))


def _reachable() -> Iterator[str]:
    """Yield the flat names of libraries that a tag may reach."""
    library = Library()
    for name in flat_names(library):
        try:
            resolve(name, library, {})
        except ConfigError:
            continue  # one of the names that such a module merely imports
        yield name


class _Argument(NamedTuple):
    """An argument of one tag. meaning: what its docstring says. default: as YAML writes it, None for none."""

    tag: str
    name: str
    type: Type
    required: bool
    meaning: str
    default: str | None

    def words(self) -> str:
        """Return all of it in one line."""
        takes = describe(self.type)
        more = "required" if self.required else f"default {self.default}" if self.default is not None else ""
        return "; ".join(filter(None, (self.meaning.rstrip("."), takes, more)))


def schema(file: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a config. file: one whose extensions have tags too.

    A schema cannot see tags, so it describes a component as all arguments of all of them: it completes and explains keys,
    and leaves their check to flambe-compile. ``definitions`` has each tag by itself, ``x-customTags`` the setting.
    """
    library = Library()
    own = {} if file is None else extension_tags(file, library)
    docstrings = Docstrings(library)
    definitions: dict[str, Any] = {}
    merged: dict[str, list[_Argument]] = {}
    for tag, target in sorted({**short_names(), **own}.items()):
        if tag in ("Experiment", "Pipeline", "Search"):
            continue
        try:
            signature = signature_of(library, target)
        except ConfigError:
            signature = None
        arguments = list(_arguments(tag, target, signature, library, docstrings))
        definitions[tag] = _definition(tag, target, signature, arguments, docstrings)
        for one in arguments:
            merged.setdefault(one.name, []).append(one)
    definitions["component"] = {
        "type": ["object", "array", "string", "null"],
        "properties": {name: _merged(found) for name, found in sorted(merged.items())},
    }
    for value in definitions["component"]["properties"].values():
        value["anyOf"] = [*value.get("anyOf", [{}]), {"$ref": "#/definitions/component"}]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "flambe config",
        "if": {"anyOf": [{"required": ["pipeline"]}, {"required": ["stages"]}]},
        "then": {"$ref": "#/definitions/experiment"},
        "else": {"anyOf": [{"$ref": "#/definitions/experiment"}, {"$ref": "#/definitions/component"}]},
        "definitions": {"experiment": {"type": "object", "properties": _parameters()}, **definitions},
        "x-customTags": custom_tags(own),
    }


def _parameters() -> dict[str, Any]:
    """Return the schemas of the parameters of an experiment."""
    parameters: dict[str, dict[str, Any]] = {
        name: {"description": _WORDS.get(name, "")} for name in dict.fromkeys((*EXPERIMENT, *PIPELINE))
    }
    stages = {"type": "object", "additionalProperties": {"$ref": "#/definitions/component"}}
    for name in ("pipeline", "stages", "schedulers", "search", "algorithm"):
        parameters[name] |= stages
    parameters["reduce"] |= {"type": "object", "additionalProperties": {"type": "integer"}}
    count = {"type": "integer", "minimum": 0}
    parameters["max_failures"] |= {**count, "default": 1}
    parameters["seed"] |= {"anyOf": [count, _TAGGED], "default": 0}
    for name, default in (("debug", False), ("merge_plot", True), ("stop_on_failure", False)):
        parameters[name] |= {"type": "boolean", "default": default}
    parameters["ordering"] |= {"enum": ["step", "arrival"], "default": "step"}
    return parameters


def _arguments(
    tag: str, target: str, signature: Signature | None, library: Library, docstrings: Docstrings
) -> Iterator[_Argument]:
    """Yield the arguments of a tag, each once."""
    named = (
        {one.name: one for form in signature.forms for one in form if one.kind in (POSITIONAL, KEYWORD)}
        if signature
        else {}
    )
    meanings = explained(docstrings.of(target), set(named))
    kinds = Kinds(library, lambda _: None)
    for name, one in named.items():
        found = None if one.required else default_of(target, name, library)
        default = None if found is None else _as_yaml(found[1])
        yield _Argument(tag, name, in_full(one.type, kinds), one.required, meanings.get(name, ""), default)


def _as_yaml(python: str) -> str:
    """Return a default as YAML writes it; what is no literal as Python does."""
    try:
        value = ast.literal_eval(python)
        return msgspec.json.encode(list(value) if isinstance(value, tuple | set) else value).decode()
    except (ValueError, TypeError, SyntaxError):
        return python


def _definition(
    tag: str, target: str, signature: Signature | None, arguments: list[_Argument], docstrings: Docstrings
) -> dict[str, Any]:
    """Return the schema of one tag by itself."""
    summary = next(iter(docstrings.of(target)), None)
    words = f"{paragraph(summary)} ({target.replace(':', '.')})" if summary else target.replace(":", ".")
    found: dict[str, Any] = {"title": f"!{tag}", "description": words}
    if signature is None:
        return found
    found["properties"] = {
        one.name: {"description": one.words(), **_value(one.type), **_default([one])} for one in arguments
    }
    found["required"] = [one.name for one in arguments if one.required] if len(signature.forms) == 1 else []
    found["additionalProperties"] = takes_any(signature.forms[0])
    return found


def _default(found: list[_Argument]) -> dict[str, Any]:
    """Return the default that all of them have, where they have one."""
    first = found[0].default
    if first is None or any(one.default != first for one in found):
        return {}
    try:
        return {"default": msgspec.json.decode(first)}
    except msgspec.DecodeError:
        return {}  # written in Python


def _merged(found: list[_Argument]) -> dict[str, Any]:
    """Return what the editor shows for an argument that several tags have."""
    tags: dict[str, list[str]] = {}
    for one in found:
        tags.setdefault(one.words(), []).append(f"!{one.tag}")
    lines = [f"{', '.join(dict.fromkeys(of))}: {words}" for words, of in tags.items()]
    if len(lines) > _MOST:
        lines[_MOST:] = [f"and {len(lines) - _MOST} others."]
    value: dict[str, Any] = {"description": "\n\n".join(lines)}
    if all(one.type == found[0].type for one in found):
        value |= _value(found[0].type)
    return value | _default(found)


def _value(type_: Type) -> dict[str, Any]:
    """Return the schema of a value; wide enough for a link, a search or an object in its place."""
    options = type_[1:] if isinstance(type_, list) and type_[0] == "union" else [type_]
    simple = {"int": {"type": "integer"}, "float": {"type": "number"}, "bool": {"type": "boolean"}}
    found: list[dict[str, Any]] = []
    for one in options:
        if isinstance(one, str) and one in simple:
            found.append(simple[one])
        elif isinstance(one, list) and one[0] == "literal":
            found.append({"enum": one[1:]})
        elif one is None:
            return {}
    return {"anyOf": [*found, _TAGGED]} if found else {}


def schema_json(file: str | None = None) -> str:
    """Return the schema as JSON for ``flambe-compile --schema``."""
    return msgspec.json.format(msgspec.json.encode(schema(file)), indent=1).decode()

"""What an editor's YAML language server needs to know: a JSON Schema of configs, and the list of our tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from flambe.compile.annotations import Type, describe
from flambe.compile.experiment import EXPERIMENT, PIPELINE
from flambe.compile.library import Library
from flambe.compile.lowering import DISTRIBUTIONS, GRID_TAGS, SAMPLE_TAGS
from flambe.compile.reference import LINK_TAGS
from flambe.compile.signatures import KEYWORD, POSITIONAL, Signature, signature_of, takes_any
from flambe.compile.tags import flat_names, resolve, short_names
from flambe.errors import ConfigError

# What a link, a search or an object may stand for: the server sees a tagged value as text, a list or a mapping.
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
    "merge_plot": "Whether the variants share one plot.",
    "seed": "What every random number of the run comes from. !seeds 5 runs everything for five of them.",
    "ordering": "step, or arrival (quicker, not repeatable).",
    "cpus_per_trial": "For each stage the CPUs of a variant.",
    "gpus_per_trial": "For each stage the GPUs of a variant.",
}


def custom_tags() -> list[str]:
    """Return the entries of the setting ``yaml.customTags``: every tag, with the kinds of value it may have."""
    kinds: dict[str, tuple[str, ...]] = dict.fromkeys(("Experiment", "Pipeline", "Search"), ("mapping",))
    kinds |= dict.fromkeys([*LINK_TAGS, "file", "env", "cluster", "required"], ("scalar",))
    kinds |= dict.fromkeys([*GRID_TAGS, *SAMPLE_TAGS], ("sequence",))
    kinds |= dict.fromkeys(["choice", *DISTRIBUTIONS], ("sequence", "mapping"))
    kinds["seeds"] = ("scalar", "sequence", "mapping")
    for name in [*short_names(), *_reachable()]:
        kinds.setdefault(name, ("scalar", "mapping", "sequence"))
    return [f"!{name} {kind}" for name in sorted(kinds, key=str.lower) for kind in kinds[name]]


def _reachable() -> Iterator[str]:
    """Yield the flat names of libraries that a tag may reach."""
    library = Library()
    for name in flat_names(library):
        try:
            resolve(name, library, {})
        except ConfigError:
            continue  # one of the names that such a module merely imports
        yield name


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a config.

    A schema cannot see tags, so it describes a component as all arguments of all of them: it completes and explains keys,
    and leaves their check to flambe-compile. ``definitions`` has each tag by itself, ``x-customTags`` the setting.
    """
    library = Library()
    definitions: dict[str, Any] = {}
    merged: dict[str, list[tuple[str, Type]]] = {}
    for tag, target in sorted(short_names().items()):
        if tag in ("Experiment", "Pipeline", "Search"):
            continue
        try:
            signature = signature_of(library, target)
        except ConfigError:
            signature = None
        definitions[tag] = _definition(tag, target, signature)
        for form in signature.forms if signature is not None else ():
            for parameter in form:
                if parameter.kind in (POSITIONAL, KEYWORD):
                    merged.setdefault(parameter.name, []).append((tag, parameter.type))
    arguments = {name: _merged(found) for name, found in sorted(merged.items())}
    definitions["component"] = {"type": ["object", "array", "string", "null"], "properties": arguments}
    for value in definitions["component"]["properties"].values():
        value["anyOf"] = [*value.get("anyOf", [{}]), {"$ref": "#/definitions/component"}]
    parameters: dict[str, dict[str, Any]] = {
        name: {"description": _WORDS.get(name, "")} for name in dict.fromkeys((*EXPERIMENT, *PIPELINE))
    }
    stages = {"type": "object", "additionalProperties": {"$ref": "#/definitions/component"}}
    for name in ("pipeline", "stages", "schedulers", "search", "algorithm"):
        parameters[name] |= stages
    parameters["reduce"] |= {"type": "object", "additionalProperties": {"type": "integer"}}
    count = {"type": "integer", "minimum": 0}
    parameters["max_failures"] |= count
    parameters["seed"] |= {"anyOf": [count, _TAGGED]}
    for name in ("debug", "merge_plot", "stop_on_failure"):
        parameters[name] |= {"type": "boolean"}
    parameters["ordering"] |= {"enum": ["step", "arrival"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "flambe config",
        "if": {"anyOf": [{"required": ["pipeline"]}, {"required": ["stages"]}]},
        "then": {"$ref": "#/definitions/experiment"},
        "else": {"anyOf": [{"$ref": "#/definitions/experiment"}, {"$ref": "#/definitions/component"}]},
        "definitions": {"experiment": {"type": "object", "properties": parameters}, **definitions},
        "x-customTags": custom_tags(),
    }


def _definition(tag: str, target: str, signature: Signature | None) -> dict[str, Any]:
    found: dict[str, Any] = {"title": f"!{tag}", "description": target.replace(":", ".")}
    if signature is None:
        return found
    form = signature.forms[0]
    named = [parameter for parameter in form if parameter.kind in (POSITIONAL, KEYWORD)]
    found["properties"] = {one.name: {**_value(one.type), "description": describe(one.type)} for one in named}
    found["required"] = [one.name for one in named if one.required] if len(signature.forms) == 1 else []
    found["additionalProperties"] = takes_any(form)
    return found


def _merged(found: list[tuple[str, Type]]) -> dict[str, Any]:
    """Return what the editor shows for an argument that several tags have."""
    words: dict[str, list[str]] = {}
    for tag, type_ in found:
        tags = words.setdefault(describe(type_), [])
        if f"!{tag}" not in tags:
            tags.append(f"!{tag}")
    lines = [f"{word}: {', '.join(tags[:8])}{', …' if len(tags) > 8 else ''}" for word, tags in words.items()]
    types = [type_ for _, type_ in found]
    value: dict[str, Any] = {"description": "\n".join(lines)}
    if all(type_ == types[0] for type_ in types):
        value |= _value(types[0])
    return value


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


def schema_json() -> str:
    """Return the schema as JSON for ``flambe-compile --schema``."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=1).decode()

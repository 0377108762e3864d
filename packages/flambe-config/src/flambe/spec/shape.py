"""The shape of a spec beyond its types: names that can be folders, links that lead somewhere, nodes that hold what they say."""

from __future__ import annotations

import sys
from typing import Any

from flambe.errors import ConfigError
from flambe.spec.nodes import (
    ARGS,
    BYTES,
    FLOAT,
    Path,
    Spec,
    children,
    kind_of,
    stages_needed,
)

DEEPEST = 200
"""Levels of a body. Deeper ones would end in the interpreter's own limit somewhere later."""


def check_name(name: str, what: str) -> None:
    """Raise ConfigError for a name that is no relative path of plain folders: a spec may come from anywhere."""
    if "\0" in name or any(part == ".." or part[:1] in ("", ".") for part in name.split("/")):
        raise ConfigError(f"{what} {name!r} cannot be used for a folder", expected="letters, digits, '_' and '-'")


def check_names(spec: Spec, where: str = "") -> None:
    """Raise ConfigError for names of the spec or its stages that cannot be folders, or are there twice."""
    before = f"{where}: " if where else ""
    check_name(spec.name, f"{before}the name")
    seen: set[str] = set()
    for stage in spec.stages:
        # A stage is one folder: "/" parts it from its variant.
        if "/" in stage.name:
            raise ConfigError(f"{before}the stage name {stage.name!r} cannot be used for a folder")
        check_name(stage.name, f"{before}the stage name")
        if stage.name in seen:
            raise ConfigError(f"{before}there are two stages called {stage.name!r}")
        seen.add(stage.name)


def module_fault(name: str) -> str | None:
    """Return why ``name`` can be no module that a header names (``is …``), or None.

    One that has the name of a module of Python would be imported in its place, by everybody.
    """
    top = name.partition(".")[0]
    if not all(part.isidentifier() for part in name.split(".")):
        return "is no module name"
    if top == "flambe":
        return "is the name of flambe itself"
    return "is the name of a module of Python itself" if top in sys.stdlib_module_names else None


def check_shape(spec: Spec, where: str) -> None:
    """Raise ConfigError, naming ``where`` and the place, for what no tool could run."""
    check_names(spec, where)
    for module in spec.environment.extensions:
        fault = module_fault(module)
        if fault is not None:
            raise ConfigError(f"{where}: the extension {module!r} {fault}", hint="Rename it.")
    names = {stage.name for stage in spec.stages}
    for stage in spec.stages:
        check_body(stage.body, f"{where}: stage {stage.name!r}")
        for need in stages_needed(stage):
            if need not in names:
                raise ConfigError(f"{where}: the stage {stage.name!r} links to {need!r}, which is no stage")


def check_body(body: Any, where: str) -> None:
    """Raise ConfigError, naming ``where`` and the place, for nodes that do not hold what they should."""
    _check(body, (), where)


def _check(node: Any, path: Path, where: str) -> None:
    if len(path) > DEEPEST:
        raise ConfigError(f"{where} is nested too deeply", expected=f"at most {DEEPEST} levels")
    kind = kind_of(node)
    if kind is not None and not _is_sound(kind, node):
        place = ", " + ".".join(map(str, path)) if path else ""
        raise ConfigError(f"{where}{place}: {shortened(node)} is no {kind}", hint="See docs/spec.md.")
    for key, part in children(node):
        _check(part, (*path, key), where)


def _is_sound(kind: str, node: dict[str, Any]) -> bool:
    value = node[kind]
    match kind:
        case "$new":
            return isinstance(value, str) and isinstance(node.get(ARGS, []), list)
        case "$link":
            attr = node.get("attr", [])
            return (
                isinstance(value, list)
                and bool(value)
                and isinstance(value[0], str)
                and all(isinstance(part, str | int) for part in value)
                and isinstance(attr, list)
                and all(isinstance(part, str) for part in attr)
            )
        case "$grid":
            beside = [node[name] for name in ("names", "probs") if name in node]
            return (
                isinstance(value, list)
                and all(isinstance(more, list) and len(more) == len(value) for more in beside)
                and all(isinstance(name, str) for name in node.get("names", ()))
                and all(_is_number(prob) and prob >= 0 for prob in node.get("probs", ()))
            )
        case "$uniform" | "$normal" | "$beta" | "$quniform":
            size = 3 if kind == "$quniform" else 2
            return isinstance(value, list) and len(value) == size and all(map(_is_number, value))
        case "$yaml":
            return isinstance(value, str) and "value" in node
        case "$file" | "$env" | "$float" | "$bytes":
            return isinstance(value, str)
        case "$map":
            return isinstance(value, list) and all(
                isinstance(pair, list) and len(pair) == 2 and _is_key(pair[0]) for pair in value
            )
    # A kind of node that is younger than this program: whoever builds it will say so.
    return True


def _is_key(node: Any) -> bool:
    """Whether a node can be the key of a mapping: single values, and lists of them, which were tuples."""
    if isinstance(node, list):
        return all(map(_is_key, node))
    return not isinstance(node, dict) or kind_of(node) in (FLOAT, BYTES)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shortened(value: Any) -> str:
    """Return a value as a message shows it, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

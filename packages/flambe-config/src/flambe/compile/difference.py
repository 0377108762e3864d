"""What differs between two experiments, by what they mean: not by how their files are written."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from typing import Any

import msgspec

from flambe.cli.streams import read_text
from flambe.compile.compiler import compile_text, name_of
from flambe.compile.defaults import default_of
from flambe.compile.dump import node_to_yaml
from flambe.compile.extensions import import_root
from flambe.compile.library import Library
from flambe.compile.signatures import POSITIONAL, POSITIONAL_ONLY, signature_of
from flambe.compile.tags import tag_of
from flambe.errors import ConfigError
from flambe.spec.codec import dump_json, escape, load_spec
from flambe.spec.nodes import ARGS, GRID, NEW, Spec, arguments, kind_of

VERSION = "1.0"
# Where a file was and where a run is written change nothing of what is computed.
_ASIDE = ("stages", "source", "origins", "output_dir", "flambe_spec")


class Difference(msgspec.Struct, kw_only=True):
    """One place that differs. change: ``changed``, ``added`` (only in the second), ``removed`` or ``order``."""

    path: str
    change: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        if self.change == "added":
            return f"+ {self.path}: {_said(self.after)}"
        if self.change == "removed":
            return f"- {self.path}: {_said(self.before)}"
        if self.change == "order":
            return f"  {self.path}: built in the order {', '.join(self.before)} → {', '.join(self.after)}"
        return f"  {self.path}: {_said(self.before)} → {_said(self.after)}"


def read_side(path: str) -> Spec:
    """Return the spec of a YAML file, a spec (``-`` is stdin) or a run directory. Raises ``ConfigError``."""
    if os.path.isdir(path):
        inner = os.path.join(path, "spec.json")
        if not os.path.isfile(inner):
            raise ConfigError(
                f"{path} is no run directory",
                rule="missing-file",
                expected="a YAML file, a spec, or a folder such as flambe-output/NAME/exp.1",
            )
        path = inner
    text = read_text(path, what="config or spec")
    if not text.lstrip().startswith("{"):
        return compile_text(text, name=name_of(path), file="<stdin>" if path == "-" else path)
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.startswith("{") for line in lines):
        raise ConfigError(
            f"{path} holds {len(lines)} specs", rule="too-many-documents", expected="one", hint="Pick one: sed -n 1p."
        )
    return load_spec(text, where=path)


def differences(first: Spec, second: Spec) -> list[Difference]:
    """Return what differs, in the order of the first spec.

    The order of keys counts only where objects are built in it (it is the order of their random numbers), that of
    stages and of the values of a search does not. A written default is equal to none.
    """
    return list(_Comparison(_library(first, second)).specs(first, second))


def to_json(found: list[Difference], first: str, second: str) -> str:
    """Return one line of JSON: ``{"flambe_diff": "1.0", "a": …, "b": …, "equal": …, "differences": [{…}]}``."""
    document = {"flambe_diff": VERSION, "a": first, "b": second, "equal": not found, "differences": found}
    return dump_json(document).decode()


class _Comparison:
    def __init__(self, library: Library) -> None:
        self._library = library

    def specs(self, first: Spec, second: Spec) -> Iterator[Difference]:
        yield from self._fields(msgspec.structs.asdict(first), msgspec.structs.asdict(second), "", _ASIDE)
        names = list(dict.fromkeys(stage.name for stage in (*first.stages, *second.stages)))
        before = {stage.name: stage for stage in first.stages}
        after = {stage.name: stage for stage in second.stages}
        for name in names:
            if name not in after:
                yield Difference(path=name, change="removed", before=before[name].body)
            elif name not in before:
                yield Difference(path=name, change="added", after=after[name].body)
            else:
                yield from self._values(before[name].body, after[name].body, name)
                old, new = (msgspec.structs.asdict(one[name]) for one in (before, after))
                yield from self._fields(old, new, name, ("name", "body"))

    def _fields(
        self, first: dict[str, Any], second: dict[str, Any], path: str, aside: tuple[str, ...]
    ) -> Iterator[Difference]:
        for field in first:
            if field not in aside:
                old, new = (
                    msgspec.to_builtins(one[field]) if isinstance(one[field], msgspec.Struct) else one[field]
                    for one in (first, second)
                )
                yield from self._values(old, new, _join(path, field))

    def _values(self, first: Any, second: Any, path: str) -> Iterator[Difference]:
        kinds = (kind_of(first), kind_of(second))
        if kinds == (NEW, NEW):
            yield from self._objects(first, second, path)
        elif kinds == (GRID, GRID) and len(first) == len(second) == 1:
            if {dump_json(one) for one in first[GRID]} != {dump_json(one) for one in second[GRID]}:
                yield Difference(path=path, change="changed", before=first, after=second)
        elif kinds == (None, None) and isinstance(first, dict) and isinstance(second, dict):
            yield from self._mappings(first, second, path)
        elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
            for index, (old, new) in enumerate(zip(first, second, strict=True)):
                yield from self._values(old, new, f"{path}[{index}]")
        elif dump_json(first) != dump_json(second):
            yield Difference(path=path, change="changed", before=first, after=second)

    def _mappings(self, first: dict[str, Any], second: dict[str, Any], path: str) -> Iterator[Difference]:
        for key in dict.fromkeys((*first, *second)):
            place = _join(path, str(key))
            if key not in second:
                yield Difference(path=place, change="removed", before=first[key])
            elif key not in first:
                yield Difference(path=place, change="added", after=second[key])
            else:
                yield from self._values(first[key], second[key], place)
        old, new = ([key for key in one if _builds(one[key]) and key in other] for one, other in ((first, second), (second, first)))  # fmt: skip
        if old != new and set(old) == set(new):
            yield Difference(path=path, change="order", before=old, after=new)

    def _objects(self, first: dict[str, Any], second: dict[str, Any], path: str) -> Iterator[Difference]:
        if first[NEW] != second[NEW]:
            yield Difference(path=path, change="changed", before={NEW: first[NEW]}, after={NEW: second[NEW]})
        old, new = self._named(first), self._named(second)
        for found in self._mappings(old, new, path):
            name = found.path[len(path) + 1 :] if path else found.path
            if found.change in ("added", "removed") and first[NEW] == second[NEW]:
                value = found.after if found.change == "added" else found.before
                if self._is_default(first[NEW], name, value):
                    continue
            yield found

    def _named(self, node: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, where the signature tells the names of those that were given by place."""
        positional = node.get(ARGS, [])
        given = arguments(node)
        if not positional:
            return given
        try:
            signature = signature_of(self._library, node[NEW])
        except ConfigError:
            signature = None
        names: list[str] = []
        if signature is not None and len(signature.forms) == 1:
            names = [one.name for one in signature.forms[0] if one.kind in (POSITIONAL_ONLY, POSITIONAL)]
        named = {names[i] if i < len(names) else str(i): value for i, value in enumerate(positional)}
        return {**named, **given}

    def _is_default(self, target: str, argument: str, value: Any) -> bool:
        found = default_of(target, argument, self._library)
        if found is None:
            return False
        try:
            default = escape(ast.literal_eval(found[1]))
        except (ValueError, TypeError, SyntaxError):
            return False
        return dump_json(default) == dump_json(value)


def _library(*specs: Spec) -> Library:
    library = Library()
    for spec in specs:
        for module, source in spec.environment.extensions.items():
            root = import_root(module, source) if os.path.isabs(source) else None
            if root is not None:
                library.add_root(module.partition(".")[0], root)
    return library


def _builds(value: Any) -> bool:
    kind = kind_of(value)
    if kind == GRID:
        return any(map(_builds, value[GRID]))
    if isinstance(value, list):
        return any(map(_builds, value))
    return kind == NEW or (kind is None and isinstance(value, dict) and any(map(_builds, value.values())))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _said(node: Any) -> str:
    if kind_of(node) == NEW and len(node) == 1:
        return tag_of(node[NEW])
    first, _, rest = node_to_yaml(node).rstrip("\n").partition("\n")
    if kind_of(node) is None and isinstance(node, dict) and node:
        return f"{{{first}{', …' if rest else ''}}}"
    return f"{first} …" if rest else first

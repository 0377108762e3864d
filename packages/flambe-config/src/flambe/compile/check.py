"""Checks of a lowered config against the signatures of what it names, and of its links; all faults at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flambe.compile.annotations import Type, misfits, names_class, written
from flambe.compile.kind_words import came, wanted_name
from flambe.compile.kinds import Kinds
from flambe.compile.library import Library
from flambe.compile.link_check import LinkCheck
from flambe.compile.lowering import FAULT, Where
from flambe.compile.signatures import KEYWORD, POSITIONAL, POSITIONAL_ONLY, REST, Signature, signature_of, takes_any
from flambe.compile.source import Parameter
from flambe.compile.tags import flat_names, short_names
from flambe.errors import ConfigError, Faults, Notice, Position, nearest
from flambe.spec.nodes import ARGS, GRID, LINK, NEW, SEARCHES, arguments, kind_of, link_target

_WHOLE = "Write whole numbers at both ends of !s."


class Body(NamedTuple):
    """A node to check. at: its JSON path. stage: the stage whose body it is, None for schedulers and the like."""

    node: Any
    at: Where
    stage: str | None


class Checker:
    """Checks the bodies of one config. places, keys: JSON path → where a value and its key were written.

    paths: JSON path → value and type of arguments that may name files to read.
    """

    def __init__(self, library: Library, places: dict[Where, Position], keys: dict[Where, Position]) -> None:
        self._library = library
        self._places = places
        self._keys = keys
        self._signatures: dict[str, Signature | ConfigError | None] = {}
        self.kinds = Kinds(library, lambda target: None)
        self.faults: list[ConfigError] = Faults()
        self._faulty: set[Where] = set()
        self.warnings: list[Notice] = []
        self.paths: dict[Where, tuple[Any, Type]] = {}

    def check(self, bodies: Sequence[Body], names: Sequence[str] = ()) -> None:
        """Check every ``$new`` and every ``$link`` of ``bodies``; names: what else a link could have meant."""
        stages = {body.stage: body for body in bodies if body.stage is not None}
        links = LinkCheck(self, stages, list(stages), names)
        self.kinds = Kinds(self._library, links.reached)
        components: list[tuple[Where, dict[str, Any], Where | None]] = []
        for body in bodies:
            for at, config, node in _walk(body.node, body.at, ()):
                kind = kind_of(node)
                before = len(self.faults)
                if kind == NEW:
                    components.append((at, node, (body.stage, *config) if body.stage is not None else None))
                elif kind == LINK and body.stage is not None:
                    links.check(body.stage, config, at, link_target(node))
                elif kind == LINK or (kind in SEARCHES and body.stage is None):
                    what, rule = ("a link", "link-misplaced") if kind == LINK else ("a search", "search-misplaced")
                    self.fault(at, rule, f"{what} cannot stand here, only in the stages of the pipeline")
                if len(self.faults) > before:
                    self._faulty.add(at)
        # After the links: of one that leads nowhere nothing more is said.
        for at, node, path in components:
            self._component(at, node, path, list(stages))

    def fault(self, at: Where, rule: str, what: str, *, key: bool = False, **more: str | None) -> None:
        """Note a fault of the value at the JSON path ``at``, or of its key."""
        self.faults.append(ConfigError(what, rule=rule, position=self._position(at, key=key), **more))

    def warn(self, at: Where, rule: str, what: str) -> None:
        """Note what is probably wrong with the value at the JSON path ``at``."""
        self.warnings.append(Notice(what, rule, self._position(at)))

    def line(self, at: Where) -> int | None:
        """Return the line of the value at the JSON path ``at``."""
        position = self._places.get(at)
        return position.line if position is not None else None

    def _position(self, at: Where, *, key: bool = False) -> Position | None:
        position = None
        while position is None and at:
            position = (self._keys.get(at) if key else None) or self._places.get(at)
            at = at[:-1]
        return position

    # Arguments ---------------------------------------------------------------------------------------------------

    def signature(self, node: dict[str, Any]) -> Signature | ConfigError | None:
        """Return the arguments that a ``$new`` node may have; None where the source does not tell."""
        target = node[NEW]
        if target not in self._signatures:
            try:
                self._signatures[target] = signature_of(self._library, target)
            except ConfigError as error:
                self._signatures[target] = error
        return self._signatures[target]

    def _component(self, at: Where, node: dict[str, Any], config: Where | None, stages: Sequence[str]) -> None:
        signature = self.signature(node)
        if isinstance(signature, ConfigError):
            self.fault(at, signature.rule, signature.what, expected=signature.expected, hint=signature.hint)
        elif signature is not None:
            tries = [list(self._faults(at, node, signature.name, form, config, stages)) for form in signature.forms]
            for fault in min(tries, key=len):
                self.fault(fault.at, fault.rule, fault.what, key=fault.key, expected=fault.expected, hint=fault.hint)
            for parameter in signature.forms[0]:
                value = node.get(parameter.name)
                meant = self._object_meant(value, stages) if parameter.required and parameter.type is None else None
                if meant is not None:
                    what = f"{parameter.name} of {signature.name} is {written(value)}. {meant}"
                    self.warn((*at, parameter.name), "type-mismatch", what)

    def _faults(
        self,
        at: Where,
        node: dict[str, Any],
        name: str,
        form: Sequence[Parameter],
        config: Where | None,
        stages: Sequence[str],
    ) -> Iterator[_ArgumentFault]:
        given = arguments(node)
        given.pop(FAULT, None)
        positional = node.get(ARGS, [])
        slots = [parameter for parameter in form if parameter.kind in (POSITIONAL_ONLY, POSITIONAL)]
        rest = next((parameter for parameter in form if parameter.kind == REST), None)
        named = {parameter.name: parameter for parameter in form if parameter.kind in (POSITIONAL, KEYWORD)}
        filled: set[str] = set()
        for index, value in enumerate(positional):
            parameter = slots[index] if index < len(slots) else rest
            place = (*at, ARGS, index)
            if parameter is None:
                known = ", ".join(slot.name for slot in slots)
                most = f"at most {len(slots)} ({known})" if slots else "none"
                count = "argument" if len(positional) == 1 else "arguments"
                what = f"{name} got {len(positional)} {count} by position"
                yield _ArgumentFault(place, "too-many-arguments", what, expected=most)
                break
            filled.add(parameter.name)
            yield from self._typed(place, value, parameter, name, config, stages)
        open_ended = takes_any(form)
        misspelt: set[str] = set()
        for key, value in given.items():
            place = (*at, key)
            if key in filled and key in named:
                yield _ArgumentFault(
                    place,
                    "duplicate-argument",
                    f"{name} got the argument {key!r} by position and by name",
                    key=True,
                    hint="Remove one of them.",
                )
            elif key in named:
                filled.add(key)
                yield from self._typed(place, value, named[key], name, config, stages)
            elif not open_ended:
                near = nearest(key, [known for known in named if known not in given])
                hint = None if near is None else f"Did you mean {near!r}?"
                argument, equals, meant = str(key).partition("=")
                if equals and argument in named:
                    near, hint = argument, f"Write '{argument}: {meant}'."
                if near is not None:
                    misspelt.add(near)
                elif (twin := _misspelt(key, [known for known in named if known in given])) is not None:
                    hint = f"Did you mean {twin!r}, which is set already? Change it there, and take this away."
                expected = None
                if hint is None:
                    expected = f"one of {', '.join(named)}" if named else "no arguments"
                what = f"{name} has no argument {key!r}"
                yield _ArgumentFault(place, "unknown-argument", what, key=True, expected=expected, hint=hint)
        missing = [p.name for p in form if p.required and p.kind not in (REST, 4) and p.name not in filled | misspelt]
        if missing:
            words = ", ".join(repr(one) for one in missing)
            what = f"{name} needs the argument{'s' if len(missing) > 1 else ''} {words}"
            yield _ArgumentFault(at, "missing-argument", what)

    def _typed(
        self, at: Where, value: Any, parameter: Parameter, name: str, config: Where | None, stages: Sequence[str]
    ) -> Iterator[_ArgumentFault]:
        """Yield what does not fit. config: the path of the component as people write it, None outside of stages."""
        if isinstance(value, str | list | dict) and "InputPath" in str(parameter.type):
            self.paths[at] = (value, parameter.type)
        for below, part, type_ in misfits(value, parameter.type, kinds=self.kinds):
            place = (*at, *below)
            # The values that !s drew stand where it stands: they are wrong in the same way, which is said once.
            drawn = below[-2:-1] == (GRID,) and self._position(place) == self._position(place[:-2])
            if place in self._faulty or _holds_fault(part) or (drawn and place[-1] != 0):
                continue
            where = parameter.name + "".join(f"[{key}]" for key in below if key != GRID)
            if below and below[-2:-1] == (GRID,):
                where = parameter.name
            expected = wanted_name(type_, self._library, self.kinds)
            is_made = kind_of(part) == NEW and (names_class(type_) or self.kinds.gives(part))
            if kind_of(part) == LINK or is_made:
                label = f"{where} of {name}" if config is None else ".".join(map(str, (*config, where)))
                what = f"{label}: {came(part, self.kinds)}"
                yield _ArgumentFault((*at, *below), "type-mismatch", what, expected=expected)
                continue
            yield _ArgumentFault(
                (*at, *below),
                "type-mismatch",
                f"{where} of {name} is {written(part)}",
                expected=expected,
                hint=_WHOLE if drawn and isinstance(part, float) else self._advice(part, type_, stages),
            )

    def _advice(self, part: Any, type_: Type, stages: Sequence[str]) -> str | None:
        """Return what to do about a value that does not fit."""
        from flambe.compile.advice import advice

        meant = self._object_meant(part, stages) if names_class(type_) else None
        return advice(part, type_) if meant is None else meant

    def _object_meant(self, part: Any, stages: Sequence[str]) -> str | None:
        """Return what to write for the object that a text names; None where it names none."""
        if not isinstance(part, str):
            return None
        if part.lstrip().startswith("!"):
            return "Remove the quotes."
        if part in stages:
            return f"Did you mean the link !@ {part}?"
        tags = [*short_names(), *flat_names(self._library)]
        meant = part if part in tags else next((tag for tag in tags if tag.rpartition(".")[2] == part), None)
        return None if meant is None else f"Did you mean the tag !{meant}?"


class _ArgumentFault(NamedTuple):
    at: Where
    rule: str
    what: str
    key: bool = False
    expected: str | None = None
    hint: str | None = None


def _walk(node: Any, at: Where, config: Where) -> Iterator[tuple[Where, Where, Any]]:
    """Yield (JSON path, path as links write it, value) of all values in build order."""
    yield at, config, node
    kind = kind_of(node)
    if kind == GRID:
        for index, option in enumerate(node[GRID]):
            yield from _walk(option, (*at, GRID, index), config)
    elif kind in (NEW, FAULT):
        for index, item in enumerate(node.get(ARGS, ())):
            yield from _walk(item, (*at, ARGS, index), (*config, index))
        for key, item in node.items():
            if not key.startswith("$"):
                yield from _walk(item, (*at, key), (*config, key))
    elif kind is None and isinstance(node, dict):
        for key, item in node.items():
            yield from _walk(item, (*at, key), (*config, key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _walk(item, (*at, index), (*config, index))


def _misspelt(key: Any, known: Sequence[str]) -> str | None:
    """Return the name that is surely meant, which is asked more of than of a suggestion: it is there, and right as it is."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(str(key), known, 1, cutoff=0.8)), None)


def _holds_fault(node: Any) -> bool:
    if isinstance(node, dict):
        return FAULT in node or any(map(_holds_fault, node.values()))
    return isinstance(node, list) and any(map(_holds_fault, node))

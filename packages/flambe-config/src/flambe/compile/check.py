"""Checks of a lowered config against the signatures of what it names, and of its links; all faults at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flambe.build.link import ORDER_RULE, create_link_str
from flambe.compile.annotations import Type, misfits, names_class, written
from flambe.compile.kinds import Kinds, came, wanted_name
from flambe.compile.library import Library
from flambe.compile.lowering import FAULT, Where
from flambe.compile.signatures import KEYWORD, POSITIONAL, POSITIONAL_ONLY, REST, Signature, signature_of, takes_any
from flambe.compile.source import Parameter
from flambe.compile.tags import flat_names, short_names
from flambe.errors import ConfigError, Faults, Notice, Position, did_you_mean, nearest
from flambe.spec.nodes import ARGS, GRID, LINK, MAP, NEW, SEARCHES, YAML, LinkTarget, arguments, kind_of, link_target

_WHOLE = "Write whole numbers at both ends of !s."


class Body(NamedTuple):
    """A node to check. at: its JSON path. stage: the stage whose body it is, None for schedulers and the like."""

    node: Any
    at: Where
    stage: str | None


class Checker:
    """Checks the bodies of one config. places, keys: JSON path → where a value and its key were written."""

    def __init__(self, library: Library, places: dict[Where, Position], keys: dict[Where, Position]) -> None:
        self._library = library
        self._places = places
        self._keys = keys
        self._signatures: dict[str, Signature | ConfigError | None] = {}
        self.kinds = Kinds(library, lambda target: None)
        self.faults: list[ConfigError] = Faults()
        self._faulty: set[Where] = set()
        self.warnings: list[Notice] = []

    def check(self, bodies: Sequence[Body], names: Sequence[str] = ()) -> None:
        """Check every ``$new`` and every ``$link`` of ``bodies``; names: what else a link could have meant."""
        stages = {body.stage: body for body in bodies if body.stage is not None}
        links = _LinkCheck(self, stages, list(stages), names)
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
        for below, part, type_ in misfits(value, parameter.type, kinds=self.kinds):
            place = (*at, *below)
            # The values that !s drew stand where it stands: they are wrong in the same way, which is said once.
            drawn = below[-2:-1] == (GRID,) and self._position(place) == self._position(place[:-2])
            if place in self._faulty or _holds_fault(part) or (drawn and place[-1] != 0):
                continue
            where = parameter.name + "".join(f"[{key}]" for key in below if key != GRID)
            if below and below[-2:-1] == (GRID,):
                where = parameter.name
            expected = wanted_name(type_, self._library)
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


class _LinkCheck:
    """Follows links through the config, as the builder will follow them through objects."""

    def __init__(self, checker: Checker, stages: dict[str, Body], order: list[str], names: Sequence[str]) -> None:
        self._checker = checker
        self._stages = stages
        self._order = order
        self._names = names

    def check(self, stage: str, config: Where, at: Where, target: LinkTarget) -> None:
        """Check one link that stands at the config path ``config`` of ``stage``."""
        text = create_link_str(target.path, target.attr)
        root = str(target.path[0])
        if root not in self._stages:
            known = [*self._order, *self._names]
            head = re.split(r"[^\w-]", root)[0]
            if head in known and head != root:
                hint = "Keys stand in brackets, attributes of the object after dots: stage[key].attribute."
                self._checker.fault(
                    at, "link-unknown", f"the link {text!r} begins with {root!r}, which is no stage", hint=hint
                )
                return
            self._checker.fault(
                at,
                "link-unknown",
                f"the link {text!r} begins with {root!r}, which is no stage",
                expected=f"one of {', '.join(known)}" if did_you_mean(root, known) is None and known else None,
                hint=did_you_mean(root, known),
            )
            return
        if self._order.index(root) > self._order.index(stage):
            line = self._line(self._stages[root].at)
            what = f"the link {text!r} points to the stage {root!r}, which comes later{line}"
            self._checker.fault(at, "link-later", what, hint=ORDER_RULE + ".")
            return
        rest = target.path[1:]
        if root == stage:
            if config[: len(rest)] == rest:
                what = f"the link {text!r} points to an object that it is a part of"
                hint = self._with_brackets(root, config, target) or ORDER_RULE + "."
                self._checker.fault(at, "link-to-itself", what, hint=hint)
                return
            if self._comes_later(self._stages[root].node, rest, config):
                what = f"the link {text!r} points to what stands below it"
                self._checker.fault(at, "link-later", what, hint=ORDER_RULE + ".")
                return
        if self._follow(at, text, target) is not None and target.attr:
            self._attribute(at, text, target)

    def _with_brackets(self, root: str, config: Where, target: LinkTarget) -> str | None:
        """Return what to write for an argument from above that was asked of the object: ``train[model]``, not ``train.model``."""
        path = (*target.path, *target.attr[:1])
        rest = path[1:]
        if not target.attr or config[: len(rest)] == rest or self.reached(LinkTarget(path)) is None:
            return None
        if self._comes_later(self._stages[root].node, rest, config):
            return None
        return f"An argument that stands above is reached with brackets: {create_link_str(path, target.attr[1:])}."

    def _attribute(self, at: Where, text: str, target: LinkTarget) -> None:
        """Note a link to an attribute that looks like a misspelt one: source never shows all that an object may have."""
        missing = self._checker.kinds.missing(target)
        if missing is None:
            return
        name, attribute, known, is_all = missing
        hint = did_you_mean(attribute, known)
        if hint is not None and is_all:
            what = f"the link {text!r} leads nowhere: {name} has no attribute {attribute!r}"
            self._checker.fault(at, "link-missing", what, hint=hint)
        elif hint is not None:
            what = f"the link {text!r} may lead nowhere: nothing shows that {name} has {attribute!r}. {hint}"
            self._checker.warn(at, "link-missing", what)

    def reached(self, target: LinkTarget) -> list[Any] | None:
        """Return what the brackets of a link may reach; None when it cannot be told. Notes no faults."""
        return self._follow(None, "", target)

    def _line(self, at: Where) -> str:
        position = self._checker._places.get(at)
        return f" (line {position.line})" if position else ""

    def _comes_later(self, node: Any, target: Where, link: Where) -> bool:
        for theirs, ours in zip(target, link, strict=False):
            if theirs != ours:
                keys = [key for one in _options(node) for key in _keys(one)]
                return theirs in keys and ours in keys and keys.index(theirs) > keys.index(ours)
            inner = [found for one in _options(node) for found in _inside(one, theirs)]
            if not inner:
                return False
            node = inner[0]
        return False

    def _follow(self, at: Where | None, text: str, target: LinkTarget, depth: int = 0) -> list[Any] | None:
        """Return what the brackets of a link may reach; None when it cannot be told. at: None notes no faults."""
        body = self._stages.get(str(target.path[0]))
        if body is None or depth > 20:
            return None
        nodes = _options(body.node)
        for index, key in enumerate(target.path[1:], start=1):
            reached: list[Any] = []
            for node in nodes:
                if kind_of(node) == LINK:
                    inner = link_target(node)
                    if inner.attr or inner.call:
                        return None
                    followed = self._follow(at, text, inner, depth + 1)
                    if followed is None:
                        return None
                    for one in followed:
                        reached += _inside(one, key)
                elif kind_of(node) in (FAULT, YAML, MAP):
                    return None
                else:
                    reached += _inside(node, key)
            if not reached and at is None:
                return None
            if not reached:
                assert at is not None
                self._missing(at, text, target.path[:index], key, nodes)
                return None
            nodes = [option for one in reached for option in _options(one)]
        return nodes

    def _parameters(self, node: Any) -> list[Parameter]:
        signature = self._checker.signature(node) if kind_of(node) == NEW else None
        return [one for form in signature.forms for one in form] if isinstance(signature, Signature) else []

    def _missing(self, at: Where, text: str, path: Where, key: str | int, nodes: list[Any]) -> None:
        place = create_link_str(path)
        known = [str(one) for node in nodes for one in _keys(node)]
        parameters = [one for node in nodes for one in self._parameters(node) if one.name == key]
        if any(one.required for one in parameters):
            return  # it was said already that this argument is missing
        if parameters:
            what = f"the link {text!r} leads nowhere: {place} has no [{key}] in the config, it has its default"
            remedy = f"Write {key} there, or read the attribute of the object: {place}.{key}."
            self._checker.fault(at, "link-missing", what, hint=remedy)
            return
        if not known and all(not isinstance(node, dict | list) for node in nodes):
            what = f"the link {text!r} leads nowhere: {place} is a plain value, there is no [{key}] in it"
            self._checker.fault(at, "link-missing", what)
            return
        hint = did_you_mean(str(key), known)
        if isinstance(key, int) and str(key) in known and all(isinstance(node, dict) for node in nodes):
            hint = f"Write ['{key}'] for a key that is text."
        self._checker.fault(
            at,
            "link-missing",
            f"the link {text!r} leads nowhere: {place} has no [{key}] in the config",
            expected=f"one of {', '.join(known)}" if known and hint is None else None,
            hint=hint,
        )


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


def _holds_fault(node: Any) -> bool:
    if isinstance(node, dict):
        return FAULT in node or any(map(_holds_fault, node.values()))
    return isinstance(node, list) and any(map(_holds_fault, node))


def _options(node: Any) -> list[Any]:
    if kind_of(node) == GRID:
        return [inner for option in node[GRID] for inner in _options(option)]
    return [node]


def _keys(node: Any) -> list[str | int]:
    if isinstance(node, list):
        return list(range(len(node)))
    if not isinstance(node, dict):
        return []
    return [*range(len(node.get(ARGS, ()))), *(key for key in node if not key.startswith("$"))]


def _inside(node: Any, key: str | int) -> list[Any]:
    """Return the part of a value that a bracket names: a list of one, or of none."""
    if isinstance(node, list) and isinstance(key, int):
        return [node[key]] if -len(node) <= key < len(node) else []
    if isinstance(node, dict):
        if isinstance(key, int):
            positional = node.get(ARGS, [])
            return [positional[key]] if -len(positional) <= key < len(positional) else []
        if key in node and not key.startswith("$"):
            return [node[key]]
    return []

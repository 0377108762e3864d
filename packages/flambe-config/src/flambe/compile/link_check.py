"""Checks of links: each leads to something that is made before it, through brackets and attributes that are there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flambe.build.link import ORDER_RULE, create_link_str
from flambe.compile.lowering import FAULT, Where
from flambe.compile.signatures import Signature
from flambe.compile.source import Parameter
from flambe.errors import did_you_mean
from flambe.spec.nodes import ARGS, GRID, LINK, MAP, NEW, YAML, LinkTarget, kind_of, link_target

if TYPE_CHECKING:
    from flambe.compile.check import Body, Checker


class LinkCheck:
    """Follows links through the config, as the builder will follow them through objects.

    checker: gets the faults. stages: name → body. order: of the stages. names: what else a link could have meant.
    """

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
            if root == "seed":
                from flambe.compile.advice import SEED

                what = f"the link {text!r} begins with {root!r}, which is no stage"
                self._checker.fault(at, "link-unknown", what, hint=SEED)
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
            line = self._checker.line(self._stages[root].at)
            where = f" (line {line})" if line is not None else ""
            what = f"the link {text!r} points to the stage {root!r}, which comes later{where}"
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
        elif (outputs := self._checker.kinds.outputs(target)) and attribute not in outputs:
            what = f"the link {text!r} may lead nowhere: nothing shows that {name} has {attribute!r}, only {', '.join(outputs)}"
            self._checker.warn(at, "link-missing", what)

    def reached(self, target: LinkTarget) -> list[Any] | None:
        """Return what the brackets of a link may reach; None when it cannot be told. Notes no faults."""
        return self._follow(None, "", target)

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

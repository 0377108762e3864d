"""The stages of an experiment, and what is said of them by name: ``reduce``, ``schedulers``, ``search``, resources."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map
from typing import Any

import msgspec

from flambe.compile.annotations import written
from flambe.compile.lowering import FAULT, Lowering, Place, Where
from flambe.compile.yaml import Alias, Mapping, Node, Scalar
from flambe.errors import ConfigError, Position
from flambe.spec.nodes import FILE, NEW, Spec, Stage

NAME = re.compile(r"[^\W\d][\w-]*\Z")
"""Of a stage, or of a resource: what a link may begin with."""

Pairs = dict[str, tuple[Node, Node]]
"""Parameter → its key and its value."""


class Stages:
    """Puts stages into a spec. files: what links may name beside stages; resources: those that this experiment names itself.

    roots: what a link in the only stage of a ``!Search`` may begin with → the path that is meant. checks: (node, JSON path,
    stage) of all that is to be checked. Faults are noted in ``lowering``.
    """

    def __init__(
        self,
        lowering: Lowering,
        files: Map[str, str],
        resources: Map[str, str],
        roots: Map[str, Where],
        *,
        is_pipeline: bool,
    ) -> None:
        self.checks: list[tuple[Any, Where, str | None]] = []
        self._low = lowering
        self._files = files
        self._resources = resources
        self._roots = roots
        self._is_pipeline = is_pipeline
        self._lost: set[str] = set()  # stages whose algorithm is a fault already

    def lower(self, node: Node, parameter: str, spec: Spec) -> None:
        """Take the stages themselves: the value of ``parameter``."""
        low = self._low
        node = bare(node)
        if not isinstance(node, Mapping) or node.tag is not None or not node.items:
            what, expected = f"{parameter} holds no stages", "a mapping of stage name: !Component"
            low.fault(node.position, what, rule="invalid-parameter", expected=expected)
            return
        pairs = low.pairs(node)
        names = {str(key) for key, _, _ in pairs}

        def link_root(name: str) -> Where | dict[str, Any] | None:
            if name in names:
                return (name,)
            if name in self._roots:
                return self._roots[name]
            return {FILE: self._files[name]} if name in self._files else None

        low.link_root = link_root
        for name, key_node, value in pairs:
            self._stage(str(name), key_node.position, value, spec)

    def add(self, given: Pairs, spec: Spec) -> None:
        """Take the parameters that are mappings by stage: ``reduce``, ``schedulers`` and the like."""
        fields = {"reduce": "reduce", "schedulers": "scheduler", "search": "search", "algorithm": "search",
                  "cpus_per_trial": "cpus", "gpus_per_trial": "gpus"}  # fmt: skip
        names = [stage.name for stage in spec.stages]
        for parameter, field in fields.items():
            if parameter not in given:
                continue
            node = bare(given[parameter][1])
            if isinstance(node, Scalar) and node.tag is None and node.text in ("", "~", "null"):
                continue
            if not isinstance(node, Mapping) or node.tag is not None:
                shown = written(self._low.value(node, Place((parameter,), None)))
                what = f"{parameter} is {shown}"
                self._low.fault(node.position, what, rule="invalid-parameter", expected="a mapping of stage: value")
                self._lost.update(names if field == "search" else ())
                continue
            for name, key_node, value in self._low.pairs(node):
                if name in names:
                    index = names.index(str(name))
                    within = ("resources",) if field in ("cpus", "gpus") else ()
                    at: Where = ("stages", index, *within, field)
                    self._low.keys[at] = key_node.position
                    spec.stages[index] = self._set(spec.stages[index], parameter, field, value, at)
                elif names:
                    unknown_stage(self._low, parameter, str(name), key_node.position, names)

    def _set(self, stage: Stage, parameter: str, field: str, node: Node, at: Where) -> Stage:
        value = self._low.value(node, Place(at, None))
        expected = None
        if isinstance(value, dict) and FAULT in value:
            if field == "search":
                self._lost.add(stage.name)
            return stage
        if field == "reduce":
            if isinstance(value, int) and not isinstance(value, bool):
                if value <= 0:  # as 0.4 read it
                    what = f"reduce of {stage.name!r} is {value}, which keeps every variant"
                    self._low.warn(node.position, what, "unused-value")
                return msgspec.structs.replace(stage, reduce=value if value > 0 else None)
            expected = "how many variants to keep, 1 or more"
        elif field in ("cpus", "gpus"):
            if is_amount(value):
                return msgspec.structs.replace(stage, resources={**(stage.resources or {}), field: value})
            expected = "a number"
        elif value is None:
            return stage
        elif isinstance(value, dict) and NEW in value:
            node_ = self._heeded(value, node, at)
            own = self._own_arguments(node_, at) if field == "search" else ()
            self.checks.append(({name: item for name, item in node_.items() if name not in own}, at, None))
            return msgspec.structs.replace(stage, **{field: node_})
        else:
            example = "!ray.ASHAScheduler" if field == "scheduler" else "!RandomSearch"
            expected = f"a tag such as {example}, with its arguments"
        if field == "search":
            self._lost.add(stage.name)
        what = f"{parameter} of {stage.name!r} is {written(value)}"
        self._low.fault(node.position, what, rule="invalid-parameter", expected=expected)
        return stage

    def _own_arguments(self, node: dict[str, Any], at: Where) -> tuple[str, ...]:
        """Return the arguments of a search algorithm that are not of its class: those of every search, and what was meant so."""
        from difflib import get_close_matches

        from flambe.compile.trials import OF_SEARCHERS

        if str(node[NEW]).startswith("flambe.search:"):
            return ()
        misspelt = tuple(
            name for name in node if name not in OF_SEARCHERS and get_close_matches(name, OF_SEARCHERS, cutoff=0.85)
        )
        for name in misspelt:
            what = f"{str(node[NEW]).rpartition(':')[2]} has no argument {name!r}"
            self._low.unknown(self._low.keys[(*at, name)], what, name, OF_SEARCHERS, "unknown-argument")
        return (*OF_SEARCHERS, *misspelt)

    def check_draws(self, spec: Spec) -> None:
        """Note what is wrong with algorithms that draw, and distributions that none draws from."""
        low = self._low
        if not low.endless and all(stage.search is None for stage in spec.stages):
            return  # as most files: they need not wait for what draws
        from flambe.compile.trials import RANDOM_SEARCH, algorithm_name, budget_of, drawn_stages, read_random_search

        parameter = "algorithm" if self._is_pipeline else "search"
        for index, stage in enumerate(spec.stages):
            # What is no integer at all, its signature says.
            if algorithm_name(stage) == RANDOM_SEARCH and isinstance(budget_of(stage), int):
                try:
                    read_random_search(stage, spec.seed)
                except ConfigError as error:
                    low.note(error, low.places[("stages", index, "search")])
        drawn = drawn_stages(spec) | self._lost
        for place in low.endless:
            stage_name = str(place.config[0]) if place.config else None
            if stage_name is not None and stage_name not in drawn:
                written = "!RandomSearch {trial_budget: 20}"
                way = f"algorithm: {written}" if self._roots else f"{parameter}: {{{stage_name}: {written}}}"
                low.endless_fault(place, f"Add '{way}' to draw from it")

    def _heeded(self, value: dict[str, Any], node: Node, at: Where) -> dict[str, Any]:
        """Return a Tune algorithm without the arguments that flambe sets itself, and warn of them."""
        if not str(value[NEW]).startswith("ray."):
            return value
        from flambe.compile.tune_arguments import SET_BY_US, unheeded

        if "reward_attr" in value:
            self._low.warn(node.position, "reward_attr is called metric today; flambe sets it itself", "old-spelling")
        for key, what in unheeded(value):
            self._low.warn(self._low.keys.get((*at, key), node.position), what, "unused-value")
        return {key: item for key, item in value.items() if key != "reward_attr" and key not in SET_BY_US}

    def _stage(self, name: str, position: Position, node: Node, spec: Spec) -> None:
        low = self._low
        if not NAME.match(name):
            what, expected = f"the stage name {name!r} cannot be used", "letters, digits, '_' and '-'"
            low.fault(position, what, rule="invalid-name", expected=expected)
        elif name in self._resources:
            what = f"the stage {name!r} has the name of a resource"
            low.fault(position, what, rule="duplicate-name", hint="Rename one of them.")
        at: Where = ("stages", len(spec.stages), "body")
        body = low.value(node, Place(at, (name,)))
        if not (isinstance(body, dict) and (NEW in body or FAULT in body)):
            from flambe.compile.advice import advice

            hint = advice(body, None) if isinstance(body, dict) else None
            if isinstance(body, dict) and "$grid" in body:
                hint = "A list of components to try is a search of arguments: put !g inside of the stage."
            low.fault(
                node.position,
                f"the stage {name!r} is no component",
                rule="not-a-component",
                expected="a tag such as !Trainer, with its arguments",
                hint=hint,
            )
            body = {FAULT: True}
        seedless = NEW in body and low.library.flag(body[NEW], "seedless")
        spec.stages.append(Stage(name=name, body=body, seedless=seedless))
        self.checks.append((body, at, name))


def unknown_stage(lowering: Lowering, parameter: str, name: str, position: Position, names: list[str]) -> None:
    """Note that a parameter names what is no stage."""
    lowering.unknown(position, f"{parameter} names {name!r}, which is no stage", name, names, "unknown-stage")


def bare(node: Node) -> Node:
    """Return what an alias stands for, or the node itself."""
    return node.target if isinstance(node, Alias) else node


def is_amount(value: Any) -> bool:
    """Whether a value is an amount of CPUs or GPUs."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0

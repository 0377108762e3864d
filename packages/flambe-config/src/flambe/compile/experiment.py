"""``!Experiment`` (0.4), ``!Pipeline`` and ``!Search`` (1.0) → stages, with every parameter of either generation."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import msgspec

from flambe.compile.annotations import written
from flambe.compile.extensions import Header, file_path, is_remote_path
from flambe.compile.lowering import FAULT, GRID_TAGS, Lowering, Place, Where
from flambe.compile.yaml import Alias, Mapping, Node, Scalar, Sequence, child
from flambe.errors import ConfigError, Position, nearest
from flambe.spec.nodes import FILE, GRID, NEW, Environment, Spec, Stage

if TYPE_CHECKING:
    from flambe.compile.single_search import SingleSearch

EXPERIMENT = (
    "name", "pipeline", "resume", "debug", "devices", "save_path", "resources", "search", "schedulers", "reduce", "env",
    "max_failures", "stop_on_failure", "merge_plot", "user_provider", "seed", "ordering", "cpus_per_trial",
    "gpus_per_trial",
)  # fmt: skip
PIPELINE = ("name", "stages", "algorithm", "reduce", "cpus_per_trial", "gpus_per_trial", "seed", "save_path")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
_STAGE = re.compile(r"[^\W\d][\w-]*\Z")

# What the other of the two calls the same thing.
_OTHER_NAMES = {"stages": "pipeline", "pipeline": "stages", "algorithm": "search", "search": "algorithm"}

_Pairs = dict[str, tuple[Node, Node]]


def lower_experiment(
    top: Node, lowering: Lowering, header: Header, name: str
) -> tuple[Spec, list[tuple[Any, Where, str | None]], list[str]]:
    """Return the spec, the (node, JSON path, stage) of all that is to be checked, and the names of its resources.

    name: of the config's file; used when the experiment has none. Faults are noted in ``lowering``.
    """
    search = None
    if top.tag == "!Search":
        from flambe.compile.single_search import single_search

        search = single_search(top, lowering)
        if search is None:
            return Spec(name=name, stages=[]), [], []
    return _Experiment(top, lowering, header, name, search).lower()


class _Experiment:
    def __init__(
        self, top: Node, lowering: Lowering, header: Header, name: str, search: SingleSearch | None = None
    ) -> None:
        self._top = search.pipeline if search is not None else top
        self._roots = search.roots if search is not None else {}
        self._low = lowering
        self._header = header
        self._name = name
        self._is_pipeline = self._top.tag == "!Pipeline"
        self._checks: list[tuple[Any, Where, str | None]] = []
        self._files: dict[str, str] = {}
        self._remote: list[str] = []
        self._meant: set[str] = set()  # the parameters that misspelt ones were probably meant to be
        self._lost: set[str] = set()  # stages whose algorithm is a fault already

    def lower(self) -> tuple[Spec, list[tuple[Any, Where, str | None]], list[str]]:
        given = self._parameters()
        low = self._low
        spec = Spec(name=self._text(given, "name") or self._name, stages=[])
        if "name" in given and spec.name and not _NAME.match(spec.name):
            low.fault(
                given["name"][1].position,
                f"the name {spec.name!r} cannot be used",
                rule="invalid-name",
                expected="letters, digits, '-' and '_', beginning with a letter or digit",
            )
        spec.output_dir = os.path.expanduser(
            self._text(given, "save_path") or self._header.output_dir or spec.output_dir
        )
        self._seed(given, spec)
        low.seed = spec.seed
        spec.debug = self._flag(given, "debug", self._header.debug)
        spec.merge_plot = self._flag(given, "merge_plot", spec.merge_plot)
        spec.stop_on_failure = self._flag(given, "stop_on_failure", spec.stop_on_failure)
        spec.max_failures = self._number(given, "max_failures", spec.max_failures)
        self._ordering(given, spec)
        for unused in ("env", "user_provider"):
            if unused in given and self._plain(given, unused) is not None:
                what = f"{unused} is set by the system; what stands here is not used"
                low.warn(given[unused][1].position, what, "unused-value")
        self._resources(given)
        spec.environment = Environment(
            extensions=dict(self._header.extensions),
            files={**self._header.files, **self._files},
            remote=[*self._header.remote, *self._remote],
            extra=dict(self._header.extra),
        )
        spec.devices = self._devices(given)
        self._stages(given, spec)
        self._per_stage(given, spec)
        self._resume(given, spec)
        self._draws(given, spec)
        return spec, self._checks, list(self._files)

    def _parameters(self) -> _Pairs:
        known = PIPELINE if self._is_pipeline else EXPERIMENT
        what = "!Pipeline" if self._is_pipeline else "!Experiment"
        pairs: _Pairs = {}
        if not isinstance(self._top, Mapping):
            if not (isinstance(self._top, Scalar) and not self._top.text):
                self._low.fault(
                    self._top.position, f"{what} holds no parameters", rule="invalid-parameter", expected="a mapping"
                )
            elif self._top:
                self._no_stages(what, known[1])
            return pairs
        for key, key_node, value in self._low.pairs(self._top):
            if key in known:
                pairs[str(key)] = (key_node, value)
            else:
                same = _OTHER_NAMES.get(str(key))
                meant = same or nearest(str(key), known)
                self._meant.add(str(meant))
                hint = None if meant is None else f"Did you mean {meant!r}?"
                hint = hint or self._below_stages(str(key), value, known[1])
                self._low.fault(
                    key_node.position,
                    f"{what} has no parameter {key!r}",
                    rule="unknown-parameter",
                    expected=None if hint else f"one of {', '.join(known)}",
                    hint=hint,
                )
        return pairs

    def _below_stages(self, key: str, value: Node, parameter: str) -> str | None:
        """Return what to do about a stage, or a key of one, that stands beside the stages."""
        first, *rest = key.split(".")
        stages = child(self._top, parameter)
        is_stage = stages is not None and child(stages, first) is not None
        if is_stage and rest:
            inside = "".join(f"{{{part}: " for part in rest) + "…" + "}" * len(rest)
            return f"Dots are for the command line; write {first}: {inside} below '{parameter}:'."
        if is_stage or (isinstance(_bare(value), Mapping | Scalar) and _bare(value).tag):
            return f"A stage stands below '{parameter}:', indented further than it."
        return None

    def _no_stages(self, what: str, parameter: str) -> None:
        expected = f"its stages below '{parameter}:', each as name: !Component"
        self._low.fault(self._top.position, f"{what} has no {parameter!r}", rule="missing-parameter", expected=expected)

    # Plain parameters --------------------------------------------------------------------------------------------

    def _plain(self, given: _Pairs, name: str) -> Any:
        if name not in given:
            return None
        at = {"save_path": "output_dir"}.get(name, name)
        return self._low.value(given[name][1], Place((at,), None))

    def _wrong(self, given: _Pairs, name: str, value: Any, expected: str, type_: str = "") -> None:
        from flambe.compile.advice import advice

        position, hint = given[name][1].position, advice(value, type_)
        what = f"{name} is {written(value)}"
        self._low.fault(position, what, rule="invalid-parameter", expected=expected, hint=hint)

    def _text(self, given: _Pairs, name: str) -> str | None:
        value = self._plain(given, name)
        if value is None or isinstance(value, str):
            return value or None
        if isinstance(value, int | float) and not isinstance(value, bool):
            node = given[name][1]
            return node.text if isinstance(node, Scalar) else str(value)
        self._wrong(given, name, value, "text")
        return None

    def _number(self, given: _Pairs, name: str, default: int) -> int:
        value = self._plain(given, name)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._wrong(given, name, value, "an integer, 0 or more", "int")
        return default

    def _seed(self, given: _Pairs, spec: Spec) -> None:
        node = _bare(given["seed"][1]) if "seed" in given else None
        if node is not None and node.tag == "!seeds":
            from flambe.compile.search_tag import seeds_of

            found = seeds_of(node, "", Place(("seeds",), None), self._low)
            spec.seed, spec.seeds = found or (spec.seed, [])
        elif node is not None and (node.tag or "").removeprefix("!") in GRID_TAGS:
            value = self._plain(given, "seed")
            seeds = value.get(GRID, []) if isinstance(value, dict) else []
            if seeds and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in seeds):
                spec.seed, spec.seeds = seeds[0], seeds
            elif seeds:
                what = "seed tries something else than seeds"
                self._low.fault(node.position, what, rule="invalid-parameter", expected="integers, 0 or more")
        else:
            spec.seed = self._number(given, "seed", spec.seed)

    def _flag(self, given: _Pairs, name: str, default: bool) -> bool:
        value = self._plain(given, name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._wrong(given, name, value, "true or false", "bool")
        return default

    def _ordering(self, given: _Pairs, spec: Spec) -> None:
        value = self._plain(given, "ordering")
        if value in ("step", "arrival"):
            spec.ordering = value
        elif value is not None:
            self._wrong(given, "ordering", value, "step or arrival")

    def _devices(self, given: _Pairs) -> dict[str, float] | None:
        value = self._plain(given, "devices")
        if value is None:
            return None
        plural = {"cpu": "cpus", "gpu": "gpus", "cpus": "cpus", "gpus": "gpus"}
        if isinstance(value, dict) and all(key in plural and _is_amount(amount) for key, amount in value.items()):
            return {plural[key]: amount for key, amount in value.items()}
        self._wrong(given, "devices", value, "amounts of cpu and gpu, such as {cpu: 2, gpu: 1}")
        return None

    # Resources ---------------------------------------------------------------------------------------------------

    def _resources(self, given: _Pairs) -> None:
        node = _bare(given["resources"][1]) if "resources" in given else None
        if node is None or (isinstance(node, Scalar) and not node.text):
            return
        if not isinstance(node, Mapping):
            shown = written(self._low.value(node, Place(("resources",), None)))
            self._low.fault(
                node.position, f"resources is {shown}", rule="invalid-parameter", expected="a mapping of name: path"
            )
            return
        pairs = self._low.pairs(node)
        if all(key in ("local", "remote") and isinstance(_bare(value), Mapping) for key, _, value in pairs):
            for section, _, value in pairs:
                inner = _bare(value)
                assert isinstance(inner, Mapping)
                for name, _, path in self._low.pairs(inner):
                    self._resource(str(name), path, here=section == "local")
        else:
            for name, _, path in pairs:
                self._resource(str(name), path, here=True)

    def _resource(self, name: str, node: Node, *, here: bool) -> None:
        """Take one resource. here: its path is one of this machine. ``!cluster`` says that it is not."""
        bare = _bare(node)
        if not isinstance(bare, Scalar) or not bare.text or bare.tag not in (None, "!cluster", "!ClusterResource"):
            self._low.fault(
                node.position,
                f"the resource {name!r} has no path",
                rule="invalid-parameter",
                expected="the text of a path or URL, or !cluster PATH",
            )
        elif name in self._files or name in self._header.files:
            what = f"the resource {name!r} is there twice"
            self._low.fault(node.position, what, rule="duplicate-name", hint="Rename one of them.")
        elif not _STAGE.match(name):
            what = f"no link can name the resource {name!r}"
            self._low.fault(node.position, what, rule="invalid-name", expected="letters, digits, '_', '-'")
        elif here and bare.tag is None:
            self._files[name] = file_path(bare.text, bare.position, self._low, must_exist=True)
        elif is_remote_path(bare.text, bare.position, self._low):
            self._remote.append(name)
            self._files[name] = bare.text

    # Stages ------------------------------------------------------------------------------------------------------

    def _stages(self, given: _Pairs, spec: Spec) -> None:
        parameter = "stages" if self._is_pipeline else "pipeline"
        low = self._low
        if parameter not in given:
            if isinstance(self._top, Mapping) and parameter not in self._meant:
                self._no_stages("!Pipeline" if self._is_pipeline else "!Experiment", parameter)
            return
        node = _bare(given[parameter][1])
        if not isinstance(node, Mapping) or node.tag is not None or not node.items:
            what, expected = f"{parameter} holds no stages", "a mapping of stage name: !Component"
            low.fault(node.position, what, rule="invalid-parameter", expected=expected)
            return
        pairs = low.pairs(node)
        names = {str(key) for key, _, _ in pairs}
        files = {**self._header.files, **self._files}
        low.files = files

        def link_root(name: str) -> Where | dict[str, Any] | None:
            if name in names:
                return (name,)
            if name in self._roots:
                return self._roots[name]
            return {FILE: files[name]} if name in files else None

        low.link_root = link_root
        for name, key_node, value in pairs:
            self._stage(str(name), key_node.position, value, spec)

    def _stage(self, name: str, position: Position, node: Node, spec: Spec) -> None:
        low = self._low
        if not _STAGE.match(name):
            what, expected = f"the stage name {name!r} cannot be used", "letters, digits, '_' and '-'"
            low.fault(position, what, rule="invalid-name", expected=expected)
        elif name in self._files:
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
        self._checks.append((body, at, name))

    def _per_stage(self, given: _Pairs, spec: Spec) -> None:
        fields = {"reduce": "reduce", "schedulers": "scheduler", "search": "search", "algorithm": "search",
                  "cpus_per_trial": "cpus", "gpus_per_trial": "gpus"}  # fmt: skip
        names = [stage.name for stage in spec.stages]
        for parameter, field in fields.items():
            if parameter not in given:
                continue
            node = _bare(given[parameter][1])
            if isinstance(node, Scalar) and node.tag is None and node.text in ("", "~", "null"):
                continue
            if not isinstance(node, Mapping) or node.tag is not None:
                shown = written(self._low.value(node, Place((parameter,), None)))
                what = f"{parameter} is {shown}"
                self._low.fault(node.position, what, rule="invalid-parameter", expected="a mapping of stage: value")
                continue
            for name, key_node, value in self._low.pairs(node):
                if name in names:
                    index = names.index(str(name))
                    at: Where = ("stages", index, field)
                    self._low.keys[at] = key_node.position
                    spec.stages[index] = self._set(spec.stages[index], parameter, field, value, at)
                elif names:
                    self._unknown_stage(parameter, str(name), key_node.position, names)

    def _unknown_stage(self, parameter: str, name: str, position: Position, names: list[str]) -> None:
        self._low.unknown(position, f"{parameter} names {name!r}, which is no stage", name, names, "unknown-stage")

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
            if _is_amount(value):
                return msgspec.structs.replace(stage, resources={**(stage.resources or {}), field: value})
            expected = "a number"
        elif value is None:
            return stage
        elif isinstance(value, dict) and NEW in value:
            node_ = self._modern(value, node)
            own = _own_arguments(node_) if field == "search" else ()
            self._checks.append(({name: item for name, item in node_.items() if name not in own}, at, None))
            return msgspec.structs.replace(stage, **{field: node_})
        else:
            example = "!ray.ASHAScheduler" if field == "scheduler" else "!RandomSearch"
            expected = f"a tag such as {example}, with its arguments"
        what = f"{parameter} of {stage.name!r} is {written(value)}"
        self._low.fault(node.position, what, rule="invalid-parameter", expected=expected)
        return stage

    def _draws(self, given: _Pairs, spec: Spec) -> None:
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

    def _modern(self, value: dict[str, Any], node: Node) -> dict[str, Any]:
        """Return a Tune algorithm with the arguments that Tune renamed."""
        if str(value[NEW]).startswith("ray.") and "reward_attr" in value:
            self._low.warn(node.position, "reward_attr is called metric today; flambe sets it itself", "old-spelling")
            return {key: item for key, item in value.items() if key != "reward_attr"}
        return value

    def _resume(self, given: _Pairs, spec: Spec) -> None:
        value = self._plain(given, "resume")
        if value is None:
            return
        names = [stage.name for stage in spec.stages]
        wanted = [value] if isinstance(value, str) else value
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            self._wrong(given, "resume", value, "the name of a stage, or a list of names")
            return
        node = _bare(given["resume"][1])
        for index, name in enumerate(wanted):
            if name not in names and names:
                place = node.items[index].position if isinstance(node, Sequence) else node.position
                self._unknown_stage("resume", name, place, names)
        spec.resume = value


def _bare(node: Node) -> Node:
    return node.target if isinstance(node, Alias) else node


def _own_arguments(node: dict[str, Any]) -> tuple[str, ...]:
    """Return the arguments of a search algorithm that are not of its class."""
    from flambe.compile.trials import OF_SEARCHERS

    return () if str(node[NEW]).startswith("flambe.search:") else OF_SEARCHERS


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0

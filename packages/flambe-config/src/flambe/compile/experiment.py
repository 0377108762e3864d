"""``!Experiment`` (0.4), ``!Pipeline`` and ``!Search`` (1.0) → stages, with every parameter of either generation."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from flambe.compile.annotations import written
from flambe.compile.extensions import Header, file_path, is_remote_path
from flambe.compile.lowering import GRID_TAGS, Lowering, Place, Where
from flambe.compile.stages import NAME as STAGE_NAME
from flambe.compile.stages import Pairs, Stages, bare, is_amount, unknown_stage
from flambe.compile.yaml import Mapping, Node, Scalar, Sequence, child
from flambe.errors import nearest
from flambe.spec.nodes import GRID, Environment, Spec

if TYPE_CHECKING:
    from flambe.compile.single_search import SingleSearch

EXPERIMENT = (
    "name", "pipeline", "resume", "debug", "devices", "save_path", "resources", "search", "schedulers", "reduce", "env",
    "max_failures", "stop_on_failure", "merge_plot", "user_provider", "seed", "ordering", "cpus_per_trial",
    "gpus_per_trial",
)  # fmt: skip
PIPELINE = ("name", "stages", "algorithm", "reduce", "cpus_per_trial", "gpus_per_trial", "seed", "save_path")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")

# What the other of the two calls the same thing.
_OTHER_NAMES = {"stages": "pipeline", "pipeline": "stages", "algorithm": "search", "search": "algorithm"}


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
        self._files: dict[str, str] = {}
        self._remote: list[str] = []
        self._meant: set[str] = set()  # the parameters that misspelt ones were probably meant to be

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
        low.files = spec.environment.files
        stages = Stages(low, low.files, self._files, self._roots, is_pipeline=self._is_pipeline)
        parameter = "stages" if self._is_pipeline else "pipeline"
        if parameter in given:
            stages.lower(given[parameter][1], parameter, spec)
        elif isinstance(self._top, Mapping) and parameter not in self._meant:
            self._no_stages("!Pipeline" if self._is_pipeline else "!Experiment", parameter)
        stages.add(given, spec)
        self._resume(given, spec)
        stages.check_draws(spec)
        return spec, stages.checks, list(self._files)

    def _parameters(self) -> Pairs:
        known = PIPELINE if self._is_pipeline else EXPERIMENT
        what = "!Pipeline" if self._is_pipeline else "!Experiment"
        pairs: Pairs = {}
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
        if is_stage or (isinstance(bare(value), Mapping | Scalar) and bare(value).tag):
            return f"A stage stands below '{parameter}:', indented further than it."
        return None

    def _no_stages(self, what: str, parameter: str) -> None:
        expected = f"its stages below '{parameter}:', each as name: !Component"
        self._low.fault(self._top.position, f"{what} has no {parameter!r}", rule="missing-parameter", expected=expected)

    # Plain parameters --------------------------------------------------------------------------------------------

    def _plain(self, given: Pairs, name: str) -> Any:
        if name not in given:
            return None
        at = {"save_path": "output_dir"}.get(name, name)
        return self._low.value(given[name][1], Place((at,), None))

    def _wrong(self, given: Pairs, name: str, value: Any, expected: str, type_: str = "") -> None:
        from flambe.compile.advice import advice

        position, hint = given[name][1].position, advice(value, type_)
        what = f"{name} is {written(value)}"
        self._low.fault(position, what, rule="invalid-parameter", expected=expected, hint=hint)

    def _text(self, given: Pairs, name: str) -> str | None:
        value = self._plain(given, name)
        if value is None or isinstance(value, str):
            return value or None
        if isinstance(value, int | float) and not isinstance(value, bool):
            node = given[name][1]
            return node.text if isinstance(node, Scalar) else str(value)
        self._wrong(given, name, value, "text")
        return None

    def _number(self, given: Pairs, name: str, default: int) -> int:
        value = self._plain(given, name)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._wrong(given, name, value, "an integer, 0 or more", "int")
        return default

    def _seed(self, given: Pairs, spec: Spec) -> None:
        node = bare(given["seed"][1]) if "seed" in given else None
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

    def _flag(self, given: Pairs, name: str, default: bool) -> bool:
        value = self._plain(given, name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._wrong(given, name, value, "true or false", "bool")
        return default

    def _ordering(self, given: Pairs, spec: Spec) -> None:
        value = self._plain(given, "ordering")
        if value in ("step", "arrival"):
            spec.ordering = value
        elif value is not None:
            self._wrong(given, "ordering", value, "step or arrival")

    def _devices(self, given: Pairs) -> dict[str, float] | None:
        value = self._plain(given, "devices")
        if value is None:
            return None
        plural = {"cpu": "cpus", "gpu": "gpus", "cpus": "cpus", "gpus": "gpus"}
        if isinstance(value, dict) and all(key in plural and is_amount(amount) for key, amount in value.items()):
            return {plural[key]: amount for key, amount in value.items()}
        self._wrong(given, "devices", value, "amounts of cpu and gpu, such as {cpu: 2, gpu: 1}")
        return None

    # Resources ---------------------------------------------------------------------------------------------------

    def _resources(self, given: Pairs) -> None:
        node = bare(given["resources"][1]) if "resources" in given else None
        if node is None or (isinstance(node, Scalar) and not node.text):
            return
        if not isinstance(node, Mapping):
            shown = written(self._low.value(node, Place(("resources",), None)))
            self._low.fault(
                node.position, f"resources is {shown}", rule="invalid-parameter", expected="a mapping of name: path"
            )
            return
        pairs = self._low.pairs(node)
        if all(key in ("local", "remote") and isinstance(bare(value), Mapping) for key, _, value in pairs):
            for section, _, value in pairs:
                inner = bare(value)
                assert isinstance(inner, Mapping)
                for name, _, path in self._low.pairs(inner):
                    self._resource(str(name), path, here=section == "local")
        else:
            for name, _, path in pairs:
                self._resource(str(name), path, here=True)

    def _resource(self, name: str, node: Node, *, here: bool) -> None:
        """Take one resource. here: its path is one of this machine. ``!cluster`` says that it is not."""
        path = bare(node)
        if not isinstance(path, Scalar) or not path.text or path.tag not in (None, "!cluster", "!ClusterResource"):
            self._low.fault(
                node.position,
                f"the resource {name!r} has no path",
                rule="invalid-parameter",
                expected="the text of a path or URL, or !cluster PATH",
            )
        elif name in self._files or name in self._header.files:
            what = f"the resource {name!r} is there twice"
            self._low.fault(node.position, what, rule="duplicate-name", hint="Rename one of them.")
        elif not STAGE_NAME.match(name):
            what = f"no link can name the resource {name!r}"
            self._low.fault(node.position, what, rule="invalid-name", expected="letters, digits, '_', '-'")
        elif here and path.tag is None:
            self._files[name] = file_path(path.text, path.position, self._low, must_exist=True)
        elif is_remote_path(path.text, path.position, self._low):
            self._remote.append(name)
            self._files[name] = path.text

    def _resume(self, given: Pairs, spec: Spec) -> None:
        value = self._plain(given, "resume")
        if value is None:
            return
        names = [stage.name for stage in spec.stages]
        wanted = [value] if isinstance(value, str) else value
        if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
            self._wrong(given, "resume", value, "the name of a stage, or a list of names")
            return
        node = bare(given["resume"][1])
        for index, name in enumerate(wanted):
            if name not in names and names:
                place = node.items[index].position if isinstance(node, Sequence) else node.position
                unknown_stage(self._low, "resume", name, place, names)
        spec.resume = value

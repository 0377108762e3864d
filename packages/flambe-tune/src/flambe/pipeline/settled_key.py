"""The key of stages that a scheduler or a search decides about as a whole: an equal one gives equal units and equal decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flambe.record.code import code_of
from flambe.record.declared import by_content, declared_files
from flambe.record.result import modules_of
from flambe.runner.unit import Unit
from flambe.search.budget import OURS
from flambe.spec.digest import digest_of
from flambe.spec.nodes import Spec, Stage

_VERSION = 1


def listed_key(spec: Spec, stage: Stage, units: Iterable[Unit]) -> str:
    """Return the key of a stage with a scheduler. units: all of it."""
    return digest_of({**_deciding(spec, [stage]), "units": {unit.id: unit.key for unit in units}})


def grown_key(spec: Spec, stages: Sequence[Stage], above: Mapping[str, Sequence[Unit]]) -> str:
    """Return the key of the stages whose variants a search makes, known before it has made any.

    above: the units of the stages that these link to, which were settled before.
    """
    resources = {stage.name: stage.resources or spec.devices or {} for stage in stages}
    return digest_of(
        {
            **_deciding(spec, stages),
            "bodies": {stage.name: _content(stage.body) for stage in stages},
            "seedless": [stage.name for stage in stages if stage.seedless],
            "seeds": list(spec.seeds),
            "threads": {name: one.get("cpus", one.get("cpu", 1)) for name, one in resources.items()},
            "above": {name: {unit.id: unit.key for unit in units} for name, units in sorted(above.items())},
            "code": code_of(_modules(stage.body for stage in stages), spec.environment.extensions),
        }
    )


def _deciding(spec: Spec, stages: Sequence[Stage]) -> dict[str, Any]:
    algorithms = [one for stage in stages for one in (stage.scheduler, stage.search) if one is not None]
    modules = _modules(algorithms) | {"flambe-tune"}
    if any(str(one.get("$new", "")).startswith(OURS) for one in algorithms if isinstance(one, dict)):
        modules |= {"optuna", "ray"}  # what ours are made of
    return {
        "version": _VERSION,
        "stages": {stage.name: _content([stage.scheduler, stage.search]) for stage in stages},
        "ordering": spec.ordering,
        "seed": spec.seed,
        "algorithms": code_of(modules, spec.environment.extensions),
    }


def _content(node: Any) -> Any:
    return by_content(node, declared_files(node))


def _modules(nodes: Iterable[Any]) -> set[str]:
    return set().union(*(modules_of(node) for node in nodes))

"""Variants of a stage: its own choices × the variants of the stages it links to, merged where they share ancestors.

A stage that links to ``dataset`` and ``train`` gets each variant of ``train`` with the *same* variant of ``dataset``
that ``train`` used, never the product of both: an upstream choice is multiplied once. The merge is a hash join on
shared ancestors, so thousands of variants cost one pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flambe.compile import search
from flambe.pipeline.graph import StageGraph
from flambe.spec.nodes import Spec, Stage


class Choice(NamedTuple):
    """One choice for the search nodes of a stage (dotted path inside the stage → value), and the body it gives."""

    own: Mapping[str, Any]
    body: Any


def choices_of(stage: Stage) -> list[Choice]:
    """Return the choices of a stage in file order; one with nothing chosen when it holds no search."""
    # As a spec of its own: the body is gone through once for all choices.
    alone = Spec(name=stage.name, stages=[Stage(name=stage.name, body=stage.body)])
    return [Choice(spec.stages[0].params, spec.stages[0].body) for spec in search.expand(alone)]


@dataclass(eq=False)
class Variant:
    """One choice for a stage and everything above it.

    index: position among all variants of the stage. own: dotted path inside the stage → chosen value.
    body: what that gives. params: full dotted path → value, inherited ones first, in file order of the stages.
    above: ancestor stage → its variant in this lineage.
    """

    stage: str
    index: int
    own: Mapping[str, Any]
    body: Any = None
    above: Mapping[str, Variant] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, Any]:
        named = {f"{stage}.{path}": value for stage, one in self.above.items() for path, value in one.own.items()}
        named.update((f"{self.stage}.{path}", value) for path, value in self.own.items())
        return named


def expand(
    graph: StageGraph,
    stage: str,
    survivors: Mapping[str, Sequence[Variant]],
    own: Iterable[Choice],
) -> Iterator[Variant]:
    """Yield the variants of ``stage`` in order: first the order of what it links to, then that of its own choices.

    survivors: stage → variants that later stages may use, for every stage that ``stage`` links to.
    own: the stage's own choices.
    """
    choices = list(own)
    order = graph.ancestors[stage]
    index = 0
    for lineage in _merge(graph, graph.needs[stage], survivors):
        above = {name: lineage[name] for name in order}
        for choice in choices:
            yield Variant(stage, index, choice.own, choice.body, above)
            index += 1


def _merge(
    graph: StageGraph, needs: Sequence[str], survivors: Mapping[str, Sequence[Variant]]
) -> list[dict[str, Variant]]:
    merged: list[dict[str, Variant]] = [{}]
    known: set[str] = set()
    for need in needs:
        family = {*graph.ancestors[need], need}
        shared = [name for name in graph.stages if name in family and name in known]
        matching: dict[tuple[int, ...], list[Variant]] = defaultdict(list)
        for variant in survivors[need]:
            lineage = {**variant.above, need: variant}
            matching[tuple(lineage[name].index for name in shared)].append(variant)
        merged = [
            {**partial, **variant.above, need: variant}
            for partial in merged
            for variant in matching.get(tuple(partial[name].index for name in shared), ())
        ]
        known |= family
    return merged

"""Variants that one choice after another leads to, as a search makes them, or as an earlier run of it has made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from flambe.compile.search import Assignment, Filler
from flambe.pipeline.graph import StageGraph
from flambe.pipeline.variants import Choice, Choices, Variant, expand
from flambe.record.settled import Settled
from flambe.runner.plan import make_unit
from flambe.runner.unit import Unit
from flambe.spec.nodes import Spec


class GrownVariants:
    """The variants of the stages that a search chooses for, and of those between.

    leader: the stage that it belongs to. searched: the stages that it chooses for, in file order, the leader last. survivors:
    stage → its variants, of everything that was settled before. seeds: those of the spec.
    """

    def __init__(
        self,
        graph: StageGraph,
        leader: str,
        searched: Sequence[str],
        survivors: Mapping[str, Sequence[Variant]],
        seeds: Sequence[int],
    ) -> None:
        self.stages = stages_of(graph, leader, searched)
        self._graph = graph
        self._leader = leader
        self._searched = tuple(searched)
        self._survivors = survivors
        self._seeds = seeds
        self._fillers = {name: Filler(graph.stages[name].body) for name in self.stages}
        self._places: dict[str, dict[str, int]] = {name: {} for name in self.stages}
        self._known: dict[str, dict[tuple[object, ...], Variant]] = {name: {} for name in self.stages}

    def of(self, together: Sequence[Assignment], below: Callable[[Variant], object]) -> list[Variant]:
        """Return the variants of the leader that a choice leads to. below: told each new variant of the other stages."""
        chosen = dict(zip(self._searched, together, strict=True))
        made: dict[str, list[Variant]] = {}
        for name in self.stages:
            own = chosen.get(name, {})
            place = self._places[name].setdefault(repr(own), len(self._places[name]))
            choices = Choices([Choice(own, self._fillers[name](own))])
            survivors = {need: made.get(need) or self._survivors.get(need, ()) for need in self._graph.needs[name]}
            made[name] = []
            for variant in expand(self._graph, name, survivors, choices, self._seeds):
                seed = variant.seed.index if variant.seed is not None else None
                mark = (place, seed, *((stage, one.index) for stage, one in variant.above.items()))
                known = self._known[name].get(mark)
                if known is None:
                    variant.index, variant.choice = len(self._known[name]), place
                    known = self._known[name][mark] = variant
                    if name != self._leader:
                        below(variant)
                made[name].append(known)
        return made[self._leader]


def stages_of(graph: StageGraph, leader: str, searched: Sequence[str]) -> list[str]:
    """Return the stages whose variants a search makes, in file order: the searched ones, and what of the stages above the
    leader rests on them."""
    above = graph.ancestors[leader]
    return [
        name
        for name in graph.stages
        if name in searched or (name in above and not set(searched).isdisjoint(graph.ancestors[name]))
    ]


def units_again(
    spec: Spec,
    grown: GrownVariants,
    searched: Sequence[str],
    settled: Settled,
    unit_of: Callable[[Variant], Unit],
    run_root: Path,
) -> dict[Variant, Unit] | None:
    """Return the variants that a search of an earlier run has made, in their order, with the units that they are here; None if
    these are not what was settled then. unit_of: those of the variants that were settled before.
    """
    units: dict[Variant, Unit] = {}

    def add(variant: Variant) -> None:
        if variant not in units:
            needs = {need: units.get(one) or unit_of(one) for need in variant.needs for one in [variant.above[need]]}
            stage = msgspec.structs.replace(spec.stage(variant.stage), body=variant.body)
            units[variant] = make_unit(spec, stage, variant.params, needs, run_root)

    try:
        for unit in settled.units:
            if unit.stage == searched[-1]:
                for variant in grown.of([_own(stage, unit.params) for stage in searched], add):
                    add(variant)
    except (KeyError, ValueError):
        return None  # parameters of another search
    theirs = {(unit.stage, unit.key) for unit in settled.units}
    return units if {(unit.stage, unit.key) for unit in units.values()} == theirs else None


def _own(stage: str, params: Mapping[str, object]) -> Assignment:
    return {path.removeprefix(f"{stage}."): value for path, value in params.items() if path.startswith(f"{stage}.")}

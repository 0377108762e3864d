"""Variants of a stage: its own choices × the variants of the stages it links to, merged where they share ancestors.

A stage that links to ``dataset`` and ``train`` gets each variant of ``train`` with the *same* variant of ``dataset``
that ``train`` used, never the product of both: an upstream choice is multiplied once. The merge is a hash join on
shared ancestors, so thousands of variants cost one pass. The run's seed, where there are several, is inherited alike.

A choice between links (``!g [!@ small, !@ large]``) is multiplied only with the variants of what it links to. Choices that
a ``RandomSearch`` drew for several stages together stay together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flambe.compile.search import Filler
from flambe.compile.trials import trials_of
from flambe.pipeline.graph import StageGraph
from flambe.spec.nodes import GRID, LINK, SEED, Spec, children, kind_of, link_target, links


class Choice(NamedTuple):
    """One choice for the search nodes of a stage (dotted path inside the stage → value), and the body it gives."""

    own: Mapping[str, Any]
    body: Any


class Choices(NamedTuple):
    """The choices of a stage, in order.

    earlier: stages above it whose choices were drawn together with these. after: places of those → places of own ones.
    """

    own: Sequence[Choice]
    earlier: tuple[str, ...] = ()
    after: Mapping[tuple[int, ...], Sequence[int]] = {}


@dataclass(frozen=True)
class Seed:
    """One of the seeds that everything is run once for. index: its place in the spec."""

    index: int
    value: int


def choices_of(spec: Spec) -> dict[str, Choices]:
    """Return the choices of every stage; one with nothing chosen where there is no search. Stages for which an algorithm
    chooses while it runs are left out.

    Raises ConfigError as ``trials_of``.
    """
    found: dict[str, Choices] = {}
    for trials in trials_of(spec, listed_only=True):
        names = [spec.stages[index].name for index in trials.stages]
        known: list[dict[str, int]] = [{} for _ in names]
        own: list[list[Choice]] = [[] for _ in names]
        fillers = [Filler(spec.stages[index].body) for index in trials.stages]
        after: list[dict[tuple[int, ...], dict[int, None]]] = [defaultdict(dict) for _ in names]
        for together in trials.assignments():
            places: list[int] = []
            for position, assignment in enumerate(together):
                mark = repr(assignment) if len(names) > 1 else str(len(own[position]))
                place = known[position].setdefault(mark, len(own[position]))
                if place == len(own[position]):
                    own[position].append(Choice(assignment, fillers[position](assignment)))
                if len(names) > 1:
                    after[position][tuple(places)][place] = None
                places.append(place)
        for position, name in enumerate(names):
            found[name] = Choices(
                own[position], tuple(names[:position]), {key: list(one) for key, one in after[position].items()}
            )
    return {stage.name: found[stage.name] for stage in spec.stages if stage.name in found}


@dataclass(eq=False)
class Variant:
    """One choice for a stage and everything above it.

    index: position among all variants of the stage. own: dotted path inside the stage → chosen value.
    body: what that gives. params: full dotted path → value, inherited ones first, in file order of the stages; ``seed``
    where there are several. above: ancestor stage → its variant in this lineage. needs: those of them that it links to.
    choice: place of its own choice.
    """

    stage: str
    index: int
    own: Mapping[str, Any]
    body: Any = None
    above: Mapping[str, Variant] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    choice: int = 0
    seed: Seed | None = None

    @property
    def params(self) -> dict[str, Any]:
        named = {f"{stage}.{path}": value for stage, one in self.above.items() for path, value in one.own.items()}
        named.update((f"{self.stage}.{path}", value) for path, value in self.own.items())
        if self.seed is not None:
            named[SEED] = self.seed.value
        return named


_Lineage = dict[str, "Variant | Seed"]
"""Stage → its variant; ``""`` → the seed, where one of them depends on it."""


def expand(
    graph: StageGraph,
    stage: str,
    survivors: Mapping[str, Sequence[Variant]],
    choices: Choices,
    seeds: Sequence[int] = (),
) -> Iterator[Variant]:
    """Yield the variants of ``stage`` in order: first the order of what it links to, then seeds, then own choices.

    survivors: stage → variants that later stages may use, for every stage that ``stage`` links to.
    seeds: those of the spec, for a stage whose result depends on them.
    """
    by_needs: dict[tuple[str, ...], list[int]] = {}
    everything = graph.needs[stage]
    chosen = set(everything) - _always_linked(graph.stages[stage].body)
    for place, choice in enumerate(choices.own):
        needs = everything
        if chosen:
            linked = {target.stage for _, target in links(choice.body)}
            needs = tuple(need for need in everything if need not in chosen or need in linked)
        by_needs.setdefault(needs, []).append(place)
    if graph.stages[stage].seedless:
        seeds = ()
    index = 0
    for needs, places in by_needs.items():
        for lineage, fitting in _lineages(graph, needs, survivors, choices, places):
            above = {name: one for name in graph.ancestors[stage] if isinstance(one := lineage.get(name), Variant)}
            given = lineage.get("")
            inherited = given if isinstance(given, Seed) else None
            found: Sequence[Seed | None] = [Seed(*one) for one in enumerate(seeds)]
            for seed in [inherited] if inherited or not found else found:
                for place in fitting:
                    own, body = choices.own[place]
                    yield Variant(stage, index, own, body, above, needs, place, seed)
                    index += 1


def _always_linked(node: Any) -> set[str]:
    """Return the stages that a body links to whatever is chosen."""
    kind = kind_of(node)
    if kind == LINK:
        return {link_target(node).stage}
    return set() if kind == GRID else set().union(*(_always_linked(part) for _, part in children(node)))


def _lineages(
    graph: StageGraph,
    needs: Sequence[str],
    survivors: Mapping[str, Sequence[Variant]],
    choices: Choices,
    places: Sequence[int],
) -> Iterator[tuple[_Lineage, Sequence[int]]]:
    """Yield what a variant may rest on, and the places of the own choices that go with it."""
    if not choices.after:
        for lineage in _merge(needs, survivors):
            yield lineage, places
        return
    wanted = set(places)
    tables = {need: _Drawn(survivors[need], choices.earlier) for need in needs}
    seen: set[tuple[object, ...]] = set()
    for key, following in choices.after.items():
        fitting = [place for place in following if place in wanted]
        if not fitting:
            continue
        for lineage in _merge(needs, {need: tables[need].of(key) for need in needs}):
            # Draws that differ only in what this lineage does not rest on are one.
            fresh = [place for place in fitting if (*_marks(lineage, sorted(lineage)), place) not in seen]
            seen.update((*_marks(lineage, sorted(lineage)), place) for place in fresh)
            if fresh:
                yield lineage, fresh


class _Drawn:
    """The variants of one stage by what was drawn for the stages ``earlier``: None for those that they do not rest on."""

    def __init__(self, variants: Iterable[Variant], earlier: Sequence[str]) -> None:
        self._variants: dict[tuple[int | None, ...], list[Variant]] = defaultdict(list)
        for variant in variants:
            lineage = {**variant.above, variant.stage: variant}
            key = tuple(lineage[name].choice if name in lineage else None for name in earlier)
            self._variants[key].append(variant)
        self._patterns = list(dict.fromkeys(tuple(one is None for one in key) for key in self._variants))

    def of(self, key: tuple[int, ...]) -> list[Variant]:
        found: list[Variant] = []
        for pattern in self._patterns:
            masked = tuple(None if absent else one for absent, one in zip(pattern, key, strict=True))
            found += self._variants.get(masked, [])
        return found


def _merge(needs: Sequence[str], survivors: Mapping[str, Sequence[Variant]]) -> list[_Lineage]:
    merged: list[_Lineage] = [{}]
    for need in needs:
        lineages = [_lineage_of(variant) for variant in survivors[need]]
        merged = list(_join(merged, lineages))
    return merged


def _lineage_of(variant: Variant) -> _Lineage:
    lineage: _Lineage = {**variant.above, variant.stage: variant}
    if variant.seed is not None:
        lineage[""] = variant.seed
    return lineage


def _join(left: Sequence[_Lineage], right: Sequence[_Lineage]) -> Iterator[_Lineage]:
    """Yield each pair that agrees on all that both have, in order. Most lineages of a stage have the same names."""
    by_names: dict[frozenset[str], list[tuple[int, _Lineage]]] = defaultdict(list)
    for position, lineage in enumerate(right):
        by_names[frozenset(lineage)].append((position, lineage))
    tables: dict[tuple[frozenset[str], frozenset[str]], dict[tuple[int, ...], list[tuple[int, _Lineage]]]] = {}
    for partial in left:
        found: list[tuple[int, _Lineage]] = []
        for names, lineages in by_names.items():
            shared = names.intersection(partial)
            order = sorted(shared)
            if (names, shared) not in tables:
                table = tables[names, shared] = defaultdict(list)
                for one in lineages:
                    table[_marks(one[1], order)].append(one)
            found += tables[names, shared].get(_marks(partial, order), [])
        if len(by_names) > 1:
            found.sort(key=lambda one: one[0])
        for _, lineage in found:
            yield {**partial, **lineage}


def _marks(lineage: _Lineage, names: Iterable[str]) -> tuple[int, ...]:
    return tuple(lineage[name].index for name in names)

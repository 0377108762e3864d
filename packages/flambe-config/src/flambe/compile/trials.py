"""``Trials``: what the search algorithm of each stage makes of the choices: all of them, or as many as are drawn.

``RandomSearch`` draws for its stage and for the stages above it that have no algorithm of their own, all together: its
``trial_budget`` is how many variants its stage has. What is drawn follows from the spec alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flambe.compile.search import REMEDY, Assignment, Dimension, choices, dimensions, draw, endless, shown, size
from flambe.errors import ConfigError
from flambe.spec.nodes import ARGS, NEW, Spec, Stage, stages_needed

GRID_SEARCH = "flambe.search:GridSearch"
RANDOM_SEARCH = "flambe.search:RandomSearch"
OF_SEARCHERS = ("trial_budget", "max_concurrent")
"""Arguments of Tune's searchers that are ours: how many choices are tried, and how many of them at once."""
MOST = 100_000
_TRIES = 200
"""How often in a row a draw may be one that was there already, before the rest counts as never drawn."""


class Trials:
    """The choices of stages that are searched together. stages: their places in the spec, in file order.

    search: the algorithm, None for all choices. Reading it gives the same each time.
    """

    def __init__(self, spec: Spec, stages: Sequence[int], search: RandomSearch | None) -> None:
        self.stages = tuple(stages)
        self._by_stage = [dimensions(spec.stages[index].body) for index in self.stages]
        self._search = search
        self._drawn: list[tuple[Assignment, ...]] | None = None

    @property
    def _todo(self) -> list[Dimension]:
        return [dimension for todo in self._by_stage for dimension in todo]

    def count(self) -> int:
        """Return how many there are."""
        return size(self._todo) if self._search is None else len(self._draws())

    def assignments(self) -> Iterator[tuple[Assignment, ...]]:
        """Yield the choices of each of the stages."""
        if self._search is None:
            return ((one,) for one in choices(self._todo))
        return iter(self._draws())

    def _draws(self) -> list[tuple[Assignment, ...]]:
        if self._drawn is None:
            assert self._search is not None
            self._drawn = list(self._draw(self._search))
        return self._drawn

    def _draw(self, search: RandomSearch) -> Iterator[tuple[Assignment, ...]]:
        """Yield different draws until the budget is spent, or until there is nothing else to draw."""
        import random  # most configs draw nothing

        generator = random.Random(f"{search.seed}:{search.stage}")
        most = search.trial_budget
        if not any(endless(self._todo)):
            most = min(most, size(self._todo))
        seen: set[int] = set()
        tries = 0
        while len(seen) < most and tries < _TRIES:
            drawn = tuple(draw(todo, generator) for todo in self._by_stage)
            mark = hash(repr(drawn))
            tries = tries + 1 if mark in seen else 0
            if mark not in seen:
                seen.add(mark)
                yield drawn


class RandomSearch(NamedTuple):
    """What ``!RandomSearch`` says. stage: the one it belongs to. seed: of its draws."""

    stage: str
    trial_budget: int
    seed: int | str


def trials_of(spec: Spec, *, listed_only: bool = False) -> list[Trials]:
    """Return what each stage, or each group of stages, tries, in file order of their last stages.

    listed_only: leave out the groups whose algorithm chooses while it runs, in place of refusing them.
    Raises ConfigError for what ``check_search`` refuses, and for algorithms that choose while they run.
    """
    check_search(spec)
    groups = searched_together(spec)
    grouped = {index for group in groups.values() for index in group}
    found: list[Trials] = []
    for index, stage in enumerate(spec.stages):
        if index in groups:
            if algorithm_name(stage) != RANDOM_SEARCH:
                if listed_only:
                    continue
                raise ConfigError(
                    f"{algorithm_name(stage).rpartition(':')[2]} of stage {stage.name!r} chooses while it runs: "
                    "its variants cannot be listed",
                    rule="endless-search",
                    hint="GridSearch and RandomSearch can.",
                )
            found.append(Trials(spec, groups[index], read_random_search(stage, spec.seed)))
        elif index not in grouped:
            found.append(Trials(spec, [index], None))
    return found


def check_search(spec: Spec) -> None:
    """Raise ConfigError for a ``RandomSearch`` that says nothing useful, and for distributions nobody draws from."""
    for stage in spec.stages:
        if algorithm_name(stage) == RANDOM_SEARCH:
            read_random_search(stage, spec.seed)
    covered = {index for group in searched_together(spec).values() for index in group}
    for index, stage in enumerate(spec.stages):
        for path, node in endless(dimensions(stage.body)) if index not in covered else ():
            what = f"{stage.name}.{path} is {shown(node)}, which has no list of values to try"
            raise ConfigError(what, rule="endless-search", hint=REMEDY)


def drawn_stages(spec: Spec) -> set[str]:
    """Return the stages from whose distributions an algorithm draws."""
    return {spec.stages[index].name for group in searched_together(spec).values() for index in group}


def algorithm_name(stage: Stage) -> str:
    """Return ``module:Class`` of the search algorithm of a stage, "" for none."""
    return str(stage.search.get(NEW, "")) if isinstance(stage.search, dict) else ""


def read_random_search(stage: Stage, seed: int) -> RandomSearch:
    """Return the ``RandomSearch`` of a stage. seed: of the spec, when it has none of its own. Raises ConfigError."""
    budget = budget_of(stage)
    if not _is_whole(budget) or not 1 <= budget <= MOST:
        raise ConfigError(
            f"trial_budget of stage {stage.name!r} is {budget!r}",
            rule="invalid-parameter",
            expected=f"an integer from 1 to {MOST:,}",
        )
    if _argument(stage, "space") is not None:
        raise ConfigError(
            f"the RandomSearch of stage {stage.name!r} has a space",
            rule="invalid-parameter",
            hint="What is searched stands in the arguments of the stage.",
        )
    own = _argument(stage, "seed")
    if own is not None and not _is_whole(own):
        what = f"the seed of RandomSearch of stage {stage.name!r} is {own!r}"
        raise ConfigError(what, rule="invalid-parameter", expected="an integer")
    return RandomSearch(stage.name, budget, seed if own is None else own)


def budget_of(stage: Stage) -> Any:
    """Return the ``trial_budget`` of the algorithm of a stage, as written."""
    return _argument(stage, "trial_budget")


def _argument(stage: Stage, name: str) -> Any:
    positional = dict(zip(("trial_budget", "seed", "space"), stage.search.get(ARGS, ()), strict=False))
    return {**positional, **stage.search}.get(name)


def searched_together(spec: Spec) -> dict[int, list[int]]:
    """Return for each stage with an algorithm that draws: itself and the stages that it searches together with its own.

    These are the stages above it with something to search, but not those that have an algorithm or a ``reduce``, nor
    what these rest on: there the choice is made before. Each stage is searched by the first that could.
    """
    place = {stage.name: index for index, stage in enumerate(spec.stages)}
    above: list[set[int]] = []
    for stage in spec.stages:
        direct = {place[name] for name in stages_needed(stage) if place.get(name, len(above)) < len(above)}
        above.append(direct.union(*(above[index] for index in direct)))
    groups: dict[int, list[int]] = {}
    taken: set[int] = set()
    for index, stage in enumerate(spec.stages):
        if algorithm_name(stage) in ("", GRID_SEARCH):
            continue
        settled = {one for one in above[index] if spec.stages[one].search is not None or spec.stages[one].reduce}
        settled = settled.union(*(above[one] for one in settled))
        free = sorted(above[index] - settled - taken)
        groups[index] = [*(one for one in free if dimensions(spec.stages[one].body)), index]
        taken.update(groups[index])
    return groups


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

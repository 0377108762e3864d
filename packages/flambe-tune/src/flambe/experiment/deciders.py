"""What decides in a run, schedulers and searches: how it is made, and that all of it is tried before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from flambe.compile.search import Assignment, dimensions
from flambe.compile.trials import searched_together
from flambe.experiment.check import learns, placed
from flambe.record.declared import by_content, declared_files
from flambe.search.budget import scheduler_of
from flambe.search.population import PopulationAdapter
from flambe.search.proposer import Proposer, make_proposer
from flambe.search.space import Space
from flambe.search.tune_adapter import Algorithm, SchedulerAdapter, is_population
from flambe.spec.digest import digest_of
from flambe.spec.nodes import Spec, Stage


def proposer_of(spec: Spec, stages: Sequence[Stage]) -> Proposer:
    """Return the search of the last of ``stages``, which chooses for all of them.

    Raises ConfigError for arguments that it refuses, what it cannot search and a library that is not installed, FlambeError
    for whatever else goes wrong in one of the user's own.
    """
    stage = stages[-1]
    space = Space({one.name: dimensions(one.body) for one in stages})
    with placed(spec, "stages", _place(spec, stage), "search"):
        return make_proposer(
            stage.search, space, seed=_seed(spec, stage, stage.search), extensions=spec.environment.extensions
        )


def algorithm_of(
    spec: Spec, stage: Stage, choices: Sequence[Assignment] = (), *, lower_is_better: bool = False
) -> Algorithm:
    """Return the scheduler of a stage, which may be one that its search brings with it. choices: the own ones of its variants.

    Raises ConfigError for arguments that it refuses.
    """
    node = stage.scheduler or scheduler_of(stage.search)
    assert node is not None
    seed, extensions = _seed(spec, stage, node), spec.environment.extensions
    index = _place(spec, stage)
    with placed(spec, "stages", index, "scheduler" if spec.stages[index].scheduler else "search"):
        if is_population(node):
            searched = dimensions(stage.body)
            return PopulationAdapter(
                node, choices, searched, lower_is_better=lower_is_better, seed=seed, extensions=extensions
            )
        return SchedulerAdapter(node, lower_is_better=lower_is_better, seed=seed, extensions=extensions)


def check_deciders(spec: Spec, stages: Collection[str]) -> None:
    """Make the schedulers and the searches of these stages, and let go of them. Raises as these do."""
    for stage in spec.stages:
        if stage.name in stages and (stage.scheduler or scheduler_of(stage.search)) is not None:
            algorithm_of(spec, stage)
    for index, group in searched_together(spec).items():
        if spec.stages[index].name in stages and learns(spec.stages[index]):
            proposer_of(spec, [spec.stages[place] for place in group])


def _place(spec: Spec, stage: Stage) -> int:
    return next(place for place, one in enumerate(spec.stages) if one.name == stage.name)


def _seed(spec: Spec, stage: Stage, node: Any) -> int:
    return int(digest_of([spec.seed, stage.name, by_content(node, declared_files(node))])[:16], 16)

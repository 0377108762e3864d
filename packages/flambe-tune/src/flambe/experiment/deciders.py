"""What decides in a run, schedulers and searches: made once before anything runs, so that what they refuse is told then."""

from __future__ import annotations

from collections.abc import Collection

from flambe.compile.search import dimensions
from flambe.compile.trials import searched_together
from flambe.experiment.check import learns, placed
from flambe.search.budget import OURS, scheduler_of
from flambe.search.population import PopulationAdapter
from flambe.search.proposer import make_proposer
from flambe.search.space import Space
from flambe.search.tune_adapter import SchedulerAdapter, is_population
from flambe.spec.nodes import NEW, Spec


def check_deciders(spec: Spec, stages: Collection[str]) -> None:
    """Make the schedulers and the searches of these stages, and let go of them. Those of one's own are made in their turn only.

    Raises ConfigError for arguments that they refuse, spaces that cannot be searched and libraries that are not installed.
    """
    extensions = spec.environment.extensions
    for index, stage in enumerate(spec.stages):
        scheduler = stage.scheduler or scheduler_of(stage.search)
        if stage.name in stages and scheduler is not None and _is_of_a_library(scheduler):
            with placed(spec, "stages", index, "scheduler"):
                if is_population(scheduler):
                    searched = dimensions(stage.body)
                    PopulationAdapter(scheduler, [], searched, lower_is_better=False, seed=0, extensions=extensions)
                else:
                    SchedulerAdapter(scheduler, lower_is_better=False, seed=0, extensions=extensions)
    for index, group in searched_together(spec).items():
        stage = spec.stages[index]
        if stage.name in stages and learns(stage) and _is_of_a_library(stage.search):
            together = [spec.stages[place] for place in group]
            with placed(spec, "stages", index, "search"):
                space = Space({one.name: dimensions(one.body) for one in together})
                make_proposer(stage.search, space, seed=0, extensions=extensions)


def _is_of_a_library(node: dict[str, object]) -> bool:
    return str(node[NEW]).startswith((OURS, "ray."))

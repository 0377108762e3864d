"""What is refused before anything runs."""

from __future__ import annotations

from flambe.compile.trials import GRID_SEARCH, RANDOM_SEARCH, algorithm_name, check_search
from flambe.errors import ConfigError, did_you_mean
from flambe.pipeline.graph import StageGraph
from flambe.search.tune_adapter import check_scheduler
from flambe.spec.nodes import Spec


def check_spec(spec: Spec, graph: StageGraph) -> None:
    """Refuse, before anything runs, what cannot be done.

    Raises ConfigError for schedulers that cannot be driven, for search algorithms that choose by results, distributions
    that none draws from, unknown stages in ``resume``, and an unknown ``ordering``.
    """
    for stage in spec.stages:
        if stage.scheduler is not None:
            check_scheduler(stage.scheduler, stage.name)
        name = algorithm_name(stage)
        if stage.search is not None and name not in (GRID_SEARCH, RANDOM_SEARCH):
            raise ConfigError(
                f"the search algorithm {name.rpartition(':')[2] or 'without a class'} of stage {stage.name!r} chooses by "
                "results, which flambe-tune does not do yet",
                hint="Use !RandomSearch {trial_budget: 20}, with a scheduler such as !ray.ASHAScheduler to end bad variants.",
            )
    check_search(spec)
    for name in [spec.resume] if isinstance(spec.resume, str) else spec.resume or []:
        if name not in graph.stages:
            raise ConfigError(f"resume names {name!r}, which is no stage", hint=did_you_mean(name, graph.stages))
    if spec.ordering not in ("step", "arrival"):
        raise ConfigError(f"ordering is {spec.ordering!r}", expected="step or arrival")

"""What is refused before anything runs."""

from __future__ import annotations

from flambe.errors import ConfigError, did_you_mean
from flambe.pipeline.graph import StageGraph
from flambe.search.tune_adapter import check_scheduler
from flambe.spec.nodes import Spec


def check_spec(spec: Spec, graph: StageGraph) -> None:
    """Refuse, before anything runs, what cannot be done.

    Raises ConfigError for schedulers that cannot be driven, search algorithms, unknown stages in ``resume``, and an
    unknown ``ordering``.
    """
    for stage in spec.stages:
        if stage.scheduler is not None:
            check_scheduler(stage.scheduler, stage.name)
        if stage.search is not None:
            raise ConfigError(
                f"stage {stage.name!r} asks for a search algorithm, which flambe-tune cannot drive yet",
                hint="Leave it out: grids (!g) and drawn values (!s) are searched as they stand.",
            )
    for name in [spec.resume] if isinstance(spec.resume, str) else spec.resume or []:
        if name not in graph.stages:
            raise ConfigError(f"resume names {name!r}, which is no stage", hint=did_you_mean(name, graph.stages))
    if spec.ordering not in ("step", "arrival"):
        raise ConfigError(f"ordering is {spec.ordering!r}", expected="step or arrival")

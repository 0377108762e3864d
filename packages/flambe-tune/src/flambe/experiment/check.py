"""What is refused before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flambe.compile.trials import GRID_SEARCH, RANDOM_SEARCH, algorithm_name, check_search
from flambe.compile.tune_arguments import unheeded
from flambe.errors import ConfigError, FlambeError, UsageError, did_you_mean
from flambe.pipeline.graph import StageGraph
from flambe.pipeline.plan import plan_units
from flambe.runner.plan import resources_of
from flambe.search.budget import read_budget
from flambe.search.tune_adapter import check_scheduler, is_population
from flambe.spec.nodes import NEW, Spec, Stage
from flambe.spec.origins import written_at


def check_spec(spec: Spec, graph: StageGraph) -> None:
    """Refuse, before anything runs, what cannot be done.

    Raises ConfigError for schedulers and search algorithms that cannot be driven, distributions that none draws from,
    parts of several GPUs, unknown stages in ``resume``, and an unknown ``ordering``.
    """
    for index, stage in enumerate(spec.stages):
        if stage.scheduler is not None:
            with placed(spec, "stages", index, "scheduler"):
                check_scheduler(stage.scheduler, stage.name)
        if stage.search is not None and algorithm_name(stage) not in (GRID_SEARCH, RANDOM_SEARCH):
            with placed(spec, "stages", index, "search"):
                read_budget(stage)
                if is_population(stage.scheduler):
                    raise ConfigError(
                        f"stage {stage.name!r} has a population and a search that chooses by results",
                        hint="Let !RandomSearch {trial_budget: 16} draw the population.",
                    )
        gpus = (stage.resources or spec.devices or {}).get("gpus", 0)
        if gpus > 1 and gpus != int(gpus):
            with placed(spec, "stages", index):
                what = f"stage {stage.name!r} asks for {gpus:g} gpus"
                raise ConfigError(what, expected="a part of one (0.5), or whole ones")
    check_search(spec)
    for name in [spec.resume] if isinstance(spec.resume, str) else spec.resume or []:
        if name not in graph.stages:
            raise ConfigError(f"resume names {name!r}, which is no stage", hint=did_you_mean(name, graph.stages))
    if spec.ordering not in ("step", "arrival"):
        raise ConfigError(f"ordering is {spec.ordering!r}", expected="step or arrival")


def check_populations(spec: Spec) -> None:
    """Refuse a population whose variants cannot take over states from each other, before the stages above it have run.

    Raises ConfigError.
    """
    if any(is_population(stage.scheduler) for stage in spec.stages):
        for _ in plan_units(spec, Path(spec.output_dir), None):
            pass


def check_force(spec: Spec, *, force: bool) -> None:
    """Refuse to begin anew, and to take what ``resume`` names from earlier runs, at once. Raises UsageError."""
    if force and spec.resume is not None:
        named = spec.resume if isinstance(spec.resume, str) else ", ".join(spec.resume)
        raise UsageError(
            f"--force takes no earlier result, and resume: {named} says whose to take",
            hint="Leave --force out, or take resume out of the file (~resume).",
        )


def why_not_repeatable(spec: Spec) -> str | None:
    """Return what keeps an equal run from deciding alike; None where nothing does."""
    deciding = [stage.name for stage in spec.stages if stage.scheduler is not None or learns(stage)]
    if spec.ordering != "arrival" or not deciding:
        return None
    return (
        f"ordering is arrival: what is decided in {', '.join(deciding)} depends on which worker is faster, "
        "so an equal run may decide otherwise"
    )


def without_effect(spec: Spec) -> list[str]:
    """Return what is to be told of arguments of Tune's schedulers and searchers that have no effect: of a spec that was not written as
    YAML, whose compiler warns of them and takes them away."""
    return [
        f"stage {stage.name}: {what}"
        for stage in spec.stages
        for node in (stage.scheduler, stage.search)
        if isinstance(node, dict) and str(node.get(NEW, "")).startswith("ray.")
        for _, what in unheeded(node)
    ]


def learns(stage: Stage) -> bool:
    """Whether a stage has a search that chooses by results."""
    return algorithm_name(stage) not in ("", GRID_SEARCH, RANDOM_SEARCH)


def check_resources(spec: Spec, stages: Collection[str], capacity: Mapping[str, float]) -> None:
    """Refuse those of these stages that ask for more than all workers have together: ``cpus``, ``gpus``. Raises ConfigError."""
    for index, stage in enumerate(spec.stages):
        for name, amount in resources_of(spec, stage).items() if stage.name in stages else ():
            if name in capacity and amount > capacity[name]:
                hint = f"Ask for less (devices, {name}_per_trial)"
                written: tuple[str | int, ...] = ("stages", index, "resources") if stage.resources else ("devices",)
                with placed(spec, *written, name):
                    raise ConfigError(
                        f"stage {stage.name!r} asks for {amount:g} {name}, there are {capacity[name]:g}",
                        hint=f"{hint}, or raise --workers."
                        if name == "cpus"
                        else f"{hint}. What is hidden by CUDA_VISIBLE_DEVICES does not count.",
                    )


@contextmanager
def placed(spec: Spec, *path: str | int) -> Iterator[None]:
    """Let an error say where the config has what it is about."""
    try:
        yield
    except FlambeError as error:
        error.position = error.position or written_at(spec, *path)
        raise

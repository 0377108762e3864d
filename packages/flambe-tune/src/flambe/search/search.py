"""``Search``: one object, its variants, and the algorithm that chooses them. In YAML it is ``!Search``."""

from __future__ import annotations

from typing import Any

from flambe.pipeline.pipeline import Pipeline
from flambe.spec.nodes import NEW


class Search(Pipeline):
    """The pipeline of one stage, which has the name of the class of ``task`` in lower case.

    Parameters
    ----------
    task: a ``Schema``, with distributions among its arguments.
    algorithm: ``GridSearch()`` by default.
    cpus_per_trial, gpus_per_trial: what each variant needs.
    refresh_waitime: of 1.0, without effect: results are looked at when they come.
    name: of its folder, that of the stage by default.
    seed: of every random number.

    Raises ValueError when the task is no component.
    """

    def __init__(
        self,
        task: Any,
        algorithm: Any = None,
        cpus_per_trial: float = 1,
        gpus_per_trial: float = 0,
        refresh_waitime: float = 30.0,
        name: str | None = None,
        seed: int = 0,
    ) -> None:
        from flambe.build.schema_node import node_of

        node = node_of(task)
        if not (isinstance(node, dict) and NEW in node):
            raise ValueError(f"the task is a {type(task).__name__}, expected a Schema")
        stage = str(node[NEW]).rpartition(":")[2].partition(".")[0].lower()
        super().__init__(
            name or stage,
            {stage: task},
            algorithm={} if algorithm is None else {stage: algorithm},
            cpus_per_trial={stage: cpus_per_trial},
            gpus_per_trial={stage: gpus_per_trial},
            seed=seed,
        )

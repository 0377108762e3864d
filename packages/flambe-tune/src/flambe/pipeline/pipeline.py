"""``Pipeline``: stages that link to one another, as 1.0 writes them. In YAML it is ``!Pipeline``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from flambe.experiment.experiment import Experiment
from flambe.spec.nodes import Spec


class Pipeline(Experiment):
    """An ``Experiment`` with the parameters of 1.0.

    Parameters
    ----------
    name: of its folder, ``pipeline`` by default.
    stages: stage name → ``Schema``, in the order of the file.
    algorithm: stage → what chooses its variants; all of them where there is none.
    reduce: stage → how many variants stay for later stages.
    cpus_per_trial, gpus_per_trial: stage → what each of its variants needs.
    seed: of every random number; several run everything once for each.
    """

    def __init__(
        self,
        name: str | None = None,
        stages: Mapping[str, Any] | None = None,
        algorithm: Mapping[str, Any] | None = None,
        reduce: Mapping[str, int] | None = None,
        cpus_per_trial: Mapping[str, float] | None = None,
        gpus_per_trial: Mapping[str, float] | None = None,
        seed: int | Sequence[int] = 0,
    ) -> None:
        super().__init__(name or "pipeline", stages or {}, search=algorithm, reduce=reduce, seed=seed)
        self.cpus_per_trial = dict(cpus_per_trial or {})
        self.gpus_per_trial = dict(gpus_per_trial or {})

    def spec(self) -> Spec:
        """Return the spec of this pipeline. Raises as ``Experiment.spec``."""
        self.refuse_unknown_stages("cpus_per_trial", "gpus_per_trial")
        spec = super().spec()
        for index, stage in enumerate(spec.stages):
            given = {"cpus": self.cpus_per_trial.get(stage.name), "gpus": self.gpus_per_trial.get(stage.name)}
            resources = {name: amount for name, amount in given.items() if amount is not None}
            if resources:
                spec.stages[index] = msgspec.structs.replace(stage, resources=resources)
        return spec

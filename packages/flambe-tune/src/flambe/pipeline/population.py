"""The units of a population: what they may rest on, and what they are when one goes on from the state of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flambe.compile.search import Filler, dimensions
from flambe.errors import ConfigError
from flambe.pipeline.variants import Variant
from flambe.runner.unit import Unit
from flambe.search.population import mutations
from flambe.spec.nodes import Spec, Stage
from flambe.spec.origins import written_at


def explored(unit: Unit, body: Any, choice: Mapping[str, Any], key: str) -> Unit:
    """Return ``unit`` as it is after it was given another choice.

    body: of its stage, with the search in it. choice: dotted path inside the stage → value. key: the name of what comes of it.
    """
    params = {f"{unit.stage}.{path}": value for path, value in choice.items()}
    return msgspec.structs.replace(unit, body=Filler(body)(dict(choice)), key=key, explored={**unit.explored, **params})


def check_population(spec: Spec, stage: Stage, variants: Iterable[Variant]) -> None:
    """Raise ConfigError for variants that cannot take over states from each other, and for mutations that cannot be."""
    variants = list(variants)
    bases = {tuple((name, above.index) for name, above in one.above.items()) for one in variants}
    try:
        mutations(stage.scheduler, dimensions(stage.body))
        if len(bases) > 1 or any(one.seed is not None for one in variants):
            what = f"{len(bases)} different variants of the stages above" if len(bases) > 1 else "several seeds"
            raise ConfigError(
                f"the population of stage {stage.name!r} rests on {what}, whose states do not fit each other",
                hint="Reduce those stages to one variant (reduce: 1), or search in this stage only.",
            )
    except ConfigError as error:
        place = next(index for index, one in enumerate(spec.stages) if one.name == stage.name)
        error.position = error.position or written_at(spec, "stages", place, "scheduler")
        raise

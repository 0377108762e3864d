"""``StageGraph``: the stages of a spec and the links between them."""

from __future__ import annotations

from collections.abc import Mapping

from flambe.errors import ConfigError, did_you_mean
from flambe.spec.nodes import Spec, Stage, stages_needed


class StageGraph:
    """The stages of a spec in file order, with what each one links to.

    needs: stage → the stages it links to, in file order. ancestors: all stages above it, in file order.

    Raises ConfigError for a link to an unknown or a later stage, and for two stages of one name.
    """

    def __init__(self, spec: Spec) -> None:
        self._resume = spec.resume
        self.stages: dict[str, Stage] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self.ancestors: dict[str, tuple[str, ...]] = {}
        everyone = [stage.name for stage in spec.stages]
        for stage in spec.stages:
            if stage.name in self.stages:
                raise ConfigError(f"two stages are called {stage.name!r}", hint="Give each stage its own name.")
            needed = {name for name in stages_needed(stage) if name not in spec.environment.files}
            for name in needed:
                if name in self.stages:
                    continue
                if name in everyone:
                    raise ConfigError(
                        f"stage {stage.name!r} links to the later stage {name!r}",
                        hint="A link points to a stage above.",
                    )
                raise ConfigError(
                    f"stage {stage.name!r} links to {name!r}, which is no stage", hint=did_you_mean(name, everyone)
                )
            above = set(needed).union(*(self.ancestors[name] for name in needed))
            self.needs[stage.name] = tuple(name for name in self.stages if name in needed)
            self.ancestors[stage.name] = tuple(name for name in self.stages if name in above)
            self.stages[stage.name] = stage

    def index(self, stage: str) -> int:
        """Return the position of a stage in the file."""
        return list(self.stages).index(stage)

    def reduces(self, stage: str) -> bool:
        """Whether later stages see only the best variants of ``stage``. A ``reduce`` of zero or less keeps all."""
        count = self.stages[stage].reduce
        return count is not None and count > 0

    def may_reuse(self, stage: str) -> bool:
        """Whether results of earlier runs may be taken for ``stage``: always, unless ``resume`` names others."""
        resume = self._resume
        if resume is None:
            named = True
        elif isinstance(resume, str):
            named = stage == resume or stage in self.ancestors.get(resume, ())
        else:
            named = stage in resume
        return named and self.stages[stage].reuse

    def is_last(self, stage: str) -> bool:
        """Whether no other stage links to ``stage``."""
        return not any(stage in needs for needs in self.needs.values())

    def edges(self) -> Mapping[str, tuple[str, ...]]:
        """Return stage → stages it links to: what a report draws."""
        return dict(self.needs)

"""``Growth``: the stages of a run whose variants a search makes while it goes on.

A search chooses for its own stage and for those above it that it searches together (``flambe.compile.trials``). Between them
there may be stages without a choice of their own, which follow. Each choice becomes the variants that it leads to: one, or as
many as there are seeds and variants of what was settled before. The search is told their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from flambe.errors import FlambeError
from flambe.experiment.work import Work
from flambe.pipeline.grown import GrownVariants
from flambe.pipeline.variants import Variant
from flambe.search.budget import Budget
from flambe.search.proposer import Proposer
from flambe.search.schedule import Keen
from flambe.search.tune_adapter import CONTINUE

REPEATS = 1_000
"""After so many choices in a row that are known already, a search without a budget is over: it has converged, and nothing else ends it."""


class Growth:
    """One search of a run.

    variants: what its choices lead to. has_scheduler: whether one decides about the variants of its leader. enlist: makes the unit of a new variant, or finds the one that is there. steps_in_all: how
    many steps the variants of the leader have made together. asked_to_stop: looked at before each choice; afterwards nothing is
    asked any more. exhausted: told of how many choices there were when a search is over as it proposes nothing new.

    It listens to the schedule of its leader, where the position of a variant is that of its unit.
    """

    def __init__(
        self,
        variants: GrownVariants,
        budget: Budget,
        proposer: Proposer,
        *,
        has_scheduler: bool,
        enlist: Callable[[Variant], Work],
        steps_in_all: Callable[[], int],
        asked_to_stop: Callable[[], bool],
        exhausted: Callable[[int], None],
    ) -> None:
        self.is_over = False
        self._variants = variants
        self._budget = budget
        self._proposer = proposer
        self.rules = proposer.rules and not has_scheduler
        """Whether the search itself says what becomes of its variants after a step."""
        self._enlist = enlist
        self._steps_in_all = steps_in_all
        self._asked_to_stop = asked_to_stop
        self._exhausted = exhausted
        self._asked = 0
        self._repeats = 0  # choices in a row that led to no new variant
        self._open: dict[int, dict[int, None]] = {}  # choice → positions that have not ended
        self._all: dict[int, list[int]] = {}
        self._choices_of: dict[int, list[int]] = {}  # position → choices that led to it
        self._ends: dict[int, tuple[int, float | None]] = {}

    def begin(self) -> None:
        """Ask for as many choices as may be tried at once."""
        self._ask(lower_is_better=False)

    def result(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        choice = self._alone(index)
        if choice is not None:
            self._proposer.result(choice, step, metric, lower_is_better=lower_is_better)
            if self._proposer.rules and not self.rules and (said := self._proposer.ruling(choice)) != CONTINUE:
                raise FlambeError(
                    f"the search says {said!r} about a variant after its step {step}, and a scheduler decides about these variants",
                    hint="Take the scheduler away, or let the search end and pause none.",
                )

    def ended(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        self._ends[index] = (step, metric)
        for choice in self._choices_of.get(index, ()):
            self._open.get(choice, {}).pop(index, None)
        self._tell(lower_is_better=lower_is_better)
        self._ask(lower_is_better=lower_is_better)

    def ruling(self, index: int) -> str:
        """Return what is to become of a variant: of a choice with several variants, whose steps the search does not hear, nothing."""
        choice = self._alone(index)
        return CONTINUE if choice is None else self._proposer.ruling(choice)

    def wake(self, index: int) -> None:
        choice = self._alone(index)
        if choice is not None:
            self._proposer.wake(choice)

    def woken(self) -> list[int]:
        return [self._all[choice][0] for choice in self._proposer.woken()]

    def stopped(self) -> list[int]:
        return [self._all[choice][0] for choice in self._proposer.stopped()]

    def _alone(self, index: int) -> int | None:
        """Return the choice of which a variant is the only one."""
        choice = next(iter(self._choices_of.get(index, ())), None)
        return choice if choice is not None and len(self._all[choice]) == 1 else None

    def _tell(self, *, lower_is_better: bool) -> None:
        for choice in [choice for choice, left in self._open.items() if not left]:
            del self._open[choice]
            ends = [self._ends[position] for position in self._all[choice]]
            metrics = [metric for _, metric in ends if metric is not None]
            # The lucky seeds of a choice that often diverges say little: one that failed is a failed choice.
            mean = _mean(metrics) if metrics and len(metrics) == len(ends) else None
            step = max((step for step, _ in ends), default=0)
            self._proposer.complete(choice, step, mean, lower_is_better=lower_is_better)

    def _ask(self, *, lower_is_better: bool) -> None:
        while not self.is_over and len(self._open) < self._budget.at_once and not self._asked_to_stop():
            together = None if self._is_spent() else self._proposer.suggest(self._asked)
            if together is None:
                # Some wait for results before they choose again (ZOOpt): they are asked when there is one.
                self.is_over = self._is_spent() or not self._open
                return
            choice, self._asked = self._asked, self._asked + 1
            positions = [self._enlist(variant).position for variant in self._variants.of(together, self._enlist)]
            self._all[choice] = positions = list(dict.fromkeys(positions))
            self._repeats = self._repeats + 1 if all(one in self._choices_of for one in positions) else 0
            for position in positions:
                self._choices_of.setdefault(position, []).append(choice)
            self._open[choice] = {position: None for position in positions if position not in self._ends}
            # The same choice again, or one that leads nowhere, is known at once.
            self._tell(lower_is_better=lower_is_better)
            if self._repeats == REPEATS and not self._budget.is_given:
                self.is_over = True
                self._exhausted(self._asked)

    def _is_spent(self) -> bool:
        steps = self._budget.steps
        return self._asked >= self._budget.trials or (steps is not None and self._steps_in_all() >= steps)


def _mean(metrics: Sequence[float]) -> float:
    """Return a mean; NaN where one of them is no finite number."""
    return math.fsum(metrics) / len(metrics) if all(map(math.isfinite, metrics)) else math.nan


class GrowthRulings(Keen):
    """What ends the variants of a search that does so itself."""

    def __init__(self, growth: Growth) -> None:
        self._growth = growth

    def result(self, index: int, step: int, metric: float | None) -> str:
        return self._growth.ruling(index)

    def wake(self, index: int) -> None:
        self._growth.wake(index)

    def woken(self) -> list[int]:
        return self._growth.woken()

    def stopped(self) -> list[int]:
        return self._growth.stopped()

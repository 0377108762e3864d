"""What chooses the variants of a stage by results: Tune's searchers, 1.0's algorithms, and classes of one's own.

Of one's own is a subclass of ``ray.tune.search.Searcher``, or a class with the three methods of 1.0's algorithms:
``initialize(space)``, ``is_done()`` and ``update(trials, maximum)``, which returns the trials with new ones among them
(``flambe.search.trial``).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from flambe.compile.search import Assignment
from flambe.compile.trials import OF_SEARCHERS
from flambe.errors import ConfigError, FlambeError
from flambe.search.budget import OURS, class_name, given_to
from flambe.search.searcher_adapter import SearcherAdapter
from flambe.search.space import Space
from flambe.search.trial import Trial, TrialState
from flambe.spec.nodes import NEW

_METHODS = ("initialize", "is_done", "update")


class Proposer(Protocol):
    """What chooses. Choices are known by their number. ``suggest`` returns None when there is no other, for now at least."""

    def suggest(self, index: int) -> tuple[Assignment, ...] | None: ...
    def result(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None: ...
    def complete(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None: ...


def make_proposer(
    node: Mapping[str, Any], space: Space, *, seed: int, extensions: Mapping[str, str] | None = None
) -> Proposer:
    """Return what a search algorithm's node describes. Raises ConfigError for what cannot be made, or cannot choose."""
    target = str(node[NEW])
    module = target.partition(":")[0].partition(".")[0]
    if target.startswith(OURS) or module not in (extensions or {}):
        return SearcherAdapter(node, space, seed=seed, extensions=extensions)
    from flambe.build.trust import import_extensions, resolve

    given = dict(extensions or {})
    import_extensions({module: given[module]})
    kind = resolve(target, extensions=given)
    if all(callable(getattr(kind, method, None)) for method in _METHODS):
        return AlgorithmAdapter(node, kind, space, seed)
    if callable(getattr(kind, "suggest", None)):
        if node.get("trial_budget") is None:
            raise ConfigError(
                f"{class_name(target)} has no trial_budget",
                hint=f"How many choices are tried: !{target.replace(':', '.')} {{trial_budget: 20}}.",
            )
        return SearcherAdapter(node, space, seed=seed, extensions=extensions)
    raise ConfigError(
        f"{target} is no search algorithm",
        expected=f"a subclass of ray.tune.search.Searcher, or a class with {', '.join(_METHODS)}",
    )


class AlgorithmAdapter:
    """An algorithm with 1.0's three methods as a ``Proposer``. kind: its class.

    It sees larger metrics as better ones. What ends or pauses variants is a scheduler, not an algorithm.
    Raises ConfigError for arguments that it refuses.
    """

    def __init__(self, node: Mapping[str, Any], kind: Any, space: Space, seed: int) -> None:
        self._space = space
        self._name = class_name(str(node[NEW]))
        self._trials: dict[str, Trial] = {}
        self._new: list[str] = []
        self._names: list[str] = []  # of the choices, by number
        known = inspect.signature(kind).parameters
        given = {name: value for name, value in given_to(node).items() if name in known or name not in OF_SEARCHERS}
        if "seed" in known and given.get("seed") is None:
            given["seed"] = seed % 2**31
        try:
            self._algorithm = kind(**given)
            self._algorithm.initialize(space.distributions())
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the search algorithm {node[NEW]} refuses what it was given: {error}") from error

    def suggest(self, index: int) -> tuple[Assignment, ...] | None:
        """Return the next choice; None when there is none, or none before another result."""
        if not self._new:
            self._update()
        if not self._new:
            return None
        name = self._new.pop(0)
        self._names.append(name)
        self._trials[name].state = TrialState.RUNNING
        try:
            return self._space.take(self._trials[name].params)
        except ValueError as error:
            raise FlambeError(f"{self._name} made the trial {name!r}: {error}") from error

    def result(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        """Let the algorithm see what a choice reached after a step."""
        name = self._names[index]
        if metric is not None:
            self._trials[name].report(-metric if lower_is_better else metric)
            self._update()
            if self._trials[name].state in (TrialState.TERMINATED, TrialState.PAUSED):
                raise FlambeError(
                    f"{self._name} set the trial {name!r} to {self._trials[name].state.value} after its step {step}",
                    hint="What ends or pauses variants is a scheduler: schedulers: {stage: !ray.ASHAScheduler}.",
                )
            self._trials[name].state = TrialState.RUNNING

    def complete(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        """Let the algorithm see the end of a choice; without a metric it counts as failed."""
        trial = self._trials[self._names[index]]
        if metric is not None:
            trial.metrics.append(-metric if lower_is_better else metric)
        trial.state = TrialState.ERROR if metric is None else TrialState.TERMINATED

    def _update(self) -> None:
        if self._algorithm.is_done():
            return
        live = sum(not trial.has_ended for trial in self._trials.values())
        before = set(self._trials)
        self._trials = dict(self._algorithm.update(dict(self._trials), live + (not self._new)))
        self._new += [name for name in self._trials if name not in before]

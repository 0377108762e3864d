"""What chooses the variants of a stage by results: Tune's searchers, 1.0's algorithms, and classes of one's own.

Of one's own is a subclass of ``ray.tune.search.Searcher``, or a class with the three methods of 1.0's algorithms:
``initialize(space)``, ``is_done()`` and ``update(trials, maximum)``, which returns the trials with new ones among them, and those
that are to end in the state ``TERMINATED`` (``flambe.search.trial``).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from flambe.compile.search import Assignment
from flambe.compile.trials import OF_SEARCHERS
from flambe.errors import ConfigError, FlambeError
from flambe.search.blame import blamed, class_of
from flambe.search.budget import OURS, class_name, given_to
from flambe.search.random_state import RandomState
from flambe.search.searcher_adapter import SearcherAdapter
from flambe.search.space import Space
from flambe.search.trial import Trial, TrialState
from flambe.search.tune_adapter import CONTINUE, PAUSE, STOP
from flambe.spec.nodes import NEW

_METHODS = ("initialize", "is_done", "update")


class Proposer(Protocol):
    """What chooses. Choices are known by their number. ``suggest`` returns None when there is no other, for now at least.

    rules: whether it decides, after a step, what becomes of a choice; only then it is asked for a ``ruling`` (``continue``,
    ``pause`` or ``stop``). ``woken`` and ``stopped`` return, once, the paused ones that are to go on, or to end; ``wake`` tells it
    that one goes on anyhow.
    """

    rules: bool

    def suggest(self, index: int) -> tuple[Assignment, ...] | None: ...
    def result(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None: ...
    def complete(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None: ...
    def ruling(self, index: int) -> str: ...
    def wake(self, index: int) -> None: ...
    def woken(self) -> list[int]: ...
    def stopped(self) -> list[int]: ...


def make_proposer(
    node: Mapping[str, Any], space: Space, *, seed: int, extensions: Mapping[str, str] | None = None
) -> Proposer:
    """Return what a search algorithm's node describes. Raises ConfigError for what cannot be made, or cannot choose."""
    target = str(node[NEW])
    module = target.partition(":")[0].partition(".")[0]
    if target.startswith(OURS) or module not in (extensions or {}):
        return SearcherAdapter(node, space, seed=seed, extensions=extensions)
    kind = class_of(target, extensions or {})
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

    It draws from global generators that are its own while it is at work. It sees larger metrics as better ones, and says by the state of a trial what becomes of it: ``TERMINATED`` ends it, ``PAUSED``
    lets it wait until it is ``RESUME``.

    Raises ConfigError for arguments that it refuses, FlambeError for whatever else goes wrong in it.
    """

    rules = True

    def __init__(self, node: Mapping[str, Any], kind: Any, space: Space, seed: int) -> None:
        self._space = space
        self._name = class_name(str(node[NEW]))
        self._trials: dict[str, Trial] = {}
        self._new: list[str] = []
        self._names: list[str] = []  # of the choices, by number
        self._steps: list[int] = []  # that each of them has told
        self._paused: set[int] = set()
        known = inspect.signature(kind).parameters
        given = {name: value for name, value in given_to(node).items() if name in known or name not in OF_SEARCHERS}
        if "seed" in known and given.get("seed") is None:
            given["seed"] = seed % 2**31
        self._random = RandomState(seed)
        with self._random.installed(), blamed(f"the search algorithm {node[NEW]}"):
            try:
                self._algorithm = kind(**given)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"the search algorithm {node[NEW]} refuses what it was given: {error}") from error
        self._call("initialize", space.distributions())

    def suggest(self, index: int) -> tuple[Assignment, ...] | None:
        """Return the next choice; None when there is none, or none before another result."""
        if not self._new:
            self._update()
        if not self._new:
            return None
        name = self._new.pop(0)
        self._names.append(name)
        self._steps.append(0)
        self._trials[name].state = TrialState.RUNNING
        try:
            return self._space.take(self._trials[name].params)
        except (TypeError, ValueError) as error:
            raise FlambeError(f"{self._name} made the trial {name!r}: {error}") from error

    def result(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        """Let the algorithm see what a choice reached after a step, unless it has ended that before."""
        trial = self._trials[self._names[index]]
        if metric is not None and not trial.has_ended:
            self._steps[index] = step
            trial.report(-metric if lower_is_better else metric)
            self._update()

    def ruling(self, index: int) -> str:
        """Return what is to become of a choice after the step that was told."""
        trial = self._trials[self._names[index]]
        if trial.has_ended:
            return STOP
        if trial.state is TrialState.PAUSED:
            self._paused.add(index)
            return PAUSE
        trial.state = TrialState.RUNNING
        return CONTINUE

    def wake(self, index: int) -> None:
        """A choice that waits goes on, as nothing else would happen any more."""
        self._paused.discard(index)
        self._trials[self._names[index]].state = TrialState.RUNNING

    def woken(self) -> list[int]:
        """Return the choices that have waited and go on."""
        return self._left({TrialState.RESUME, TrialState.RUNNING}, TrialState.RUNNING)

    def stopped(self) -> list[int]:
        """Return the choices that have waited and end."""
        return self._left({TrialState.TERMINATED, TrialState.ERROR}, TrialState.TERMINATED)

    def complete(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        """Let the algorithm see the end of a choice; without a metric that is a finite number it counts as failed."""
        trial = self._trials[self._names[index]]
        failed = metric is None or not math.isfinite(metric)
        if metric is not None and not failed and step > self._steps[index]:
            trial.metrics.append(-metric if lower_is_better else metric)
        trial.state = TrialState.ERROR if failed else TrialState.TERMINATED

    def _left(self, states: Collection[TrialState], state: TrialState) -> list[int]:
        left = sorted(index for index in self._paused if self._trials[self._names[index]].state in states)
        self._paused.difference_update(left)
        for index in left:
            self._trials[self._names[index]].state = state
        return left

    def _update(self) -> None:
        if self._call("is_done"):
            return
        live = sum(not trial.has_ended for trial in self._trials.values())
        before = set(self._trials)
        self._trials = self._checked(self._call("update", dict(self._trials), live + (not self._new)))
        self._new += [name for name in self._trials if name not in before]

    def _checked(self, found: Any) -> dict[str, Trial]:
        """Return what ``update`` returned, if it is what it has to be. Raises FlambeError."""
        said = f"update() of {self._name}"
        if not isinstance(found, Mapping):
            what = "None" if found is None else f"a {type(found).__name__}"
            raise FlambeError(
                f"{said} returned {what}",
                expected="the trials that it was given, as a mapping of name to flambe.search.Trial, with new ones among them",
                hint="End it with: return trials",
            )
        for name, trial in found.items():
            if not isinstance(trial, Trial):
                what = f"{said} returned a {type(trial).__name__} for the trial {name!r}"
                raise FlambeError(what, expected="a flambe.search.Trial: Trial({'train.lr': 0.1})")
        lost = next((name for name in self._trials if name not in found), None)
        if lost is not None:
            raise FlambeError(
                f"{said} left out the trial {lost!r}",
                hint="A trial that is to end stays there, with the state TrialState.TERMINATED.",
            )
        return dict(found)

    def _call(self, method: str, *given: Any) -> Any:
        with self._random.installed(), blamed(f"{method}() of {self._name}"):
            return getattr(self._algorithm, method)(*given)

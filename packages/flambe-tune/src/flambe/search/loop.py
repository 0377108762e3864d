"""``Loop``: an algorithm of 1.0 at work on its own, for who runs trials without flambe-tune."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flambe.compile.search import Assignment, dimensions
from flambe.compile.trials import GRID_SEARCH, RANDOM_SEARCH, algorithm_name, trials_of
from flambe.errors import ConfigError
from flambe.search.budget import read_budget, scheduler_of
from flambe.search.schedule import Keen
from flambe.search.searcher_adapter import SearcherAdapter
from flambe.search.space import Space
from flambe.search.trial import Trial, TrialState
from flambe.search.tune_adapter import PAUSE, STOP, Algorithm, SchedulerAdapter
from flambe.spec.codec import unescape
from flambe.spec.nodes import NEW, Spec, Stage

_STAGE = "space"


class Loop:
    """Makes trials and says which go on. node: that of the algorithm. space: name → distribution.

    Raises ValueError for a space that the algorithm cannot search.
    """

    def __init__(self, node: Mapping[str, Any], space: Mapping[str, Any]) -> None:
        stage = Stage(name=_STAGE, body={NEW: f"{_STAGE}:Space", **space}, search=dict(node))
        seed = int(node.get("seed") or 0)
        self._listed: Iterator[tuple[Assignment, ...]] | None = None
        self._searcher: SearcherAdapter | None = None
        self._algorithm: Algorithm = Keen()
        self._steps_left: int | None = None
        try:
            if algorithm_name(stage) in (GRID_SEARCH, RANDOM_SEARCH):
                self._listed = trials_of(Spec(name=_STAGE, stages=[stage], seed=seed))[0].assignments()
            else:
                budget = read_budget(stage)
                self._left, self._steps_left = budget.trials, budget.steps
                self._searcher = SearcherAdapter(node, Space({_STAGE: dimensions(stage.body)}), seed=seed)
                scheduler = scheduler_of(dict(node))
                if scheduler is not None:
                    self._algorithm = SchedulerAdapter(scheduler, lower_is_better=False, seed=seed)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        self._names: list[str] = []  # of the trials, in the order in which they were made
        self._open: dict[str, int] = {}
        self._is_over = False

    @property
    def is_done(self) -> bool:
        """Whether every trial has ended and there will be no other."""
        return self._is_over and not self._open

    def update(self, trials: dict[str, Trial], maximum: int | None) -> dict[str, Trial]:
        """Look at the results of ``trials``, and add new ones until ``maximum`` are open."""
        for name in list(self._open):
            self._hear(name, trials[name])
        for index in self._algorithm.stopped():
            if self._names[index] in self._open:
                self._end(self._names[index], trials[self._names[index]])
        for index in self._algorithm.woken():
            trials[self._names[index]].state = TrialState.RESUME
        while not self._is_over and (maximum is None or len(self._open) < maximum):
            params = self._next()
            if params is None:
                break
            name = str(len(self._names))
            self._open[name] = len(self._names)
            self._algorithm.add(len(self._names))
            self._names.append(name)
            trials[name] = Trial(params)
        return trials

    def _next(self) -> dict[str, Any] | None:
        found: tuple[Assignment, ...] | None = None
        if self._listed is not None:
            found = next(self._listed, None)
        elif self._left > len(self._names) and (self._steps_left is None or self._steps_left > 0):
            assert self._searcher is not None
            found = self._searcher.suggest(len(self._names))
            if found is None and self._open:
                return None  # it waits for results
        self._is_over = found is None
        return None if found is None else {self._given(name): unescape(value) for name, value in found[0].items()}

    def _given(self, name: str) -> str:
        """Return the name of a choice as the space has it, where a dot is any other letter."""
        top, dot, inner = re.fullmatch(r"((?:\\\.|[^.])*)(\.?)(.*)", name).groups()  # type: ignore[union-attr]
        return top.replace("\\.", ".") + dot + inner

    def _hear(self, name: str, trial: Trial) -> None:
        index, step, metric = self._open[name], len(trial.metrics), trial.metric
        if trial.state is TrialState.HAS_RESULT:
            self._steps_left = None if self._steps_left is None else self._steps_left - 1
            if self._searcher is not None:
                self._searcher.result(index, step, metric, lower_is_better=False)
            said = self._algorithm.result(index, step, metric)
            trial.state = TrialState.PAUSED if said == PAUSE else TrialState.RESUME
            if said == STOP:
                self._end(name, trial)
        elif trial.state is TrialState.TERMINATED:
            self._algorithm.complete(index, step, metric)
            self._end(name, trial)
        elif trial.state is TrialState.ERROR:
            self._algorithm.error(index)
            self._tell_end(name, None, step)

    def _end(self, name: str, trial: Trial) -> None:
        trial.state = TrialState.TERMINATED
        self._tell_end(name, trial.metric, len(trial.metrics))

    def _tell_end(self, name: str, metric: float | None, step: int) -> None:
        index = self._open.pop(name)
        if self._searcher is not None:
            self._searcher.complete(index, step, metric, lower_is_better=False)

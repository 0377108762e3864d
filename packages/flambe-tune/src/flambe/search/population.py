"""Tune's population based training (https://arxiv.org/abs/1711.09846) behind our loop.

A variant that is behind takes over the state of a good one and goes on with choices near to that one's. Tune's scheduler says
who takes over from whom, and with which choices; checkpoints are named here by (variant, step), and handed over by whoever
keeps them.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from flambe.compile.distribution import Distribution
from flambe.compile.search import Assignment, Dimension
from flambe.errors import ConfigError, did_you_mean
from flambe.search.tune_adapter import CONTINUE, PAUSE, TIME, Exploit, SchedulerAdapter, Trial, TuneController
from flambe.spec.nodes import UNIFORM, arguments

MUTATIONS = "hyperparam_mutations"
_EXPLORE = "custom_explore_fn"


class Saved(NamedTuple):
    """The checkpoint of a variant after one of its steps."""

    variant: int
    step: int


class _Member(Trial):
    """Stands for a trial of a population: it has a config, and checkpoints that others may take.

    behind: how many steps less than it has made its state has, since it was taken from another.
    """

    def __init__(self, index: int, config: Mapping[str, Any]) -> None:
        super().__init__(index)
        self.config = dict(config)
        self.evaluated_params: dict[str, Any] = {}
        self.experiment_tag = str(index)
        self.step = 0
        self.behind = 0
        self.temporary_state = SimpleNamespace(saving_to=None)
        settings = SimpleNamespace(num_to_keep=None)
        self._checkpoints = SimpleNamespace(checkpoint_config=settings, _latest_checkpoint_result=None)
        self.run_metadata = SimpleNamespace(checkpoint_manager=self._checkpoints)

    @property
    def checkpoint(self) -> Saved:
        return Saved(self.index, self.step)

    def set_config(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)

    def set_experiment_tag(self, tag: str) -> None:
        self.experiment_tag = tag

    def taken(self) -> Any:
        """Return, once, the checkpoint that it was told to go on from, with the result at it; None when it was not."""
        found, self._checkpoints._latest_checkpoint_result = self._checkpoints._latest_checkpoint_result, None
        return found


class _PopulationController(TuneController):
    search_alg = None

    def _schedule_trial_save(self, trial: _Member, result: Any = None, **ignored: Any) -> Saved:
        return trial.checkpoint

    def pause_trial(self, trial: _Member, should_checkpoint: bool = True) -> None:
        trial.status = trial.PAUSED


class PopulationAdapter(SchedulerAdapter):
    """``PopulationBasedTraining`` as an ``Algorithm``.

    choices: the own choice of each variant: dotted path → value. dimensions: what the stage searches. Values that the node
    does not name in ``hyperparam_mutations`` are kept, unless it names none: then all change.

    Raises ConfigError for mutations of what is not searched, or only in some variants.
    """

    def __init__(
        self,
        node: Mapping[str, Any],
        choices: Sequence[Assignment],
        dimensions: Sequence[Dimension],
        *,
        lower_is_better: bool,
        seed: int,
        extensions: Mapping[str, str] | None = None,
    ) -> None:
        ends = _ends(dimensions)

        def explored(config: dict[str, Any]) -> dict[str, Any]:
            return {path: _inside(value, ends.get(path)) for path, value in config.items()}

        changed = {**node, MUTATIONS: mutations(node, dimensions), "log_config": False, _EXPLORE: explored}
        # Who takes over from whom is in the ledger, and told.
        logging.getLogger("ray.tune.schedulers.pbt").setLevel(logging.WARNING)
        super().__init__(changed, lower_is_better=lower_is_better, seed=seed, extensions=extensions)
        self._choices = choices
        self._exploits: list[Exploit] = []

    def kept(self) -> set[tuple[int, int]]:
        """Return the (variant, step) whose states may be taken over yet."""
        states = self._scheduler._trial_state.values()
        found = (state.last_checkpoint for state in states)
        return {(saved.variant, saved.step) for saved in found if isinstance(saved, Saved)}

    def exploited(self) -> list[Exploit]:
        exploits, self._exploits = self._exploits, []
        return exploits

    def result(self, index: int, step: int, metric: float | None) -> str:
        member = self._trials[index]
        assert isinstance(member, _Member)
        member.step = step
        said = super().result(index, step - member.behind, metric)
        return CONTINUE if said == PAUSE and member.status == member.RUNNING else said

    def complete(self, index: int, step: int, metric: float | None) -> None:
        member = self._trials[index]
        assert isinstance(member, _Member)
        super().complete(index, step - member.behind, metric)

    def _choose(self) -> None:
        for member in self._trials.values():
            assert isinstance(member, _Member)
            taken = member.taken()
            if taken is not None:
                member.behind = member.step - taken.metrics[TIME]
                donor = taken.checkpoint
                self._exploits.append(Exploit(member.index, donor.variant, donor.step, dict(member.config)))
        super()._choose()

    def _make_trial(self, index: int) -> Trial:
        return _Member(index, self._choices[index])

    def _make_controller(self, scheduler: Any) -> TuneController:
        return _PopulationController(scheduler)


def mutations(node: Mapping[str, Any], dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """Return what Tune's scheduler may change, and to what: a list of values, or a function that draws one."""
    found: dict[str, Any] = {}
    for dimension in dimensions:
        if any(option.inner for option in dimension.options):
            continue
        sources = [option.source for option in dimension.options]
        if sources[0] is not None and len(sources) == 1:
            found[dimension.path] = _drawer(sources[0])
        elif not any(sources):
            found[dimension.path] = [option.shown for option in dimension.options]
    given = arguments(dict(node)).get(MUTATIONS)
    if given is not None and not isinstance(given, dict):
        raise ConfigError(
            f"{MUTATIONS} is no mapping", expected="optimizer.lr: [0.1, 0.01], for paths inside of the stage"
        )
    for path, values in (given or {}).items():
        if path not in found:
            raise ConfigError(
                f"{MUTATIONS} names {path!r}, which is not searched in every variant of the stage",
                expected=f"one of {', '.join(found)}" if found else None,
                hint=did_you_mean(path, found) or "Write a search there, such as !uniform or !g.",
            )
        if values is not None and not (isinstance(values, list) and values):
            raise ConfigError(
                f"{path} of {MUTATIONS} is {values!r}", expected="a list of values, or null for what is searched"
            )
    if not found:
        raise ConfigError(
            "a population needs something in its stage that is searched", hint="lr: !uniform [0.001, 0.1]"
        )
    return {path: values or found[path] for path, values in given.items()} if given else found


def _drawer(source: Distribution) -> Any:
    # From the global generator, which is the scheduler's own while it decides.
    return lambda: source.draw(random)  # type: ignore[arg-type]


def _ends(dimensions: Sequence[Dimension]) -> dict[str, Distribution]:
    return {
        dimension.path: option.source
        for dimension in dimensions
        for option in dimension.options
        if option.source is not None and option.source.kind == UNIFORM
    }


def _inside(value: Any, source: Distribution | None) -> Any:
    """Return a number that was multiplied: short, and within the ends of what it was drawn from."""
    if not isinstance(value, float) or source is None or source.ends is None:
        return float(f"{value:.10g}") if isinstance(value, float) else value
    low, high = source.ends
    return min(max(float(f"{value:.10g}"), low), high)

"""Drive the trial schedulers of Ray Tune by their documented interface, with our own loop in place of Tune's.

Tune's schedulers (ASHA, https://arxiv.org/abs/1810.05934; HyperBand, https://arxiv.org/abs/1603.06560; the median
stopping rule of Vizier) see light stand-ins for a trial and for Tune's controller. From their side every trial has a
worker of its own: a trial is RUNNING from the moment it is added until the scheduler itself pauses or ends it. How many
workers there really are stays hidden, so that no decision depends on it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from flambe.errors import ConfigError
from flambe.search.blame import blamed, class_of
from flambe.search.random_state import RandomState
from flambe.spec.nodes import NEW, arguments

CONTINUE, PAUSE, STOP, EXPLOIT = "continue", "pause", "stop", "exploit"
METRIC, TIME = "metric", "training_iteration"

_FAR = 1e300
_OURS = frozenset({"metric", "mode", "time_attr", "reward_attr"})
_POPULATION = "PopulationBasedTraining"
_REFUSED = {
    "PopulationBasedTrainingReplay": ("repeats a file of Tune's own", "A run that is repeated decides alike."),
    "PB2": ("needs GPy, which does not work with NumPy 2", "PopulationBasedTraining can be used."),
    "HyperBandForBOHB": (
        "works only together with TuneBOHB",
        "Write search: {stage: !BOHB {step_budget: 200, max_steps: 20}}.",
    ),
    "ResourceChangingScheduler": (
        "changes the resources of running variants",
        "flambe.experiment.StageTrainable runs a stage under Tune's own Tuner, which can.",
    ),
}


class Exploit(NamedTuple):
    """``variant`` goes on from the state that variant ``donor`` had after ``step`` steps, with another choice."""

    variant: int
    donor: int
    step: int
    choice: dict[str, Any]


class Algorithm(Protocol):
    """What decides between steps. Trials are known by their index; metrics may be None.

    ``result`` returns the decision about the trial that reported. ``woken`` and ``stopped`` return, and forget, the
    paused trials that the algorithm meanwhile wants to go on or to end; ``exploited`` those that take over a state.
    ``kept`` returns the (trial, step) whose states may be taken over yet.
    """

    def add(self, index: int) -> None: ...
    def result(self, index: int, step: int, metric: float | None) -> str: ...
    def complete(self, index: int, step: int, metric: float | None) -> None: ...
    def error(self, index: int) -> None: ...
    def wake(self, index: int) -> None: ...
    def woken(self) -> list[int]: ...
    def stopped(self) -> list[int]: ...
    def exploited(self) -> list[Exploit]: ...
    def kept(self) -> set[tuple[int, int]]: ...


def is_population(node: Any) -> bool:
    """Whether a scheduler's node is one that hands states from variant to variant."""
    return isinstance(node, dict) and _class_of(node) == _POPULATION


def check_scheduler(node: Any, stage: str) -> None:
    """Refuse, before anything is imported, a scheduler that cannot be driven.

    Raises ConfigError for what is no ``$new`` node, and for schedulers that need what our loop has not.
    """
    if not isinstance(node, dict) or NEW not in node:
        raise ConfigError(
            f"the scheduler of stage {stage!r} is no object", hint="Write a tag, such as !ray.ASHAScheduler."
        )
    name = _class_of(node)
    if name in _REFUSED:
        why, hint = _REFUSED[name]
        raise ConfigError(f"flambe-tune does not drive the scheduler {name} of stage {stage!r}: it {why}", hint=hint)


def _class_of(node: Mapping[str, Any]) -> str:
    return str(node.get(NEW, "")).rpartition(":")[2].partition(".")[0]


class Trial:
    """Stands for ``ray.tune.experiment.Trial``: what the schedulers read of one."""

    PENDING, RUNNING, PAUSED, TERMINATED, ERROR = "PENDING", "RUNNING", "PAUSED", "TERMINATED", "ERROR"

    def __init__(self, index: int) -> None:
        self.index = index
        self.trial_id = f"{index:08d}"
        self.status = self.RUNNING
        self.is_saving = False
        self.config: dict[str, Any] = {}
        self.last_result: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"trial {self.index}"

    def is_finished(self) -> bool:
        return self.status in (self.TERMINATED, self.ERROR)


class TuneController:
    """Stands for ``ray.tune.execution.tune_controller.TuneController``."""

    def __init__(self, scheduler: Any) -> None:
        self.trials: list[Trial] = []
        self.ended: list[int] = []
        self._scheduler = scheduler

    def get_trials(self) -> list[Trial]:
        return self.trials

    def get_live_trials(self) -> list[Trial]:
        return [trial for trial in self.trials if not trial.is_finished()]

    def stop_trial(self, trial: Trial) -> None:
        """End a trial on the scheduler's own wish, as Tune's controller does."""
        if trial.is_finished():
            return
        if trial.status == trial.RUNNING:
            self._scheduler.on_trial_complete(self, trial, trial.last_result)
        else:
            self._scheduler.on_trial_remove(self, trial)
        trial.status = trial.TERMINATED
        self.ended.append(trial.index)


class SchedulerAdapter:
    """One of Tune's schedulers as an ``Algorithm``.

    node: the ``$new`` node of the scheduler. Its ``metric``, ``mode``, ``time_attr`` (and 0.4's ``reward_attr``) are
    set by us: the metric is ``Component.metric()``, the direction is the component's, time is counted in steps.
    seed: of the random numbers that a scheduler draws (ASHA with several brackets).
    """

    def __init__(
        self, node: Mapping[str, Any], *, lower_is_better: bool, seed: int, extensions: Mapping[str, str] | None = None
    ):
        self._scheduler = _build(node, lower_is_better=lower_is_better, extensions=extensions or {})
        self._controller = self._make_controller(self._scheduler)
        self._trials: dict[int, Trial] = {}
        # Finite, for Tune interpolates between metrics.
        self._worst = _FAR if lower_is_better else -_FAR
        self._needs_number = type(self._scheduler).__name__.startswith(("HyperBand", _POPULATION))
        self._random = RandomState(seed)
        self._woken: list[int] = []

    def add(self, index: int) -> None:
        trial = self._trials[index] = self._make_trial(index)
        self._controller.trials.append(trial)
        with self._at_work():
            self._scheduler.on_trial_add(self._controller, trial)

    def result(self, index: int, step: int, metric: float | None) -> str:
        trial = self._trials[index]
        trial.last_result = self._result(step, metric, required=self._needs_number)
        with self._at_work():
            said = self._scheduler.on_trial_result(self._controller, trial, trial.last_result)
            if said == "STOP":
                self._scheduler.on_trial_complete(self._controller, trial, trial.last_result)
                trial.status = trial.TERMINATED
            elif said == "PAUSE" or (said == "NOOP" and trial.status == trial.PAUSED):
                said, trial.status = "PAUSE", trial.PAUSED
            elif said != "CONTINUE":
                raise ConfigError(
                    f"the scheduler {type(self._scheduler).__name__} answered {said!r}, which we do not know"
                )
            self._choose()
        if said == "PAUSE" and index in self._woken:
            # It asked for others to go first; here everyone has a worker, so it goes on at once.
            self._woken.remove(index)
            return CONTINUE
        return {"STOP": STOP, "PAUSE": PAUSE, "CONTINUE": CONTINUE}[said]

    def complete(self, index: int, step: int, metric: float | None) -> None:
        trial = self._trials[index]
        trial.last_result = {**self._result(step, metric, required=True), "done": True}
        with self._at_work():
            self._scheduler.on_trial_complete(self._controller, trial, trial.last_result)
            trial.status = trial.TERMINATED
            self._choose()

    def error(self, index: int) -> None:
        trial = self._trials[index]
        with self._at_work():
            if trial.status == trial.RUNNING:
                self._scheduler.on_trial_error(self._controller, trial)
            else:
                self._scheduler.on_trial_remove(self._controller, trial)
            trial.status = trial.ERROR
            self._choose()

    def wake(self, index: int) -> None:
        self._trials[index].status = Trial.RUNNING

    def woken(self) -> list[int]:
        woken, self._woken = self._woken, []
        return woken

    def stopped(self) -> list[int]:
        ended, self._controller.ended = self._controller.ended, []
        return ended

    def exploited(self) -> list[Exploit]:
        return []

    def kept(self) -> set[tuple[int, int]]:
        return set()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Let it draw from numbers of its own, and name it where it fails."""
        with self._random.installed(), blamed(f"the scheduler {type(self._scheduler).__name__}"):
            yield

    def _make_trial(self, index: int) -> Trial:
        return Trial(index)

    def _make_controller(self, scheduler: Any) -> TuneController:
        return TuneController(scheduler)

    def _choose(self) -> None:
        while (trial := self._scheduler.choose_trial_to_run(self._controller)) is not None:
            trial.status = trial.RUNNING
            self._woken.append(trial.index)

    def _result(self, step: int, metric: float | None, *, required: bool) -> dict[str, Any]:
        result: dict[str, Any] = {TIME: step}
        if metric is not None and math.isfinite(metric):
            result[METRIC] = metric
        elif metric is not None or required:
            # Tune's schedulers sort by the metric, fail on None and interpolate: nothing measured is the worst there is, and so is
            # an infinity on either side.
            result[METRIC] = self._worst
        return result


def _build(node: Mapping[str, Any], *, lower_is_better: bool, extensions: Mapping[str, str]) -> Any:
    target = str(node[NEW])
    kind = class_of(target, extensions)
    given = {name: value for name, value in arguments(dict(node)).items() if name not in _OURS}
    try:
        known = frozenset(inspect.signature(kind).parameters)
    except (TypeError, ValueError):
        known = frozenset()
    if "time_attr" in known:
        given["time_attr"] = TIME
    if kind.__name__ == "MedianStoppingRule":
        # Tune's default is 60 seconds; ours counts steps.
        given.setdefault("grace_period", 1)
    with blamed(f"the scheduler {target}"):
        try:
            scheduler = kind(**given)
            # The direction as Tune's own controller gives it to a scheduler.
            scheduler.set_search_properties(METRIC, "min" if lower_is_better else "max")
        except (TypeError, ValueError, AssertionError, AttributeError) as error:
            raise ConfigError(f"the scheduler {target} refuses its arguments: {error}") from error
    return scheduler

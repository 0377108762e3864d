"""Drive the search algorithms of Ray Tune (``ray.tune.search.Searcher``) by their documented interface.

Whatever library is behind one sees trials that are asked for and told about one after another, in an order that our own
schedule fixes. It always maximises: the metric of a component for which lower is better is told with its sign changed, for
the direction is known only when the first result is there, and the first choices are needed before.

The algorithms of flambe 1.0 are libraries' too: ``BayesOptGP`` is Optuna's Gaussian process (https://arxiv.org/abs/1206.2944),
``BayesOptKDE`` its tree-structured Parzen estimator (https://proceedings.neurips.cc/paper/2011 "Algorithms for
hyper-parameter optimization"); ``Hyperband`` and ``BOHB`` are random choices and that estimator, with Tune's asynchronous
HyperBand (https://arxiv.org/abs/1810.05934) to end variants.
"""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flambe.compile.search import Assignment
from flambe.compile.trials import OF_SEARCHERS
from flambe.errors import ConfigError, FlambeError, did_you_mean
from flambe.search.blame import blamed, class_of
from flambe.search.budget import OURS, class_name, given_to
from flambe.search.random_state import RandomState
from flambe.search.space import Amount, Knob, Level, Space
from flambe.search.tune_adapter import CONTINUE, METRIC, TIME
from flambe.spec.nodes import NEW

_SET_BY_US = frozenset({"metric", "mode", "time_attr", "reward_attr", "space", *OF_SEARCHERS})
_SEEDS = ("seed", "random_seed", "random_state_seed", "random_state")
_INSTALL = {
    "OptunaSearch": "optuna", "HyperOptSearch": "hyperopt", "AxSearch": "'ax-platform<1' sqlalchemy 'pandas<3'",
    "TuneBOHB": "hpbandster ConfigSpace", "BayesOptSearch": "'bayesian-optimization<2'", "NevergradSearch": "nevergrad",
    "ZOOptSearch": "zoopt", "HEBOSearch": "HEBO",
}  # fmt: skip
_LEARNS_BETWEEN = frozenset({"TuneBOHB"})
"""What learns from results between steps only, not from the one that a choice ends with."""
_ZOOPT = "ZOOptSearch"
_LEAST_OF_ZOOPT = 3
"""Choices below which ZOOpt ends the process."""
_DRAWS_OF_ZOOPT = 100
_WAITS_FOR_ALL = frozenset({_ZOOPT, "BayesOptSearch"})
"""What waits for the result of a choice that failed, for ever: it is told the worst one so far, or none."""


class SearcherAdapter:
    """One of Tune's search algorithms, or one of 1.0's.

    node: its ``$new`` node. space: what it chooses from. seed: of its random numbers, unless the node has one.
    Raises ConfigError for arguments that it refuses, a space that it cannot search, and libraries that are not installed.
    """

    rules = False

    def __init__(
        self, node: Mapping[str, Any], space: Space, *, seed: int, extensions: Mapping[str, str] | None = None
    ) -> None:
        self._space = space
        self._random = RandomState(seed)
        self._name = class_name(str(node[NEW]))
        self._worst: float | None = None
        self._diverged: list[tuple[int, int]] = []
        """Choices, with their steps, that are told when there is a worst result."""
        # Libraries draw while they are imported, which happens once in a process: outside.
        with _quiet():
            kind = None if str(node[NEW]).startswith(OURS) else class_of(str(node[NEW]), extensions or {})
        with self._random.installed(), _quiet(), blamed(f"the search algorithm {node[NEW]}"):
            self._searcher = _build(node, kind, space, seed % 2**31)

    def suggest(self, index: int) -> tuple[Assignment, ...] | None:
        """Return the next choice, for each stage that is searched; None when the algorithm has no other."""
        with self._at_work("choosing"):
            values = self._asked_again(index) if self._name == _ZOOPT else self._searcher.suggest(_name(index))
        if values is None or values == "FINISHED":
            return None
        return self._space.assignments(values)

    def _asked_again(self, index: int) -> Any:
        """Return the next choice of ZOOpt, which would end early in two ways.

        It waits for the results of its first choices, and only wakes if they come meanwhile: where all were there before it began to
        wait, as with one choice at a time, it would wait for ever. And when a draw comes out as one that was there before, it says
        that it is finished; its own loop (``SRacos.opt``) draws again, up to a hundred times.
        """
        for _ in range(_DRAWS_OF_ZOOPT):
            values = self._searcher.suggest(_name(index))
            if values is None and not self._searcher._live_trial_mapping:
                self._searcher.optimizer.semaphore = 1
            elif values != "FINISHED":
                break
        return values

    def result(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        """Tell what a choice reached after a step."""
        if metric is not None and math.isfinite(metric):
            with self._at_work("hearing of a result"):
                self._searcher.on_trial_result(_name(index), self._result(step, metric, lower_is_better))

    def complete(self, index: int, step: int, metric: float | None, *, lower_is_better: bool) -> None:
        """Tell the last result of a choice; without one it counts as failed. One that is no finite number, as of training that
        diverged, is told as the worst there was so far, and as soon as there is one: a search that heard nothing of it would
        choose alike again.
        """
        if metric is not None and math.isfinite(metric):
            self._tell_end(index, self._result(step, metric, lower_is_better))
            for other, steps in self._diverged:
                self._tell_end(other, self._as_worst(steps))
            self._diverged.clear()
        elif self._name in _WAITS_FOR_ALL or (metric is not None and self._worst is not None):
            self._tell_end(index, self._as_worst(step))
        elif metric is not None:
            self._diverged.append((index, step))
        else:
            self._tell_end(index, None)

    def _tell_end(self, index: int, result: Mapping[str, Any] | None) -> None:
        with self._at_work("hearing of an end"):
            if self._name in _LEARNS_BETWEEN and result is not None:
                self._searcher.on_trial_result(_name(index), result)
            self._searcher.on_trial_complete(_name(index), result=result, error=result is None)

    def _as_worst(self, step: int) -> dict[str, Any]:
        return {TIME: step, METRIC: 0.0 if self._worst is None else self._worst, "hyperband_info": {"budget": step}}

    def ruling(self, index: int) -> str:
        """Return that a choice goes on: what ends it is a scheduler, if anything does."""
        return CONTINUE

    def wake(self, index: int) -> None:
        """None waits."""

    def woken(self) -> list[int]:
        """Return none: none waits."""
        return []

    def stopped(self) -> list[int]:
        """Return none, as ``woken``."""
        return []

    def _result(self, step: int, metric: float, lower_is_better: bool) -> dict[str, Any]:
        told = -metric if lower_is_better else metric
        self._worst = told if self._worst is None else min(told, self._worst)
        # The budget of a result is what BOHB sorts it by; Tune's own scheduler for it would set it.
        return {TIME: step, METRIC: told, "hyperband_info": {"budget": step}}

    @contextmanager
    def _at_work(self, doing: str) -> Iterator[None]:
        try:
            with self._random.installed(), _quiet():
                yield
        except FlambeError:
            raise
        except Exception as error:  # any, for it is a library's
            packages = _INSTALL.get(self._name)
            hint = f"These versions are known to work: pip install {packages}" if packages else None
            raise FlambeError(f"{self._name} failed at {doing}: {type(error).__name__}: {error}", hint=hint) from error


def _name(index: int) -> str:
    return f"{index:08d}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Let libraries say neither which choice they find slow nor how they go about it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _build(node: Mapping[str, Any], kind: Any, space: Space, seed: int) -> Any:
    target = str(node[NEW])
    name = class_name(target)
    given = {key: value for key, value in given_to(node).items() if key not in _SET_BY_US}
    if target.startswith(OURS):
        own = given.pop("seed", None)
        return _optuna(space, _sampler(name, given, space, seed if own is None else own))
    if name == _ZOOPT:
        budget = given_to(node).get("trial_budget") or 0
        if budget < _LEAST_OF_ZOOPT:
            what = f"trial_budget of {name} is {budget}"
            raise ConfigError(what, expected=f"{_LEAST_OF_ZOOPT} or more", hint="!RandomSearch takes any.")
        # How many are tried at once our own loop says.
        given = {"budget": budget, "parallel_num": budget, **given}
    if name == "NevergradSearch" and isinstance(given.get("optimizer"), str):
        given["optimizer"] = _nevergrad(given["optimizer"])
    try:
        known = frozenset(inspect.signature(kind).parameters)
        for parameter in _SEEDS:
            if parameter in known and given.get(parameter) is None:
                given[parameter] = seed
                break
        if name == "OptunaSearch":
            return _optuna(space, None, **given)
        searcher = kind(**given)
        config = {knob.name: domain_of(knob) for knob in space.knobs()}
        if not searcher.set_search_properties(METRIC, "max", config):
            raise ConfigError(
                f"{name} has a space of its own", hint="What is searched stands in the arguments of the stage."
            )
    except ConfigError:
        raise
    except (ImportError, AssertionError, AttributeError) as error:  # the last: of a version that Tune does not know
        why = str(error).strip().partition("\n")[0] or "its library is missing"
        packages = _INSTALL.get(name)
        hint = f"pip install {packages}" if packages else None
        raise ConfigError(f"{name} cannot be used: {why}", hint=hint) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"the search algorithm {target} refuses what it was given: {error}") from error
    return searcher


def _nevergrad(optimizer: str) -> Any:
    """Return the optimizer of Nevergrad that has this name. Raises ConfigError."""
    try:
        import nevergrad  # type: ignore[import-not-found]
    except ImportError as error:
        raise ConfigError(f"NevergradSearch cannot be used: {error}", hint="pip install nevergrad") from error
    registry = nevergrad.optimizers.registry
    if optimizer not in registry:
        raise ConfigError(f"Nevergrad has no optimizer {optimizer!r}", hint=did_you_mean(optimizer, registry))
    return registry[optimizer]


def _optuna(space: Space, sampler: Any, **given: Any) -> Any:
    """Return Tune's ``OptunaSearch`` that asks for one knob after another, only for those that count."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("this search needs Optuna", hint="pip install 'flambe-tune[optuna]'") from error
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def ask(trial: Any) -> None:
        def turn(knob: Knob) -> Any:
            if isinstance(knob, Amount):
                return trial.suggest_float(knob.name, knob.low, knob.high)
            if isinstance(knob, Level):
                return trial.suggest_int(knob.name, 0, knob.size - 1)
            return trial.suggest_categorical(knob.name, list(knob.labels))

        space.choose(turn)

    if sampler is not None:
        given["sampler"] = sampler
    return OptunaSearch(space=ask, metric=METRIC, mode="max", **given)


def domain_of(knob: Knob) -> Any:
    """Return the Tune domain of a knob."""
    from ray import tune

    if isinstance(knob, Amount):
        return tune.uniform(knob.low, knob.high)
    if isinstance(knob, Level):
        return tune.randint(0, knob.size)
    return tune.choice(list(knob.labels))


def _sampler(name: str, given: dict[str, Any], space: Space, seed: int) -> Any:
    """Return Optuna's sampler for an algorithm of 1.0. Raises ConfigError for arguments that it has no place for."""
    try:
        from optuna import samplers
    except ImportError as error:
        raise ConfigError(f"{name} needs Optuna", hint="pip install 'flambe-tune[optuna]'") from error
    if name == "Hyperband":
        return samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is experimental there, the tests here hold
        if name == "BayesOptGP":
            _refuse(name, given, {"aq_func": "ei", "xi": 0.0}, "expected improvement, which has no xi, is the only one")
            space.knobs()  # a Gaussian process knows no choice that depends on another
            return samplers.GPSampler(seed=seed, n_startup_trials=given.get("min_configs_in_model") or 1)
        _refuse(name, given, {"bandwidth_factor": 3, "min_bandwidth": 0.001}, "Optuna chooses bandwidths itself")
        share = given.get("top_n_frac", 0.15)
        model = samplers.TPESampler(
            seed=seed,
            n_startup_trials=given.get("min_configs_per_model") or len(space) + 1,
            n_ei_candidates=given.get("num_samples") or 64,
            gamma=lambda count: max(1, math.ceil(share * count)),
            multivariate=True,
            group=True,
        )
    return _sometimes_random(model, given.get("random_fraction", 0.33), seed)


def _refuse(name: str, given: Mapping[str, Any], only: Mapping[str, Any], why: str) -> None:
    for argument, value in only.items():
        if given.get(argument, value) != value:
            raise ConfigError(
                f"{argument} of {name} is {given[argument]!r}, and Optuna has it as {value!r} only: {why}",
                hint="Leave it out." + (" !ray.BayesOptSearch has others." if name == "BayesOptGP" else ""),
            )


def _sometimes_random(model: Any, share: float, seed: int) -> Any:
    """Return a sampler that draws a ``share`` of all choices at random, and lets ``model`` choose the others."""
    import random

    from optuna.samplers import BaseSampler, RandomSampler

    luck = random.Random(seed)
    # Of another seed than the model, which would draw its first choices alike.
    blind = RandomSampler(seed=luck.randrange(2**31))

    class Mixed(BaseSampler):
        def __init__(self) -> None:
            self._now = model

        def before_trial(self, study: Any, trial: Any) -> None:
            self._now = blind if luck.random() < share else model
            self._now.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self._now.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self._now.sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return self._now.sample_independent(study, trial, name, distribution)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            model.after_trial(study, trial, state, values)

    return Mixed()

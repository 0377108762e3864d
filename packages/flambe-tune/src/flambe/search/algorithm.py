"""The search algorithms of 1.0, as they are written in a config: ``algorithm: {train: !RandomSearch {trial_budget: 20}}``.

They are nodes of a spec (plain maps) that say what is asked for; who plans a run makes the choices. ``GridSearch`` and
``RandomSearch`` are planned by ``flambe.compile.trials`` before anything runs. The others choose by results, while
flambe-tune runs: Optuna has their models, Tune their way of ending variants (``flambe.search.searcher_adapter``).
"""

from __future__ import annotations

from typing import Any

from flambe.spec.nodes import NEW


class Algorithm(dict[str, Any]):
    """Base of algorithms: a ``$new`` node that holds the arguments that differ from their defaults."""

    def __init__(self, **arguments: Any) -> None:
        given = {name: value for name, value in arguments.items() if value is not None}
        if "space" in given:
            raise ValueError(
                "an algorithm has no space of its own: what is searched stands in the arguments of a stage"
            )
        super().__init__({NEW: f"flambe.search:{type(self).__name__}", **given})


class GridSearch(Algorithm):
    """Every choice. What it searches has to be finite: ``!choice``, ``!g``, ``!s`` and ``!quniform``.

    space: of 1.0; never given, as what is searched stands in the arguments of the stage.
    """

    def __init__(self, space: None = None) -> None:
        super().__init__(space=space)


class RandomSearch(Algorithm):
    """Different choices, drawn for the stage and for what it links to together.

    trial_budget: how many variants the stage gets; fewer where there are no more.
    seed: of the draws; the experiment's by default.
    space: never given, see ``GridSearch``.

    Raises ValueError for a budget below 1.
    """

    def __init__(self, trial_budget: int, seed: int | None = None, space: None = None) -> None:
        _check(trial_budget=trial_budget)
        super().__init__(trial_budget=trial_budget, seed=seed, space=space)


class BayesOptGP(Algorithm):
    """Choices from a Gaussian process over what was tried: Optuna's ``GPSampler`` (it needs SciPy and PyTorch).

    It knows no search inside of an option of another.

    trial_budget: how many variants the stage gets.
    min_configs_in_model: how many are drawn at random first.
    aq_func: the acquisition function; ``ei``, expected improvement, is the only one.
    kappa: of 1.0's ``ucb``, without effect.
    xi: of 1.0's ``ei``; 0 is the only one.
    seed: of the draws; the experiment's by default.
    space: never given, see ``GridSearch``.
    """

    def __init__(
        self,
        trial_budget: int,
        min_configs_in_model: int = 1,
        aq_func: str = "ei",
        kappa: float = 2.5,
        xi: float = 0.0,
        seed: int | None = None,
        space: None = None,
    ) -> None:
        _check(trial_budget=trial_budget)
        super().__init__(
            trial_budget=trial_budget,
            min_configs_in_model=min_configs_in_model,
            aq_func=aq_func,
            kappa=kappa,
            xi=xi,
            seed=seed,
            space=space,
        )


class BayesOptKDE(Algorithm):
    """Choices from kernel density estimates of good and bad ones: Optuna's ``TPESampler``, over all numbers together.

    trial_budget: how many variants the stage gets.
    min_configs_per_model: how many are drawn at random first; one more than there are dimensions by default.
    top_n_frac: the part of the choices that counts as good.
    num_samples: of each draw, the best of which is tried.
    random_fraction: how often a choice is drawn at random all the same.
    bandwidth_factor, min_bandwidth: of 1.0; Optuna chooses bandwidths itself, so only the defaults are taken.
    space: never given, see ``GridSearch``.
    """

    def __init__(
        self,
        trial_budget: int,
        min_configs_per_model: int | None = None,
        top_n_frac: float = 0.15,
        num_samples: int = 64,
        random_fraction: float = 0.33,
        bandwidth_factor: float = 3,
        min_bandwidth: float = 0.001,
        space: None = None,
    ) -> None:
        _check(trial_budget=trial_budget)
        super().__init__(
            trial_budget=trial_budget,
            min_configs_per_model=min_configs_per_model,
            top_n_frac=top_n_frac,
            num_samples=num_samples,
            random_fraction=random_fraction,
            bandwidth_factor=bandwidth_factor,
            min_bandwidth=min_bandwidth,
            space=space,
        )


class Hyperband(Algorithm):
    """Random choices, of which most end early (https://arxiv.org/abs/1603.06560).

    Its brackets do not wait for their last variant: they are those of Tune's ``AsyncHyperBandScheduler``.

    step_budget: steps of all variants together; when so many are done, no other variant begins.
    max_steps: of one variant.
    min_steps: before a variant may end.
    drop_rate: one of so many goes on at each halving.
    seed: of the draws; the experiment's by default.
    space: never given, see ``GridSearch``.
    """

    def __init__(
        self,
        step_budget: int,
        max_steps: int,
        min_steps: int = 1,
        drop_rate: float = 3,
        seed: int | None = None,
        space: None = None,
    ) -> None:
        _check(step_budget=step_budget, max_steps=max_steps, min_steps=min_steps)
        super().__init__(
            step_budget=step_budget,
            max_steps=max_steps,
            min_steps=min_steps,
            drop_rate=drop_rate,
            seed=seed,
            space=space,
        )


class BOHB(Algorithm):
    """``Hyperband`` with the choices of ``BayesOptKDE`` (https://arxiv.org/abs/1807.01774).

    step_budget: steps of all variants together; when so many are done, no other variant begins.
    max_steps: of one variant.
    min_steps: before a variant may end.
    drop_rate: one of so many goes on at each halving.
    min_configs_per_model: how many are drawn at random first; one more than there are dimensions by default.
    top_n_frac: the part of the choices that counts as good.
    num_samples: of each draw, the best of which is tried.
    random_fraction: how often a choice is drawn at random all the same.
    bandwidth_factor, min_bandwidth: of 1.0; Optuna chooses bandwidths itself, so only the defaults are taken.
    seed: of the draws; the experiment's by default.
    space: never given, see ``GridSearch``.
    """

    def __init__(
        self,
        step_budget: int,
        max_steps: int = 1,
        min_steps: int = 1,
        drop_rate: float = 3,
        min_configs_per_model: int | None = None,
        top_n_frac: float = 0.15,
        num_samples: int = 64,
        random_fraction: float = 1 / 3,
        bandwidth_factor: float = 3,
        min_bandwidth: float = 0.001,
        seed: int | None = None,
        space: None = None,
    ) -> None:
        _check(step_budget=step_budget, max_steps=max_steps, min_steps=min_steps)
        super().__init__(
            step_budget=step_budget,
            max_steps=max_steps,
            min_steps=min_steps,
            drop_rate=drop_rate,
            min_configs_per_model=min_configs_per_model,
            top_n_frac=top_n_frac,
            num_samples=num_samples,
            random_fraction=random_fraction,
            bandwidth_factor=bandwidth_factor,
            min_bandwidth=min_bandwidth,
            seed=seed,
            space=space,
        )


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}, expected 1 or more")

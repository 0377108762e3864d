"""The search algorithms of 1.0, as they are written in a config: ``algorithm: {train: !RandomSearch {trial_budget: 20}}``.

They are nodes of a spec (plain maps) that say what is asked for; who plans a run makes the choices. ``GridSearch`` and
``RandomSearch`` are planned by ``flambe.compile.trials`` before anything runs. The others choose by results, while
flambe-tune runs: Optuna has their models, Tune their way of ending variants (``flambe.search.searcher_adapter``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flambe.spec.nodes import NEW

if TYPE_CHECKING:
    from flambe.search.loop import Loop
    from flambe.search.trial import Trial


_COUNTS = ("trial_budget", "step_budget", "max_steps", "min_steps")


class Algorithm(dict[str, Any]):
    """Base of algorithms: a ``$new`` node that holds the arguments that were given.

    ``initialize``, ``is_done`` and ``update`` are the interface of 1.0, for who runs trials without flambe-tune; a class of
    one's own that has these three can be the ``algorithm`` of a stage (``flambe.search.proposer``).
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        """given: the local names of a constructor, so that no argument is written twice. Raises ValueError for what cannot be."""
        arguments = {name: value for name, value in given.items() if name not in ("self", "__class__")}
        if arguments.get("space") is not None:
            raise ValueError(
                "an algorithm has no space of its own: what is searched stands in the arguments of a stage"
            )
        for name in _COUNTS:
            if arguments.get(name, 1) < 1:
                raise ValueError(f"{name} is {arguments[name]}, expected 1 or more")
        super().__init__(
            {
                NEW: f"flambe.search:{type(self).__name__}",
                **{name: value for name, value in arguments.items() if value is not None},
            }
        )
        self._loop: Loop | None = None

    def initialize(self, space: Mapping[str, Any]) -> None:
        """Take what is to be searched: name → distribution (``uniform(0, 1)``).

        Raises ValueError when it was given before, and for a space that this algorithm cannot search.
        """
        from flambe.search.loop import Loop

        if self._loop is not None:
            raise ValueError(f"this {type(self).__name__} was initialized before")
        self._loop = Loop(self, space)

    def is_done(self) -> bool:
        """Whether every trial has ended and there will be no other. Raises ValueError before ``initialize``."""
        return self._initialized().is_done

    # A node is only read: nobody asks for the method of this name that a dictionary has.
    def update(  # type: ignore[override]
        self, trials: dict[str, Trial], maximum: int | None = None
    ) -> dict[str, Trial]:
        """Look at the results of ``trials`` (what earlier calls returned), and add new ones until ``maximum`` are open.

        Who runs them calls ``Trial.report`` after each step, and sets ``TERMINATED`` or ``ERROR`` when one has ended. What has
        ``RESUME`` afterwards makes another step, what has ``PAUSED`` waits. Raises ValueError before ``initialize``.
        """
        return self._initialized().update(trials, maximum)

    def _initialized(self) -> Loop:
        if self._loop is None:
            raise ValueError(f"this {type(self).__name__} has nothing to search: call initialize(space) first")
        return self._loop


class GridSearch(Algorithm):
    """Every choice. What it searches has to be finite: ``!choice``, ``!g``, ``!s`` and ``!quniform``.

    space: of 1.0; never given, as what is searched stands in the arguments of the stage.
    """

    def __init__(self, space: None = None) -> None:
        super().__init__(locals())


class RandomSearch(Algorithm):
    """Different choices, drawn for the stage and for what it links to together.

    trial_budget: how many variants the stage gets; fewer where there are no more.
    seed: of the draws; the experiment's by default.
    space: never given, see ``GridSearch``.

    Raises ValueError for a budget below 1.
    """

    def __init__(self, trial_budget: int, seed: int | None = None, space: None = None) -> None:
        super().__init__(locals())


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
        super().__init__(locals())


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
        super().__init__(locals())


class Hyperband(Algorithm):
    """Random choices, of which most end early (https://arxiv.org/abs/1603.06560).

    Its brackets do not wait for their last variant: they are those of Tune's ``AsyncHyperBandScheduler``.

    step_budget: steps of all variants together; when so many are done, no other variant begins. Those that have begun
        go on (``step_budget / max_steps`` of them at most), so up to twice as many steps are made in the end.
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
        super().__init__(locals())


class BOHB(Algorithm):
    """``Hyperband`` with the choices of ``BayesOptKDE`` (https://arxiv.org/abs/1807.01774).

    step_budget: steps of all variants together; when so many are done, no other variant begins. Those that have begun
        go on (``step_budget / max_steps`` of them at most), so up to twice as many steps are made in the end.
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
        super().__init__(locals())

"""``Budget``: how much a search that chooses by results may try, as it is written in a spec. Nothing heavy is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from flambe.compile.trials import MOST
from flambe.errors import ConfigError, did_you_mean
from flambe.spec.nodes import ARGS, NEW, Stage, arguments

OURS = "flambe.search:"
_MOST_AT_ONCE = 16
_BY_STEPS = ("Hyperband", "BOHB")
_BY_TRIALS = ("BayesOptGP", "BayesOptKDE")
_REFUSED = {
    "BasicVariantGenerator": "chooses nothing by results; write !RandomSearch or !GridSearch",
    "ConcurrencyLimiter": "is what max_concurrent does here; write that beside trial_budget",
    "Repeater": "repeats each choice, which several seeds do here: seed: !seeds N",
}


class Budget(NamedTuple):
    """What a stage's search may spend.

    trials: how many choices. steps: how many steps of all variants together, None without a limit. at_once: how many choices
    are tried before the result of the first of them has to be known. It is no number of workers, so the search is the same
    with any. is_given: whether somebody wrote it down; where nobody did, the algorithm knows itself when it is done.
    """

    trials: int
    steps: int | None
    at_once: int
    is_given: bool = True


def read_budget(stage: Stage) -> Budget:
    """Return the budget of a stage's search algorithm.

    Raises ConfigError for what is no algorithm that we know how to drive, and for a budget that is missing or no number.
    """
    target = str(stage.search.get(NEW, "")) if isinstance(stage.search, dict) else ""
    name = class_name(target)
    if not target:
        raise ConfigError(
            f"the search of stage {stage.name!r} is no object",
            hint="Write a tag, such as !ray.OptunaSearch {trial_budget: 20}.",
        )
    if name in _REFUSED and target.startswith("ray."):
        raise ConfigError(f"flambe-tune does not drive {name} (stage {stage.name!r}): it {_REFUSED[name]}")
    if target.startswith(OURS) and name not in (*_BY_STEPS, *_BY_TRIALS):
        hint = did_you_mean(name, (*_BY_STEPS, *_BY_TRIALS))
        raise ConfigError(f"the search of stage {stage.name!r} is {target}, which is no algorithm", hint=hint)
    given = given_to(stage.search)
    if given.get("space") is not None:
        raise ConfigError(
            f"the {name} of stage {stage.name!r} has a space",
            hint="What is searched stands in the arguments of the stage.",
        )
    if name in _BY_STEPS and target.startswith(OURS):
        if stage.scheduler is not None:
            raise ConfigError(
                f"stage {stage.name!r} has a scheduler, and {name} ends variants itself",
                hint="Take the scheduler away, or use !BayesOptKDE or !RandomSearch with it.",
            )
        steps, longest = _number(stage, given, "step_budget"), _number(stage, given, "max_steps")
        shortest = _number(stage, given, "min_steps", 1)
        if shortest > longest:
            raise ConfigError(f"{name} of stage {stage.name!r} has min_steps {shortest} above max_steps {longest}")
        return Budget(min(steps, MOST), steps, min(_MOST_AT_ONCE, max(1, steps // longest)))
    # A class of one's own may know itself when it is done (``flambe.search.proposer`` asks for a budget where it does not).
    trials = _number(stage, given, "trial_budget", MOST if is_own(stage.search) else None)
    # What is tried together cannot learn from each other: a fifth, so that the last choices rest on most results.
    at_once = _number(stage, given, "max_concurrent", min(_MOST_AT_ONCE, math.ceil(trials / 5)))
    return Budget(trials, None, at_once, is_given=given.get("trial_budget") is not None)


def is_own(node: Any) -> bool:
    """Whether a search algorithm's node is one of a class of one's own."""
    return isinstance(node, dict) and NEW in node and not str(node[NEW]).startswith((OURS, "ray."))


def scheduler_of(node: Any) -> dict[str, Any] | None:
    """Return the scheduler that a search algorithm brings with it (``Hyperband``, ``BOHB``), as a node; None for others."""
    if not isinstance(node, dict) or node.get(NEW) not in [f"{OURS}{name}" for name in _BY_STEPS]:
        return None
    given = given_to(node)
    longest, shortest, rate = given["max_steps"], given.get("min_steps") or 1, given.get("drop_rate") or 3
    return {
        NEW: "ray.tune.schedulers:AsyncHyperBandScheduler",
        "max_t": longest,
        "grace_period": shortest,
        "reduction_factor": rate,
        "brackets": int(math.log(longest / shortest, rate) + 1e-9) + 1,
    }


def class_name(target: str) -> str:
    """Return the class of ``module:Class.factory``."""
    return target.rpartition(":")[2].partition(".")[0]


def given_to(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written in the node of an algorithm, by name; of our own ones the first may stand without."""
    names = ("step_budget", "max_steps", "min_steps") if class_name(str(node[NEW])) in _BY_STEPS else ("trial_budget",)
    return {**dict(zip(names, node.get(ARGS, ()), strict=False)), **arguments(dict(node))}


def _number(stage: Stage, given: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = given.get(name)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        what = f"{name} of {class_name(str(stage.search[NEW]))} of stage {stage.name!r} is "
        raise ConfigError(
            what + ("missing" if value is None else repr(value)),
            rule="invalid-parameter",
            expected=f"an integer from 1 to {MOST:,}",
            hint="How many choices are tried: !ray.OptunaSearch {trial_budget: 20}."
            if name == "trial_budget"
            else None,
        )
    return value

"""The choices of a search: listed, counted and put into a body, one at a time, so that memory stays flat.

A body is planned once: each search node is a *dimension* with its options, and an option that is a component may
bring dimensions of its own (a conditional search). Only the dimensions of the chosen option are gone through, or drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from flambe.errors import ConfigError
from flambe.spec.nodes import ARGS, CONTINUOUS, DISTRIBUTIONS, GRID, NEW, QUNIFORM, SEARCHES, YAML, arguments, kind_of

if TYPE_CHECKING:
    import random

    from flambe.compile.distribution import Distribution
    from flambe.spec.nodes import Spec

_Fill = Callable[[dict[str, Any]], Any]
Assignment = dict[str, Any]


class Option(NamedTuple):
    """One value of a dimension. node: as written. inner: the dimensions in it. weight: how likely it is drawn.

    name: that it was given, which stands for it in an assignment. source: what it is drawn from, where it has no value yet.
    """

    node: Any
    inner: tuple[Dimension, ...]
    weight: float
    name: str | None = None
    source: Distribution | None = None

    @property
    def shown(self) -> Any:
        return self.node if self.name is None else self.name


class Dimension(NamedTuple):
    """One search node. path: the dotted path inside the stage (a dot in a key is written ``\\.``).

    likely: how likely one of the options up to each is drawn. ordered: they are numbers from low to high.
    """

    path: str
    options: tuple[Option, ...]
    likely: tuple[float, ...]
    ordered: bool = False


def dimensions(body: Any, path: str = "") -> tuple[Dimension, ...]:
    """Return the search nodes of a body, in file order. A search whose option is a search is one dimension."""
    if kind_of(body) in SEARCHES:
        options = _all_options(body, path)
        likely = tuple(accumulate(option.weight for option in options))
        return (Dimension(path, options, likely, kind_of(body) == QUNIFORM),)
    found: list[Dimension] = []
    for key, node in _parts(body, path):
        found += dimensions(node, key)
    return tuple(found)


def _all_options(node: dict[str, Any], path: str) -> tuple[Option, ...]:
    """Return the options of a search and of those that are its options; a name that tells no option from others is none."""
    options = tuple(_options(node, path))
    if all(option.name is None for option in options):
        return options
    times = Counter(option.shown for option in options if isinstance(option.shown, str))
    return tuple(option._replace(name=None) if times[option.name or ""] > 1 else option for option in options)


def _options(node: dict[str, Any], path: str, weight: float = 1.0) -> Iterator[Option]:
    kind = kind_of(node)
    if kind in CONTINUOUS:
        yield Option(node, (), weight, source=_distribution(node))
        return
    if kind == QUNIFORM:
        values = _distribution(node).values()
        yield from (Option(value, (), weight / len(values)) for value in values)
        return
    options = node[GRID]
    names = node.get("names") or [None] * len(options)
    probs = node.get("probs") or [1 / max(1, len(options))] * len(options)
    for option, name, prob in zip(options, names, probs, strict=True):
        if kind_of(option) in SEARCHES:
            yield from _options(option, path, weight * prob)
        else:
            yield Option(option, dimensions(option, path), weight * prob, name)


def _distribution(node: dict[str, Any]) -> Distribution:
    from flambe.compile.distribution import DistributionError, distribution_of

    try:
        return distribution_of(node)
    except DistributionError as error:
        raise ConfigError(
            f"!{str(kind_of(node))[1:]} {error.what}", rule="malformed-search", expected=error.expected
        ) from error


def _parts(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    kind = kind_of(node)
    if kind == NEW:
        for index, item in enumerate(node.get(ARGS, ())):
            yield _join(path, index), item
        for key, item in arguments(node).items():
            yield _join(path, key), item
    elif kind == YAML:
        yield _join(path, "value"), node["value"]
    elif kind is None and isinstance(node, dict):
        for key, item in node.items():
            yield _join(path, key), item
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield _join(path, index), item


def _join(path: str, key: str | int) -> str:
    name = str(key).replace(".", "\\.")
    return f"{path}.{name}" if path else name


# All choices -----------------------------------------------------------------------------------------------------------


def assignments(body: Any) -> Iterator[Assignment]:
    """Yield every choice of a body's search: dotted path inside the stage → the option as written, or its name.

    File order, the rightmost (last) search changes fastest. A chosen component's own searched arguments follow it;
    those of options that are not chosen do not appear. A body without search gives one empty choice.
    Raises ConfigError for a distribution that has no list of values.
    """
    return choices(dimensions(body))


def choices(todo: Sequence[Dimension]) -> Iterator[Assignment]:
    """Yield every choice of some dimensions. Raises ConfigError for a distribution that has no list of values."""
    if not todo:
        yield {}
        return
    first, rest = todo[0], todo[1:]
    for option in first.options:
        if option.source is not None:
            raise _endless(first.path, option.node)
        head = {first.path: option.shown}
        for own in choices(option.inner):
            for others in choices(rest):
                yield {**head, **own, **others}


def count(body: Any) -> int:
    """Return how many choices ``assignments`` yields, without going through them. Raises ConfigError as it does."""
    return size(dimensions(body))


def size(todo: Sequence[Dimension]) -> int:
    """Return how many choices some dimensions have. Raises ConfigError for a distribution without a list of values."""
    product = 1
    for dimension in todo:
        for option in dimension.options:
            if option.source is not None:
                raise _endless(dimension.path, option.node)
        product *= sum(size(option.inner) for option in dimension.options)
    return product


def endless(todo: Sequence[Dimension]) -> Iterator[tuple[str, Any]]:
    """Yield the path and the node of what has no list of values, in whichever choice."""
    for dimension in todo:
        for option in dimension.options:
            if option.source is not None:
                yield dimension.path, option.node
            yield from endless(option.inner)


def _endless(path: str, node: dict[str, Any]) -> ConfigError:
    return ConfigError(
        f"{path} is {shown(node)}, which has no list of values to try", rule="endless-search", hint=REMEDY
    )


def shown(node: dict[str, Any]) -> str:
    """Return a distribution as it is written: ``!uniform [0, 1]``."""
    kind = str(kind_of(node))
    return f"!{kind[1:]} {node[kind]}"


REMEDY = "Let !RandomSearch {trial_budget: 20} draw from it, or write !quniform [low, high, n]."


# Draws -----------------------------------------------------------------------------------------------------------------


def draw(todo: Sequence[Dimension], generator: random.Random) -> Assignment:
    """Return one choice of some dimensions: options as likely as their weights say, numbers as their distributions do.

    Nothing is drawn for a component that is not chosen.
    """
    drawn: Assignment = {}
    for dimension in todo:
        option = dimension.options[0]
        if len(dimension.options) > 1:
            (option,) = generator.choices(dimension.options, cum_weights=dimension.likely)
        drawn[dimension.path] = option.shown if option.source is None else option.source.draw(generator)
        if option.inner:
            drawn.update(draw(option.inner, generator))
    return drawn


# Bodies ----------------------------------------------------------------------------------------------------------------


def substitute(body: Any, assignment: Assignment) -> Any:
    """Return the body with each search node replaced by its choice, searches inside of choices too.

    What holds no search is shared with ``body``, not copied. Raises KeyError for a search without a choice.
    """
    return Filler(body)(assignment)


class Filler:
    """A body cut where its searches are, so that putting choices in touches nothing else."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._fill = _filler(body, "")

    def __call__(self, assignment: Assignment) -> Any:
        """Return the body of one choice."""
        return self._fill(assignment) if self._fill else self._body


def total(spec: Spec) -> int:
    """Return how many concrete specs ``expand`` yields. Raises ConfigError as it does."""
    from flambe.compile.trials import trials_of

    product = max(1, len(spec.seeds))
    for trials in trials_of(spec):
        product *= trials.count()
    return product


def expand(spec: Spec) -> Iterator[Spec]:
    """Yield every concrete spec: for each seed the product of the choices of all stages, the last one changing fastest.

    Each stage's ``params`` are its choices. What a ``RandomSearch`` draws is drawn here, from the spec's seed.
    Parts without search are shared between the specs: treat them as read-only.
    Raises ConfigError for a distribution that nothing draws from, and for an algorithm that chooses while it runs.
    """
    from flambe.compile.trials import trials_of
    from flambe.spec.codec import needed_version

    plans = trials_of(spec)
    fillers = [Filler(stage.body) for stage in spec.stages]
    plain = [msgspec.structs.replace(one, search=None) if one.search is not None else one for one in spec.stages]
    version = ""
    for seed in spec.seeds or [spec.seed]:
        for chosen in _product([plan.assignments for plan in plans]):
            stages = list(plain)
            for plan, together in zip(plans, chosen, strict=True):
                for index, params in zip(plan.stages, together, strict=True):
                    if params:
                        body = fillers[index](params)
                        stages[index] = msgspec.structs.replace(plain[index], body=body, params=params)
            concrete = msgspec.structs.replace(spec, stages=stages, seed=seed, seeds=[])
            version = concrete.flambe_spec = version or needed_version(concrete)  # the same for all
            yield concrete


def _product(
    plans: Sequence[Callable[[], Iterator[tuple[Assignment, ...]]]],
) -> Iterator[list[tuple[Assignment, ...]]]:
    if not plans:
        yield []
        return
    for first in plans[0]():
        for rest in _product(plans[1:]):
            yield [first, *rest]


def _filler(node: Any, path: str) -> _Fill | None:
    """Return a function from assignment to the concrete value of ``node``, or None when it holds no search."""
    kind = kind_of(node)
    if kind in DISTRIBUTIONS:
        return lambda assignment: assignment[path]
    if kind == GRID:
        options = _all_options(node, path)
        fillers = {id(option.node): _filler(option.node, path) for option in options}
        named = {option.name: option.node for option in options if option.name is not None}

        def choose(assignment: Assignment) -> Any:
            option = assignment[path]
            if named and isinstance(option, str):
                option = named.get(option, option)
            # A choice that came from a file is equal to the option, yet another object.
            fill = fillers[id(option)] if id(option) in fillers else _filler(option, path)
            return fill(assignment) if fill else option

        return choose
    if kind not in (None, NEW, YAML) or not isinstance(node, dict | list):
        return None
    parts: list[tuple[Any, _Fill | None]] = []
    if isinstance(node, list):
        parts = [(index, _filler(item, _join(path, index))) for index, item in enumerate(node)]
    else:
        for key, item in node.items():
            if key == ARGS:
                parts.append((key, _filler(item, path)))
            elif not key.startswith("$"):
                parts.append((key, _filler(item, _join(path, key))))
    filled = [(key, fill) for key, fill in parts if fill is not None]
    if not filled:
        return None

    def rebuild(assignment: Assignment) -> Any:
        result: Any = node.copy()
        for key, fill in filled:
            result[key] = fill(assignment)
        return result

    return rebuild

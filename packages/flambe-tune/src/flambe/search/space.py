"""``Space``: the searches of some stages as *knobs*, which is what the algorithms of other libraries turn.

A choice between options is a knob with a label for each; evenly spaced values are a knob of whole numbers; a distribution is
a knob of numbers. The knobs of a component turn only while it is chosen. Algorithms that ask for one value after another
(*define by run*: Optuna) follow that; others need every knob from the start, so they cannot search inside of options.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

from flambe.compile.distribution import Distribution
from flambe.compile.search import Assignment, Dimension, Option
from flambe.errors import ConfigError, did_you_mean
from flambe.record.layout import label
from flambe.spec.nodes import BETA, NORMAL

_EDGE = 1e-9
"""How near to 0 and 1 the share of a distribution without ends may come."""


class Pick(NamedTuple):
    """A choice between labels."""

    name: str
    labels: tuple[str, ...]


class Level(NamedTuple):
    """A whole number from 0 to ``size`` - 1, in an order that means something."""

    name: str
    size: int


class Amount(NamedTuple):
    """A number from ``low`` to ``high``."""

    name: str
    low: float
    high: float


Knob = Pick | Level | Amount


class Space:
    """The searches of one stage or several: stage → its dimensions, in file order."""

    def __init__(self, stages: Mapping[str, Sequence[Dimension]]) -> None:
        self._stages = {stage: tuple(found) for stage, found in stages.items()}

    def choose(self, turn: Callable[[Knob], Any]) -> tuple[Assignment, ...]:
        """Return a choice for each stage. turn: gives the value of a knob; asked only about those that count."""
        return tuple(self._of_stage(found, f"{stage}.", turn) for stage, found in self._stages.items())

    def assignments(self, values: Mapping[str, Any]) -> tuple[Assignment, ...]:
        """Return the choice that values of knobs (by name) make. Raises KeyError for a value that is missing."""
        return self.choose(lambda knob: values[knob.name])

    def knobs(self) -> list[Knob]:
        """Return every knob.

        Raises ConfigError where one depends on another: a component among options that is searched itself.
        """
        return [
            knob
            for stage, found in self._stages.items()
            for dimension in found
            for knob in self._flat(dimension, f"{stage}.{dimension.path}")
        ]

    def distributions(self) -> dict[str, Any]:
        """Return every search by its dotted path (``train.optimizer.lr``), as an object of ``flambe.search.distribution``.

        Raises ConfigError as ``knobs``.
        """
        from flambe.search import distribution

        self.knobs()
        found: dict[str, Any] = {}
        for stage, todo in self._stages.items():
            for dimension in todo:
                source = dimension.options[0].source
                if source is not None:
                    made = getattr(distribution, source.kind[1:])(*source.numbers, transform=source.transform)
                else:
                    made = distribution.Choice([option.shown for option in dimension.options])
                found[f"{stage}.{dimension.path}"] = made
        return found

    def take(self, values: Mapping[str, Any]) -> tuple[Assignment, ...]:
        """Return the choice of values of ``distributions`` (by name). Raises ValueError for what is none of them."""
        found: list[Assignment] = []
        names: set[str] = set()
        for stage, todo in self._stages.items():
            found.append({})
            for dimension in todo:
                name = f"{stage}.{dimension.path}"
                names.add(name)
                if name not in values:
                    raise ValueError(f"no value for {name}")
                value, options = values[name], dimension.options
                if options[0].source is None and all(option.shown != value for option in options):
                    raise ValueError(f"{name} is {value!r}, which is none of its options")
                if options[0].source is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                    raise ValueError(f"{name} is {value!r}, which is no number")
                found[-1][dimension.path] = value
        for name in values:
            if name not in names:
                near = did_you_mean(str(name), names)
                said = f"{name!r} is not searched; expected {', '.join(sorted(names))}"
                raise ValueError(said if near is None else f"{said}. {near}")
        return tuple(found)

    def __len__(self) -> int:
        """How many searches there are, whatever is chosen."""
        return sum(_size(dimension) for found in self._stages.values() for dimension in found)

    def _of_stage(self, todo: Sequence[Dimension], before: str, turn: Callable[[Knob], Any]) -> Assignment:
        chosen: Assignment = {}
        for dimension in todo:
            name = _plain(before + dimension.path)
            knob = _knob(dimension, name)
            place = 0
            if isinstance(knob, Pick):
                place = knob.labels.index(turn(knob))
            elif isinstance(knob, Level):
                place = int(turn(knob))
            option = dimension.options[place]
            if option.source is None:
                chosen[dimension.path] = option.shown
            else:
                chosen[dimension.path] = _value(option.source, turn(_amount(option, name, place, dimension)))
            if option.inner:
                # What is inside of another option may have the same path, and other values.
                chosen.update(self._of_stage(option.inner, f"{before}{place}:", turn))
        return chosen

    def _flat(self, dimension: Dimension, name: str) -> Iterator[Knob]:
        knob = _knob(dimension, _plain(name))
        if knob is not None:
            yield knob
        for place, option in enumerate(dimension.options):
            if option.inner or (option.source is not None and knob is not None):
                inner = f"{name.partition('.')[0]}.{option.inner[0].path}" if option.inner else f"a number of {name}"
                raise ConfigError(
                    f"{inner} is searched only where {name} is {label(option.shown)!r}, which this algorithm cannot do",
                    hint="!ray.OptunaSearch, !BayesOptKDE and !RandomSearch can.",
                )
            if option.source is not None:
                yield _amount(option, _plain(name), place, dimension)


def _knob(dimension: Dimension, name: str) -> Pick | Level | None:
    """Return the knob that picks an option; None where there is only one."""
    if len(dimension.options) == 1:
        return None
    if dimension.ordered:
        return Level(name, len(dimension.options))
    labels = [label(option.shown) if option.source is None else "a number" for option in dimension.options]
    times = Counter(labels)
    return Pick(name, tuple(text if times[text] == 1 else f"{place}: {text}" for place, text in enumerate(labels)))


def _amount(option: Option, name: str, place: int, dimension: Dimension) -> Amount:
    assert option.source is not None
    if len(dimension.options) > 1:
        name = f"{name}:{place}"
    if option.source.kind in (NORMAL, BETA):
        return Amount(name, _EDGE, 1 - _EDGE)  # the share of the distribution that lies below
    low, high = option.source.numbers
    return Amount(name, float(low), float(high))


def _value(source: Distribution, number: float) -> int | float:
    first, second = source.numbers
    if source.kind == NORMAL:
        return source.of(NormalDist(first, second).inv_cdf(number) if second else first)
    if source.kind == BETA:
        try:
            from scipy.special import betaincinv  # type: ignore[import-untyped]
        except ImportError as error:
            raise ConfigError(
                "!beta under an algorithm that chooses by results needs SciPy", hint="pip install scipy"
            ) from error
        return source.of(float(betaincinv(first, second, number)))
    return source.of(number)


def _plain(name: str) -> str:
    """Return the name of a knob: Tune takes a slash for a level of a mapping."""
    return name.replace("~", "~0").replace("/", "~1")


def _size(dimension: Dimension) -> int:
    inner = sum(_size(one) for option in dimension.options for one in option.inner)
    return inner + (len(dimension.options) > 1) + sum(option.source is not None for option in dimension.options)

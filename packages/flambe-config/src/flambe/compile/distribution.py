"""Distributions: the numbers that ``!uniform``, ``!normal``, ``!beta`` and ``!quniform`` stand for."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from flambe.spec.nodes import BETA, NORMAL, QUNIFORM, UNIFORM, kind_of

FIELDS = {UNIFORM: ("low", "high"), NORMAL: ("loc", "scale"), BETA: ("a", "b"), QUNIFORM: ("low", "high", "n")}
TRANSFORMS = ("pow2", "pow10", "exp")
MOST = 100_000
_DIGITS = 10
"""Of a number that is drawn: more would only make the names of folders longer."""


class DistributionError(ValueError):
    """Values that describe no distribution. expected: what would."""

    def __init__(self, what: str, expected: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected


class Distribution(NamedTuple):
    """A distribution whose numbers were checked. kind: keyword of its node. transform: of what is drawn, None for none.

    ends: what it never leaves, where it has ends.
    """

    kind: str
    numbers: tuple[int | float, ...]
    transform: str | None = None
    ends: tuple[float, float] | None = None

    def node(self) -> dict[str, Any]:
        """Return it as a node of a spec."""
        node: dict[str, Any] = {self.kind: list(self.numbers)}
        if self.transform is not None:
            node["transform"] = self.transform
        return node

    def values(self) -> list[int | float]:
        """Return every value of a finite distribution, whole numbers where all steps are whole; each once.

        Raises ValueError for one that has no list of values.
        """
        if self.kind != QUNIFORM:
            raise ValueError(f"{form_of(self.kind)} has no list of values")
        low, high, n = self.numbers
        size = int(n)
        span = high - low
        if isinstance(low, int) and isinstance(high, int) and (size == 1 or span % (size - 1) == 0):
            steps: list[int | float] = [low + index * (span // max(1, size - 1)) for index in range(size)]
        else:
            steps = [low, *(_short(low + span * index / (size - 1)) for index in range(1, size - 1)), high][:size]
        return list(dict.fromkeys(_transformed(step, self.transform) for step in steps))

    def draw(self, generator: random.Random) -> int | float:
        """Return one value; of a finite distribution one of ``values``."""
        if self.kind == QUNIFORM:
            return generator.choice(self.values())
        first, second = self.numbers
        if self.kind == NORMAL:
            return _transformed(generator.gauss(first, second), self.transform)
        if self.kind == BETA:
            return _transformed(generator.betavariate(first, second), self.transform)
        return self.of(first + (second - first) * generator.random())

    def of(self, number: float) -> int | float:
        """Return the value that a number of the distribution stands for: transformed, and short."""
        value = _transformed(number, self.transform)
        if self.ends is None:
            return value
        low, high = self.ends
        return low if value < low else high if value > high else value  # rounding may step over an end


def distribution_of(node: dict[str, Any]) -> Distribution:
    """Return what a node of a spec describes. Raises DistributionError."""
    kind = kind_of(node)
    assert kind is not None
    return distribution(kind, node[kind], node.get("transform"))


def distribution(kind: str, numbers: Sequence[Any], transform: Any = None) -> Distribution:
    """Return a distribution. Raises DistributionError for numbers or a transform that describe none."""
    fields = FIELDS[kind]
    if len(numbers) != len(fields):
        raise DistributionError(f"holds {len(numbers)} value{'s' if len(numbers) != 1 else ''}", form_of(kind))
    for field, number in zip(fields, numbers, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise DistributionError(f"has a {field} that is no number", form_of(kind))
    if transform is not None and transform not in TRANSFORMS:
        raise DistributionError(f"has the transform {transform!r}", f"one of {', '.join(TRANSFORMS)}")
    first, second = numbers[0], numbers[1]
    if kind in (UNIFORM, QUNIFORM) and first > second:
        raise DistributionError(f"has low {first} above high {second}", form_of(kind))
    if kind == NORMAL and second < 0:
        raise DistributionError(f"has the scale {second}", "0 or more")
    if kind == BETA and (first <= 0 or second <= 0):
        raise DistributionError(f"has {'a' if first <= 0 else 'b'} {first if first <= 0 else second}", "more than 0")
    if kind == QUNIFORM and not (isinstance(numbers[2], int) and 1 <= numbers[2] <= MOST):
        raise DistributionError(f"has {numbers[2]} values", f"an integer from 1 to {MOST:,}")
    # Nobody draws what is more than 12 deviations away.
    highest = first + 12 * second if kind == NORMAL else 1.0 if kind == BETA else second
    if not _fits(highest, transform):
        raise DistributionError(f"gives numbers that are too large: {transform} of {highest}", "smaller numbers")
    ends = None
    if kind == UNIFORM:
        ends = _transformed(float(first), transform), _transformed(float(second), transform)
    return Distribution(kind, tuple(numbers), transform, ends)


def form_of(kind: str) -> str:
    """Return how a distribution is written: ``!uniform [low, high]``."""
    return f"!{kind[1:]} [{', '.join(FIELDS[kind])}]"


def _fits(number: float, transform: str | None) -> bool:
    try:
        value = _transformed(number, transform)
        return math.isfinite(value) and (isinstance(value, float) or abs(value) < 2**63)
    except OverflowError:
        return False


def _transformed(number: float, transform: str | None) -> int | float:
    if transform is None:
        return number if isinstance(number, int) else _short(number)
    if transform == "exp":
        return _short(math.exp(number))
    base = 2 if transform == "pow2" else 10
    if isinstance(number, int) and number >= 0:
        if number > 1100:  # the power would be computed before anyone could say that it is too large
            raise OverflowError
        return int(base**number)
    return _short(float(base) ** number)


def _short(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")

"""Distributions as Python objects: what ``!choice``, ``!uniform``, … are in YAML.

They are nodes of a spec (plain maps), so they may stand anywhere inside of a ``Schema``. The tags' names in lower case
make them too: ``choice([1, 2])``, ``uniform(-4, -1, transform="pow10")``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from flambe.compile.distribution import DistributionError, distribution, distribution_of
from flambe.spec.nodes import BETA, GRID, NORMAL, QUNIFORM, UNIFORM

_python: Any = random


class Choice(dict[str, Any]):
    """Each of ``options`` is a variant: a list, or a mapping of name to option.

    probs: how likely a ``RandomSearch`` draws each, adding up to 1; evenly by default.
    Raises ValueError for no options, and for probabilities that are none.
    """

    def __init__(self, options: Sequence[Any] | Mapping[str, Any], probs: Sequence[float] | None = None) -> None:
        if not options:
            raise ValueError("a choice needs at least one option")
        named = isinstance(options, Mapping)
        super().__init__({GRID: list(options.values()) if isinstance(options, Mapping) else list(options)})
        if named:
            self["names"] = [str(name) for name in options]
        if probs is not None:
            given = list(probs)
            if len(given) != len(options) or min(given) < 0 or abs(sum(given) - 1) > 1e-6:
                raise ValueError(f"probs are {given}, expected {len(options)} numbers that add up to 1")
            self["probs"] = given

    @property
    def options(self) -> list[Any]:
        """What is tried, without names."""
        return list(self[GRID])

    def sample(self, generator: random.Random | None = None) -> Any:
        """Return one option, drawn by ``generator``, Python's own by default."""
        return (generator or _python).choices(self.options, self.get("probs"))[0]


class _Distribution(dict[str, Any]):
    def __init__(self, kind: str, numbers: Sequence[float], transform: str | None) -> None:
        if callable(transform):
            raise ValueError("a spec cannot hold a function: transform is pow2, pow10 or exp")
        try:
            found = distribution(kind, numbers, transform)
        except DistributionError as error:
            expected = f", expected {error.expected}" if error.expected else ""
            raise ValueError(f"!{kind[1:]} {error.what}{expected}") from None
        super().__init__(found.node())

    def sample(self, generator: random.Random | None = None) -> int | float:
        """Return a number of it, drawn by ``generator``, Python's own by default."""
        return distribution_of(self).draw(generator or _python)


class Uniform(_Distribution):
    """A number drawn evenly from [low, high]. transform: ``pow2``, ``pow10`` or ``exp`` of what is drawn."""

    def __init__(self, low: float, high: float, transform: str | None = None) -> None:
        super().__init__(UNIFORM, (low, high), transform)


class Normal(_Distribution):
    """A number drawn from the normal distribution. transform: as of ``Uniform``."""

    def __init__(self, loc: float, scale: float, transform: str | None = None) -> None:
        super().__init__(NORMAL, (loc, scale), transform)


class Beta(_Distribution):
    """A number drawn from the beta distribution, between 0 and 1. transform: as of ``Uniform``."""

    def __init__(self, a: float, b: float, transform: str | None = None) -> None:
        super().__init__(BETA, (a, b), transform)


class QUniform(_Distribution):
    """Each of ``n`` evenly spaced numbers from low to high is a variant. transform: as of ``Uniform``, of each."""

    def __init__(self, low: float, high: float, n: int, transform: str | None = None) -> None:
        super().__init__(QUNIFORM, (low, high, n), transform)

    @property
    def elements(self) -> list[int | float]:
        """The values that are tried."""
        return distribution_of(self).values()


choice = Choice
uniform = Uniform
normal = Normal
beta = Beta
quniform = QUniform

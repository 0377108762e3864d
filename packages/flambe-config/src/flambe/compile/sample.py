"""``!s [low, high, k]``: values drawn when the config is compiled, so that the spec says what will be tried."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

FORM = "[low, high, k] or [low, high, k, decimals]"
MOST = 100_000


class Sample(NamedTuple):
    """How many values to draw from where, both ends included. decimals: of numbers that are not whole."""

    low: int | float
    high: int | float
    size: int
    decimals: int = 10


class SampleError(ValueError):
    """Values that describe no sample. expected: what would."""

    def __init__(self, what: str, expected: str = FORM) -> None:
        super().__init__(what)
        self.expected = expected


def read_sample(given: Sequence[Any]) -> Sample:
    """Return what the values of ``!s`` describe. Raises ``SampleError``."""
    if len(given) == 2:
        raise SampleError("does not say how many values to draw")
    if len(given) not in (3, 4):
        raise SampleError(f"holds {len(given)} values")
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in given):
        raise SampleError("holds something else than numbers")
    sample = Sample(given[0], given[1], *(int(one) for one in given[2:]))
    if sample.low > sample.high:
        raise SampleError(f"has low {sample.low} above high {sample.high}")
    if sample.size < 1:
        raise SampleError(f"draws {sample.size} values", "1 or more")
    if sample.size > MOST:
        raise SampleError(f"draws {sample.size} values", f"at most {MOST:,}")
    return sample


def draw(sample: Sample, seed: int, path: str) -> list[int] | list[float]:
    """Return different values, evenly drawn; fewer than asked for only where there are no more.

    seed, path: of the run and of the place in the config, so that each search has a stream of its own.
    """
    generator = random.Random(f"{seed}:{path}")
    low, high, size, decimals = sample
    if isinstance(low, int) and isinstance(high, int):
        return generator.sample(range(low, high + 1), min(size, high - low + 1))
    values: dict[float, None] = {}
    for _ in range(size * 20):
        # Rounding may step over an end.
        values[min(max(round(generator.uniform(low, high), decimals), low), high)] = None
        if len(values) == size:
            break
    return list(values)

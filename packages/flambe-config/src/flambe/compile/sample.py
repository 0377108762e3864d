"""``!s [low, high, k]`` and ``!seeds N``: values drawn when the config is compiled, so that the spec says what is tried."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

FORM = "[low, high, k] or [low, high, k, decimals]"
SEEDS_FORM = "N, [seed, seed, …] or {n: N, seed: FROM}"
MOST = 100_000
MOST_SEEDS = 1_000


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
        raise SampleError(f"holds {len(given)} value{'' if len(given) == 1 else 's'}")
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
    return draw_from(sample, random.Random(f"{seed}:{path}"))


def draw_from(sample: Sample, generator: random.Random) -> list[int] | list[float]:
    """Return different values from a generator, as ``draw`` does."""
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


def read_seeds(given: Any, seed: int) -> tuple[int, int, list[int] | None]:
    """Return what the value of ``!seeds`` describes: what to draw from (``seed`` unless it says so), how many, and those
    that are listed, None where they are to be drawn. Raises ``SampleError``.
    """
    if isinstance(given, list):
        if not given or not all(_is_count(one) for one in given):
            raise SampleError("holds something else than seeds", "integers, 0 or more")
        if len(set(given)) < len(given):
            raise SampleError("holds a seed twice", "different integers")
        return given[0], len(given), given
    count, base = given, seed
    if isinstance(given, dict):
        if "n" not in given or not set(given) <= {"n", "seed"} or not _is_count(given.get("seed", 0)):
            raise SampleError("does not say how many seeds to draw", SEEDS_FORM)
        count, base = given["n"], given.get("seed", seed)
    if not _is_count(count) or not 1 <= count <= MOST_SEEDS:
        what = f"draws {count} seeds" if _is_count(count) else "does not say how many seeds to draw"
        raise SampleError(what, f"from 1 to {MOST_SEEDS:,}" if _is_count(count) else SEEDS_FORM)
    return base, count, None


def derive_seeds(seed: int, count: int, stream: str = "") -> list[int]:
    """Return different seeds below a million. More of them begin with the same ones, so that what was run counts again.

    stream: each has seeds of its own; the empty one is the experiment's.
    """
    generator = random.Random(f"{seed}:seeds:{stream}")
    found: dict[int, None] = {}
    while len(found) < count:
        found[generator.randrange(1_000_000)] = None
    return list(found)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

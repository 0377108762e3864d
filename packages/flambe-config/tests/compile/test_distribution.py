"""The numbers of distributions: in their bounds, spread as they should be, and the same each time."""

from __future__ import annotations

import math
import random

import pytest

from flambe.compile.distribution import DistributionError, distribution
from flambe.spec.nodes import BETA, NORMAL, QUNIFORM, UNIFORM

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(
    ("kind", "numbers", "transform", "back", "expected"),
    [
        (UNIFORM, (-2, 3), None, lambda x: x, stats.uniform(-2, 5)),
        (UNIFORM, (-4.0, -1.0), "pow10", math.log10, stats.uniform(-4, 3)),
        (UNIFORM, (2, 9), "pow2", math.log2, stats.uniform(2, 7)),
        (UNIFORM, (-1, 1), "exp", math.log, stats.uniform(-1, 2)),
        (NORMAL, (5, 2), None, lambda x: x, stats.norm(5, 2)),
        (NORMAL, (-3, 0.5), "pow10", math.log10, stats.norm(-3, 0.5)),
        (BETA, (2, 5), None, lambda x: x, stats.beta(2, 5)),
    ],
)
def test_draws_are_spread_as_they_should_be(kind, numbers, transform, back, expected):  # type: ignore[no-untyped-def]
    generator = random.Random(7)
    found = distribution(kind, numbers, transform)
    drawn = [back(found.draw(generator)) for _ in range(4000)]
    assert stats.kstest(drawn, expected.cdf).pvalue > 0.01


def test_a_uniform_number_never_leaves_its_ends():
    generator = random.Random(1)
    found = distribution(UNIFORM, (0.1234567890123, 0.1234567890124))
    assert all(0.123456789 <= found.draw(generator) <= 0.1234567891 for _ in range(200))
    one = distribution(UNIFORM, (2, 2))
    assert one.draw(generator) == 2


@pytest.mark.parametrize(
    ("numbers", "transform", "values"),
    [
        ((1, 2, 3), None, [1, 1.5, 2]),
        ((0, 10, 3), None, [0, 5, 10]),
        ((0.1, 0.5, 5), None, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ((5, 8, 4), "pow2", [32, 64, 128, 256]),
        ((-3, -1, 3), "pow10", [0.001, 0.01, 0.1]),
        ((3, 9, 1), None, [3]),
        ((2, 2, 4), None, [2]),
        ((0, 1, 2), "exp", [1.0, 2.718281828]),
    ],
)
def test_evenly_spaced_values_are_whole_where_they_can_be(numbers, transform, values):  # type: ignore[no-untyped-def]
    found = distribution(QUNIFORM, numbers, transform).values()
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]
    assert distribution(QUNIFORM, numbers, transform).draw(random.Random(0)) in values


def test_what_is_no_distribution():
    for kind, numbers, transform in [
        (UNIFORM, (1,), None), (UNIFORM, (True, 2), None), (UNIFORM, (0, math.inf), None), (NORMAL, (0, 100), "pow10"),
        (QUNIFORM, (0, 1, 10**6), None), (UNIFORM, (0, 10**9), "pow2"), (QUNIFORM, (0, 10**9, 2), "pow2"),
    ]:  # fmt: skip
        with pytest.raises(DistributionError):
            distribution(kind, numbers, transform)

"""When a reused worker is replaced."""

from __future__ import annotations

import pytest

from flambe.experiment.wear import CodeHeld, MemoryWear, resident_bytes
from flambe.runner.unit import Unit

MIB = 2**20


def _unit(extensions: dict[str, str], code: dict[str, str]) -> Unit:
    return Unit(stage="a", variant="0", body=None, key="k", seed=0, extensions=extensions, code=code)


def test_memory_is_compared_with_that_after_the_first_unit_of_the_stage():
    readings = iter([100, 500, 590])
    memory = MemoryWear(lambda: next(readings) * MIB)
    assert not memory.is_worn("data")
    assert not memory.is_worn("train")  # it has imported torch
    assert not memory.is_worn("train")


@pytest.mark.parametrize(
    ("readings", "worn"),
    [
        ([500, 600], [False, False]),
        ([500, 601, 601], [False, True]),
        ([500, 700, 590], [False, False]),  # a collection helped
        ([40, 90], [False, False]),  # more than a fifth, of nearly nothing
        ([40, 105, 105], [False, True]),
        ([0, 0], [False, False]),  # nobody says
    ],
)
def test_a_process_is_worn_when_it_has_grown_by_a_fifth(readings, worn):
    rest = iter(readings)
    memory = MemoryWear(lambda: next(rest) * MIB)
    assert [memory.is_worn("train") for _ in worn] == worn
    assert not list(rest)


def test_memory_in_use_is_measured():
    before = resident_bytes()
    block = bytearray(b"x" * (50 * MIB))
    assert 40 * MIB < resident_bytes() - before < 120 * MIB
    del block


def test_a_worker_with_other_code_suits_no_unit():
    held = CodeHeld()
    assert held.suits(_unit({"toys": "/a"}, {"toys": "1"}))
    held.add(_unit({"toys": "/a"}, {"toys": "1", "beside": "1"}))
    assert held.suits(_unit({"toys": "/a", "more": "/b"}, {"toys": "1", "more": "1"}))
    assert held.suits(_unit({}, {}))
    assert not held.suits(_unit({"toys": "/a"}, {"toys": "2"}))
    assert not held.suits(_unit({"toys": "/b"}, {}))
    assert not held.suits(_unit({}, {"beside": "2"}))

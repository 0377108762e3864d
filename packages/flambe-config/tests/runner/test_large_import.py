"""The garbage collector rests while a large library comes in, and goes on as before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from flambe.runner.large_import import large_import, rest


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    gc.collect()
    yield
    gc.unfreeze()


def test_many_objects_are_left_alone_and_the_collector_goes_on() -> None:
    frozen = gc.get_freeze_count()
    with large_import():
        assert not gc.isenabled()
        made = [[] for _ in range(60_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)


def test_a_few_objects_stay_with_the_collector() -> None:
    frozen = gc.get_freeze_count()
    with large_import(), large_import():
        kept: list[list[int]] = [[]]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
    assert kept == [[]]


def test_a_collector_that_rests_goes_on_after_a_large_import() -> None:
    rest()
    assert not gc.isenabled()
    with large_import(), large_import():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off_also_after_an_error() -> None:
    gc.disable()
    try:
        with pytest.raises(ImportError), large_import():
            raise ImportError
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ImportError), large_import():
        raise ImportError
    assert gc.isenabled()

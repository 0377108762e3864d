"""What local and Ray workers do alike: which process is reused, and which is replaced. One suite for both pools."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flambe.experiment.environment import ray_environment
from flambe.experiment.local import LocalPool
from flambe.experiment.pool import Failed, Pool, PoolEvent, Task
from flambe.record.code import forget_code, local_code
from flambe.runner.unit import Unit

KEEPER = '''
from flambe.build.component import Component

KEPT = []


class Leaky(Component):
    """Leaves some memory behind."""

    def __init__(self, mib=0, answer=1):
        super().__init__()
        self.mib, self.answer = mib, answer

    def run(self):
        KEPT.append(b"x" * (self.mib * 2**20))
        return False

    def metric(self):
        return self.answer
'''


class Workplace:
    """A pool, and units of an extension for it."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.pool, self.folder, self.code = pool, folder, folder / "leaky.py"
        self.code.write_text(KEEPER)

    def do(self, variant: str, **arguments: object) -> tuple[str, PoolEvent]:
        """Run one unit; returns the name of its worker too."""
        forget_code()  # a controller does so when its run begins
        extensions = {"leaky": str(self.code)}
        body = {"$new": "leaky:Leaky", **arguments}
        unit = Unit(
            stage="a", variant=variant, body=body, key="k", seed=0, extensions=extensions,
            code=local_code({"leaky"}, extensions), cwd=str(self.folder),
        )  # fmt: skip
        worker = self.pool.claim(unit)
        scratch = self.folder / f"scratch-{variant}"
        scratch.mkdir()
        self.pool.submit(Task(unit=unit, attempt=1, scratch=str(scratch)))
        deadline = time.monotonic() + 60
        while (event := self.pool.next_event(1.0)) is None:
            assert time.monotonic() < deadline
        return worker, event


@pytest.fixture(params=["local", "ray"])
def workplace(request, tmp_path):
    with ray_environment(embedded=True):
        if request.param == "local":
            pool: Pool = LocalPool(1)
        else:
            from flambe.experiment.ray_pool import RayPool

            pool = RayPool(1, run_root=tmp_path)
        try:
            yield Workplace(pool, tmp_path)
        finally:
            pool.close()


@pytest.mark.slow
def test_which_worker_is_reused(workplace):
    first, event = workplace.do("a")
    assert not isinstance(event, Failed), event.error
    assert event.result.metric == 1
    second, _ = workplace.do("b")
    assert second == first

    # Other code: the digest of the unit says so before it begins.
    workplace.code.write_text(KEEPER.replace("answer=1", "answer=22"))
    third, event = workplace.do("c")
    assert third != first
    assert event.result.metric == 22

    # The first unit of a stage sets the measure.
    fourth, event = workplace.do("d", mib=300)
    assert fourth == third
    assert event.worn
    fifth, event = workplace.do("e", mib=300)
    assert fifth not in (first, fourth)
    assert not event.worn

    # An exception.
    sixth, event = workplace.do("f", mib="many")
    assert sixth == fifth
    assert event.error.startswith("TypeError")
    seventh, _ = workplace.do("g")
    assert seventh != sixth

"""``KeptSteps``: which steps of a unit keep their state: the best, the last, and those that others may take over."""

from __future__ import annotations

import shutil

from flambe.record.layout import STEPS, RunPaths
from flambe.record.ledger import LedgerState
from flambe.record.scratch import Scratch


class KeptSteps:
    """The step folders of the units of a run.

    held: unit → steps that others may take over (``flambe.record.takeover``): a commit leaves them.
    """

    def __init__(self, paths: RunPaths, state: LedgerState, scratch: Scratch) -> None:
        self._paths = paths
        self._state = state
        self._scratch = scratch
        self.held: dict[str, set[int]] = {}

    def drop_old(self, unit: str) -> None:
        """Drop the steps of a unit that nobody needs any more. The folder of one serves the next step of the attempt that runs."""
        reports = self._state.reports.get(unit, [])
        # NaN is neither better nor worse than anything.
        scored = [event for event in reports if event["kept"] and event["metric"] == event["metric"] is not None]
        keep = self.held.get(unit, set()) | ({reports[-1]["step"]} if reports else set())
        if scored:
            sign = -1 if scored[-1]["lower_is_better"] else 1
            keep.add(max(scored, key=lambda event: sign * event["metric"])["step"])
        attempt = self._state.running.get(unit)
        for folder in self._paths.folder(unit).steps.iterdir():
            if folder.name.isdigit() and int(folder.name) not in keep:
                if attempt is None:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    steps = self._scratch.of_attempt(attempt) / STEPS
                    self._scratch.hand_on(folder, steps / str(reports[-1]["step"] + 1))


__all__ = ["KeptSteps"]

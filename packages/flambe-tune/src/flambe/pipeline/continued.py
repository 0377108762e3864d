"""``Continued``: an unfinished run that the same command goes on with, as its plan sees it."""

from __future__ import annotations

from pathlib import Path

from flambe.pipeline.plan import REUSE, RUN, PlannedUnit
from flambe.record.claim import unfinished
from flambe.record.layout import LEDGER, RunPaths
from flambe.record.ledger import fold, read_events
from flambe.spec.digest import spec_digest
from flambe.spec.nodes import Spec


class Continued:
    """The unfinished run in the folder ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._state = fold(read_events(root / LEDGER))

    @classmethod
    def find(cls, home: Path, spec: Spec) -> Continued | None:
        """Return the run below ``home`` that a run of ``spec`` goes on with; None where it begins anew."""
        root = unfinished(home, spec_digest(spec))
        return None if root is None else cls(root)

    def seen(self, planned: PlannedUnit) -> PlannedUnit:
        """Return a unit as it is there: what is done stays, also where a scheduler stopped it early."""
        unit = planned.unit
        if planned.action != RUN or not self._state.is_done(unit.id, unit.key):
            return planned
        return planned._replace(action=REUSE, source=str(RunPaths(self.root).folder(unit.id).root))

"""``Takeovers``: states that go from one variant of a stage to another, as a population does while it trains.

A variant that takes over gets a copy of the donor's step in the place of its own, with a note beside it (``explored.json``): how
many steps the variant itself has made, and its parameters from now on. Whoever continues from that folder reads the note.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flambe.record.keeper import Keeper
from flambe.record.layout import EXPLORED
from flambe.record.ledger import EXPLOIT
from flambe.record.refused import on_disk
from flambe.runner.unit import Unit


class Takeovers:
    """The takeovers of one run, beside its keeper."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.paths = keeper.paths

    @on_disk
    def record(self, unit: Unit, step: int, donor: Unit, donor_step: int, choice: Mapping[str, Any], key: str) -> None:
        """Write down that a unit goes on from the state that ``donor`` had after ``donor_step``, and put it there.

        choice: its own parameters from now on. key: the name of what comes of it.
        """
        self._keeper.ledger.append(
            "decision", unit=unit.id, step=step, decision=EXPLOIT, donor=donor.id, donor_step=donor_step,
            choice=dict(choice), key=key,
        )  # fmt: skip
        self.carry(unit, step, donor, donor_step, choice)

    @on_disk
    def carry(self, unit: Unit, step: int, donor: Unit, donor_step: int, choice: Mapping[str, Any]) -> None:
        """Put a copy of the donor's state in the place of the unit's own, unless that was done already."""
        target = self.paths.unit(unit.stage, unit.variant).step(step)
        if (target / EXPLORED).exists():
            return
        aside = target.with_name(f".{step}.taken")
        shutil.rmtree(aside, ignore_errors=True)
        source = self.paths.unit(donor.stage, donor.variant).step(donor_step)
        # Linked where the disk allows: nobody changes the files of a step, and either unit may drop its own.
        shutil.copytree(source, aside, copy_function=_link_or_copy, symlinks=True)
        (aside / EXPLORED).unlink(missing_ok=True)
        (aside / EXPLORED).write_bytes(msgspec.json.encode({"step": step, "choice": dict(choice)}))
        from flambe.build.saving import put_in_place  # loads numpy, which a run that reuses everything does without

        put_in_place(aside, target)  # its own state, or the donor's: nothing in between

    def hold(self, stage: str, steps: Mapping[str, set[int]]) -> None:
        """Keep these steps of the units of a stage, in place of those that were held so far: they may be taken over."""
        held = self._keeper.held
        for unit in [unit for unit in held if unit.partition("/")[0] == stage]:
            del held[unit]
        held.update(steps)

    def end(self, units: Iterable[Unit]) -> None:
        """Drop what was held of units that have all ended."""
        for unit in units:
            self._keeper.held.pop(unit.id, None)
            shutil.rmtree(self.paths.unit(unit.stage, unit.variant).steps, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

"""``Rulings``: what schedulers say of units, written down, or held against what the ledger says that they said."""

from __future__ import annotations

from flambe.errors import ProvenanceError
from flambe.experiment.roster import Roster
from flambe.experiment.stage_state import StageState
from flambe.experiment.work import ENDED, Work
from flambe.record.keeper import Keeper
from flambe.record.ledger import Event
from flambe.record.takeover import Takeovers
from flambe.search.schedule import Verdict
from flambe.search.tune_adapter import Exploit, is_population


class Rulings:
    """The decisions about the units of one run, and the states that they let units take over."""

    def __init__(self, keeper: Keeper, roster: Roster) -> None:
        self._keeper = keeper
        self._roster = roster
        self._takeovers = Takeovers(keeper)

    def hear(self, state: StageState, verdict: Verdict) -> Work | None:
        """Write down what a scheduler says about a step of a unit. Returns the unit if something is to be done about it: not
        when the scheduler hears results again after a crash, and the unit is further.

        Raises ProvenanceError when the scheduler says something else than it said before.
        """
        work = state.works[verdict.variant]
        if not work.scheduled:
            return None  # a search listens, and nothing ends its units
        recorded = state.recorded.popleft() if state.recorded else None
        if recorded is not None and not _is_same(verdict, work, recorded):
            raise ProvenanceError(
                f"the scheduler of stage {work.stage!r} says {verdict.decision!r} about step {verdict.step} of "
                f"{work.unit.id}, which is not what the ledger recorded",
                hint="Was Ray upgraded since? Go on with the version in frozen_requirements.txt, or use another name.",
            )
        if verdict.exploit is not None:
            return self._exploit(state, work, verdict.exploit, recorded)
        if recorded is None:
            self._keeper.decision(work.unit, verdict.step, verdict.decision)
        if verdict.step != work.step or work.phase in ENDED:
            return None
        work.verdict = verdict.decision
        return work

    def hold(self, state: StageState) -> None:
        """Keep the steps of a population that others may take over."""
        if state.schedule is None or state.finished or not is_population(state.stage.scheduler):
            return
        kept: dict[str, set[int]] = {work.unit.id: set() for work in state.works}
        for variant, step in state.schedule.kept():
            kept[state.works[variant].unit.id].add(step)
        self._takeovers.hold(state.stage.name, kept)

    def end(self, state: StageState) -> None:
        """Drop the steps of a stage that has ended."""
        if is_population(state.stage.scheduler):
            self._takeovers.end(work.unit for work in state.works)

    def _exploit(self, state: StageState, work: Work, exploit: Exploit, recorded: Event | None) -> Work | None:
        """Let a unit go on from the state of another. It is told to do so next."""
        donor = state.works[exploit.donor]
        if recorded is None:
            key = self._roster.key_after(donor, exploit.step, work, exploit.choice)
            self._takeovers.record(work.unit, work.step, donor.unit, exploit.step, exploit.choice, key)
        elif work.step != recorded["step"] or work.phase in ENDED:
            return None
        else:
            key = recorded["key"]
            self._takeovers.carry(work.unit, work.step, donor.unit, exploit.step, exploit.choice)
        state.explore(work, exploit.choice, key)
        self._keeper.note(f"{work.unit.id}: goes on from step {exploit.step} of {donor.unit.id}")
        return work


def _is_same(verdict: Verdict, work: Work, recorded: Event) -> bool:
    """Whether a scheduler says what it said in an earlier process."""
    said = (work.unit.id, verdict.step, verdict.decision)
    if said != (recorded["unit"], recorded["step"], recorded["decision"]):
        return False
    return verdict.exploit is None or (verdict.exploit.step, verdict.exploit.choice) == (
        recorded["donor_step"],
        recorded["choice"],
    )

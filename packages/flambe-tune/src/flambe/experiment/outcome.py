"""``Outcome``: how a run of the loop ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from flambe.experiment.roster import Roster
from flambe.experiment.work import Phase, Work


@dataclass
class Outcome:
    """How a run of the loop ended. stopped: it was asked to, before everything was done.

    best: stage → unit. choices: of runs with several seeds, the units with a metric by stage and choice, best first.
    unreduced: stages that were to be reduced, and measured no variant.
    """

    stopped: bool
    failed: list[str] = field(default_factory=list)
    best: dict[str, str] = field(default_factory=dict)
    choices: list[list[Work]] = field(default_factory=list)
    unreduced: list[str] = field(default_factory=list)

    @property
    def why_failed(self) -> str | None:
        """What is to be said of a run that failed though no unit did."""
        if self.stopped or self.failed or not self.unreduced:
            return None
        names = ", ".join(self.unreduced)
        return f"reduce of {names} kept none: metric() gave no number for any variant, so later stages did not run"


def outcome_of(roster: Roster, *, stopped: bool) -> Outcome:
    """Return how the units of a run stand."""
    return Outcome(
        stopped=stopped,
        failed=[work.unit.id for work in roster.works.values() if work.phase is Phase.FAILED],
        best={name: ranking[0].unit for name in roster.states if (ranking := roster.ranking(name))},
        choices=[works for name in roster.states for works in roster.by_choice(name)],
        unreduced=[name for name, state in roster.states.items() if state.unreduced],
    )

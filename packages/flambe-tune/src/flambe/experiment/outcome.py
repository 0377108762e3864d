"""``Outcome``: how a run of the loop ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from flambe.experiment.roster import Roster
from flambe.experiment.work import Phase, Work


@dataclass
class Outcome:
    """How a run of the loop ended. stopped: it was asked to, before everything was done.

    best: stage → unit. choices: of runs with several seeds, the units with a metric by stage and choice, best first.
    """

    stopped: bool
    failed: list[str] = field(default_factory=list)
    best: dict[str, str] = field(default_factory=dict)
    choices: list[list[Work]] = field(default_factory=list)


def outcome_of(roster: Roster, *, stopped: bool) -> Outcome:
    """Return how the units of a run stand."""
    return Outcome(
        stopped=stopped,
        failed=[work.unit.id for work in roster.works.values() if work.phase is Phase.FAILED],
        best={name: ranking[0].unit for name in roster.states if (ranking := roster.ranking(name))},
        choices=[works for name in roster.states for works in roster.by_choice(name)],
    )

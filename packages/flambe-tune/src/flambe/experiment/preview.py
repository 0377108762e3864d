"""``Preview``: what a run would do, as rows and a table. Nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flambe.experiment.check import check_force, check_resources, check_spec
from flambe.experiment.deciders import check_deciders
from flambe.experiment.session import Settings, capacity_of, earlier_results
from flambe.pipeline.continued import Continued
from flambe.pipeline.graph import StageGraph
from flambe.pipeline.plan import RUN, PlannedSearch, PlannedUnit, plan_units
from flambe.pipeline.reason import Reasons
from flambe.spec.nodes import Spec

Row = dict[str, Any]


class Preview:
    """What a run of ``spec`` would do now. rows: of the units and searches; end: of all together.

    Raises ConfigError for what a run would be refused for, MachineError for a store that cannot be read.
    """

    def __init__(self, spec: Spec, settings: Settings) -> None:
        check_spec(spec, StageGraph(spec))
        check_force(spec, force=settings.force)
        home = Path(settings.output_dir or spec.output_dir).expanduser().absolute() / spec.name
        reasons = Reasons(home, spec)
        continued = None if settings.force else Continued.find(home, spec)
        self.rows: list[Row] = []
        counts: dict[str, int] = {}
        seconds: dict[str, float] = {}
        working: set[str] = set()
        with earlier_results(spec, settings) as store:
            for planned in plan_units(spec, home / "exp.next", store):
                if continued is not None and isinstance(planned, PlannedUnit):
                    planned = continued.seen(planned)
                counts[planned.action] = counts.get(planned.action, 0) + 1
                if isinstance(planned, PlannedSearch):
                    planned = planned._replace(why="--force" if settings.force else reasons.why_search(planned))
                    working.add(planned.stage)
                elif planned.action == RUN:
                    why = "--force" if settings.force else reasons.why(planned.unit, planned.needs_that_run)
                    planned = planned._replace(why=why)
                    stage = planned.unit.stage
                    working.add(stage)
                    seconds[stage] = seconds.get(stage, 0.0) + (reasons.seconds(stage) or 0.0)
                self.rows.append(planned.row())
        check_deciders(spec, working)
        if (capacity := capacity_of(settings, spec)) is not None:
            check_resources(spec, working, capacity)
        self.end: Row = {"name": spec.name, "output_dir": str(home), "counts": counts}
        if continued is not None:
            self.end["continues"] = str(continued.root)
        if any(seconds.values()):
            # As long as units of these stages took before, one after another.
            self.end["worker_seconds"] = {stage: round(taken, 1) for stage, taken in seconds.items() if taken}

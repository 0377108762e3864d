"""What people see on stderr while a run goes on: a live table on a terminal, a line for each fault otherwise."""

from __future__ import annotations

import shlex
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flambe.cli.console import NORMAL, VERBOSE, level, rich_console, say, stderr_is_terminal
from flambe.experiment.session import Display
from flambe.experiment.table import cut, number
from flambe.experiment.work import Phase, Work
from flambe.record.rank import is_comparable
from flambe.spec.nodes import Spec

_COLUMNS = {
    "pending": (Phase.WAITING, Phase.READY, Phase.PARKED),
    "running": (Phase.RUNNING, Phase.HELD),
    "done": (Phase.DONE,),
    "failed": (Phase.FAILED,),
    "pruned": (Phase.PRUNED,),
}
_SHORT = {"pending": "wait", "running": "run", "done": "done", "failed": "fail", "pruned": "cut"}
_WIDE = 72
"""The columns of a terminal from which there is room for whole words."""
_COLUMN_OF = {phase: name for name, phases in _COLUMNS.items() for phase in phases}


class Lines(Display):
    """For logs and pipes: where the run is, and what failed; with --verbose, every change."""

    def begin(self, run: Path, spec: Spec) -> None:
        say(f"flambe-tune: {run}")

    def changed(self, work: Work) -> None:
        metric = "" if work.metric is None else f", metric {work.metric:.4g}"
        say(f"{work.unit.id}: {work.phase.value}, step {work.step}{metric}", level=VERBOSE)

    def note(self, text: str) -> None:
        say(text)


class LiveTable(Display):
    """A table that redraws itself: a line a stage with its counts and the best of what its variants have reached by now."""

    def __init__(self) -> None:
        from rich.live import Live

        self._rows: dict[str, dict[str, int]] = {}
        self._column: dict[str, str] = {}
        self._reached: dict[str, dict[str, float]] = {}
        """Stage → variant → its last metric."""
        self._sign: dict[str, int] = {}
        self._took: dict[str, list[float]] = {}
        self._began = time.monotonic()
        self._console = rich_console()
        self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=4, transient=True)

    def begin(self, run: Path, spec: Spec) -> None:
        say(f"flambe-tune: {run}")
        if find_spec("flambe.report") is not None:
            say(f"flambe-tune: to watch it in a browser: flambe-report serve {shlex.quote(str(run))}")
        self._rows = {stage.name: dict.fromkeys(_COLUMNS, 0) for stage in spec.stages}
        self._live.start()

    def changed(self, work: Work) -> None:
        row = self._rows[work.stage]
        before = self._column.get(work.unit.id)
        if before is not None:
            row[before] -= 1
        now = self._column[work.unit.id] = _COLUMN_OF[work.phase]
        row[now] += 1
        if work.phase is Phase.DONE and not work.reused:
            self._took.setdefault(work.stage, []).append(work.seconds)
        reached = self._reached.setdefault(work.stage, {})
        reached.pop(work.unit.variant, None)
        lost = work.phase in (Phase.FAILED, Phase.PRUNED)
        if work.metric is not None and not lost and is_comparable(work.metric, lower_is_better=work.lower_is_better):
            self._sign[work.stage] = -1 if work.lower_is_better else 1
            reached[work.unit.variant] = work.metric

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        self._live.stop()

    def seconds_left(self) -> float | None:
        """Return about how long the units that are known will take: as long as others of their stage, as many at once as now.

        None before one of each stage with work left has ended.
        """
        seconds = 0.0
        for stage, counts in self._rows.items():
            left = counts["pending"] + counts["running"] / 2  # those are half done, on average
            took = self._took.get(stage)
            if left and not took:
                return None
            seconds += left * sum(took or ()) / max(1, len(took or ()))
        at_once = sum(counts["running"] for counts in self._rows.values())
        return seconds / at_once if at_once else None

    def _draw(self) -> Any:
        from rich.table import Table

        width = self._console.width
        title, left = span(time.monotonic() - self._began), self.seconds_left()
        title += "" if left is None else f", about {span(left)} left"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        # Nothing is pruned in most runs, and a narrow terminal has no room for whole words.
        shown = [name for name in _COLUMNS if name != "pruned" or any(row[name] for row in self._rows.values())]
        names = {name: name if width >= _WIDE else _SHORT[name] for name in shown}
        longest = max(width // 3, 8)
        stages = {stage: cut(stage, longest) for stage in self._rows}
        cells = {stage: [str(row[name] or "·") for name in shown] for stage, row in self._rows.items()}
        taken = max(map(len, ("stage", *stages.values())))
        taken += sum(
            2 + max(len(names[name]), *(len(line[place]) for line in cells.values()), 0)
            for place, name in enumerate(shown)
        )
        table.add_column("stage", no_wrap=True)
        for name in names.values():
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("best so far" if width >= _WIDE else "best", no_wrap=True)
        for stage, line in cells.items():
            reached, sign = self._reached.get(stage, {}), self._sign.get(stage, 1)
            best = max(reached, key=lambda variant: sign * reached[variant], default=None)
            text = "" if best is None else f"{number(reached[best])}  {best}"
            table.add_row(stages[stage], *line, cut(text, max(width - taken - 2, 6)))
        return table


def span(seconds: float) -> str:
    """Return a time for people: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def choose_display(debug: bool) -> Display:
    """Return the live table for a person at a terminal, else lines. debug: the terminal is the debugger's."""
    if stderr_is_terminal() and level() == NORMAL and not debug:
        return LiveTable()
    return Lines()

"""What people see on stderr while a run goes on: a live table on a terminal, a line for each fault otherwise."""

from __future__ import annotations

import shlex
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flambe.cli.console import NORMAL, VERBOSE, level, rich_console, say, stderr_is_terminal
from flambe.experiment.session import Display
from flambe.experiment.work import Phase, Work
from flambe.record.layout import variant_name
from flambe.spec.nodes import Spec

_COLUMNS = {
    "pending": (Phase.WAITING, Phase.READY, Phase.PARKED),
    "running": (Phase.RUNNING, Phase.HELD),
    "done": (Phase.DONE,),
    "failed": (Phase.FAILED,),
    "pruned": (Phase.PRUNED,),
}
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
    """A table that redraws itself: a line a stage with its counts and its best metric so far."""

    def __init__(self) -> None:
        from rich.live import Live

        self._rows: dict[str, dict[str, int]] = {}
        self._column: dict[str, str] = {}
        self._best: dict[str, tuple[float, str]] = {}
        self._took: dict[str, list[float]] = {}
        self._began = time.monotonic()
        self._live = Live(get_renderable=self._draw, console=rich_console(), refresh_per_second=4, transient=True)

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
        if work.metric is not None and work.metric == work.metric:
            best = self._best.get(work.stage)
            if best is None or (work.metric < best[0] if work.lower_is_better else work.metric > best[0]):
                self._best[work.stage] = (work.metric, work.unit.variant)

    def note(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)

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

        title, left = f"{time.monotonic() - self._began:.0f} s", self.seconds_left()
        title += "" if left is None else f", about {left:.0f} s left"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for name in ("stage", *_COLUMNS, "best so far"):
            table.add_column(name, justify="left" if name in ("stage", "best so far") else "right")
        for stage, counts in self._rows.items():
            best = self._best.get(stage)
            table.add_row(
                stage,
                *(str(counts[name] or "·") for name in _COLUMNS),
                f"{best[0]:.4g}  {best[1]}" if best else "",
            )
        return table


def choose_display(debug: bool) -> Display:
    """Return the live table for a person at a terminal, else lines. debug: the terminal is the debugger's."""
    if stderr_is_terminal() and level() == NORMAL and not debug:
        return LiveTable()
    return Lines()


def choices_table(choices: list[dict[str, Any]], *, width: int = 120) -> str:
    """Return the choices of a run with several seeds as a text table: mean ± deviation (number) of their metric."""
    lines = [("stage", "choice", "metric over seeds")]
    for row in choices:
        deviation = "" if row["std"] is None else f" ± {row['std']:.4f}"
        shown = variant_name(row["params"]) if row["params"] else ""
        lines.append((row["stage"], shown, f"{row['metric']:.4f}{deviation} ({row['n']})"))
    sizes = [max(len(line[column]) for line in lines) for column in range(2)]
    return "\n".join(
        f"{line[0].ljust(sizes[0])}  {line[1].ljust(sizes[1])}  {line[2]}"[: max(width, 40)] for line in lines
    )


def table_of(rows: list[dict[str, Any]], *, width: int = 120) -> str:
    """Return the variants of a run as a text table: stage, parameters, metric, steps and seconds, best first per stage."""
    lines = [("stage", "variant", "metric", "step", "seconds", "")]
    for row in rows:
        metric = "" if row["metric"] is None else f"{row['metric']:.4f}"
        said = "" if row["status"] == "COMPLETE" else f"{row['status']}: {row.get('error') or ''}"
        if row["reused"]:
            said = "reused"
        elif row.get("stopped_early"):
            said = "stopped early"
        lines.append((row["stage"], row["variant"], metric, str(row["step"]), f"{row['seconds']:.1f}", said.strip()))
    sizes = [max(len(line[column]) for line in lines) for column in range(5)]
    text = []
    for line in lines:
        cells = [line[0].ljust(sizes[0]), line[1].ljust(sizes[1])]
        cells += [line[column].rjust(sizes[column]) for column in (2, 3, 4)]
        text.append("  ".join([*cells, line[5]]).rstrip()[: max(width, 40)])
    return "\n".join(text)

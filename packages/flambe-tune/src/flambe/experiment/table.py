"""What people read about a run: tables of its variants, of its choices over several seeds, of its stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flambe.pipeline.plan import REUSE, RUN, SEARCH
from flambe.record.layout import became, variant_name
from flambe.record.rank import rank
from flambe.record.run import COMPLETE

Row = Mapping[str, Any]

MOST = 10
"""How many variants of a stage are listed, and how many of its failed ones."""
_REASONS = 3
_NARROWEST = 40
_ACTIONS = (RUN, SEARCH, REUSE)


def variants_table(rows: Iterable[Row], *, width: int = 120, most: int | None = MOST) -> str:
    """Return the variants of a run (rows of ``session.row_of``), best first in each stage.

    most: how many of each stage, and how many of its failed ones; None for all. A last line counts those left out.
    """
    stages: dict[str, tuple[list[Row], list[Row]]] = {}
    for row in rows:
        done, lost = stages.setdefault(row["stage"], ([], []))
        (done if row["status"] == COMPLETE else lost).append(row)
    shown: list[Row] = []
    hidden = 0
    for done, lost in stages.values():
        for kind in (sorted(done, key=_rank), lost):
            shown += kind[:most]
            hidden += len(kind[most:]) if most is not None else 0
    lines = [("stage", "variant", "metric", "step", "seconds", "")]
    for row in shown:
        metric = "" if row["metric"] is None else number(row["metric"])
        metric = metric if row["status"] == COMPLETE else row["status"]
        lines.append((row["stage"], row["variant"], metric, str(row["step"]), f"{row['seconds']:.1f}", _said(row)))
    text = _columns(lines, "llrrrl", width)
    return f"{text}\n… and {hidden:,} more: flambe-report ls shows all" if hidden else text


def choices_table(choices: Iterable[Row], *, width: int = 120, most: int | None = MOST) -> str:
    """Return the choices of a run with several seeds: mean ± deviation (number) of their metric, best first by stage."""
    lines = [("stage", "choice", "metric over seeds")]
    seen: dict[str, int] = {}
    for row in choices:
        place = seen[row["stage"]] = seen.get(row["stage"], 0) + 1
        if most is None or place <= most:
            deviation = "" if row["std"] is None else f" ± {number(row['std'])}"
            shown = variant_name(row["params"]) if row["params"] else ""
            lines.append((row["stage"], shown, f"{number(row['metric'])}{deviation} ({row['n']})"))
    return _columns(lines, "lll", width)


def status_table(status: Row, *, width: int = 120) -> str:
    """Return the answer of ``desk.status`` as text: a line for each stage, then what failed, and how to go on."""
    counts = status["counts"]
    shown = [name for name in ("pending", "running", "paused", "done", "failed", "pruned")
             if any(name in stage for stage in status["stages"].values())]  # fmt: skip
    lines = [("stage", *shown)]
    for stage, found in status["stages"].items():
        lines.append((stage, *(str(found.get(name, "·")) for name in shown)))
    text = [f"{status['run']}: {status['status']}, {counts['done']:,} of {counts['expected']:,} done"]
    text.append(_columns(lines, "l" + "r" * len(shown), width))
    text += [f"{unit} failed: {error}" for unit, error in list(status["failed"].items())[:MOST]]
    if status.get("reason"):
        text.append(f"{status['status']}: {status['reason']}")
    if status["status"] in ("LOST", "CANCELLED"):
        text.append("The command that began it goes on where it was.")
    return "\n".join(text)


def plan_table(rows: Sequence[Row], end: Row, *, width: int = 120) -> str:
    """Return what ``--plan`` says (``flambe.experiment.preview``) as text: a line for each stage and each reason why it runs."""
    shown = [action for action in _ACTIONS if any(row["action"] == action for row in rows)]
    lines = [("stage", *shown, "why")]
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = [row for row in rows if row["stage"] == stage]
        counts = Counter(row["action"] for row in mine)
        reasons = Counter(row["why"] for row in mine if "why" in row)
        cells = [str(counts[action] or "·") for action in shown]
        if counts[SEARCH]:
            cells[shown.index(SEARCH)] = f"≤ {mine[0]['at_most']}" if "at_most" in mine[0] else "?"
        several = len(reasons) > 1
        said = [f"{why} ({count})" if several else why for why, count in reasons.most_common(_REASONS)] or [""]
        if len(reasons) > _REASONS:
            said.append(f"… and {len(reasons) - _REASONS:,} other reasons")
        lines.append((stage, *cells, said[0]))
        lines += [("", *("" for _ in shown), more) for more in said[1:]]
    text = [_columns(lines, "l" + "r" * len(shown) + "l", width)]
    if "continues" in end:
        text.append(f"It goes on with {end['continues']}.")
    if end.get("worker_seconds"):
        text.append(f"As before it takes {sum(end['worker_seconds'].values()):,.1f} s of one worker.")
    return "\n".join(text)


def best_table(best: Row) -> str:
    """Return the answer of ``desk.best`` as text: a line for each stage that has a metric. Nothing is cut."""
    if not best["best"]:
        return f"{best['run']}: no stage has a metric yet"
    lines = [("stage", "metric", "variant", "", "folder")]
    for stage, row in best["best"].items():
        lines.append((stage, number(row["metric"]), row["variant"], _became(row), row["folder"]))
    if not any(line[3] for line in lines):
        return _columns([(*line[:3], line[4]) for line in lines], "lrll", None)
    return _columns(lines, "lrlll", None)


def number(value: float) -> str:
    """Return a metric with four digits: after the point, or in all where that would hide it."""
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 100_000 else f"{value:.4g}"


def _rank(row: Row) -> tuple[bool, float]:
    return rank(row["metric"], lower_is_better=row.get("lower_is_better", False))


def _said(row: Row) -> str:
    if row["status"] != COMPLETE:
        return row.get("error") or ""
    said = "reused" if row["reused"] else "stopped early" if row.get("stopped_early") else ""
    return ", ".join(filter(None, (said, _became(row))))


def _became(row: Row) -> str:
    return became(row.get("takeovers", ()), row.get("explored", {}))


def _columns(lines: Sequence[Sequence[str]], sides: str, width: int | None) -> str:
    """Return lines whose cells stand below each other, cut at ``width`` if there is one. sides: l or r for each column."""
    sizes = [max(len(line[column]) for line in lines) for column in range(len(sides))]
    text = []
    for line in lines:
        cells = (
            cell.rjust(size) if side == "r" else cell.ljust(size)
            for cell, size, side in zip(line, sizes, sides, strict=True)
        )
        whole = "  ".join(cells).rstrip()
        text.append(whole if width is None else cut(whole, max(width, _NARROWEST)))
    return "\n".join(text)


def cut(text: str, width: int) -> str:
    """Return a text of at most ``width`` characters, the last of which says that there was more."""
    return text if len(text) <= width else text[: width - 1] + "…"

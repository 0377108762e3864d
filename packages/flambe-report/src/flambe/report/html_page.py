"""One HTML file about some runs: what was tried, how it went and where it came from, with everything in it.

Nothing in the page asks anybody for anything, so it can be mailed, put beside a paper or kept for ever.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flambe.errors import ConfigError
from flambe.reading.column_names import CONFIG, INFO, PARAMS
from flambe.reading.reader import Reader
from flambe.reading.recorded_unit import RecordedUnit
from flambe.reading.row import Row
from flambe.reading.runs import Runs, key_of, order_of
from flambe.report.listing import no_match
from flambe.report.pages import points_of
from flambe.report.rows import finite

_MOST_CURVES = 200
"""Variants whose curves are in the page: the best ones first."""
_MOST_POINTS = 400
_MOST_RUNS = 50
"""Runs whose origin is in the page."""
_MOST_CHOICES = 24
_MOST_VALUES = 12
"""Values of a searched option that its line names."""
_OF_ORIGIN = (
    "command",
    "entry",
    "code",
    "tool",
    "python",
    "host",
    "seed",
    "time",
    "exit",
    "spec_digest",
    "result_digest",
)
_SECRET = re.compile(
    r"(?:^|[._-])(?:token|secret|password|passwd|credential|(?:api|access|private|secret)_?key)s?$", re.I
)
_SHORTEST_SECRET = 6
HIDDEN = "[secret]"
_LESS = re.compile(r"loss|error|perplexity|ppl|nll|mse|mae|bpc|(?:^|[._/])[wc]er\b", re.I)
"""Of metrics with such names less is better."""

Cells = Mapping[str, Any]


def page(reader: Reader, where: str = "") -> str:
    """Return the text of the page. where: a query, of which variants it tells; empty for all.

    Raises ConfigError for a fault in ``where``, and where nothing is left to tell.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape
    from markupsafe import Markup

    data = page_data(reader, where)
    room = Environment(loader=PackageLoader("flambe.report"), autoescape=select_autoescape())
    static = Path(__file__).parent / "static"

    def inline(name: str) -> Markup:
        # Our own files, of this package.
        return Markup((static / name).read_text(encoding="utf-8"))

    # As text in a script a "<" could end it; as an escape of JSON it is the same character.
    words = json.dumps(finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = words.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return room.get_template("page.html").render(
        title=data["title"], data=Markup(safe), inline=inline, version=importlib.metadata.version("flambe-report")
    )  # fmt: skip


def page_data(reader: Reader, where: str = "") -> dict[str, Any]:
    """Return what the page shows, as plain data: title, made, runs, stages (each with its variants, curves and choices), origins,
    problems. Raises as ``page`` does."""
    rows = reader.select(where, units=True)
    if not rows:
        raise ConfigError(no_match(reader, where, units=True) if len(reader) else reader.emptiness)
    runs = list({row.cells["run"]: row for row in rows}.values())
    stages: dict[str, list[Row]] = {}
    for row in rows:
        stages.setdefault(row.cells["stage"], []).append(row)
    names = list(dict.fromkeys(str(row.cells.get("name", "")) for row in runs))
    lone = f" exp.{runs[0].cells.get('index')}" if len(runs) == 1 else ""
    return {
        "title": ", ".join(names[:3]) + (", …" if len(names) > 3 else "") + lone,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "runs": [_run(row) for row in runs],
        "stages": [_stage(name, there, lone=len(runs) == 1) for name, there in stages.items()],
        "origins": [_origin(row) for row in runs[:_MOST_RUNS]],
        "problems": list(reader.problems),
    }


def _run(row: Row) -> dict[str, Any]:
    run = row.run.row()
    shown = (
        "name",
        "index",
        "kind",
        "status",
        "status_reason",
        "seconds",
        "started",
        "host",
        "tool",
        "expected",
        "done",
        "failed",
    )
    return {name: run[name] for name in shown if name in run}


def _stage(name: str, rows: Sequence[Row], *, lone: bool) -> dict[str, Any]:
    choices = _choices(rows)
    judged, lower, metrics = _judgement(rows)
    ranked = sorted(range(len(rows)), key=lambda at: _rank(metrics[at], lower))
    variants = []
    for at, row in enumerate(rows):
        cells = row.cells
        label = cells["variant"] if lone else f"{cells.get('name', '')} exp.{cells.get('index', '')}"
        several = not lone and cells["variant"] != "0"
        variant: dict[str, Any] = {
            "label": f"{label} · {cells['variant']}" if several else label,
            "choices": [_shown(choice, cells.get(choice)) for choice in choices],
            **{key: cells[key] for key in ("status", "step", "seconds", "error") if key in cells},
        }
        # Of several runs the best of all is meant, not that of each; and what nothing measures is compared by what was logged.
        of_its_run = lone and any(other.cells.get("metric") is not None for other in rows)
        is_best = cells.get("best") is True if of_its_run else at == ranked[0] and metrics[at] is not None
        variants.append(variant | {"metric": metrics[at], "best": is_best and len(rows) > 1})
    curves: dict[str, list[list[Any]]] = {}
    for at in ranked[:_MOST_CURVES]:
        for metric, points in points_of(rows[at].run.bare_unit(str(rows[at].cells["unit"]))).items():
            curves.setdefault(metric, []).append([at, _thinned(points)])
    return {
        "name": name, "variants": variants, "choices": _short_names(choices), "lower_is_better": lower,
        "judged": judged, "curves": curves, "shown": _shown_first(judged, list(curves)), "cut": max(0, len(rows) - _MOST_CURVES),
    }  # fmt: skip


def _judgement(rows: Sequence[Row]) -> tuple[str, bool, list[float | None]]:
    """Return by what variants are compared, whether less of it is better, and how much of it each has.

    It is the metric of the stage; of functions, which have none, the last value of a loss, or of what was logged first.
    """
    metrics = [row.cells.get("metric") for row in rows]
    judge = next((row for row, metric in zip(rows, metrics, strict=True) if metric is not None), None)
    if judge is not None:
        name, lower = judge.cells.get("metric_name") or "metric", judge.cells.get("lower_is_better", False)
        return str(name), bool(lower), metrics
    logged: dict[str, None] = {name: None for row in rows[:_MOST_RUNS] for name in row.series}
    name = next(iter([*(name for name in logged if "loss" in name.lower()), *logged]), "")
    lasts = [row.series[name].of("last") if name in row.series else None for row in rows]
    numbers = [last if isinstance(last, int | float) and math.isfinite(last) else None for last in lasts]
    return f"last {name}" if name else "", _LESS.search(name) is not None, numbers


def _rank(metric: float | None, lower: bool) -> tuple[bool, float]:
    there = metric is not None and math.isfinite(metric)
    return not there, (metric if lower else -metric) if there and metric is not None else 0.0


def _choices(rows: Sequence[Row]) -> list[str]:
    """Return the columns in which variants differ: of the config; where it does not tell, what was chosen for searches."""
    found = [name for name in Runs(rows).diff() if name.startswith(CONFIG)]
    if not found:
        found = list(dict.fromkeys(name for row in rows for name in row.cells if name.startswith(PARAMS)))
    return found[:_MOST_CHOICES]


def _shown_first(judged: str, metrics: Sequence[str]) -> str:
    """Return the metric whose curves are shown first: the one that variants are compared by, where it was logged."""
    last = judged.removeprefix("last ").rpartition("/")[2]
    ends = (last, last.rpartition(".")[2])
    near = [name for name in metrics if name in (judged, *ends) or name.rpartition("/")[2] == last]
    # The best so far is a staircase: what it was taken from tells more.
    near.sort(key=lambda name: (name.startswith("Best/"), name not in (judged, last)))
    return next(iter([*near, *metrics]), "")


def _short_names(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path, and more of it where two would look alike."""
    names = []
    for path in paths:
        parts = path.split(".")
        size = 1
        while size < len(parts) and sum(f".{other}".endswith("." + ".".join(parts[-size:])) for other in paths) > 1:
            size += 1
        names.append(".".join(parts[-size:]))
    return names


def _origin(row: Row) -> dict[str, Any]:
    """Return where a run came from: its record and its config, as names and texts. Of an option that was searched all values."""
    units = row.run.units()
    cells = dict(row.run.columns(units))
    record = {}
    for name, value in cells.items():
        if (
            name.startswith(INFO)
            and name.removeprefix(INFO).partition(".")[0] in _OF_ORIGIN
            and value not in (None, "", [], {})
        ):
            record[name.removeprefix(INFO)] = _text(name, value)
    config = {name.removeprefix(CONFIG): _text(name, value) for name, value in cells.items() if name.startswith(CONFIG)}
    config |= {name.removeprefix(CONFIG): text for name, text in _searched(units).items()}
    return {"title": f"{cells.get('name', '')} exp.{cells.get('index', '')}", "record": record, "config": config}


def _searched(units: Sequence[RecordedUnit]) -> dict[str, str]:
    """Return column of the config → the values that the variants have there, in order, where they differ."""
    values: dict[str, dict[Any, Any]] = {}
    for unit in units:
        for name, value in unit.columns().items():
            if name.startswith(CONFIG):
                values.setdefault(name, {})[key_of(value)] = value
    found = {}
    for name, there in values.items():
        if len(there) > 1:
            texts = [_text(name, value) for value in sorted(there.values(), key=order_of)]
            few = texts if len(texts) <= _MOST_VALUES else [*texts[: _MOST_VALUES - 2], "…", texts[-1]]
            found[name] = f"{len(texts)} values: {', '.join(dict.fromkeys(few))}"
    return found


def _shown(name: str, value: Any) -> Any:
    return value if isinstance(value, bool | int | float) or value is None else _text(name, value)


def _text(name: str, value: Any) -> str:
    """Return a value as a text; one that is called a secret is none that a page for others should tell."""
    if isinstance(value, str):
        return HIDDEN if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET else value
    return json.dumps(finite(value), ensure_ascii=False)


def _thinned(points: Sequence[Any]) -> list[list[Any]]:
    stride = -(-len(points) // _MOST_POINTS) or 1
    kept = [*points[:-1:stride], *points[-1:]]
    return [[step, _rounded(value), seconds] for step, value, seconds in kept]


def _rounded(value: float | None) -> float | None:
    # Seven digits are more than an eye sees, and half the bytes.
    return None if value is None else float(f"{value:.7g}")


__all__ = ["page", "page_data"]

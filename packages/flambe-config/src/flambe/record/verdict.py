"""``Verdict``: how equal two results are. Metric lines, tensors and states, each by name, with the first step that differs.

``reproduce`` compares run directories with it, ``verify`` the steps of two goes. Nothing is built or imported: files are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flambe.record.artifacts import Artifacts
from flambe.record.layout import ARTIFACTS, CHECKPOINT, METRICS, STATE_JSON, STATE_TENSORS, RunPaths, UnitPaths
from flambe.record.ledger import LedgerState, fold, read_events
from flambe.record.metrics import read_metrics
from flambe.record.run import StageRecord, read_record

EQUAL, CLOSE, DIFFERENT, MISSING, ADDED = "bit-equal", "within tolerance", "different", "missing", "added"
ERROR = "error"
"""The name of what is said of a unit that failed in both."""
_WORST = {word: rank for rank, word in enumerate((EQUAL, CLOSE, ADDED, MISSING, DIFFERENT))}
_SHOWN = 60


class Tolerance(NamedTuple):
    """Numbers are close when ``|here - recorded| <= absolute + relative * |recorded|``, as numpy has it. Zeros ask for equal bits."""

    relative: float = 0.0
    absolute: float = 0.0

    def allows(self, recorded: float, here: float) -> bool:
        if math.isnan(recorded) or math.isnan(here):
            return math.isnan(recorded) and math.isnan(here)
        if math.isinf(recorded) or math.isinf(here):
            return recorded == here
        return abs(here - recorded) <= self.absolute + self.relative * abs(recorded)


class Verdict(msgspec.Struct, omit_defaults=True, kw_only=True):
    """About one thing. unit: ``stage/variant``. place: its file or folder below that. name: of the metric, tensor or value.

    verdict: ``bit-equal``, ``within tolerance``, ``different``, ``missing`` or ``added``. step: the first one that differs.
    recorded, here: the values there, of the element that differs most. difference: the largest absolute one.
    """

    unit: str
    place: str
    name: str
    verdict: str
    count: int = 0
    step: int | None = None
    recorded: Any = None
    here: Any = None
    difference: float | None = None

    @property
    def is_good(self) -> bool:
        return self.verdict in (EQUAL, CLOSE)


def worst(verdicts: Iterable[str]) -> str:
    """Return what is to be said of all of them together."""
    return max(verdicts, key=_WORST.__getitem__, default=EQUAL)


def compare_runs(recorded: Path, here: Path, tolerance: Tolerance) -> Iterator[Verdict]:
    """Compare two run directories, unit by unit, in the order in which they were planned."""
    before, after = (fold(read_events(RunPaths(root).ledger)) for root in (recorded, here))
    for unit in dict.fromkeys([*before.planned, *after.planned]):
        was, now = _status(before, unit), _status(after, unit)
        if was != now:
            verdict = MISSING if now is None else ADDED if was is None else DIFFERENT
            yield Verdict(unit=unit, place="", name="status", verdict=verdict, recorded=was, here=now)
        elif was == "done":
            yield from compare_units(RunPaths(recorded).folder(unit), RunPaths(here).folder(unit), unit, tolerance)
        elif was == "failed":
            errors = [str(state.failed[unit].get("error", "")) for state in (before, after)]
            # What was raised counts, and not its words: there may be paths and addresses in them.
            kinds = {error.partition(":")[0] for error in errors}
            verdict = EQUAL if len(kinds) == 1 else DIFFERENT
            yield Verdict(unit=unit, place="", name=ERROR, verdict=verdict, recorded=errors[0], here=errors[1])
            folders = [RunPaths(root).folder(unit).root for root in (recorded, here)]
            yield from compare_written(folders[0], folders[1], unit, tolerance)
    if len(before.planned) == 1:  # a function that ran alone wrote beside its record
        yield from compare_written(recorded, here, next(iter(before.planned)), tolerance)
    for stage in dict.fromkeys([*before.reduced, *after.reduced]):
        kept, keeps = (state.reduced[stage]["kept"] if stage in state.reduced else None for state in (before, after))
        verdict = EQUAL if kept == keeps else DIFFERENT
        yield Verdict(unit=stage, place="", name="reduce", verdict=verdict, recorded=kept, here=keeps)


def _status(state: LedgerState, unit: str) -> str | None:
    return state.status_of(unit) if unit in state.planned else None


def compare_units(recorded: UnitPaths, here: UnitPaths, unit: str, tolerance: Tolerance) -> Iterator[Verdict]:
    """Compare two results: their metric files, artifacts and saved components, what a function returned."""
    yield from compare_written(recorded.root, here.root, unit, tolerance)
    was, now = _result(recorded), _result(here)
    if was is not None or now is not None:
        yield from _compare_values(
            was, now, Verdict(unit=unit, place="run.json", name="result", verdict=EQUAL), tolerance
        )
    folders = [
        {path.parent.relative_to(paths.checkpoint).as_posix() for path in paths.checkpoint.rglob(STATE_JSON)}
        for paths in (recorded, here)
    ]
    for folder in sorted(folders[0] | folders[1]):
        place = CHECKPOINT if folder == "." else f"{CHECKPOINT}/{folder}"
        if folder not in folders[0] or folder not in folders[1]:
            verdict = ADDED if folder in folders[1] else MISSING
            yield Verdict(unit=unit, place=place, name="", verdict=verdict)
        else:
            yield from compare_states(recorded.checkpoint / folder, here.checkpoint / folder, unit, place, tolerance)


def _result(paths: UnitPaths) -> Any:
    return read_record(paths.record, StageRecord).result if paths.record.exists() else None


def compare_written(recorded: Path, here: Path, unit: str, tolerance: Tolerance) -> Iterator[Verdict]:
    """Compare what was logged into two folders: metric files, key by key, and artifacts by their digests."""
    folders = (recorded / METRICS, here / METRICS)
    for name in sorted({path.name for folder in folders for path in folder.glob("*.jsonl")}):
        yield from compare_metrics(folders[0] / name, folders[1] / name, unit, tolerance)
    was, now = ({entry.path: entry for entry in Artifacts(folder).entries()} for folder in (recorded, here))
    for path in dict.fromkeys([*was, *now]):
        if path not in was or path not in now:
            verdict = MISSING if path in was else ADDED
        else:
            verdict = EQUAL if was[path].sha256 == now[path].sha256 else DIFFERENT
        step = (was.get(path) or now[path]).step if verdict != EQUAL else None
        yield Verdict(unit=unit, place=ARTIFACTS, name=path.removeprefix(f"{ARTIFACTS}/"), verdict=verdict, step=step)


def compare_metrics(recorded: Path, here: Path, unit: str, tolerance: Tolerance) -> Iterator[Verdict]:
    """Compare two metric files, key by key; keys that begin with ``_`` are about time, and no part of a result."""
    place = f"{METRICS}/{recorded.name}"
    before, after = _series(recorded), _series(here)
    for key in dict.fromkeys([*before, *after]):
        yield _compare_series(before.get(key, []), after.get(key, []), unit, place, key, tolerance)


def _series(path: Path) -> dict[str, list[tuple[int | None, Any]]]:
    found: dict[str, list[tuple[int | None, Any]]] = {}
    for line in read_metrics(path):
        for key, value in line.items():
            if key != "step" and not key.startswith("_"):
                found.setdefault(key, []).append((line.get("step"), value))
    return found


def _compare_series(
    before: list[tuple[int | None, Any]],
    after: list[tuple[int | None, Any]],
    unit: str,
    place: str,
    key: str,
    tolerance: Tolerance,
) -> Verdict:
    found = Verdict(unit=unit, place=place, name=key, verdict=EQUAL, count=max(len(before), len(after)))
    for index, (was, now) in enumerate(zip(before, after, strict=False), start=1):
        if was == now:
            continue
        difference = _distance(was[1], now[1])
        close = was[0] == now[0] and difference is not None and tolerance.allows(float(was[1]), float(now[1]))
        found.verdict = worst((found.verdict, CLOSE if close else DIFFERENT))
        found.difference = max(found.difference or 0.0, difference or 0.0)
        if not close:
            found.step, found.recorded, found.here = was[0] or index, was[1], now[1]
            return found
    if len(before) != len(after):
        longer = before if len(before) > len(after) else after
        step, value = longer[min(len(before), len(after))]
        found.verdict, found.step = (MISSING if longer is before else ADDED), step
        found.recorded, found.here = (value, None) if longer is before else (None, value)
    return found


def _distance(recorded: Any, here: Any) -> float | None:
    """Return how far two values are from each other; None unless both are numbers (``"NaN"`` is one)."""
    try:
        was, now = (
            float(value) if isinstance(value, str) else value + 0.0 for value in (recorded, here) if value is not None
        )
    except (TypeError, ValueError):
        return None
    return abs(now - was) if math.isfinite(was) and math.isfinite(now) else 0.0


# -- states --------------------------------------------------------------------------------------------------------------


def compare_states(recorded: Path, here: Path, unit: str, place: str, tolerance: Tolerance) -> Iterator[Verdict]:
    """Compare two folders with ``state.safetensors`` and ``state.json``: a verdict for each tensor, and for each value that differs.

    One verdict stands for all other values of a state together, if they are equal.
    """
    from flambe.build.state import read_tree
    from flambe.build.tensors import read_tensors

    before, after = (read_tensors(folder / STATE_TENSORS) for folder in (recorded, here))
    for name in dict.fromkeys([*before, *after]):
        yield _compare_tensors(
            before.get(name), after.get(name), Verdict(unit=unit, place=place, name=name, verdict=EQUAL), tolerance
        )
    was, now = read_tree(recorded)["state"], read_tree(here)["state"]
    yield from _compare_values(was, now, Verdict(unit=unit, place=place, name="", verdict=EQUAL), tolerance)


def _compare_tensors(recorded: Any, here: Any, found: Verdict, tolerance: Tolerance) -> Verdict:
    if recorded is None or here is None:
        found.verdict = ADDED if recorded is None else MISSING
        return found
    found.count = math.prod(recorded.shape)
    kinds = [f"{tensor.dtype}{list(tensor.shape)}" for tensor in (recorded, here)]
    if kinds[0] != kinds[1]:
        found.verdict, found.recorded, found.here = DIFFERENT, *kinds
        return found
    if recorded.data == here.data:
        return found
    found.verdict = DIFFERENT
    numbers = [_numbers(tensor) for tensor in (recorded, here)]
    if numbers[0] is None or numbers[1] is None:
        return found
    import numpy as np

    was, now = numbers
    with np.errstate(all="ignore"):
        distance = np.abs(now - was)
        bounds = tolerance.absolute + tolerance.relative * np.abs(was)
    # NaN in both is equal; in one of them it is as far away as can be.
    same = (was == now) | (np.isnan(was) & np.isnan(now))
    distance = np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))
    if bool(np.all(same | (np.isfinite(distance) & (distance <= bounds)))):
        found.verdict = CLOSE
    at = int(np.argmax(distance))
    found.difference = float(distance[at]) if np.isfinite(distance[at]) else None
    found.recorded, found.here = _plain(was[at]), _plain(now[at])
    return found


def _numbers(tensor: Any) -> Any:
    """Return a tensor as flat float64 or complex numbers; None for types that nobody can read here."""
    import numpy as np

    from flambe.build.tensors import tensor_array
    from flambe.errors import FlambeError

    if tensor.dtype == "BF16":  # the upper half of a float32
        bits = np.frombuffer(tensor.data, dtype="<u2").astype(np.uint32) << 16
        return bits.view(np.float32).astype(np.float64)
    try:
        array = tensor_array(tensor).reshape(-1)
    except FlambeError:
        return None
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _plain(number: Any) -> Any:
    from flambe.record.metrics import plain_number

    value = number.item()
    return str(value) if isinstance(value, complex) else plain_number(value)


def _compare_values(recorded: Any, here: Any, found: Verdict, tolerance: Tolerance) -> Iterator[Verdict]:
    differing = list(_differing(recorded, here, found.name, tolerance))
    if not differing:
        found.name = found.name or STATE_JSON
        yield found
    for name, verdict, was, now in differing:
        distance = _distance(was, now)
        yield msgspec.structs.replace(
            found,
            name=name,
            verdict=verdict,
            recorded=_shortened(was),
            here=_shortened(now),
            difference=distance or None,
        )


def _differing(recorded: Any, here: Any, path: str, tolerance: Tolerance) -> Iterator[tuple[str, str, Any, Any]]:
    if isinstance(recorded, Mapping) and isinstance(here, Mapping):
        for key in dict.fromkeys([*recorded, *here]):
            inner = path if key.startswith("$") else f"{path}.{key}".removeprefix(".")
            if key not in here:
                yield inner, MISSING, recorded[key], None
            elif key not in recorded:
                yield inner, ADDED, None, here[key]
            else:
                yield from _differing(recorded[key], here[key], inner, tolerance)
    elif isinstance(recorded, list) and isinstance(here, list) and len(recorded) == len(here):
        for index, (was, now) in enumerate(zip(recorded, here, strict=True)):
            yield from _differing(was, now, f"{path}[{index}]", tolerance)
    elif recorded != here or type(recorded) is not type(here):
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (recorded, here))
        close = numbers and tolerance.allows(recorded, here)
        yield path, CLOSE if close else DIFFERENT, recorded, here


def _shortened(value: Any) -> Any:
    if isinstance(value, int | float | bool | None):
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


__all__ = ["ADDED", "CLOSE", "DIFFERENT", "EQUAL", "ERROR", "MISSING", "Tolerance", "Verdict", "compare_metrics", "compare_runs", "compare_states",
           "compare_units", "compare_written", "worst"]  # fmt: skip

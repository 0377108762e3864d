"""Scenarios of the tools that write to runs and saved components beside those that make them; of each package that is there."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import runs, stopped_after
from scenario import Scenario, look_at_runs, newest, result_of
from store_toys import spec_of

from flambe.reading.reader import Reader
from flambe.spec.nodes import Spec, Stage


def outside(toy: Path) -> dict[str, Scenario]:
    """Return the scenarios by name."""
    found = {"index": asked(toy, lambda place: None), "index again": asked(toy, _ask)}
    if importlib.util.find_spec("flambe.report") is not None:
        found |= {"gc": collects(toy), "rm": removes(toy)}
    if importlib.util.find_spec("flambe.export") is not None:
        found |= {"export": exports(toy)}
    return found


def asked(toy: Path, before: Callable[[Path], Any]) -> Scenario:
    """Somebody asks about runs, of which another one has come since ``before`` was done: what the index is, changes no answer."""
    first, second = _two_runs(toy), runs(spec_of(toy, steps=4))

    def prepare(place: Path) -> None:
        first(place)
        for path in sorted(place.rglob("*")):
            os.utime(path, (1_700_000_000, 1_700_000_000))  # what is younger is read again in any case
        before(place)
        second.act(place)

    def act(place: Path) -> int:
        files = _contents(place)
        answers = _ask(place, indexed=False)
        assert all(answers)
        assert _ask(place) == answers
        assert _contents(place) == files
        return 0

    def between(place: Path) -> None:
        look_at_runs(place)
        assert _ask(place) == _ask(place, indexed=False)

    return Scenario(prepare, act, between, lambda place: len(_ask(place)))


def _ask(place: Path, *, indexed: bool = True) -> list[Any]:
    reader = Reader(place / "toy", index=place / "cache" if indexed else None)
    found: list[Any] = [[dict(row.cells) for row in reader.select(text)] for text in ("", "status == 'COMPLETE'")]
    for text in ("step >= 1", "min(`walk.walk/position`) < 1000 & seed >= 0"):
        found.append([dict(row.cells) for row in reader.select(text, units=True)])
    found.append([row["walk.walk/position"] for row in reader.select("has(`walk.walk/position`)", units=True)])
    return [*found, sorted(reader.fields), sorted(reader.unit_fields())]


def _contents(place: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in (place / "toy").rglob("*") if path.is_file() and not path.is_symlink()
    }


def _all(place: Path) -> list[Any]:
    return list(Reader(place, index=None))


def _two_runs(toy: Path) -> Any:
    spec = spec_of(toy)

    def prepare(place: Path) -> None:
        runs(spec).act(place)
        stopped_after(spec_of(toy, steps=4), 2)(place)
        # What a kill leaves: scratch, and the states of steps of a variant that has ended.
        root = newest(place)
        (root / ".scratch/0.1").mkdir(parents=True, exist_ok=True)
        (root / ".scratch/0.1/state.json").write_text("{}")
        steps = place / "toy/exp.0/stages/walk/0/steps/2"
        steps.mkdir(parents=True)
        (steps / "state.json").write_text("{}")

    return prepare


def _files(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in (place / "toy").rglob("*"))


def collects(toy: Path) -> Scenario:
    def act(place: Path) -> int:
        from flambe.report.garbage import collect

        for run in _all(place):
            collect(run, dry_run=False)
        return 0

    return Scenario(_two_runs(toy), act, look_at_runs, _files)


def removes(toy: Path) -> Scenario:
    """A run is there, whole, or it is gone."""

    def act(place: Path) -> int:
        from flambe.report.garbage import collect_half_deleted, remove

        collect_half_deleted(place, dry_run=False)
        for run in _all(place):
            if run.path.name == "exp.0":
                remove(run, dry_run=False)
        return 0

    def between(place: Path) -> None:
        look_at_runs(place)
        if (place / "toy/exp.0").exists():
            result_of(place / "toy/exp.0")

    return Scenario(_two_runs(toy), act, between, _files)


def exports(toy: Path) -> Scenario:
    """The same name is built again, with another model."""

    def built(place: Path, size: int) -> int:
        from flambe.export.cli import build_artifact

        body = {
            "$new": "flambe.export:Builder", "destination": str(place / "made"), "storage": "local",
            "component": {"$new": "toyext:Model", "size": size},
        }  # fmt: skip
        spec = Spec(name="made", kind="runnable", stages=[Stage(name="made", body=body)])
        spec.environment = spec_of(toy).environment
        build_artifact(spec, force=True)
        return 0

    from flambe.export.artifact import verify

    def result(place: Path) -> Any:
        return verify(place / "made").digest

    def between(place: Path) -> None:
        verify(place / "made")

    return Scenario(lambda place: built(place, 2), lambda place: built(place, 3), between, result)

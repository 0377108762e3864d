"""Results by content: the key that names one before it runs, the store that finds it again, the digest of what it is."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from flambe.errors import ConfigError, FlambeError
from flambe.record.code import code_of
from flambe.record.inputs import inputs_hold
from flambe.record.layout import ARTIFACT_INDEX, CONFIG_YAML, LEDGER, MANIFEST, RUN, STEPS, UnitPaths
from flambe.record.ledger import Event, LedgerState, read_events
from flambe.record.metrics import read_metrics
from flambe.record.run import COMPLETE, StageRecord, read_record
from flambe.spec.digest import digest_of, file_digest, without_places
from flambe.spec.nodes import FILE, NEW, YAML, kind_of, walk

if TYPE_CHECKING:
    from flambe.record.settled import Settled

KEY_VERSION = 1
_FILE_NODE = f'"{FILE}":'.encode()


def stage_key(body: Any, *, needs: Mapping[str, str], seed: int, threads: int, extensions: Mapping[str, str]) -> str:
    """Return the name of the result of a concrete stage, known before it runs.

    body: with its files by content (``flambe.record.declared``). The key covers it (and so the paths of its links), the keys of the
    linked stages, the seed, the number of threads (floating-point sums depend on it), the code of the extensions it uses and of what
    these import, and the versions of the distributions that its other classes come from.
    """
    return digest_of(
        {
            "version": KEY_VERSION,
            "body": body,
            "needs": dict(sorted(needs.items())),
            "seed": seed,
            "threads": threads,
            "code": code_of(modules_of(body), extensions),
        }
    )


def modules_of(body: Any) -> set[str]:
    """Return the top-level modules of the classes that a body names."""
    named = [str(value[kind]) for _, value in walk(body) if (kind := kind_of(value)) in (NEW, YAML)]
    return {name.removeprefix("!").partition(":")[0].partition(".")[0] for name in named}


def unit_seed(seed: int, body: Any, needs: Mapping[str, str]) -> int:
    """Return the seed of a unit in [0, 2**63): from the run's seed, its body and its needs, not from code versions."""
    text = digest_of([seed, body, dict(sorted(needs.items()))])
    return int(text[:16], 16) >> 1


class Found(NamedTuple):
    """An earlier result: the folder of its unit and the event that committed it. address: where it is, if the folder is a copy."""

    folder: Path
    event: Event
    record: StageRecord
    address: str | None = None


class ResultStore:
    """The results of the runs below one output folder, by key."""

    def __init__(self, output_dir: Path) -> None:
        self.output_dir = output_dir
        self._index: dict[str, list[tuple[Path, Event]]] | None = None
        self._settled: dict[str, list[Path]] = {}

    def find(self, key: str) -> Found | None:
        """Return a complete, whole result whose inputs are unchanged; None when there is none."""
        for folder, event in reversed(self._known().get(key, [])):
            record = self.whole(folder, event)
            if record is not None:
                return Found(folder, event, record)
        return None

    def offer(self, folder: Path, event: Event) -> None:
        """Take note of a result that was committed. Nothing is to be done: it lies below the output folder already."""

    def find_settled(self, key: str) -> Settled | None:
        """Return stages that a run has settled under this key, all of whose results are whole, with inputs that are unchanged."""
        from flambe.record.settled import settled_in  # few runs have a scheduler or a search

        self._known()
        found = (settled_in(run, key) for run in reversed(self._settled.get(key, [])))
        return next((one for one in found if one is not None), None)

    def offer_settled(self, key: str, run: Path) -> None:
        """Take note of stages that a run has settled: as for ``offer``."""

    def _known(self) -> dict[str, list[tuple[Path, Event]]]:
        if self._index is None:
            self._index = self._read()
        return self._index

    def _read(self) -> dict[str, list[tuple[Path, Event]]]:
        index: dict[str, list[tuple[Path, Event]]] = {}
        for ledger in sorted(_ledgers(self.output_dir), key=_age):
            # What is broken or gone by now is another run's affair: it has no results to give.
            with contextlib.suppress(OSError, ConfigError):
                for event in read_events(ledger):
                    if event.get("event") in ("commit", "reuse") and event.get("complete"):
                        stage, _, variant = str(event["unit"]).partition("/")
                        folder = ledger.parent / "stages" / stage / variant
                        index.setdefault(event["key"], []).append((folder, event))
                    elif event.get("event") == "settle":
                        self._settled.setdefault(event["key"], []).append(ledger.parent)
        return index

    @staticmethod
    def whole(folder: Path, event: Event, *, in_part: bool = False) -> StageRecord | None:
        """Return the record of a committed unit whose files are as they were, and what it read too; else None.

        in_part: also of a unit that was stopped early.
        """
        paths = UnitPaths(folder)
        try:
            record = read_record(paths.record, StageRecord)
        except (OSError, ConfigError):
            return None
        if record.key != event["key"] or record.status != COMPLETE or not (record.complete or in_part):
            return None
        if not inputs_hold(record.inputs):
            return None
        if event.get("exports", exports_digest(paths)) != exports_digest(paths):
            return None
        whole = paths.exports.exists() and checkpoint_is_whole(paths.checkpoint) and artifacts_are_whole(folder, event)
        return record if whole else None


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _ledgers(folder: Path, depth: int = 8) -> Iterator[Path]:
    """Yield the ledgers below ``folder``, without going down into runs: they hold thousands of folders."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                ledger = Path(entry.path) / LEDGER
                if ledger.is_file():
                    yield ledger
                elif depth:
                    yield from _ledgers(Path(entry.path), depth - 1)


def checkpoint_is_whole(checkpoint: Path) -> bool:
    """Whether every file that the manifests of a saved component name is there with its digest."""
    if not (checkpoint / MANIFEST).exists():
        return False
    try:
        for manifest in manifests_in(checkpoint):
            files: dict[str, str] = msgspec.json.decode(manifest.read_bytes())["files"]
            if any(file_digest(manifest.parent / name) != digest for name, digest in files.items()):
                return False
    except (OSError, msgspec.MsgspecError, KeyError):
        return False
    return True


def manifests_in(checkpoint: Path) -> list[Path]:
    """Return the manifest of a saved component, and those of its parts."""
    return sorted(Path(folder, MANIFEST) for folder, _, files in os.walk(checkpoint) if MANIFEST in files)


def artifacts_are_whole(folder: Path, event: Event | None = None) -> bool:
    """Whether every artifact that the list in ``folder`` names is there with its digest, and the list is that of a commit ``event``.

    What is in no list was never ours to keep.
    """
    from flambe.record.artifacts import Artifacts

    listed = artifacts_digest(UnitPaths(folder))
    if event is not None and event.get("artifacts", listed) != listed:
        return False
    if listed is None:
        return True
    try:
        return all(
            (folder / entry.path).is_dir() if entry.sha256 is None else file_digest(folder / entry.path) == entry.sha256
            for entry in Artifacts(folder).entries()
        )
    except (OSError, FlambeError):
        return False


def copy_result(source: Path, target: Path) -> None:
    """Take the result in ``source`` into the folder ``target``: hard links where the disk allows, else copies.

    Neither folder depends on the other afterwards: deleting one run never breaks another.
    """
    target.mkdir(parents=True, exist_ok=True)
    for start in sorted(source.iterdir()):
        # All but what is about this one unit: sinks have files of their own (``tensorboard``).
        if start.name in (RUN, STEPS) or start.name.startswith("."):
            continue
        if start.is_dir():
            shutil.copytree(start, target / start.name, copy_function=_link_or_copy, dirs_exist_ok=True)
        else:
            _link_or_copy(str(start), str(target / start.name))


def _link_or_copy(source: str, target: str) -> str:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def unit_digest(folder: Path, *, params: Mapping[str, Any], step: int, complete: bool) -> str:
    """Return the digest of a committed unit: parameters, metric lines without ``_`` keys, and every saved tensor and state.

    Times, hosts, logs and the places of data stay out: units that computed the same have the same digest.
    """
    paths = UnitPaths(folder)
    metrics = {
        file.name: [
            {key: value for key, value in line.items() if not key.startswith("_")} for line in read_metrics(file)
        ]
        for file in sorted(paths.metrics.glob("*.jsonl"))
    }
    manifests = {
        manifest.parent.relative_to(paths.checkpoint).as_posix(): manifest.read_bytes()
        for manifest in manifests_in(paths.checkpoint)
    }
    has_places = any(_FILE_NODE in text for text in manifests.values())
    parts = {
        part: _unplaced_digest(text) if has_places else sha256(text).hexdigest() for part, text in manifests.items()
    }
    return digest_of([without_places(dict(params)), step, complete, metrics, parts])


def _unplaced_digest(manifest: bytes) -> str:
    """Return the digest of a manifest without the places of data: in its config, in the words about it, in the parts below it, each of
    which has a digest of its own."""
    content = msgspec.json.decode(manifest)
    content["config"] = without_places(content["config"])
    content["files"] = {
        name: digest
        for name, digest in content["files"].items()
        if name.rpartition("/")[2] not in (CONFIG_YAML, MANIFEST)
    }
    return digest_of(content)


def exports_digest(paths: UnitPaths) -> str:
    """Return the digest of the values that a unit hands to later stages, which no manifest covers."""
    files = [path for path in (paths.exports, paths.export_tensors) if path.exists()]
    return digest_of({path.name: file_digest(path) for path in files})


def artifacts_digest(paths: UnitPaths) -> str | None:
    """Return the digest of the list of a unit's artifacts, which has the digest of each; None where nothing is listed."""
    path = paths.root / ARTIFACT_INDEX
    return file_digest(path) if path.exists() else None


def run_digest(spec_digest: str, state: LedgerState) -> str:
    """Return the result digest of a run: what was asked, decided and made, and nothing about when and where."""
    decisions: dict[str, dict[str, str]] = {}
    for event in state.events:
        if event["event"] == "plan":
            decisions.pop(event["unit"], None)  # they were about the code that it had before
        elif event["event"] == "decision" and event["decision"] != "continue":
            decisions.setdefault(event["unit"], {})[str(event["step"])] = event["decision"]
    units = {}
    for unit in sorted(state.planned):
        if unit in state.done:
            units[unit] = state.done[unit]["digest"]
        else:
            units[unit] = state.status_of(unit)
    return digest_of(
        {
            "spec": spec_digest,
            "units": units,
            "decisions": {
                unit: dict(sorted(steps.items(), key=lambda item: int(item[0])))
                for unit, steps in sorted(decisions.items())
            },
            "reduced": {stage: event["kept"] for stage, event in sorted(state.reduced.items())},
        }
    )

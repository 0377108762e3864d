"""``SharedStore``: complete results by key, in a folder or at an address (``s3://…``) that several machines reach.

A result is one file, ``KEY.tar``: the folder of its unit and the event that committed it. What a scheduler or a search has decided
about as a whole is one file too: a numbered folder for each unit that is no result of its own, and a list. A file is there as a whole
or not at all, and nothing changes one, so any number of runs may read and write at once, and whoever needs the room may delete.
One that cannot be taken (it was cut, or what was read for it has changed since) is replaced by the next result of its key.
Taking one opens no pickle and imports nothing: its files are checked by their digests, as those of an earlier run are.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from flambe.cli.console import say
from flambe.errors import FlambeError, MachineError, UsageError
from flambe.record.layout import LEDGER, STEPS, RunPaths
from flambe.record.ledger import Event, fold, read_event, read_events
from flambe.record.metrics import plain_number
from flambe.record.result import Found, ResultStore
from flambe.spec.codec import dump_json
from flambe.spec.hooks import Scheme, scheme

if TYPE_CHECKING:
    from flambe.record.settled import Settled

T = TypeVar("T")

_END = ".tar"
_COMMIT = "commit.json"
_SETTLED = "settled.json"


class SharedStore:
    """Results at ``address``, beside those of ``nearer``, which are asked first.

    scratch: an existing folder on the disk of the runs; what is fetched lies in a folder of its own below it until ``close``.
    Which results there are is looked up once. Raises MachineError when the store cannot be read or made, UsageError for an
    address that is none of a store.
    """

    def __init__(self, address: str, nearer: ResultStore, scratch: Path) -> None:
        self.address = address.rstrip("/")
        self._nearer = nearer
        self._scheme = _scheme_of(self.address)
        self._folder = Path(self.address).expanduser().absolute()
        self._keys = {name.removesuffix(_END) for name in self._names() if name.endswith(_END)}
        self._temporary = tempfile.TemporaryDirectory(dir=scratch, prefix=".store-")
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._sent: list[Future[None]] = []

    def __enter__(self) -> SharedStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def find(self, key: str) -> Found | None:
        """Return a complete, whole result whose inputs are unchanged here; None when there is none."""
        return self._first(key, self._nearer.find, self._taken)

    def _first(self, key: str, nearer: Callable[[str], T | None], fetched: Callable[[str], T | None]) -> T | None:
        """Return what is nearer, or else what is fetched; where that cannot be taken, it is not asked for again."""
        found = nearer(key)
        if found is None and key in self._keys:
            found = fetched(key)
            if found is None:
                self._keys.discard(key)
        return found

    def _taken(self, key: str) -> Found | None:
        folder = self._fetch(key)
        if folder is None:
            return None
        try:
            event = read_event((folder / _COMMIT).read_bytes())
        except (OSError, ValueError) as error:
            self._warn(key, error)
            return None
        return self._found(folder, event, key) if event.get("key") == key else None

    def find_settled(self, key: str) -> Settled | None:
        """Return stages that were settled under this key, all of whose results are whole, with inputs that are unchanged here."""
        return self._first(key, self._nearer.find_settled, self._taken_settled)

    def _taken_settled(self, key: str) -> Settled | None:
        from flambe.record.settled import Settled, SettledUnit

        folder = self._fetch(key)
        if folder is None:
            return None
        try:
            listed = msgspec.json.decode((folder / _SETTLED).read_bytes(), type=_SettledFile)
            events = [read_event(msgspec.json.encode(one.commit)) for one in listed.units]
        except (OSError, ValueError) as error:
            self._warn(key, error)
            return None
        units = []
        for index, (one, event) in enumerate(zip(listed.units, events, strict=True)):
            own = folder / str(index)
            taken = self._found(own, event, key, in_part=True) if own.is_dir() else self.find(str(event.get("key")))
            if taken is None:
                return None
            units.append(SettledUnit(one.stage, one.variant, one.params, one.key, taken, one.files))
        return Settled(units, listed.decisions) if listed.key == key and units else None

    def offer(self, folder: Path, event: Event) -> None:
        """Put the committed result in ``folder`` there, unless it is; soon, and beside whatever else goes on."""
        if event.get("complete") and event["key"] not in self._keys:
            self._keys.add(event["key"])
            self._sent.append(self._sender.submit(self._put, folder, event))

    def offer_settled(self, key: str, run: Path) -> None:
        """Put the stages that ``run`` has settled under ``key`` there, unless they are; soon, as for ``offer``."""
        if key not in self._keys:
            self._keys.add(key)
            self._sent.append(self._sender.submit(self._put_settled, key, run))

    def close(self) -> None:
        """Wait for what is on its way. What could not be put there is told, and is no fault of the run."""
        self._sender.shutdown(wait=True)
        errors = [error for one in self._sent if (error := one.exception()) is not None]
        if errors:
            say(f"{len(errors)} results were not put into {self.address}: {errors[0]}")
        self._temporary.cleanup()

    def _names(self) -> list[str]:
        if self._scheme is not None:
            return self._scheme.names(self.address)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.listdir(self._folder)
        except OSError as error:
            raise MachineError(f"the store {self.address} cannot be used: {error.strerror}") from error

    def _fetch(self, key: str) -> Path | None:
        """Return a folder with what the file of ``key`` holds; None, and a word, when it cannot be read."""
        folder = Path(self._temporary.name) / key
        file = Path(self._temporary.name) / f"{key}{_END}"
        try:
            if self._scheme is None:
                file = self._folder / f"{key}{_END}"
            else:
                self._scheme.download(f"{self.address}/{key}{_END}", file.parent)
            with tarfile.open(file, "r:") as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError, FlambeError) as error:
            self._warn(key, error)
            return None
        return folder

    def _warn(self, key: str, error: Exception) -> None:
        say(f"{self.address}/{key}{_END} cannot be taken, and will be replaced: {error}")

    def _found(self, folder: Path, event: Event, key: str, *, in_part: bool = False) -> Found | None:
        record = ResultStore.whole(folder, event, in_part=in_part)
        return None if record is None else Found(folder, event, record, f"{self.address}/{key}{_END}")

    def _put(self, folder: Path, event: Event) -> None:
        with self._new(event["key"]) as archive:
            _add_folder(archive, folder)
            _add_file(archive, _COMMIT, dump_json(_plain(event)))

    def _put_settled(self, key: str, run: Path) -> None:
        from flambe.record.settled import decisions_settled, plans_settled

        state = fold(read_events(run / LEDGER))
        units = []
        with self._new(key) as archive:
            for index, plan in enumerate(plans_settled(state, key)):
                event = state.done[plan["unit"]]
                planned = (plan["stage"], plan["variant"], plan["params"], plan["key"])
                units.append(_SettledEntry(*planned, commit=_plain(event), files=plan.get("files", {})))
                if not (event["complete"] and event["key"] in self._keys):
                    _add_folder(archive, RunPaths(run).unit(plan["stage"], plan["variant"]).root, f"{index}/")
            listed = _SettledFile(key, units, decisions_settled(state, key))
            _add_file(archive, _SETTLED, dump_json(listed))

    @contextmanager
    def _new(self, key: str) -> Iterator[tarfile.TarFile]:
        """Give the archive of ``key``, which is put in its place when it is written."""
        name = f"{key}{_END}"
        # Aside of what readers look for, and on the same disk where the store is a folder.
        aside = self._folder if self._scheme is None else Path(self._temporary.name)
        handle, path = tempfile.mkstemp(dir=aside, prefix=f".{key}-")
        try:
            with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
                yield archive
            if self._scheme is None:
                os.chmod(path, 0o644)
                os.replace(path, self._folder / name)
            else:
                self._scheme.upload(Path(path), f"{self.address}/{name}")
        finally:
            Path(path).unlink(missing_ok=True)


class _SettledEntry(msgspec.Struct):
    """A unit in the list of a file: what was planned, and the event that committed it, or took it from elsewhere."""

    stage: str
    variant: str
    params: dict[str, Any]
    key: str
    commit: dict[str, Any]
    files: dict[str, str] = {}


class _SettledFile(msgspec.Struct):
    key: str
    units: list[_SettledEntry]
    decisions: list[dict[str, Any]]


def _scheme_of(address: str) -> Scheme | None:
    kind, separator, _ = address.partition("://")
    if not separator:
        return None
    try:
        return scheme(kind)
    except FlambeError as error:
        if kind == "s3":
            raise
        raise UsageError(f"{address} is no store", expected="a folder, or s3://bucket/folder") from error


def _plain(event: Event) -> Event:
    """Return an event as JSON can have it: a metric that is no finite number is text, as in a ledger."""
    metric = event.get("metric")
    return event if metric is None else {**event, "metric": plain_number(metric)}


def _add_folder(archive: tarfile.TarFile, folder: Path, within: str = "") -> None:
    for start in sorted(folder.iterdir()):
        if start.name != STEPS and not start.name.startswith("."):
            archive.add(start, within + start.name)


def _add_file(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, BytesIO(data))

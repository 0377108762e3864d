"""``SharedStore``: complete results by key, in a folder or at an address (``s3://…``) that several machines reach.

A result is one file, ``KEY.tar``: the folder of its unit and the event that committed it. It is there as a whole or not at all,
and nothing ever changes one, so any number of runs may read and write at once. Taking one opens no pickle and imports nothing:
its files are checked by their digests, as those of an earlier run are.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import TracebackType

from flambe.cli.console import say
from flambe.errors import FlambeError, MachineError, UsageError
from flambe.record.layout import STEPS
from flambe.record.ledger import Event, read_event
from flambe.record.result import Found, ResultStore
from flambe.spec.codec import dump_json
from flambe.spec.hooks import Scheme, scheme

_END = ".tar"
_COMMIT = "commit.json"


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
        found = self._nearer.find(key)
        if found is not None or key not in self._keys:
            return found
        folder = Path(self._temporary.name) / key
        file = Path(self._temporary.name) / f"{key}{_END}"
        try:
            if self._scheme is None:
                file = self._folder / f"{key}{_END}"
            else:
                self._scheme.download(f"{self.address}/{key}{_END}", file.parent)
            with tarfile.open(file) as archive:
                archive.extractall(folder, filter="data")
            event = read_event((folder / _COMMIT).read_bytes())
        except (OSError, ValueError, tarfile.TarError, FlambeError) as error:
            say(f"{self.address}/{key}{_END} cannot be taken: {error}")
            return None
        if event.get("key") != key:
            return None
        record = ResultStore.whole(folder, event)
        return None if record is None else Found(folder, event, record, f"{self.address}/{key}{_END}")

    def offer(self, folder: Path, event: Event) -> None:
        """Put the committed result in ``folder`` there, unless it is; soon, and beside whatever else goes on."""
        if event.get("complete") and event["key"] not in self._keys:
            self._keys.add(event["key"])
            self._sent.append(self._sender.submit(self._put, folder, event))

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

    def _put(self, folder: Path, event: Event) -> None:
        name = f"{event['key']}{_END}"
        # Aside of what readers look for, and on the same disk where the store is a folder.
        aside = self._folder if self._scheme is None else Path(self._temporary.name)
        handle, path = tempfile.mkstemp(dir=aside, prefix=f".{event['key']}-")
        try:
            with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
                _pack(archive, folder, event)
            if self._scheme is None:
                os.chmod(path, 0o644)
                os.replace(path, self._folder / name)
            else:
                self._scheme.upload(Path(path), f"{self.address}/{name}")
        finally:
            Path(path).unlink(missing_ok=True)


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


def _pack(archive: tarfile.TarFile, folder: Path, event: Event) -> None:
    for start in sorted(folder.iterdir()):
        if start.name != STEPS and not start.name.startswith("."):
            archive.add(start, start.name)
    data = dump_json(event)
    entry = tarfile.TarInfo(_COMMIT)
    entry.size = len(data)
    archive.addfile(entry, BytesIO(data))

"""``run.json``: the state of a run, and of each variant of each of its stages."""

from __future__ import annotations

import datetime
import math
import os
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from flambe.errors import ConfigError
from flambe.record.checkout import Checkout
from flambe.record.layout import VERSION
from flambe.record.metrics import plain_number
from flambe.spec.codec import read_document

CREATED = "CREATED"
QUEUED = "QUEUED"
RUNNING = "RUNNING"
PAUSED = "PAUSED"
COMPLETE = "COMPLETE"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
PRUNED = "PRUNED"
LOST = "LOST"
"""Derived by readers only: RUNNING, without a heartbeat for ``LOST_AFTER_S`` or its process gone from this host."""

ENDING = frozenset({"SIGTERM", "SIGINT"})
"""By these somebody asks a process to end. A SIGKILL comes from the kernel too, which has run out of memory."""

FINISHED = frozenset({COMPLETE, FAILED, CANCELLED, PRUNED})
HEARTBEAT_S = 10.0
LOST_AFTER_S = 150.0


def _always(value: str) -> Any:
    """A default that is written all the same: ``omit_defaults`` leaves out only plain ones."""
    return msgspec.field(default_factory=lambda: value)


class Times(msgspec.Struct, omit_defaults=True, kw_only=True):
    """ISO 8601 in UTC, milliseconds."""

    created: str | None = None
    started: str | None = None
    ended: str | None = None
    heartbeat: str | None = None


class Exit(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How a run ended: its exit code, or the signal, and the error in words."""

    code: int | None = None
    signal: str | None = None
    error: str | None = None


class Host(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The machine and process that ran it. cpus: as the system counts them; boot: tells two boots of one host apart.

    gpus: ``name`` and ``memory_mib`` of each, as far as the driver says; see ``flambe.record.gpus``.
    """

    name: str
    os: str = ""
    pid: int = 0
    boot: str = ""
    cpus: int = 0
    gpus: list[dict[str, Any]] = []


class Command(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The command line that started it.

    env: the variables of the environment that the config names; null for one whose name says that it is secret, and for one
    that was not set.
    """

    argv: list[str] = []
    cwd: str = ""
    user: str = ""
    overrides: list[str] = []
    env: dict[str, str | None] = {}


class Code(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The code of a function. mode: ``copy``, ``git`` (a tree that runs share), ``custom`` or ``none``. path: of the copy, seen from
    the run directory; of a custom one the whole path.

    tree: digest of the names and contents of all its files, in mode ``git`` the id of git's tree; files: their number. source:
    the folder it was taken from, or is in. left_out: what lies there and was not copied. git: where that folder is checked out
    from. info: what a class of the user's says of its copy.
    """

    mode: str
    path: str | None = None
    tree: str | None = None
    files: int = 0
    source: str = ""
    left_out: list[str] = []
    git: Checkout | None = None
    info: dict[str, Any] = {}


class RunRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """``run.json`` of a whole run. counts: expected, done, reused, failed, pending units.

    entry, code, result: of a function: what is called, where its code is, and what it returned, if that was plain data.
    resumes: how often it was gone on with by ``--resume``. repeats: the id of the run whose kept config it was given. reproduces: of
    that which ``flambe reproduce`` made it to compare with.
    """

    flambe_record: str = _always("1.0")
    id: str
    kind: str
    name: str
    index: int
    status: str = _always(CREATED)
    status_reason: str | None = None
    exit: Exit = msgspec.field(default_factory=Exit)
    time: Times = msgspec.field(default_factory=Times)
    tool: dict[str, str] = {}
    command: Command = msgspec.field(default_factory=Command)
    spec_digest: str
    seed: int = 0
    python: dict[str, str] = {}
    host: Host | None = None
    counts: dict[str, int] = {}
    result_digest: str | None = None
    entry: str | None = None
    code: Code | None = None
    result: Any = None
    resumes: int = 0
    repeats: str | None = None
    reproduces: str | None = None


NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""How the file has a metric that is no finite number: JSON has no such numbers."""


class StageRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """``run.json`` of one variant of one stage.

    params: full dotted path → value, own and inherited: those that the result is made with, where a population has changed what the
    name of the variant says. takeovers: ``step``, ``donor``, ``donor_step`` and ``choice`` of each time that it did, as in the ledger.
    key: name of the result (see ``flambe.record.result``).
    step: number of ``run()`` calls done. metric: last value of ``metric()``; lower_is_better: its direction.
    inputs: files read for it, and for what it rests on, with digests. reused_from: folder of the earlier result this one was taken from. result: what a function
    returned, in node form. exit: how a function ended that failed: the code it gave to ``sys.exit``, or the signal it died of.
    resumes: how often a variant of a function that had begun was gone on with by ``--resume``.
    """

    flambe_record: str = _always("1.0")
    kind: str = _always("stage")
    stage: str
    variant: str
    params: dict[str, Any] = {}
    key: str
    seed: int = 0
    status: str = _always(RUNNING)
    status_reason: str | None = None
    step: int = 0
    complete: bool = False
    metric: float | None = None
    metric_name: str | None = None
    lower_is_better: bool = False
    attempt: int = 1
    error: str | None = None
    time: Times = msgspec.field(default_factory=Times)
    host: Host | None = None
    inputs: list[dict[str, Any]] = []
    needs: dict[str, str] = {}
    reused_from: str | None = None
    result: Any = None
    exit: Exit | None = None
    resumes: int = 0
    takeovers: list[dict[str, Any]] = []


_Record = TypeVar("_Record", RunRecord, StageRecord)


def needed_version(record: RunRecord) -> str:
    """Return the lowest version whose tools understand ``record``, so that older ones read it without a warning."""
    # To 1.0 the code of a run is in its folder, or where it always was; the files of a run are those of its only command.
    is_new = (record.code is not None and record.code.mode in ("git", "custom")) or record.resumes > 0
    return VERSION if is_new else "1.0"


def now() -> str:
    """Return the time as it is written in records."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_since(stamp: str) -> float:
    """Return the seconds from a record's time stamp until now."""
    return time.time() - datetime.datetime.fromisoformat(stamp).timestamp()


_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """Return a ULID: 48 bits of milliseconds and 80 random bits in base 32, sortable by time of creation."""
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10))
    return "".join(_BASE32[(value >> shift) & 31] for shift in range(125, -1, -5))


def this_host() -> Host:
    """Describe the machine and process that is running, but for its GPUs, which may take a while."""
    import platform  # what only reads records starts without it

    boot = Path("/proc/sys/kernel/random/boot_id")
    return Host(
        name=platform.node(),
        os=f"{platform.system()} {platform.release()}",
        pid=os.getpid(),
        boot=boot.read_text().strip() if boot.exists() else "",
        cpus=os.cpu_count() or 1,
    )


def replace_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file whole: aside first, then one rename. ``durable`` waits for the disk."""
    aside = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with open(aside, "xb") as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Take away what a kill in the middle of replacing a file has left."""
    for path in folder.glob(".*"):
        if path.is_file():
            path.unlink()


def write_record(path: Path, record: RunRecord | StageRecord, *, durable: bool = False) -> None:
    """Replace a ``run.json``. A metric that is no finite number is text in it, as in metric lines and the ledger."""
    data = msgspec.json.encode(record)
    metric = getattr(record, "metric", None)
    if metric is not None and not math.isfinite(metric):
        data = msgspec.json.encode({**msgspec.to_builtins(record), "metric": plain_number(metric)})
    replace_file(path, msgspec.json.format(data, indent=1), durable=durable)


def read_record(path: Path, kind: type[_Record]) -> _Record:
    """Read a ``run.json``.

    Raises FileNotFoundError, or ConfigError when it is torn or of another major version.
    """
    return decode_record(path.read_bytes(), kind, where=str(path))


def decode_record(data: bytes, kind: type[_Record], *, where: str) -> _Record:
    """Return the record that a ``run.json`` holds. Raises ConfigError as ``read_record`` does."""
    head = read_document(data, "flambe_record", VERSION, where=where, kind="run record")
    try:
        if head.get("metric") in NOT_FINITE:
            head["metric"] = float(head["metric"])
        return msgspec.convert(head, kind)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"{where} is no run record: {error}") from error


def is_alive(record: RunRecord) -> bool:
    """Whether the process of a RUNNING record still works: a fresh heartbeat, and a live process if it was here."""
    if record.status != RUNNING or record.host is None or record.time.heartbeat is None:
        return False
    if seconds_since(record.time.heartbeat) > LOST_AFTER_S:
        return False
    here = this_host()
    if record.host.boot and record.host.boot == here.boot and record.host.name == here.name:
        return _process_exists(record.host.pid)
    return True


def status_of(record: RunRecord) -> str:
    """Return the state a reader should show: ``LOST`` for a run that says RUNNING and is dead."""
    return LOST if record.status == RUNNING and not is_alive(record) else record.status


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A killed process that nobody has waited for yet still has its pid.
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc").exists()

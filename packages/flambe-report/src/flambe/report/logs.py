"""What a run, or one of its variants, has printed: its ``outputs.log``, followed while it grows."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable
from pathlib import Path

from flambe.cli.console import say
from flambe.cli.streams import data_is_terminal
from flambe.errors import ConfigError, UsageError, did_you_mean
from flambe.reading.recorded import RecordedRun
from flambe.reading.recorded_unit import PENDING, RecordedUnit
from flambe.record import layout
from flambe.record.run import FINISHED, LOST, PAUSED, RUNNING

POLL_S = 0.3
_CHUNK = 1 << 20
# Colours may pass; whatever else a log makes a terminal do is shown, not done.
_STEERING = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\x80-\x9f]")


def find_unit(run: RecordedRun, name: str) -> RecordedUnit:
    """Return the unit ``stage/variant``; of a stage with one variant its name is enough, and ``stage/best`` is its best.

    Raises UsageError with the nearest names.
    """
    units = run.units()
    stage, _, variant = name.partition("/")
    for unit in units:
        if unit.id == name or (unit.stage == stage and variant == "best" and unit.best):
            return unit
    there = [unit for unit in units if unit.stage == name]
    if len(there) == 1:
        return there[0]
    names = [unit.id for unit in (there or units)]
    hint = did_you_mean(name, names) if not there else None
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    what = f"{name} has {len(there)} variants" if there else f"{run.path} has no variant {name!r}"
    raise UsageError(what, hint=hint or (f"Name one of {shown}." if names else "Nothing is planned in it yet."))


def print_log(run: RecordedRun, unit: RecordedUnit | None, write: Callable[[str], None], *, follow: bool) -> None:
    """Write the log of ``unit``, or of the run itself, in whole lines.

    follow: go on until the unit, or the run, has ended. Raises ConfigError when there is none, and nobody will write one.
    """
    folder = run.path if unit is None else unit.path
    if folder is None:
        raise ConfigError(f"{unit and unit.id} is no name of a folder")
    path = folder / layout.OUTPUTS
    if not path.resolve().is_relative_to(run.path.resolve()):
        raise ConfigError(f"{path} leads out of the run")
    tail = _Tail(path, write)
    while True:
        # First whether more may come, then what there is: nothing can come between.
        goes_on = follow and _goes_on(run, unit)
        tail.read()
        if not goes_on:
            break
        time.sleep(POLL_S)
    tail.end()
    if not tail.found:
        status = run.status if unit is None else next(one.status for one in run.units() if one.id == unit.id)
        raise ConfigError(
            f"{run.path if unit is None else unit.id} has no {layout.OUTPUTS}",
            hint="It has not begun: -f waits for it." if status in (PENDING, RUNNING) else f"It is {status}.",
        )


def _goes_on(run: RecordedRun, unit: RecordedUnit | None) -> bool:
    if run.status in FINISHED or run.status == LOST:
        return False
    if unit is None:
        return True
    now = next((one for one in run.units() if one.id == unit.id), None)
    return now is not None and now.status in (PENDING, RUNNING, PAUSED)


class _Tail:
    """A text file that grows, or is cut back and grows again. found: whether it was ever there."""

    def __init__(self, path: Path, write: Callable[[str], None]) -> None:
        self._path = path
        self._write = write
        self._plain = data_is_terminal()
        self.found = False
        self._begin()

    def _begin(self) -> None:
        self._offset = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def read(self) -> None:
        try:
            with self._path.open("rb") as stream:
                self.found = True
                if stream.seek(0, 2) < self._offset:
                    # A unit that goes on from an earlier step takes back what it printed after that.
                    say(f"flambe-report: {self._path} was cut back; again from its beginning")
                    self._begin()
                stream.seek(self._offset)
                while data := stream.read(_CHUNK):
                    self._offset += len(data)
                    self._pass_on(self._decode(data))
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be read: {error.strerror}") from error

    def end(self) -> None:
        if self._rest:
            self._write(self._shown(self._rest))
            self._rest = ""

    def _pass_on(self, text: str) -> None:
        whole, line_end, self._rest = (self._rest + text).rpartition("\n")
        if line_end:
            self._write(self._shown(whole + line_end))

    def _shown(self, text: str) -> str:
        return _STEERING.sub(lambda found: f"\\x{ord(found.group()):02x}", text) if self._plain else text

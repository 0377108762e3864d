"""``Info``: the record of a run, as the code of the run sees it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from flambe.errors import did_you_mean
from flambe.record.layout import RUN, STAGES
from flambe.runnable.config_dict import ConfigDict

_OLD = {
    "hostname": ("host", "name"),
    "process_id": ("host", "pid"),
    "start_time": ("time", "started"),
    "start_date": ("time", "started"),
    "end_time": ("time", "ended"),
    "end_date": ("time", "ended"),
    "user": ("command", "user"),
    "work_dir": ("command", "cwd"),
}
"""What mlxp calls something → where that is in the record."""


class Info:
    """``run.json`` by attributes, read when it is asked: ``info.status``, ``info.host.name``, ``info.time.started``.

    That of a variant of a sweep is on top of the run's: ``info.params`` and ``info.resumes`` are its own. ``info.attempt`` is above 1
    where an earlier attempt, or an earlier command, has left something to go on from. What the record does not have yet is None,
    ``path`` is the folder. home: the folder of the run or variant; None where nothing is recorded.
    """

    def __init__(self, home: Path | None) -> None:
        self._home = home

    def to_dict(self) -> dict[str, Any]:
        """Return the record as it is now."""
        return self._read().to_dict()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found: Any = self._read()
        if name in _OLD and name not in found:
            for part in _OLD[name]:
                found = (found or {}).get(part)
            return found
        if name in found:
            return found[name]
        fields = _fields()
        if name in fields:
            return None
        hint = did_you_mean(name, [*fields, *_OLD])
        raise AttributeError(f"the record has no {name!r}{f'. {hint}' if hint else ''}", name=name, obj=self)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __repr__(self) -> str:
        return repr(self._read())

    def _read(self) -> ConfigDict:
        if self._home is None:
            here = {"name": socket.gethostname(), "pid": os.getpid()}
            return ConfigDict(status="RUNNING", host=here, path=None, attempt=1)
        found = ConfigDict()
        if self._home.parent.parent.name == STAGES:
            found.update(_record(self._home.parents[2]))
            for name in ("counts", "resumes"):  # of the run: not all of its variants had begun
                found.pop(name, None)
        else:
            # What runs alone has its record beside that of the run. Of a sweep nobody asks here.
            units = [path for path in self._home.glob(f"{STAGES}/*/*") if not path.is_symlink()]
            found["attempt"] = _record(units[0]).get("attempt", 1) if units else 1
        found.update(_record(self._home))
        found.setdefault("resumes", 0)
        found.setdefault("attempt", 1)
        found["path"] = str(self._home)
        return found


def _record(folder: Path) -> dict[str, Any]:
    import msgspec

    try:
        found: dict[str, Any] = msgspec.json.decode((folder / RUN).read_bytes())
    except FileNotFoundError:
        return {}  # on a machine that hands over what it made
    return found


def _fields() -> list[str]:
    from flambe.record.run import RunRecord, StageRecord

    return list(dict.fromkeys([*RunRecord.__struct_fields__, *StageRecord.__struct_fields__]))


__all__ = ["Info"]

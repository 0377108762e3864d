"""Runs of mlxp (mlxpy): ``logs/<id>/`` with ``metadata/config.yaml``, ``metadata/info.yaml``, ``metrics/*.json`` and ``artifacts/``.

Pickles and the byte code in ``.keys`` stay what they are: files that nobody opens.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from flambe.errors import ConfigError
from flambe.reading.columns import flatten
from flambe.reading.foreign.foreign_run import STAGE, VARIANT, ForeignRun
from flambe.reading.foreign.plain_yaml import read_yaml
from flambe.reading.inside import leads_out, read_lines
from flambe.reading.recorded import RecordedUnit
from flambe.record.run import COMPLETE, FAILED, LOST, QUEUED, RUNNING, Command, Host, RunRecord, Times

_STATES = {"STARTING": QUEUED, "RUNNING": RUNNING, "COMPLETE": COMPLETE, "FAILED": FAILED}
_LINES = ".json"


class MlxpRun(ForeignRun):
    """One numbered folder. Its ``info.yaml`` is seen through the columns of ``run.json``; what these lack keeps its name."""

    @cached_property
    def info(self) -> dict[str, Any]:
        info = self._metadata("info")
        # Version 1.0 put one level too many around it in some files.
        inner = info.get("info")
        return inner if len(info) == 1 and isinstance(inner, dict) else info

    def read_config(self) -> dict[str, Any]:
        return self._metadata("config")

    def make_record(self) -> RunRecord:
        info = self.info
        started = _moment(info.get("start_date"), info.get("start_time"))
        host = str(info.get("hostname") or "")
        pid = info.get("process_id")
        user = info.get("user")
        return RunRecord(
            id="",
            kind="function",
            name=self.path.parent.name,
            index=int(self.path.name),
            status=self._status(host, pid),
            spec_digest="",
            time=Times(created=started, started=started, ended=_moment(info.get("end_date"), info.get("end_time"))),
            tool={"name": "mlxp"},
            command=Command(cwd=str(info.get("work_dir") or ""), user=str(user or "")),
            host=Host(name=host, pid=pid if isinstance(pid, int) else 0) if host else None,
        )

    def more_info(self) -> Mapping[str, Any]:
        known = (
            "status",
            "hostname",
            "process_id",
            "start_date",
            "start_time",
            "end_date",
            "end_time",
            "work_dir",
            "user",
        )
        moved = {"scheduler.scheduler_job_id": "scheduler.job_id", "version_manager.commit_hash": "code.git.commit"}
        rest = {name: value for name, value in self.info.items() if name not in known and name != "logger"}
        return {moved.get(name, name): value for name, value in flatten(rest, "").items() if name}

    def make_unit(self) -> RecordedUnit:
        return _MlxpUnit(self, STAGE, VARIANT)

    def _metadata(self, name: str) -> dict[str, Any]:
        if leads_out(str(self.path), "metadata"):
            raise ConfigError(f"{self.path / 'metadata'} is a link, and links are not followed here")
        return read_yaml(self.path / "metadata" / f"{name}.yaml")

    def _status(self, host: str, pid: Any) -> str:
        status = _STATES.get(str(self.info.get("status")), QUEUED)
        if status == RUNNING and host == socket.gethostname() and isinstance(pid, int) and 0 < pid < 1 << 31:
            # It says RUNNING for ever when it was killed.
            return RUNNING if os.path.exists(f"/proc/{pid}") or not os.path.exists("/proc/self") else LOST
        return status


class _MlxpUnit(RecordedUnit):
    def logs(self) -> list[str]:
        return [log for log, _ in self._files(_LINES)]

    def metrics(self, log: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of one file. A line that a value has torn is left out, with those that went on in it, and told."""
        for name, path in self._files(_LINES):
            if name != log:
                continue
            try:
                for number, line in enumerate(read_lines(path), start=1):
                    try:
                        values = json.loads(line)  # mlxp writes NaN and Infinity as they are
                    except (ValueError, RecursionError):
                        self.run.add_problem(f"{path}:{number} is no metric line")
                        continue
                    if isinstance(values, dict):
                        yield values
            except OSError as error:
                raise ConfigError(f"{path} {error.strerror or error}") from error

    def _files(self, suffix: str) -> list[tuple[str, str]]:
        folder = self._folder("metrics")
        try:
            with os.scandir(folder) as entries:
                found = [(e.name, e.path) for e in entries if folder and e.is_file(follow_symlinks=False)]
        except OSError:
            return []
        return sorted((name.removesuffix(suffix), path) for name, path in found if name.endswith(suffix))


def _moment(day: Any, clock: Any) -> str | None:
    """Return the ISO form of ``dd/mm/yyyy`` and ``HH:MM:SS``, which mlxp writes in the time of its machine: of this one's zone."""
    try:
        moment = datetime.datetime.strptime(f"{day} {clock}", "%d/%m/%Y %H:%M:%S").astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["MlxpRun"]

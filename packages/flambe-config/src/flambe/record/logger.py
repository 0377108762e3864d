"""``Logger``: what a run writes, by hand: metric lines, typed artifacts and checkpoints in a given folder.

>>> logger = Logger("runs/exp.3")
>>> logger.log_metrics({"loss": 0.5, "step": 1}, log_name="train")
>>> logger.log_checkpoint({"model": model.state_dict(), "epoch": 4})
"""

from __future__ import annotations

import atexit
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.errors import did_you_mean
from flambe.record.artifact_type import PICKLE, register_type
from flambe.record.artifacts import Artifact, Artifacts, InvalidArtifactError
from flambe.record.layout import ARTIFACTS, METRICS
from flambe.record.metrics import Line, MetricFile, append_line, check_log_name, plain_number

if TYPE_CHECKING:
    from flambe.logging.mirror import Mirror

Folder = str | Path
_CHECKPOINTS = ("checkpoint", PICKLE)
_SHOWN_EVERY_S = 0.5
_MOST_UNSHOWN = 256


class Logger:
    """Writes into the folder of a run or unit. Everything is in its file when a call returns; a kill loses nothing of it. The event
    files of TensorBoard, which are copies, follow after half a second at most while calls come, and at the end.

    log_dir: the folder. log_id: what the run is called; default the number at the end of the folder's name, else the name.
    """

    def __init__(self, log_dir: Folder, log_id: int | str | None = None) -> None:
        self._folder = Path(log_dir).absolute()
        self._artifacts = Artifacts(self._folder)
        self._files: dict[str, MetricFile] = {}
        self._began = time.time()
        self._mirror: Mirror | None = None
        self._mirrored: dict[str, int] = {}
        self._unshown: list[Line] = []
        self._shown = 0.0
        self._process = os.getpid()
        number = re.search(r"\d+$", self._folder.name)
        self._id = log_id if log_id is not None else int(number[0]) if number else self._folder.name

    @property
    def log_id(self) -> int | str:
        return self._id

    @property
    def log_dir(self) -> str:
        return str(self._folder)

    def get_info(self) -> dict[str, Any]:
        """Return the run's id and folders."""
        return {
            "log_id": self.log_id,
            "log_dir": self.log_dir,
            "metrics_dir": str(self._folder / METRICS),
            "artifacts_dir": str(self._folder / ARTIFACTS),
        }

    def log_metrics(self, metrics_dict: Mapping[str, Any], log_name: str = "metrics") -> None:
        """Add one line to ``metrics/{log_name}.jsonl``. A ``step`` among the values is the step of the line.

        TensorBoard's event files get it too, soon, as ``{log_name}/{key}``, where flambe-nn is installed.
        Raises InvalidLogName for a name that is reserved or no name; TypeError and ValueError as ``metric_line``, and nothing
        is written then.
        """
        file = self._files.get(log_name)
        if file is None:
            check_log_name(log_name)
            file = self._files[log_name] = MetricFile(self._folder / METRICS / f"{log_name}.jsonl")
        values = dict(metrics_dict)
        step = values.pop("step", None)
        file.add(step, values)
        self._show(log_name, step, values)

    def _show(self, log_name: str, step: Any, values: Mapping[str, Any]) -> None:
        prefix = "" if log_name == "metrics" else f"{log_name}/"
        plain = {f"{prefix}{key}": plain_number(value) for key, value in values.items()}
        place = plain_number(step)
        now = time.time()
        line = Line(int(place) if isinstance(place, int | float) else None, plain, now - self._began)
        if self._process != (process := os.getpid()):
            # The lines of a process that forked are its own to show.
            self._process, self._unshown = process, []
        self._unshown.append(line)
        if now - self._shown > _SHOWN_EVERY_S or len(self._unshown) >= _MOST_UNSHOWN:
            self._show_all()

    def _show_all(self) -> None:
        """Write what event files lack: alone a line would cost them more than its own file."""
        lines, self._unshown = self._unshown, []
        self._shown = time.time()
        if not lines or self._process != os.getpid():
            return
        if self._mirror is None:
            from flambe.logging.mirror import Mirror

            # The file of a unit that logs beside it has the same name without this.
            self._mirror = Mirror(None, {}, self._began, suffix=".log")
        for name, data in self._mirror.of(lines).items():
            if name not in self._mirrored:
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                self._mirrored[name] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
                atexit.register(self.close)  # of a script that does not
            append_line(self._mirrored[name], data)

    def log_artifact(
        self, artifact: Any, artifact_name: str, artifact_type: str, *, allow_pickle: bool = False
    ) -> Path:
        """Write an artifact and return its path. See ``flambe.record.artifact_type`` for the types."""
        return self._artifacts.save(artifact, artifact_name, artifact_type, allow_pickle=allow_pickle)

    def load_artifact(
        self,
        artifact_name: str,
        artifact_type: str | None = None,
        run: Folder | None = None,
        *,
        allow_pickle: bool = False,
        extensions: Collection[str] = (),
    ) -> Any:
        """Read an artifact of this run, or of the one in the folder ``run``. See ``Artifacts.load``."""
        there = self._artifacts if run is None else Artifacts(run)
        return there.load(artifact_name, artifact_type, allow_pickle=allow_pickle, extensions=extensions)

    def artifacts(self, run: Folder | None = None) -> list[Artifact]:
        """Return what artifacts there are."""
        return (self._artifacts if run is None else Artifacts(run)).entries()

    def log_checkpoint(self, checkpoint: Any, log_name: str = "checkpoint", *, allow_pickle: bool = False) -> Path:
        """Write a checkpoint, in place of the last one of its name.

        checkpoint: tensors and plain data, nested. allow_pickle: pickle it instead, whatever it is; whoever reads it has to say so too.
        Raises FlambeError naming the place of what cannot be saved.
        """
        return self._artifacts.save(checkpoint, log_name, _CHECKPOINTS[allow_pickle], allow_pickle=allow_pickle)

    def load_checkpoint(
        self, log_name: str = "checkpoint", run: Folder | None = None, *, allow_pickle: bool = False
    ) -> Any:
        """Read the last checkpoint of a name, of this run or of the one in the folder ``run``.

        Raises InvalidArtifactError when there is none.
        """
        there = self._artifacts if run is None else Artifacts(run)
        written = [entry for entry in there.entries() if entry.type in _CHECKPOINTS]
        kinds = [entry.type for entry in written if entry.name == log_name]
        if not kinds:
            raise InvalidArtifactError(
                f"there is no checkpoint {log_name!r} in {there.folder}",
                hint=did_you_mean(log_name, [entry.name for entry in written]),
            )
        return there.load(log_name, kinds[-1], allow_pickle=allow_pickle)

    @staticmethod
    def register_type(name: str, save: Callable[[Any, str], None] | str, load: Callable[[str], Any] | str) -> None:
        """Make an artifact type of your own known: functions, or their import paths. See ``flambe.record.artifact_type``."""
        register_type(name, save, load)

    # Names of MLXP.
    log_artifacts = log_artifact
    load_artifacts = load_artifact
    register_artifact_type = register_type

    def close(self) -> None:
        """Let go of the files; another call opens them again."""
        self._show_all()
        atexit.unregister(self.close)
        self._artifacts.close()
        for file in self._files.values():
            file.close()
        while self._mirrored:
            os.close(self._mirrored.popitem()[1])


__all__ = ["Logger"]

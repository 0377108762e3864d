"""``@flambe.launch``: a function of a context that runs when its file is started, each time in a run directory of its own."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.errors import ConfigError, FlambeError

if TYPE_CHECKING:
    from flambe.reading.recorded import RecordedRun
    from flambe.runnable.context import Context

CONFIG = "config.yaml"
_FIRST = "seed: null\n"


def launch(
    config_path: str | os.PathLike[str] = "./configs", seeding_function: Callable[[Any], Any] | None = None
) -> Callable[[Callable[[Context], Any]], Task]:
    """Let a function of a context be started with ``python main.py [OPTION]... [OVERRIDE]...``.

    config_path: the folder of ``config.yaml``, from the folder of the decorated file on; the file is made when it is not there, with
    a seed that is null. seeding_function: called with the ``seed`` of the config right before the function.

    >>> @flambe.launch(config_path="./configs")
    ... def my_task(ctx: flambe.Context) -> None: ...
    """
    if callable(config_path):
        raise FlambeError("@launch was written without brackets", hint="Write @flambe.launch().")

    def decorate(function: Callable[[Context], Any]) -> Task:
        return Task(function, os.fspath(config_path), seeding_function)

    return decorate


class Task:
    """A decorated function. Called without arguments it reads the command line; with a config it is run with that.

    function: what was decorated. name: what that is called. file: where it stands; folder: of its configs.
    """

    def __init__(
        self, function: Callable[[Context], Any], config_path: str, seeding_function: Callable[[Any], Any] | None
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = function.__name__
        self.__flambe_task__ = self
        self.function = function
        self.seeding_function = seeding_function
        self.file = Path(os.path.abspath(function.__code__.co_filename))
        self.folder = self.file.parent / config_path

    @property
    def module(self) -> str:
        """Return the module of the function, by its own name when it is the one that was started."""
        module = sys.modules.get(self.function.__module__)
        spec = getattr(module, "__spec__", None)
        if self.function.__module__ != "__main__":
            return self.function.__module__
        return str(spec.name).removesuffix(".__main__") if spec is not None else self.file.stem

    @property
    def code(self) -> Path:
        """Return the folder that the function's module is imported from."""
        package = self.module.split(".")
        if self.file.name != "__init__.py":
            package.pop()
        return self.file.parents[len(package)] if len(package) < len(self.file.parents) else self.file.parent

    def __call__(self, config: Mapping[str, Any] | None = None) -> Any:
        """Run the function and return what it returns, of a sweep a list of that. With ``config`` in place of the file's, and without
        a look at the command line.

        Without a config the command line of this process is read, and a fault ends the process with its exit code, as a command
        does. With one whatever the function raises is raised here.
        """
        from flambe.runnable.launching import call_task, start_task

        return start_task(self) if config is None else call_task(self, config)

    def run(self, overrides: Sequence[str] | Mapping[str, Any] = (), *, jobs: int = 1) -> list[RecordedRun]:
        """Run the function from Python, and return its run: of a sweep too there is one, whose ``units()`` are the variants.

        overrides: words as on the command line, ``["optimizer.lr=10.,1."]``, or a whole config. jobs: variants at once.
        A run that failed says so by its ``status``. Raises ConfigFaults for a config that is wrong.
        """
        from flambe.runnable.launching import run_task

        return run_task(self, overrides, jobs=jobs)

    def config_text(self) -> str:
        """Return the text of ``config.yaml``, which is made when it is not there."""
        path = self.folder / CONFIG
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(_FIRST)
            return _FIRST
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from error


__all__ = ["Task", "launch"]

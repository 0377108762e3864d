"""``Context``: all that a function of one argument gets: ``f(ctx)``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.runnable.config_dict import ConfigDict

if TYPE_CHECKING:
    # What a config names in place of it need only have the methods that the function calls.
    from flambe.record.logger import Logger
    from flambe.runnable.function import Function
    from flambe.runnable.info import Info

DEFAULTS: Mapping[str, Any] = {
    "snapshot": "copy",
    "dirty": "include",
    "requirements": "freeze",
    "log": True,
    "streams": "tee",
    "seeding": "auto",
}
"""What ``__run__`` says where it says nothing, by names without underscores."""


@dataclass(frozen=True)
class Context:
    """What a run is given.

    config: the values of its config file, overridden and resolved; a copy that the function may change.
    run: how it is run, the keys of ``__run__`` without underscores (``ctx.run.name``); also ``mlxpy`` and ``mlxp``.
    info: the record as it stands now: ``ctx.info.status``, ``ctx.info.time.started``.
    logger: writes metrics, artifacts and checkpoints into the folder of the run; None where nothing is recorded.
    """

    config: ConfigDict
    run: ConfigDict
    info: Info
    logger: Logger | None

    @property
    def mlxpy(self) -> ConfigDict:
        """``run``, by the name of the package that had it first."""
        return self.run

    @property
    def mlxp(self) -> ConfigDict:
        """``run``, by the later name of that package."""
        return self.run


def make_context(function: Function) -> Context:
    """Return the context of a function that is about to be called. Raises ConfigError for a logger that cannot be made."""
    from flambe.runnable.info import Info

    home = function.home
    settings = {key: value for key, value in function.settings.items() if key != "context"}
    run = {
        **DEFAULTS,
        **settings,
        "main": function.main,
        "name": function.name,
        "snapshot": function.snapshot,
        "code": os.path.abspath(function.code),
    }
    log = run["log"]
    logger = None if log is False or home is None else _make_logger(log, home)
    return Context(ConfigDict(function.config), ConfigDict(run), Info(home if log is not False else None), logger)


def _make_logger(named: Any, home: Path) -> Any:
    """Return the logger of a folder. named: true, or the mapping of a class of the user's: its name and its arguments."""
    from flambe.record.logger import Logger

    if not isinstance(named, Mapping):
        return Logger(home)
    from flambe.runnable.own_class import make_own

    return make_own(named, {"log_dir": str(home), "parent_log_dir": str(home.parent)}, base=Logger, what="a logger")


__all__ = ["Context", "make_context"]

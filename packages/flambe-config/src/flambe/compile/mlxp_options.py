"""The options of ``mlxpy.yaml`` and ``mlxp.yaml``, of every generation of the tool, and what they are here."""

from __future__ import annotations

from typing import Any, NamedTuple

GROUPS = ("logger", "scheduler", "version_manager")


class Option(NamedTuple):
    """One option. defaults: values that ask for nothing. instead: how an override of it is written now; empty where it has no effect
    any more. remedy: what somebody does whose imported config cannot say it.
    """

    defaults: tuple[Any, ...] = ()
    instead: str = ""
    remedy: str = ""


_CLUSTER = "Write it in the cluster file that flambe submit takes: flambe cluster --help."
_CODE = "The code is copied into each run directory as it is; __snapshot__: git below __run__ copies the repository."
OPTIONS = {
    "logger.name": Option(
        ("DefaultLogger", "mlxp.DefaultLogger", "mlxpy.DefaultLogger", "mlxpy.logger.DefaultLogger"),
        remedy="Name a class of yours below __run__, __log__: {name: package.module.Class}.",
    ),
    "logger.parent_log_dir": Option(instead="write --output-dir DIR, or __run__.__output_dir__=DIR"),
    "logger.forced_log_id": Option(
        (-1,),
        "write --resume RUN for one that is there, --exp N for a new one",
        "Go on with a run of a decorated function by --resume RUN.",
    ),
    "logger.log_streams_to_file": Option((False, True), "write __run__.__streams__=file"),
    "scheduler.name": Option(("Scheduler", "NoScheduler"), remedy=_CLUSTER),
    "scheduler.shell_path": Option(("",), remedy=_CLUSTER),
    "scheduler.shell_config_cmd": Option(("",), remedy=_CLUSTER),
    "scheduler.env_cmd": Option(("", []), remedy=_CLUSTER),
    "scheduler.cleanup_cmd": Option(("",), remedy=_CLUSTER),
    "scheduler.option_cmd": Option(("", []), remedy=_CLUSTER),
    "scheduler.before_cmd": Option(("",), remedy=_CLUSTER),
    "scheduler.post_cmd": Option(("", []), remedy=_CLUSTER),
    "version_manager.name": Option(("GitVM", "mlxp.GitVM", "mlxpy.GitVM"), remedy=_CODE),
    "version_manager.parent_target_work_dir": Option(("./.workdir",), remedy=_CODE),
    "version_manager.parent_work_dir": Option(("./.work_dir", "./.workdir"), remedy=_CODE),
    "version_manager.skip_requirements": Option(
        (False,), "write __run__.__requirements__=none", "Set __requirements__: none below __run__."
    ),
    "version_manager.compute_requirements": Option((False, True)),
    "version_manager.interactive_mode": Option((True, False)),
    "interactive_mode": Option((True, False)),
    "use_version_manager": Option((False,), "write __run__.__snapshot__=git", _CODE),
    "use_scheduler": Option((False,), remedy="Submit with flambe submit CONFIG --cluster FILE."),
    "use_logger": Option((True,), "write --no-log, or __run__.__log__=false", "Set __log__: false below __run__."),
    "resolve": Option((True,), remedy="The function gets a config without references in it."),
    "as_ConfigDict": Option((True,), remedy="ctx.config is a dict whose keys are attributes too."),
}
"""Dotted name → option."""


def names_in(group: str) -> list[str]:
    """Return the names of a group, of the top for an empty one; none for what is no group."""
    return [name.rpartition(".")[2] for name in OPTIONS if name.rpartition(".")[0] == group]


__all__ = ["GROUPS", "OPTIONS", "Option", "names_in"]

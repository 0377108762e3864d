"""Folders of mlxp and mlxpy: ``config.yaml`` is Hydra's, ``mlxp.yaml`` (``mlxpy.yaml``) says how it is run."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flambe.cli.streams import read_text
from flambe.compile.importing.dialect import HYDRA, read_mapping
from flambe.compile.importing.hydra import HydraFolder
from flambe.compile.importing.hydra_settings import Settings
from flambe.compile.importing.program import Program
from flambe.compile.importing.translation import Translation
from flambe.compile.yaml import Mapping, Node, Scalar
from flambe.errors import Position, did_you_mean

SETTINGS = ("mlxp", "mlxpy")


class _Option(NamedTuple):
    """An option of the settings file. defaults: values that need no note, of either generation."""

    defaults: tuple[Any, ...]
    remedy: str


_CLUSTER = "Write it in the cluster file that flambe submit takes: flambe cluster --help."
_CODE = "The code is copied into each run directory as it is; __snapshot__: git below __run__ copies the repository."
OPTIONS = {
    "logger.name": _Option(
        ("DefaultLogger", "mlxp.DefaultLogger", "mlxpy.DefaultLogger"),
        "Name a class of yours below __run__, __log__: {name: package.module.Class}.",
    ),
    "logger.parent_log_dir": _Option((), ""),
    "logger.forced_log_id": _Option((-1,), "Go on with a run of a decorated function by --resume RUN."),
    "logger.log_streams_to_file": _Option((False, True), ""),
    "scheduler.name": _Option(("Scheduler", "NoScheduler"), _CLUSTER),
    "scheduler.shell_path": _Option(("",), _CLUSTER),
    "scheduler.shell_config_cmd": _Option(("",), _CLUSTER),
    "scheduler.env_cmd": _Option(("", []), _CLUSTER),
    "scheduler.cleanup_cmd": _Option(("",), _CLUSTER),
    "scheduler.option_cmd": _Option(("", []), _CLUSTER),
    "scheduler.before_cmd": _Option(("",), _CLUSTER),
    "scheduler.post_cmd": _Option(("", []), _CLUSTER),
    "version_manager.name": _Option(("GitVM", "mlxp.GitVM", "mlxpy.GitVM"), _CODE),
    "version_manager.parent_target_work_dir": _Option(("./.workdir",), _CODE),
    "version_manager.parent_work_dir": _Option(("./.work_dir", "./.workdir"), _CODE),
    "version_manager.skip_requirements": _Option((False,), "Set __requirements__: none below __run__."),
    "version_manager.compute_requirements": _Option((False, True), ""),
    "version_manager.interactive_mode": _Option((True, False), ""),
    "interactive_mode": _Option((True, False), ""),
    "use_version_manager": _Option((False,), _CODE),
    "use_scheduler": _Option((False,), "Submit with flambe submit CONFIG --cluster FILE."),
    "use_logger": _Option((True,), "Set __log__: false below __run__."),
    "resolve": _Option((True,), "The function gets a config without references in it."),
    "as_ConfigDict": _Option((True,), "ctx.config is a dict whose keys are attributes too."),
}


class MlxpFolder(HydraFolder):
    """A folder of mlxp or mlxpy."""

    def __init__(
        self,
        folder: str,
        program: Program,
        translation: Translation,
        *,
        primary: Sequence[str] = (),
        as_tags: bool = False,
    ) -> None:
        self._settings = _read_settings(folder, translation)
        super().__init__(
            folder, program, translation, primary=primary or ("config",), as_tags=as_tags, without=SETTINGS
        )

    def settings(self, body: Mapping) -> Settings:
        """Return how a config is run: what its ``hydra:`` section says, and the settings file."""
        settings = super().settings(body)
        return settings._replace(output_dir=self._settings)


def _read_settings(folder: str, translation: Translation) -> str:
    """Return the folder of the runs that the settings file names, and note what has no place."""
    output_dir = "./logs"
    for name in SETTINGS:
        file = posixpath.join(folder, f"{name}.yaml")
        if not os.path.isfile(file):
            continue
        tree = read_mapping(read_text(file, what="config"), file, HYDRA)
        for dotted, key, node in _leaves(tree):
            value = _value(node)
            if dotted == "logger.parent_log_dir" and isinstance(value, str):
                output_dir = value
            else:
                _note(dotted, key.position, value, translation)
    return output_dir


def _note(dotted: str, position: Position, value: Any, translation: Translation) -> None:
    option = OPTIONS.get(dotted)
    if option is None:
        group, _, name = dotted.rpartition(".")
        known = [one.rpartition(".")[2] for one in OPTIONS if one.rpartition(".")[0] == group]
        hint = did_you_mean(name, known)
        is_argument = group != "" and hint is None  # settings of a group go to its class
        what = f"{dotted} is an argument of a class of yours" if is_argument else f"{dotted} is no option of mlxp"
        translation.note(position, f"{what}, and is left out", hint or "Give it to your function, in its config.")
    elif value not in option.defaults:
        translation.note(position, f"{dotted}: {_shown(value)} is left out", option.remedy)


def _shown(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _leaves(tree: Mapping, prefix: str = "") -> Iterator[tuple[str, Node, Node]]:
    for key, value in tree.items:
        name = prefix + (key.text if isinstance(key, Scalar) else "")
        if isinstance(value, Mapping) and name in ("logger", "scheduler", "version_manager"):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, key, value


def _value(node: Node) -> Any:
    if isinstance(node, Scalar):
        return HYDRA.value(node)
    return [_value(item) for item in node.items] if not isinstance(node, Mapping) else {}  # type: ignore[attr-defined]

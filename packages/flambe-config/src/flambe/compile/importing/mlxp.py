"""Folders of mlxp and mlxpy: ``config.yaml`` is Hydra's, ``mlxp.yaml`` (``mlxpy.yaml``) says how it is run."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

from flambe.cli.streams import read_text
from flambe.compile.importing.dialect import HYDRA, read_mapping
from flambe.compile.importing.hydra import HydraFolder
from flambe.compile.importing.hydra_settings import Settings
from flambe.compile.importing.program import Program
from flambe.compile.importing.translation import Translation
from flambe.compile.mlxp_options import GROUPS, OPTIONS, names_in
from flambe.compile.yaml import Mapping, Node, Scalar
from flambe.errors import Position, did_you_mean

SETTINGS = ("mlxp", "mlxpy")


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
        hint = did_you_mean(name, names_in(group))
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
        if isinstance(value, Mapping) and name in GROUPS:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, key, value


def _value(node: Node) -> Any:
    if isinstance(node, Scalar):
        return HYDRA.value(node)
    return [_value(item) for item in node.items] if not isinstance(node, Mapping) else {}  # type: ignore[attr-defined]

"""Which tool a config was written for, when it is none of ours; read only when there is a fault."""

from __future__ import annotations

import os

from flambe.compile.yaml import Mapping, Node, Scalar, bared, each, text_of

_MLXP = {"use_logger", "use_scheduler", "use_version_manager", "version_manager"}


def import_hint(tree: Node, folder: str) -> str | None:
    """Return the command that writes a folder of Hydra or mlxp configs as ours; None for what looks like neither."""
    keys = {text_of(key) for key, _ in tree.items} if isinstance(tree, Mapping) else set()
    if keys & _MLXP or any(os.path.isfile(os.path.join(folder, name)) for name in ("mlxp.yaml", "mlxpy.yaml")):
        return f"It looks like one of mlxp: {command('mlxp', folder)}"
    if keys & {"defaults", "hydra"} or any(_is_hydras(bared(node)) for node in each(tree)):
        return f"It looks like one of Hydra: {command('hydra', folder)}"
    return None


def command(tool: str, folder: str) -> str:
    """Return the command that converts ``folder``."""
    near = os.path.relpath(folder)
    return f"flambe import --from {tool} {near if not near.startswith('..') else folder}"


def _is_hydras(node: Node) -> bool:
    if isinstance(node, Mapping):
        return any(text_of(key) == "_target_" for key, _ in node.items)
    return isinstance(node, Scalar) and "${" in node.text

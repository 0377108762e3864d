"""What a run directory holds, as columns of a table: ``config.*``, ``info.*``, ``params.*``, metrics and artifacts.

=====================  =====================================================================================================
``config.<path>``      what was to be run. Of an experiment the first part is the stage (``config.train.optimizer.lr``), of a
                       function it is a key of its config. An object is the name of its class, its arguments stand below it
``info.<path>``        ``run.json`` (``info.time.started``, ``info.host.name``), ``info.path`` and ``info.age``
``params.<path>``      what was chosen for each search, in a row of a variant
``<log>.<key>``        a metric: the key of the lines of ``metrics/<log>.jsonl``. In a row of a whole experiment
                       ``<stage>/<log>.<key>``, of the best variant of the stage, or its only one
``artifact.<type>.<path>``  a file below ``artifacts/<type>/``; the type of one that lies right in ``artifacts/`` is ``file``
=====================  =====================================================================================================

The row of a whole run speaks of its best: options that were searched have the value that the best variant has, and none where
no variant is best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flambe.record.layout import label
from flambe.record.run import RunRecord
from flambe.spec.codec import unescape
from flambe.spec.nodes import ARGS, BYTES, ENV, FILE, FLOAT, LINK, MAP, NEW, SEARCHES, YAML, Spec, kind_of, link_target

_LEAVES = (str, int, float)
_OF_ONE = ("function", "runnable")
"""Kinds of runs that have a single stage, which nobody named."""


def flatten(value: Any, name: str) -> dict[str, Any]:
    """Return the columns of plain data: one for each leaf of its mappings; lists, and mappings that are empty, are leaves."""
    columns: dict[str, Any] = {}
    if isinstance(value, dict) and value:
        _flatten(value, f"{name}." if name else "", columns)
    else:
        columns[name] = value
    return columns


def _flatten(mapping: dict[Any, Any], before: str, columns: dict[str, Any]) -> None:
    for key, item in mapping.items():
        if isinstance(item, dict) and item:
            _flatten(item, f"{before}{key}.", columns)
        else:
            columns[f"{before}{key}"] = item


def config_of(spec: Spec, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a spec. params: full dotted path → what was chosen, in node form; a search that has no value there
    gives no column."""
    columns: dict[str, Any] = {}
    for stage in spec.stages:
        body, name, path = stage.body, f"config.{stage.name}", stage.name
        if spec.kind in _OF_ONE:
            name = "config"
            if spec.kind == "function" and isinstance(body, dict) and isinstance(body.get("config"), dict):
                body, path = body["config"], f"{path}.config"
        _of_node(body, name, path, params, columns)
    columns.pop("config", None)
    return columns


def _of_node(node: Any, name: str, path: str, params: Mapping[str, Any], columns: dict[str, Any]) -> None:
    if path in params:
        # A text may be the name of an option, and a node of its own.
        _of_node(params[path], name, "", {}, columns)
        return
    if node is None or isinstance(node, _LEAVES):
        columns[name] = node
        return
    if isinstance(node, list) and all(isinstance(item, _LEAVES) for item in node):
        columns[name] = list(node)
        return
    kind = kind_of(node)
    if kind in (None, NEW) and isinstance(node, dict):
        if kind == NEW:
            columns[name] = str(node[NEW]).rpartition(":")[2]
        elif not node:
            columns[name] = {}
        for key, item in node.items():
            if key == ARGS and isinstance(item, list):
                for place, argument in enumerate(item):
                    _of_node(argument, f"{name}.{place}", f"{path}.{place}", params, columns)
            elif not params and isinstance(item, _LEAVES):  # most of all there is
                if not key.startswith("$"):
                    columns[f"{name}.{key}"] = item
            elif key != NEW and not key.startswith("$"):
                _of_node(item, f"{name}.{key}", f"{path}.{key}", params, columns)
    elif kind == MAP:
        columns.update(flatten(unescape(node), name))
    elif kind == LINK:
        columns[name] = str(link_target(node))
    elif kind in (FILE, ENV, YAML):
        columns[name] = node[kind] if kind != ENV else f"${node[ENV]}"
    elif kind in SEARCHES or (isinstance(node, list) and any(_is_searched(item) for item in node)):
        if isinstance(node, list):
            for place, item in enumerate(node):
                _of_node(item, f"{name}.{place}", f"{path}.{place}", params, columns)
    else:
        columns[name] = plain(node)


def _is_searched(node: Any) -> bool:
    kind = kind_of(node)
    if kind in SEARCHES:
        return True
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return any(_is_searched(part) for part in parts)


def plain(node: Any) -> Any:
    """Return a value in node form as a cell holds it: objects in it by their names."""
    kind = kind_of(node)
    if kind in (FLOAT, BYTES, MAP):
        return plain(unescape(node)) if kind != BYTES else label(node)
    if kind is not None:
        return label(node)
    if isinstance(node, dict):
        return {str(key): plain(item) for key, item in node.items()}
    if isinstance(node, list | tuple):
        return [plain(item) for item in node]
    return node if node is None or isinstance(node, bool | int | float | str) else label(node)


def info_of(record: RunRecord, status: str, path: str) -> dict[str, Any]:
    """Return the columns of a run's record. status: as readers show it."""
    whole = msgspec.to_builtins(record) | {"status": status, "path": path}
    return flatten(whole, "info")


def chosen_of(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of ``config`` that the parameters of a variant fill. kind: of its run."""
    columns: dict[str, Any] = {}
    for path, value in params.items():
        if "." in path:  # the seed has none
            name = path.partition(".")[2] if kind in _OF_ONE else path
            name = name.removeprefix("config.") if kind == "function" else name
            _of_node(value, f"config.{name}", "", {}, columns)
    return columns


def has_one_stage(kind: str) -> bool:
    """Whether metrics in the row of a run of this kind go by their own names, without that of a stage."""
    return kind in _OF_ONE

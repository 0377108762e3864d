"""``exports.json``: what later stages link to in a committed result, known at commit because their links are.

A map from the text of a link (without its stage) to what it gave: plain data in node form, ``{"$saved": "model"}`` for a part
of the saved component, ``{"$result": …}`` for a borrowed immutable, ``{"$tensor": name}`` for a tensor, which is stored in
``exports.safetensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flambe.build.state import read_state, write_state
from flambe.errors import FlambeError, RunFailed
from flambe.record.layout import EXPORT_TENSORS, EXPORTS, STATE_JSON, STATE_TENSORS
from flambe.runner.unit import Unit
from flambe.spec.codec import dump_json, escape
from flambe.spec.nodes import LinkTarget, link_target

SAVED = "$saved"
RESULT = "$result"
TENSOR = "$tensor"


def export_name(target: LinkTarget) -> str:
    """Return the name of a link among the exports of its stage: ``[embedder].hidden_size``, ``()`` at the end of a call."""
    return str(target._replace(copy=False))[len(target.stage) :] + ("()" if target.call else "")


def write_exports(
    folder: Path,
    unit: Unit,
    evaluate: Callable[[LinkTarget], Any],
    parts: Mapping[int, str],
    borrowed: Mapping[int, Mapping[str, Any]],
) -> None:
    """Evaluate the links of later stages into this one and write what they gave.

    parts: id of an object → its place in the saved component. borrowed: id → reference. Raises RunFailed for a link to
    something that cannot be handed to another stage, naming it, LinkError for one that leads nowhere; with its position.
    """
    exports: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    for node in unit.exports:
        target = link_target(node)
        name = export_name(target)
        try:
            value = evaluate(target)
        except FlambeError as error:
            error.position = error.position or unit.where_exported(target)
            raise
        if id(value) in borrowed:
            exports[name] = {RESULT: dict(borrowed[id(value)])}
        elif id(value) in parts:
            exports[name] = {SAVED: parts[id(value)]}
        else:
            try:
                exports[name] = escape(value)
            except TypeError:
                if not (hasattr(value, "shape") and hasattr(value, "dtype")):
                    raise RunFailed(
                        f"a later stage links to {target}, a {type(value).__qualname__}: it cannot be handed on",
                        position=unit.where_exported(target),
                        expected="a value, a tensor, or a component of the stage",
                        hint="Link to the component that owns it.",
                    ) from None
                tensors[name] = value
                exports[name] = {TENSOR: name}
    if tensors:
        aside = folder / f"{EXPORT_TENSORS}.d"
        write_state(aside, tensors)
        (aside / STATE_TENSORS).rename(folder / EXPORT_TENSORS)
        exports[TENSOR] = msgspec.json.decode((aside / STATE_JSON).read_bytes())
        (aside / STATE_JSON).unlink()
        aside.rmdir()
    (folder / EXPORTS).write_bytes(dump_json(exports))


def read_exports(folder: Path) -> dict[str, Any]:
    """Return the exports of a committed unit."""
    exports: dict[str, Any] = msgspec.json.decode((folder / EXPORTS).read_bytes())
    return exports


def exported_tensor(folder: Path, name: str) -> Any:
    """Return one exported tensor."""
    return read_state(folder, tensors=EXPORT_TENSORS, tree=read_exports(folder)[TENSOR])[name]

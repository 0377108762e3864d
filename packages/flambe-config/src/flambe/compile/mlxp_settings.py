"""``mlxpy.yaml`` and ``mlxp.yaml``, and overrides that begin with ``mlxpy.``: what they say in ``__run__``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from flambe.cli.streams import read_text
from flambe.compile.mlxp_options import GROUPS, OPTIONS, names_in
from flambe.compile.override import OverridePosition
from flambe.compile.yaml import Mapping, Node, Scalar, bared, describe, documents, text_of, value_of
from flambe.compile.yaml import Sequence as Many
from flambe.errors import ConfigError, ConfigFaults, Position, did_you_mean

FILES = ("mlxpy.yaml", "mlxp.yaml")
_CLASSES = ("logger", "version_manager")
"""Groups that may name a class of the user's."""
_OVERRIDE = re.compile(r"(?P<sign>\+{0,2}|--)(?:mlxpy|mlxp)\.(?P<path>[\w.]+)(?:=(?P<value>.*))?\Z", re.S)
_SWITCHES = (
    "use_logger", "use_version_manager", "use_scheduler", "logger.log_streams_to_file",
    "version_manager.skip_requirements", "version_manager.compute_requirements",
)  # fmt: skip


class Settings(NamedTuple):
    """run: keys of ``__run__`` without underscores. forced: the number of a run that is taken, or gone on with. notes: what to say."""

    run: dict[str, Any]
    forced: int | None
    notes: list[str]


class _Said(NamedTuple):
    value: Any
    position: Position


def read_settings(folder: str, base: str, overrides: Sequence[str]) -> tuple[Settings, list[str]]:
    """Return what the settings file of a config folder and the overrides say, and the other overrides.

    base: the folder that relative paths start from. Raises ConfigFaults with every key that is none, and every wrong value.
    """
    said: dict[str, _Said] = {}
    faults: list[ConfigError] = []
    names = [name for name in FILES if os.path.isfile(os.path.join(folder, name))]
    for name in names:
        said.update(_from_file(os.path.relpath(os.path.join(folder, name)), faults))
    rest, notes = [], []
    words = iter(overrides)
    for word in words:
        match = _OVERRIDE.match(word)
        if match is None:
            rest.append(word)
            continue
        value = match["value"] if match["value"] is not None else next(words, None) if match["sign"] == "--" else None
        position = OverridePosition(f"override {word!r}", 1, 1)
        if value is None:
            expected = f"mlxpy.{match['path']}=value"
            faults.append(
                ConfigError("there is no value", rule="malformed-override", position=position, expected=expected)
            )
            continue
        said[match["path"]] = _Said(_plain(documents(value, position.file, place=OverridePosition)[0]), position)
        notes.append(match["path"])
    settings = _translated(said, base, faults)
    if faults:
        raise ConfigFaults(faults)
    return settings._replace(notes=[f"{name}: {_instead(name, said[name].value)}" for name in notes]), rest


def _from_file(file: str, faults: list[ConfigError]) -> Iterator[tuple[str, _Said]]:
    found = documents(read_text(file, what="settings file"), file)
    tree = bared(found[0]) if found else None
    if tree is None or (isinstance(tree, Scalar) and value_of(tree) is None):
        return
    if not isinstance(tree, Mapping):
        what = f"the settings are {describe(tree)}"
        faults.append(ConfigError(what, rule="invalid-value", position=tree.position, expected="a mapping"))
        return
    for key, value in tree.items:
        name, bare = text_of(key) or "", bared(value)
        if name in GROUPS and isinstance(bare, Mapping):
            for inner, item in bare.items:
                yield f"{name}.{text_of(inner)}", _Said(_plain(item), inner.position)
        else:
            yield name, _Said(_plain(value), key.position)


def _plain(node: Node) -> Any:
    bare = bared(node)
    if isinstance(bare, Mapping):
        return {text_of(key): _plain(value) for key, value in bare.items}
    if isinstance(bare, Many):
        return [_plain(item) for item in bare.items]
    assert isinstance(bare, Scalar)
    return value_of(bare)


def _translated(said: dict[str, _Said], base: str, faults: list[ConfigError]) -> Settings:
    run: dict[str, Any] = {}
    own = {group: _own_class(group, said) for group in _CLASSES}
    _check(said, own, faults)

    def get(name: str, default: Any, fits: Callable[[Any], bool]) -> Any:
        found = said.get(name)
        if found is None or found.value is None:
            return default
        if not fits(found.value):
            kind = (
                "true or false" if isinstance(default, bool) else "an integer" if isinstance(default, int) else "text"
            )
            what = f"{name} is {found.value!r}"
            faults.append(ConfigError(what, rule="invalid-parameter", position=found.position, expected=kind))
            return default
        return found.value

    switch = {name: get(name, name == "use_logger", lambda value: isinstance(value, bool)) for name in _SWITCHES}
    folder = get("logger.parent_log_dir", None, lambda value: isinstance(value, str))
    forced = get("logger.forced_log_id", -1, lambda value: isinstance(value, int) and not isinstance(value, bool))
    if folder is not None:
        run["output_dir"] = os.path.normpath(os.path.join(base, os.path.expanduser(folder)))
    if not switch["use_logger"]:
        run["log"] = False
    elif own["logger"] is not None:
        run["log"] = own["logger"]
    if switch["logger.log_streams_to_file"]:
        run["streams"] = "file"
    if switch["use_version_manager"]:
        run["snapshot"] = own["version_manager"] or "git"
    if switch["version_manager.skip_requirements"]:
        run["requirements"] = "none"
    if switch["use_scheduler"]:
        faults.append(
            ConfigError(
                "use_scheduler is true",
                rule="invalid-parameter",
                position=said["use_scheduler"].position,
                hint="Name the cluster when you submit: flambe submit CONFIG --cluster FILE.",
            )
        )
    return Settings(run, forced if forced >= 0 else None, [])


def _own_class(group: str, said: dict[str, _Said]) -> dict[str, Any] | None:
    """Return the name and the arguments of a class of the user's; None where it is one of mlxp's."""
    named = said.get(f"{group}.name")
    if named is None or not isinstance(named.value, str) or named.value in OPTIONS[f"{group}.name"].defaults:
        return None
    given = {name.partition(".")[2]: one.value for name, one in said.items() if name.startswith(f"{group}.")}
    # What we see to ourselves is no argument, unless the class asks for it.
    for name in ("parent_log_dir", "forced_log_id", "log_streams_to_file", "interactive_mode"):
        given.pop(name, None)
    return given


def _check(said: dict[str, _Said], own: dict[str, dict[str, Any] | None], faults: list[ConfigError]) -> None:
    for name, one in said.items():
        group, _, key = name.rpartition(".")
        if group == "" and key in GROUPS:
            what = f"{key} is {one.value!r}"
            faults.append(ConfigError(what, rule="invalid-parameter", position=one.position, expected="a mapping"))
        elif name not in OPTIONS and own.get(group) is None:
            known = [*names_in(group), *(GROUPS if not group else ())]
            hint = did_you_mean(key, known)
            expected = (
                None if hint else f"one of {', '.join(known)}" if known else f"one of {', '.join(GROUPS)} before it"
            )
            faults.append(
                ConfigError(
                    f"{name} is no option of mlxpy",
                    rule="unknown-parameter",
                    position=one.position,
                    expected=expected,
                    hint=hint,
                )
            )


def _instead(name: str, value: Any) -> str:
    """Return how an option of mlxpy is written now."""
    if name == "use_logger" and value is not False:
        return "it is so without this"
    return (name in OPTIONS and OPTIONS[name].instead) or "it has no effect any more"


__all__ = ["FILES", "Settings", "read_settings"]

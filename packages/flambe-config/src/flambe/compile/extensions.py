"""The extensions header: which modules a config's tags may come from, and where these are."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from flambe.compile.library import Library
from flambe.compile.lowering import Lowering, Place
from flambe.compile.yaml import Mapping, Node, Scalar
from flambe.errors import ConfigError, Position, did_you_mean

# Version 1.0's fields of !Environment; what the system sets itself is read and dropped.
_FIELDS = ("output_path", "extensions", "local_files", "remote_files", "head_node_ip", "worker_node_ips", "remote",
           "debug", "extra")  # fmt: skip
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*((?:[<>=!~].*)?)\Z")


class Header(NamedTuple):
    """What the first document says. extensions: module → absolute path, or requirement of an installed module.

    files: name → absolute path.
    """

    extensions: dict[str, str]
    files: dict[str, str]
    output_dir: str | None = None
    debug: bool = False


def read_header(node: Node | None, lowering: Lowering) -> Header:
    """Read the header document (None: there is none). Faults are noted in ``lowering``."""
    if node is None:
        return Header({}, {})
    if isinstance(node, Scalar) and not node.text and node.tag in (None, "!Environment"):
        return Header({}, {})
    if not isinstance(node, Mapping) or node.tag not in (None, "!Environment"):
        lowering.fault(
            node.position,
            "the first of two documents is no header",
            expected="a mapping of module: source, or !Environment",
        )
        return Header({}, {})
    if node.tag is None:
        return Header(_extensions(node, lowering), {})
    extensions: dict[str, str] = {}
    files: dict[str, str] = {}
    output_dir = None
    debug = False
    for name, key_node, value in lowering._pairs(node):
        if name == "extensions" and isinstance(value, Mapping):
            extensions = _extensions(value, lowering)
        elif name in ("local_files", "remote_files") and isinstance(value, Mapping):
            for file, place, path in _texts(value, lowering):
                files[file] = file_path(path, place, lowering, must_exist=name == "local_files")
        elif name == "output_path" and isinstance(value, Scalar):
            output_dir = os.path.expanduser(value.text)
        elif name == "debug" and isinstance(value, Scalar):
            debug = lowering.value(value, Place(("debug",), None)) is True
        elif name not in _FIELDS:
            lowering.fault(
                key_node.position, f"!Environment has no field {name!r}", hint=did_you_mean(str(name), _FIELDS)
            )
        elif not (isinstance(value, Scalar) and value.text in ("", "null", "~", "false")) and (
            not isinstance(value, Mapping) or value.items
        ):
            lowering.warn(
                key_node.position, f"{name} of !Environment is set by the system; what stands here is not used"
            )
    return Header(extensions, files, output_dir, debug)


def _texts(node: Mapping, lowering: Lowering) -> list[tuple[str, Position, str]]:
    found: list[tuple[str, Position, str]] = []
    for name, _, value in lowering._pairs(node):
        if isinstance(value, Scalar) and value.text and value.tag is None:
            found.append((str(name), value.position, value.text))
        else:
            lowering.fault(value.position, f"{name!r} has no source", expected="the text of a path")
    return found


def file_path(text: str, position: Position, lowering: Lowering, *, must_exist: bool) -> str:
    """Return the absolute path of a declared file; relative ones start at the config's folder."""
    if re.match(r"[a-z0-9]+://", text):
        lowering.fault(
            position,
            f"{text} would have to be downloaded, which this version does not do",
            hint="Download it yourself and name the local path.",
        )
        return text
    path = os.path.normpath(os.path.join(lowering.folder, os.path.expanduser(text)))
    if must_exist and not os.path.exists(path):
        lowering.fault(position, f"there is no file {path}")
    return path


def _extensions(node: Mapping, lowering: Lowering) -> dict[str, str]:
    found: dict[str, str] = {}
    for module, position, source in _texts(node, lowering):
        if not all(part.isidentifier() for part in module.split(".")):
            lowering.fault(position, f"{module!r} is no module name", expected="the name that Python code imports")
            continue
        try:
            found[module] = _source(module, source, lowering.folder, lowering.library)
        except ConfigError as error:
            error.position = position
            lowering.faults.append(error)
            found[module] = source
    return found


def _source(module: str, source: str, folder: str, library: Library) -> str:
    """Return what stands in the spec for one extension. Raises ``ConfigError`` (without a position)."""
    git = re.match(r"(?:git\+|git@|ssh://|https?://|git://)", source) or source.endswith(".git")
    if git:
        raise ConfigError(
            f"the extension {module!r} would have to be fetched from {source}, which this version does not do",
            hint=f"Clone it and name the folder: '{module}: path/to/clone'; or pip install it: '{module}: {module}'.",
        )
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(source)))
    if source.startswith((".", "/", "~")) or os.path.exists(path):
        if not os.path.exists(path):
            raise ConfigError(f"the extension {module!r} has no folder {path}")
        root = import_root(module, path)
        if root is None:
            raise ConfigError(
                f"the extension {module!r} is not in {path}",
                expected=f"{module}/ or {module}.py in it",
                hint="The key is the name that Python code imports.",
            )
        library.add_root(module.partition(".")[0], root)
        return path
    requirement = _REQUIREMENT.match(source)
    if not library.exists(module):
        shown = f"pip install '{source}'" if requirement else "Install it"
        raise ConfigError(
            f"the extension {module!r} is not installed",
            hint=f"{shown}; or name its folder: '{module}: ./path/to/it'.",
        )
    if requirement is not None and requirement[2]:
        _check_version(module, requirement[1], requirement[2].strip())
    return source


def import_root(module: str, path: str) -> str | None:
    """Return the folder to put on Python's path so that ``module`` is imported from ``path``, or the file it is.

    path: the module's own folder, a folder that holds it (also under ``src``), or a single ``.py`` file.
    """
    top = module.partition(".")[0]
    if os.path.isfile(path):
        return path if os.path.basename(path) == f"{top}.py" else None
    for folder in (path, os.path.join(path, "src")):
        if os.path.isdir(os.path.join(folder, top)) or os.path.isfile(os.path.join(folder, f"{top}.py")):
            return folder
    return os.path.dirname(path) if os.path.basename(path) == top else None


def _check_version(module: str, name: str, wanted: str) -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version(name)
    except PackageNotFoundError:
        return  # imported from somewhere else, a checkout perhaps: there is no version to compare
    for part in wanted.split(","):
        found = re.match(r"\s*(==|!=|<=|>=|~=|<|>)\s*([0-9.]+)", part)
        if found is not None and not _satisfies(installed, found[1], found[2]):
            raise ConfigError(
                f"the extension {module!r} asks for {name}{wanted}, installed is {installed}",
                hint=f"pip install '{name}{wanted}'.",
            )


def _satisfies(installed: str, sign: str, wanted: str) -> bool:
    have, want = _numbers(installed), _numbers(wanted)
    size = max(len(have), len(want))
    left, right = have + (0,) * (size - len(have)), want + (0,) * (size - len(want))
    if sign == "~=":
        return left >= right and have[: len(want) - 1] == want[:-1]
    return {"==": left == right, "!=": left != right, "<=": left <= right, ">=": left >= right,
            "<": left < right, ">": left > right}[sign]  # fmt: skip


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)

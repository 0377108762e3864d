"""The extensions header: which modules a config's tags may come from, and where these are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from flambe.compile.library import Library
from flambe.compile.lowering import Lowering, Place
from flambe.compile.yaml import Mapping, Node, Scalar
from flambe.errors import ConfigError, Position, did_you_mean, near_file
from flambe.spec.shape import module_fault

if TYPE_CHECKING:
    from flambe.compile.git import GitSource

# Version 1.0's fields of !Environment; what the system sets itself is read and dropped.
_FIELDS = ("output_path", "extensions", "local_files", "remote_files", "head_node_ip", "worker_node_ips", "remote",
           "debug", "extra")  # fmt: skip
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*((?:[<>=!~].*)?)\Z")


class Header(NamedTuple):
    """What the first document says. extensions: module → absolute path, or requirement of an installed module.

    files: name → absolute path or URL. remote: those of them that are for the machines of a cluster. extra: plain data.
    """

    extensions: dict[str, str]
    files: dict[str, str]
    remote: list[str] = []
    extra: dict[str, Any] = {}
    output_dir: str | None = None
    debug: bool = False


def read_header(node: Node | None, lowering: Lowering, *, install: bool = False) -> Header:
    """Read the header document (None: there is none). Faults are noted in ``lowering``.

    install: fetch and install the extensions first. Without it nothing is: what is not here is a fault.
    """
    if node is None:
        return Header({}, {})
    if isinstance(node, Scalar) and not node.text and node.tag in (None, "!Environment"):
        return Header({}, {})
    if not isinstance(node, Mapping) or node.tag not in (None, "!Environment"):
        lowering.fault(
            node.position,
            "the first of two documents is no header",
            rule="invalid-header",
            expected="a mapping of module: source, or !Environment",
        )
        return Header({}, {})
    if node.tag is None:
        return Header(_extensions(node, lowering, install=install), {})
    extensions: dict[str, str] = {}
    files: dict[str, str] = {}
    remote: list[str] = []
    extra: dict[str, Any] = {}
    output_dir = None
    debug = False
    for name, key_node, value in lowering.pairs(node):
        if name == "extensions" and isinstance(value, Mapping):
            extensions = _extensions(value, lowering, install=install)
        elif name in ("local_files", "remote_files") and isinstance(value, Mapping):
            for file, place, path in _texts(value, lowering):
                if file in files:
                    what = f"the file {file!r} is there twice"
                    lowering.fault(place, what, rule="duplicate-name", hint="Rename one of them.")
                if name == "local_files":
                    files[file] = file_path(path, place, lowering, must_exist=True)
                else:
                    files[file] = path
                    if is_remote_path(path, place, lowering):
                        remote.append(file)
        elif name == "extra":
            given = lowering.value(value, Place(("environment", "extra"), None))
            if isinstance(given, dict) and all(not key.startswith("$") for key in given):
                extra = given
            elif given is not None:
                what = "extra of !Environment cannot be this"
                lowering.fault(value.position, what, rule="invalid-parameter", expected="a mapping of plain data")
        elif name == "output_path" and isinstance(value, Scalar):
            output_dir = os.path.expanduser(value.text)
        elif name == "debug" and isinstance(value, Scalar):
            debug = lowering.value(value, Place(("debug",), None)) is True
        elif name not in _FIELDS:
            what = f"!Environment has no field {name!r}"
            lowering.unknown(key_node.position, what, str(name), _FIELDS, "unknown-parameter")
        elif not (isinstance(value, Scalar) and value.text in ("", "null", "~", "false")) and (
            not isinstance(value, Mapping) or value.items
        ):
            what = f"{name} of !Environment is set by the system; what stands here is not used"
            lowering.warn(key_node.position, what, "unused-value")
    return Header(extensions, files, remote, extra, output_dir, debug)


def _texts(node: Mapping, lowering: Lowering) -> list[tuple[str, Position, str]]:
    found: list[tuple[str, Position, str]] = []
    for name, _, value in lowering.pairs(node):
        if isinstance(value, Scalar) and value.text and value.tag is None:
            found.append((str(name), value.position, value.text))
        else:
            what = f"{name!r} has no source"
            hint = f"Write !Environment in a line above '{name}:'." if name in _FIELDS else None
            lowering.fault(value.position, what, rule="invalid-extension", expected="the text of a path", hint=hint)
    return found


def file_path(text: str, position: Position, lowering: Lowering, *, must_exist: bool) -> str:
    """Return the absolute path of a declared file, or its URL; relative paths start at the config's folder.

    A URL is downloaded by the process that needs the file, so a spec says where it came from.
    """
    if re.match(r"[a-z][a-z0-9+.-]*://", text):
        if text.startswith("file://"):
            return file_path(text.removeprefix("file://"), position, lowering, must_exist=must_exist)
        from flambe.compile.download import DownloadError, address

        try:
            asked = address(text)
            if "@" in asked.url.partition("://")[2].partition("/")[0] and asked.scheme in ("http", "https"):
                # Not shown: it is a secret, and a spec would keep it.
                raise DownloadError("the URL of a file holds a password", hint="Use a signed URL, or download it.")
        except DownloadError as error:
            lowering.fault(position, error.what, rule="invalid-address", expected=error.expected, hint=error.hint)
        return text
    path = os.path.normpath(os.path.join(lowering.folder, os.path.expanduser(text)))
    if must_exist and not os.path.exists(path):
        lowering.note(missing_file(path), position)
    return path


def missing_file(path: str) -> ConfigError:
    """Return the error of a file that is named and not there."""
    from flambe.runnable.error import NonExistentResourceError

    return NonExistentResourceError(f"there is no file {path}", hint=near_file(path))


def is_remote_path(text: str, position: Position, lowering: Lowering) -> bool:
    """Whether ``text`` can name a file on the machines of a cluster, where the folders of this one mean nothing."""
    if "://" in text or text.startswith(("/", "~")):
        return True
    lowering.fault(
        position,
        f"{text!r} is a relative path, and this file is on the machines of a cluster",
        rule="invalid-address",
        expected="a path that begins with / or ~, or a URL",
    )
    return False


def _extensions(node: Mapping, lowering: Lowering, *, install: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    asked: list[Extension] = []
    for module, position, source in _texts(node, lowering):
        fault = module_fault(module)
        if fault is not None:
            what, expected = f"{module!r} {fault}", "the name that Python code imports"
            lowering.fault(position, what, rule="invalid-extension", expected=expected)
            continue
        if source.startswith("-"):
            what = f"{source!r} is no source of an extension"
            lowering.fault(position, what, rule="invalid-extension", expected="a folder, a URL or a package")
            continue
        asked.append(Extension(module, source, position))
    if install:
        asked = _install(asked, lowering)
    for extension in asked:
        with _noting(extension, lowering):
            found[extension.module] = extension.source
            found[extension.module] = _source(extension.module, extension.source, lowering.folder, lowering.library)
    return found


class Extension(NamedTuple):
    """One line of a header, as it is written."""

    module: str
    source: str
    position: Position


@contextmanager
def _noting(extension: Extension, lowering: Lowering) -> Iterator[None]:
    """Note what is wrong with one extension, and go on with the next."""
    try:
        yield
    except ConfigError as error:
        error.position = extension.position
        lowering.faults.append(error)


def _install(extensions: Sequence[Extension], lowering: Lowering) -> list[Extension]:
    """Fetch what comes from git, then let pip install packages and requirements, all in one call: they have to fit.

    Returns the extensions without those that could not be fetched.
    """
    from flambe.compile.install import install, is_package

    targets: list[str] = []
    there: list[Extension] = []
    for extension in extensions:
        with _noting(extension, lowering):
            source = _git_source(extension.source)
            if source is not None:
                from flambe.compile.git import fetch

                path = str(fetch(extension.module, source).folder)
            else:
                path = _path(extension.source, lowering.folder)
            if os.path.exists(path):
                targets += [path] if is_package(path) else []
            elif not _is_path(extension.source):
                targets.append(extension.source)
            there.append(extension)
    if targets and not lowering.faults:
        try:
            install(targets)
        except ConfigError as error:
            error.position = extensions[0].position
            lowering.faults.append(error)
            return []
    return there


def _git_source(text: str) -> GitSource | None:
    # Most configs name folders and packages: what git needs is loaded for the others only.
    if not re.search(r"://|@[\w.-]+:|\.git\Z", text):
        return None
    from flambe.compile.git import parse_source

    return parse_source(text)


def _path(source: str, folder: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(source)))


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.endswith(".py")


def _source(module: str, source: str, folder: str, library: Library) -> str:
    """Return what stands in the spec for one extension. Raises ``ConfigError`` (without a position)."""
    git = _git_source(source)
    if git is not None:
        return _from_git(module, source, git, library)
    path = _path(source, folder)
    if _is_path(source) or os.path.exists(path):
        if not os.path.exists(path):
            beside, name = os.path.split(path)
            raise ConfigError(
                f"the extension {module!r} has no {'file' if path.endswith('.py') else 'folder'} {path}",
                rule="missing-extension",
                hint=did_you_mean(name, os.listdir(beside)) if os.path.isdir(beside) else None,
            )
        _add_root(module, path, path, library)
        return path
    requirement = _REQUIREMENT.match(source)
    if not library.exists(module):
        shown = f"pip install '{source}'" if requirement else "Install it"
        raise ConfigError(
            f"the extension {module!r} is not installed",
            rule="missing-extension",
            hint=f"{shown}, or add -i to have it done; or name its folder: '{module}: ./path/to/it'.",
        )
    if requirement is not None and requirement[2]:
        _check_version(module, requirement[1], requirement[2].strip())
    return source


def _from_git(module: str, text: str, source: GitSource, library: Library) -> str:
    """Return the address with the commit that is here; the text as it is for a module that was installed by hand."""
    from flambe.compile.git import fetched

    checkout = fetched(module, source)
    if checkout is not None:
        _add_root(module, str(checkout.folder), f"{source.url} at {checkout.commit[:12]}", library)
        return checkout.source
    if library.exists(module):
        return text
    raise ConfigError(
        f"the extension {module!r} was not fetched yet from {source.url}",
        rule="missing-extension",
        hint=f"Add -i (--install-extensions) to have it done; or clone it and name the folder: '{module}: path/to/clone'.",
    )


def _add_root(module: str, path: str, shown: str, library: Library) -> None:
    root = import_root(module, path)
    if root is None:
        raise ConfigError(
            f"the extension {module!r} is not in {shown}",
            rule="missing-extension",
            expected=f"{module}/ or {module}.py in it",
            hint="The key is the name that Python code imports.",
        )
    library.add_root(module.partition(".")[0], root)


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
                rule="extension-version",
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

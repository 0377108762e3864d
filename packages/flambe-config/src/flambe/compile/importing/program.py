"""The program that a folder of configs belongs to: the decorated function, and the modules beside it. It is read, never run."""

from __future__ import annotations

import ast
import os
import posixpath
from collections.abc import Iterator
from typing import NamedTuple

from flambe.compile.dump import scalar
from flambe.compile.importing.translation import Translation
from flambe.compile.library import Library
from flambe.compile.yaml import Mapping, Scalar
from flambe.errors import Position, UsageError

_MOST_FILES = 2000
_DEEPEST = 3
_SKIPPED = ("__pycache__", "node_modules", "site-packages", "outputs", "multirun", "logs")


class Start(NamedTuple):
    """A function that starts from a config folder. config: the name of the config, where the decorator says it."""

    script: str
    function: str
    folder: str
    config: str | None
    line: int


class Program:
    """What runs the configs of a folder. decorators: how theirs end, such as ``hydra.main``. main: ``module:function``, when the
    user said it. out: the folder that is written.
    """

    def __init__(
        self, folder: str, out: str, translation: Translation, *, decorators: tuple[str, ...], main: str | None = None
    ) -> None:
        self.library = Library()
        self._out = out
        self._translation = translation
        self._main = main
        if main is not None and not all(part for part in main.partition(":")):
            raise UsageError(f"--main {main} is no function", expected="module:function")
        parent = posixpath.dirname(os.path.abspath(folder))
        self.starts = [] if main else [one for one in _starts(parent, decorators) if _same(one.folder, folder)]
        self._where = posixpath.dirname(self.starts[0].script) if self.starts else _folder_of(main, parent)

    def run_section(self, own: str, *, name: str | None, output_dir: str, position: Position) -> Mapping | None:
        """Return ``__run__`` of the file ``own``; None where nobody knows what runs. position: of the config it was made of."""
        start = self.starts[0] if self.starts else None
        main = self._main or (f"{_module(start.script, self._where)}:{start.function}" if start else None)
        if main is None:
            self._translation.note(
                position,
                "no function that starts from this folder was found",
                "Name it with --main module:function.",
                left=True,
            )
            return None
        if start is not None:
            function = f"{start.function}(name, config)"
            self._translation.note(
                Position(_shown(start.script), start.line, 1),
                f"{start.function} is called by its decorator, with one argument",
                f"Take the decorator and the call at the end away, and write def {function}: config is a dict.",
                left=True,
            )
        if len(self.starts) > 1:
            others = ", ".join(f"{_shown(one.script)}:{one.function}" for one in self.starts[1:])
            self._translation.note(
                position, f"{main} is what runs here; {others} start from this folder too", "Choose one with --main."
            )
        section = Mapping(None, _HERE)
        for key, value in (
            ("__main__", main),
            ("__name__", name or main.partition(":")[0].rpartition(".")[2]),
            ("__output_dir__", output_dir),
            ("__code__", self._from(self._where, own)),
        ):
            section.items.append((Scalar(None, _HERE, key, True), Scalar(None, _HERE, value, False)))
        return section

    def extension(self, module: str) -> dict[str, str]:
        """Return what a header says so that tags may come from a top-level module: a path, or what is installed."""
        if module in ("flambe", "torch", "ray"):
            return {}
        for folder in (self._where, posixpath.join(self._where, "src")):
            for path in (posixpath.join(folder, module), posixpath.join(folder, f"{module}.py")):
                if os.path.exists(path):
                    return {module: path}
        return {module: module}

    def header(self, modules: set[str], own: str) -> str:
        """Return the header of the file ``own`` (below the output folder) for tags of these modules; no text for none."""
        lines = []
        for module in sorted(modules):
            for name, source in self.extension(module).items():
                lines.append(f"{name}: {scalar(self._from(source, own) if posixpath.isabs(source) else source)}\n")
        return "".join(lines) + "---\n" if lines else ""

    def _from(self, path: str, own: str) -> str:
        """Return a path as the file ``own`` of the output folder names it."""
        near = os.path.relpath(path, posixpath.dirname(posixpath.join(os.path.abspath(self._out), own)))
        return near if f"{near}/".startswith("../") else f"./{near}"


_HERE = Position("", 0, 0)


def _folder_of(main: str | None, parent: str) -> str:
    """Return the folder that a function's module is in: that of the configs, or the working directory."""
    top = (main or "").partition(":")[0].partition(".")[0]
    for folder in (parent, os.getcwd()):
        if top and any(os.path.exists(posixpath.join(folder, name)) for name in (top, f"{top}.py")):
            return folder
    return parent


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _shown(path: str) -> str:
    """Return a path as the user would write it."""
    near = os.path.relpath(path)
    return path if near.startswith("../..") else near


def _module(script: str, where: str) -> str:
    return os.path.relpath(script, where).removesuffix(".py").replace(os.sep, ".")


def _starts(folder: str, decorators: tuple[str, ...]) -> list[Start]:
    """Return the functions below a folder that have one of the decorators, by their files."""
    words = {decorator.partition(".")[0] for decorator in decorators}
    found: list[Start] = []
    for number, path in enumerate(_scripts(folder, 0)):
        if number == _MOST_FILES:
            break
        try:
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
            if not any(word in text for word in words):
                continue
            tree = ast.parse(text)
        except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
            continue  # whatever it is, Python could not run it either
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                found += [
                    start
                    for decorator in node.decorator_list
                    if (start := _start(path, node, decorator, decorators)) is not None
                ]
    return found


def _scripts(folder: str, depth: int) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_dir(), entry.name))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_file() and entry.name.endswith(".py"):
            yield entry.path
        elif depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
            yield from _scripts(entry.path, depth + 1)


def _start(path: str, node: ast.FunctionDef, decorator: ast.expr, names: tuple[str, ...]) -> Start | None:
    if not isinstance(decorator, ast.Call):
        return None
    name = ast.unparse(decorator.func)
    if name.rpartition(".")[2] not in {one.rpartition(".")[2] for one in names}:
        return None
    given = {word.arg: word.value for word in decorator.keywords}
    first = decorator.args[0] if decorator.args else None
    config_path = _constant(given.get("config_path", first))
    if config_path is None:
        return None
    return Start(
        script=path,
        function=node.name,
        folder=posixpath.join(posixpath.dirname(path), config_path),
        config=_constant(given.get("config_name")),
        line=node.lineno,
    )


def _constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None

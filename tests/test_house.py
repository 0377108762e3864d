"""House rules a machine can see. The files are read, never imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "packages").glob("*/src/**/*.py"))
SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "const", "consts", "constants", "misc"}
RUNS_CODE_WHEN_OPENED = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
ONE_NOUN = 400
SURELY_TWO = 700


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def test_names_say_something() -> None:
    bad = [path for path in SOURCES if SAYS_NOTHING & {path.stem, *path.parent.parts[len(ROOT.parts) :]}]
    assert not bad


def test_a_file_is_one_noun() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = {path: lines for path, lines in long.items() if lines > ONE_NOUN}
    if long:
        warnings.warn(f"longer than {ONE_NOUN} lines, perhaps two nouns: {long}")
    assert max(long.values(), default=0) <= SURELY_TWO, long


FLOOR = "packages/flambe-config/src/flambe"
BY_NAME = {
    *(f"{FLOOR}/record/{name}.py" for name in ("artifact_format", "artifacts", "logger")),
    f"{FLOOR}/reading/recorded_artifact.py",
    "packages/flambe-nn/src/flambe/learn/torch_file.py",
    "packages/flambe-nn/src/flambe/field/gensim_file.py",
}
"""Artifacts that are pickles: whoever writes one and whoever reads one has to say so (tests/record/test_artifacts.py). And a
reader of gensim's, which looks up nothing that they name, so that nothing runs (packages/flambe-nn/tests/test_text_field.py)."""


def test_nothing_is_pickled() -> None:
    found = []
    for path, tree in trees():
        if str(path) in BY_NAME:
            continue
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path}:{node.lineno}" for name in names if name.partition(".")[0] in RUNS_CODE_WHEN_OPENED]
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "torch.save"):
                safe = any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)
                if not safe:
                    found.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                found.append(f"{path}:{node.value.lineno}")
    assert not found


def test_nothing_is_left_open() -> None:
    found = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == "NotImplementedError":
                found.append(f"{path}:{node.lineno}: NotImplementedError")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                found.append(f"{path}:{node.lineno}: a bare except")
            if (
                isinstance(node, ast.ExceptHandler)
                and isinstance(node.type, ast.Name)
                and node.type.id in ("Exception", "BaseException")
                and all(isinstance(part, ast.Pass) for part in node.body)
            ):
                found.append(f"{path}:{node.lineno}: an error is swallowed")
    for path in SOURCES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def _says_enough(decorator: str) -> bool:
    """A second signature has its docstring at the last one; the help of a command may stand in its decorator."""
    return decorator.endswith("overload") or bool(re.match(r"\w+\.(command|group)\(", decorator))


def test_public_names_have_docstrings() -> None:
    found = []
    for path, tree in trees():
        if not ast.get_docstring(tree) and tree.body:
            found.append(f"{path}: the module")
        for node in tree.body:
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
                and not any(_says_enough(ast.unparse(mark)) for mark in node.decorator_list)
            ):
                found.append(f"{path}:{node.lineno}: {node.name}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "pyproject.toml"])
def test_every_package_has_its_papers(name: str) -> None:
    packages = [path.parent for path in (ROOT / "packages").glob("*/src")]
    assert len(packages) == 6
    assert not [package.name for package in packages if not (package / name).is_file()]

"""Folders of other tools, what they become, and what that means to us."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from flambe.compile.compiler import compile_file
from flambe.compile.importing import Translation, translate
from flambe.spec.codec import unescape

Files = Mapping[str, str]


def written(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def config_of(file: Path, overrides: Sequence[str] = ()) -> Any:
    """Return what the function of a config gets."""
    return unescape(compile_file(file, overrides).stages[0].body["config"])


class Project:
    """A project with a folder ``conf`` of another tool, and what it becomes in ``out``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf = root / "conf"
        self.out = root / "out"
        (root / "main.py").write_text("def main(name, config):\n    return config\n", encoding="utf-8")

    def translate(self, tool: str, files: Files, **given: Any) -> Translation:
        """Write the folder, translate it, and write that."""
        written(self.conf, files)
        given.setdefault("main", None if tool == "expyrun" else "main:main")
        translation = translate(tool, str(self.conf), str(self.out), **given)
        for path, one in translation.files.items():
            target = self.out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(one.text, encoding="utf-8")
        return translation

    def config(self, name: str, overrides: Sequence[str] = ()) -> Any:
        return config_of(self.out / name, overrides)

    def notes(self, translation: Translation) -> list[str]:
        """The notes as people see them, without where the project is."""
        return [str(note).replace(f"{self.root}/", "") for note in translation.notes]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes a project, for tests that need many."""
    return lambda: Project(tmp_path_factory.mktemp("project"))

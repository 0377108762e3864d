"""Mistakes as people make them: what flambe-compile says of each, word for word.

``broken/NAME.yaml`` is a config with a mistake (``# with: …`` in its first line: the overrides that it is compiled with),
``broken/NAME.txt`` all that comes on stderr. ``python test_broken.py`` writes the texts anew; read what changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

BROKEN = Path(__file__).parent / "broken"
NAMES = sorted(path.stem for path in BROKEN.glob("*.yaml"))
# One process for all of them: each would begin with the same 0.2 s.
PROGRAM = """
import contextlib, io, json
from flambe.compile.cli import main
outcomes = {}
for name in sys.argv[1:]:
    with open(f"{name}.yaml") as file:
        words = file.readline().partition("# with: ")[2].split()
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main([f"{name}.yaml", *words, "--check"])
    imported = {"torch", "ray", "numpy", "flambe.toys.parts", "flambe.toys.zoo"} & set(sys.modules)
    outcomes[name] = (code, said.getvalue().replace(os.getcwd(), "."), sorted(imported))
json.dump(outcomes, sys.stderr)
"""


def compile_all(kit: Any) -> dict[str, Any]:
    """Return of every file the exit code, what was said, and what was imported by then and should not have been."""
    outcomes: dict[str, Any] = json.loads(kit.python(PROGRAM, *NAMES, cwd=BROKEN).stderr)
    return outcomes


@pytest.fixture(scope="module")
def outcomes(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        return compile_all(kit)


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_told_in_these_words(outcomes: dict[str, Any], name: str) -> None:
    code, said, imported = outcomes[name]
    assert said == (BROKEN / f"{name}.txt").read_text(), "where the new words are better, run: python test_broken.py"
    assert code == 2
    assert not imported


@pytest.mark.parametrize("name", NAMES)
def test_one_mistake_is_one_message(outcomes: dict[str, Any], name: str) -> None:
    lines = outcomes[name][1].splitlines()
    assert all(line.startswith("flambe-compile: error: ") for line in lines)
    assert len(lines) == 1 or name.startswith("many")


def test_there_are_many_mistakes() -> None:
    assert len(NAMES) >= 90
    assert {path.stem for path in BROKEN.glob("*.txt")} == set(NAMES)


if __name__ == "__main__":
    from conftest import Kit

    for name, (_, said, _) in compile_all(Kit()).items():
        (BROKEN / f"{name}.txt").write_text(said)

"""Who may import whom. The files are read, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOOR = "flambe-config"
PACKAGES = sorted(path.name for path in (ROOT / "packages").iterdir() if (path / "pyproject.toml").is_file())
# What the floor may never need, not even late: it is the part that runs everywhere.
TOO_HEAVY_FOR_THE_FLOOR = {
    "torch", "ray", "boto3", "botocore", "paramiko", "flask", "waitress", "pandas", "transformers", "sru", "plotly"
}  # fmt: skip


def sources(package: str) -> list[Path]:
    return sorted((ROOT / "packages" / package / "src").rglob("*.py"))


def rooms(package: str) -> set[str]:
    """The modules and packages directly below ``flambe`` that a distribution ships."""
    folder = ROOT / "packages" / package / "src" / "flambe"
    found = {path.name for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"}
    return found | {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}


ROOM_OWNER = {room: package for package in PACKAGES for room in rooms(package)}


def imported(source: str, home: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, wherever it stands, also through ``import_module("…")``.

    home: the package that the source is in, for relative imports.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = ".".join((*home[: len(home) - node.level + 1], "")) if node.level else ""
            for alias in node.names:
                yield node.lineno, f"{above}{node.module or ''}.{alias.name}".replace("..", ".")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def faults(package: str, path: Path, source: str) -> list[str]:
    found = []
    home = path.parts[path.parts.index("src") + 1 : -1] if "src" in path.parts else ()
    for line, name in imported(source, home):
        parts = name.split(".")
        owner = ROOM_OWNER.get(parts[1]) if parts[0] == "flambe" and len(parts) > 1 else None
        if owner not in (None, package, FLOOR):
            found.append(f"{path}:{line}: {package} imports {name} of {owner}")
        if package == FLOOR and parts[0] in TOO_HEAVY_FOR_THE_FLOOR:
            found.append(f"{path}:{line}: the floor imports {name}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_itself_and_the_floor(package: str) -> None:
    found = [
        fault
        for path in sources(package)
        for fault in faults(package, path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("flambe-nn", "from ..report import rows"),
        ("flambe-nn", "from .. import report"),
        ("flambe-nn", "def f():\n    from flambe.report import rows"),
        ("flambe-export", "from flambe import learn"),
        ("flambe-tune", "import importlib\nimportlib.import_module('flambe.nn.rnn')"),
        ("flambe-config", "def f():\n    import torch.nn"),
    ],
)
def test_the_check_sees_a_wrong_arrow(package: str, source: str) -> None:
    assert len(faults(package, Path("src/flambe/room/x.py"), source)) == 1


def test_every_package_has_rooms_of_its_own() -> None:
    assert len(PACKAGES) == 6
    assert {"spec", "compile", "build", "record"} <= rooms(FLOOR)
    shipped = [room for package in PACKAGES for room in rooms(package)]
    assert len(shipped) == len(set(shipped)), "two distributions ship one room"


def test_only_the_floor_has_a_namespace_root() -> None:
    roots = sorted(path.parts[-4] for path in (ROOT / "packages").glob("*/src/flambe/__init__.py"))
    assert roots == [FLOOR]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_is_typed_and_lists_its_names(package: str) -> None:
    for room in rooms(package):
        folder = ROOT / "packages" / package / "src" / "flambe" / room
        if folder.is_dir():
            assert (folder / "py.typed").is_file(), f"{folder.relative_to(ROOT)} has no py.typed"
            assert (folder / "__init__.py").is_file(), f"{folder.relative_to(ROOT)} has no __init__.py"

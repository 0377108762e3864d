"""Saved components from strangers: whatever is in them, nothing of theirs runs, and one error says what is wrong."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambe
from flambe.build.component import Component
from flambe.build.saved import LoadError, load_state_from_file, save_component
from flambe.errors import FlambeError


class Part(Component):
    def __init__(self, size: int = 2) -> None:
        self.values = np.arange(float(size))
        self.register_attrs("values")


class Whole(Component):
    def __init__(self, part: Part, rate: float = 0.5) -> None:
        self.part, self.rate, self.steps = part, rate, 3
        self.register_attrs("steps")


class _Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch sprung",)


FILES = (
    "manifest.json",
    "state.json",
    "state.safetensors",
    "part/manifest.json",
    "part/state.json",
    "part/state.safetensors",
)
ODD: list[Any] = [
    None,
    True,
    3,
    -1,
    1e308,
    "",
    "\0",
    "..",
    "../..",
    "/",
    "/etc",
    "x" * 10_000,
    [],
    [[]],
    {},
    {"$new": "os:system"},
]
TARGETS = ["os:system", "subprocess:Popen", "builtins:eval", "trap:Trap", "trap", "flambe:__import__", "flambe.build.saved:pickle", "pathlib:Path.unlink"]  # fmt: skip


def _variants() -> Iterator[tuple[str, Callable[[Path], None]]]:
    for name in FILES:
        yield f"{name} gone", lambda root, name=name: (root / name).unlink()
        yield f"{name} empty", lambda root, name=name: (root / name).write_bytes(b"")
        yield f"{name} a folder", lambda root, name=name: ((root / name).unlink(), (root / name).mkdir())[0]
        yield (
            f"{name} a link",
            lambda root, name=name: _replace(root / name, lambda path: path.symlink_to("/etc/passwd")),
        )
        yield f"{name} a loop", lambda root, name=name: _replace(root / name, lambda path: path.symlink_to(path.name))
        yield (
            f"{name} a device",
            lambda root, name=name: _replace(root / name, lambda path: path.symlink_to("/dev/zero")),
        )
        yield f"{name} a pickle", lambda root, name=name: _write(root / name, pickle.dumps(_Bomb()))
        for eighth in (1, 4, 7):
            yield f"{name} torn at {eighth}/8", lambda root, name=name, eighth=eighth: _tear(root / name, eighth)
    for key in ("class", "factory", "version", "config", "parts", "extensions", "files"):
        for odd in ODD[:: 2 if key in ("extensions", "files") else 1]:
            yield f"{key} {str(odd)[:12]!r}", lambda root, key=key, odd=odd: _change(root / "manifest.json", {key: odd})
    for target in TARGETS:
        yield f"new {target}", lambda root, target=target: _change(root / "manifest.json", {"config": {"$new": target}})
        yield (
            f"data {target}",
            lambda root, target=target: _change(
                root / "state.json",
                {
                    "state": {
                        "$state": {"steps": {"$data": target, "fields": {"command": "touch sprung"}}},
                        "metadata": {},
                    }
                },
            ),
        )
    for length in (2**63, 2**64 - 1, 10**6):
        yield (
            f"header of {length}",
            lambda root, length=length: _write(root / "part/state.safetensors", length.to_bytes(8, "little") + b"{}"),
        )
    yield "deep", lambda root: _write(root / "state.json", b'{"state":' + b"[" * 50_000 + b"]" * 50_000 + b"}")


def _replace(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink()
    make(path)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _tear(path: Path, eighths: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * eighths // 8])


def _change(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


VARIANTS = dict(_variants())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest") / "whole"
    save_component(Whole(Part(3)), folder)
    return folder


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a trap in it, which must not have sprung afterwards."""
    (tmp_path / "trap.py").write_text("open('sprung', 'w').close()\nclass Trap: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "sprung").exists()


def test_there_are_enough_of_them() -> None:
    assert len(VARIANTS) >= 100


@pytest.mark.parametrize("name", VARIANTS)
def test_folders(name: str, whole: Path, alone: Path) -> None:
    root = alone / "it"
    shutil.copytree(whole, root)
    VARIANTS[name](root)
    for verify in (True, False):
        # With digests it is an error, or was no change; without them it may be another object of the same classes.
        try:
            loaded = flambe.load(root, verify=verify)
        except FlambeError:
            continue
        assert isinstance(loaded, Whole | Part)
    with contextlib.suppress(FlambeError):
        load_state_from_file(root)


@pytest.mark.parametrize(
    "planted", ["state.pkl", "stash.pkl", "part/state.pt", "__init__.py", "conftest.py", "state.safetensors.pkl"]
)
def test_what_is_planted_beside_it_is_not_looked_at(planted: str, whole: Path, alone: Path) -> None:
    shutil.copytree(whole, alone / "it")
    (alone / "it" / planted).write_bytes(pickle.dumps(_Bomb()))
    assert flambe.load(alone / "it").part.values.tolist() == [0.0, 1.0, 2.0]


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, size
    return entry


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (_entry("../escaped"), "outside"),
        (_entry("it/../../escaped"), "outside"),
        (_entry("it/link", tarfile.SYMTYPE, "/etc/passwd"), "which is no file"),
        (_entry("it/link", tarfile.SYMTYPE, "manifest.json"), "which is no file"),
        (_entry("it/hard", tarfile.LNKTYPE, "it/manifest.json"), "which is no file"),
        (_entry("it/hard", tarfile.LNKTYPE, "/etc/passwd"), "which is no file"),
        (_entry("it/device", tarfile.CHRTYPE), "which is no file"),
        (_entry("it/pipe", tarfile.FIFOTYPE), "which is no file"),
        (_entry("it/zeros", size=200 * 2**20), "would unpack to more than"),
    ],
)
def test_archives(entry: tarfile.TarInfo, message: str, whole: Path, alone: Path) -> None:
    with tarfile.open(alone / "it.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(whole, "it")
        tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    with pytest.raises(LoadError, match=message):
        flambe.load(alone / "it.tar.gz")
    assert not (alone.parent / "escaped").exists()


def test_an_absolute_name_stays_inside(whole: Path, alone: Path) -> None:
    with tarfile.open(alone / "it.tar.gz", "w:gz") as tar:
        tar.add(whole, "it")
        tar.addfile(_entry(f"{alone}/sprung"))
    with pytest.raises(LoadError):
        flambe.load(alone / "it.tar.gz")


def test_an_archive_of_too_many_files_is_refused(alone: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    from flambe.build import saved

    monkeypatch.setattr(saved, "_MOST_MEMBERS", 5)
    with tarfile.open(alone / "it.tar.gz", "w:gz") as tar:
        tar.add(whole, "it")
    with pytest.raises(LoadError, match="would unpack to more than 5 files"):
        flambe.load(alone / "it.tar.gz")

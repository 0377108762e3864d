"""``Snapshot``: the code of a function, copied into its run directory, so that what is recorded is what runs."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flambe.errors import ConfigError, did_you_mean
from flambe.record.code import local_places
from flambe.record.ignore import Ignore
from flambe.record.layout import RESERVED
from flambe.spec.digest import digest_of, file_digest

# fmt: off
SUFFIXES = frozenset(
    {
        ".py", ".pyi", ".pyx", ".pxd", ".so", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp",
        ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".sql", ".jinja", ".j2", ".sh",
    }
)
# fmt: on
"""The files of a package that are code, or so small that it reads them from beside its code."""

LARGEST_BYTES = 32 * 2**20

_NEVER = frozenset({"__pycache__", ".git", ".hg", ".svn", ".venv", "venv", "node_modules"})


class Snapshot(NamedTuple):
    """The files of a function's code, where they are now.

    package: top-level module of the function. files: path below the run directory → file. left_out: what lies between them
    and is not copied, as paths for people.
    """

    package: str
    files: dict[str, Path]
    left_out: list[str]

    @property
    def tree(self) -> str:
        """The digest of the names and contents of all files."""
        return digest_of({name: file_digest(file) for name, file in sorted(self.files.items())})

    @property
    def path(self) -> str:
        """The function's package or file, below the run directory."""
        single = f"{self.package}.py"
        return single if single in self.files else self.package

    def write(self, root: Path) -> Snapshot:
        """Copy everything below ``root`` and return the copy, which is what runs, should somebody be writing to the source.

        Aside first, then a rename for each package. Raises ConfigError if one is there.
        """
        aside = root / f".{self.package}.{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            for name, file in self.files.items():
                target = aside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
            for path in sorted(aside.iterdir()):
                if (root / path.name).exists():
                    raise ConfigError(f"{root / path.name} is there already, and is no copy of {path.name}")
                os.rename(path, root / path.name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self._replace(files={name: root / name for name in self.files})


def snapshot_of(names: Sequence[str], code: Path, *, is_copy: bool = False) -> Snapshot:
    """Return what is to be copied for a function (``package.module:function``): its top-level package in the folder ``code``, or
    its single file, and what these import from beside them.

    names: the function, then what its settings name besides, in the same form; of that what lies in ``code`` is copied too.
    Files count by their suffix, ``.gitignore`` files are asked; of a copy they are not: what was copied was no part of what they
    leave out, and a project may leave out its runs. Raises ConfigError when the module is not there, when a package is
    called as a file of the run directory, and above ``LARGEST_BYTES``.
    """
    check_main(names[0], code)
    package = _top(names[0])
    places = local_places(package, _place(package, code))
    for name in names[1:]:
        with contextlib.suppress(ConfigError):  # it is installed, or will be missed when it is called
            check_main(name, code)
            places |= local_places(_top(name), _place(_top(name), code))
    ignore = None if is_copy else Ignore(code)
    files: dict[str, Path] = {}
    left_out: list[str] = []
    for name, place in places.items():
        if place.name in RESERVED:
            raise ConfigError(
                f"{place} cannot be copied: a run directory has a {place.name} of its own",
                hint="Rename it, or set __snapshot__: none.",
            )
        if place.is_file():
            files[place.name] = place
            continue
        for file in _files(place, ignore, left_out, name):
            files[f"{name}/{file.relative_to(place).as_posix()}"] = file
    _check_size(files)
    return Snapshot(package, files, left_out)


def check_main(main: str, code: Path) -> None:
    """Raise ConfigError when the module of ``main`` is not in the folder ``code``, before anything is made for it."""
    module, colon, name = main.partition(":")
    if not (colon and all(part.isidentifier() for part in [*module.split("."), name])):
        raise ConfigError(f"{main!r} names no function", expected="package.module:function")
    folder = code
    parts = module.split(".")
    for index, part in enumerate(parts):
        inner = folder / part
        if (folder / f"{part}.py").is_file() and index == len(parts) - 1 and not (inner / "__init__.py").is_file():
            return
        if not inner.is_dir():
            there = sorted(_modules(folder))
            raise ConfigError(
                f"there is no module {module}: {folder} has no {part}{'' if index < len(parts) - 1 else '.py'}",
                hint=did_you_mean(part, there) or "Run it where the package is, or say __code__: FOLDER below __run__.",
            )
        folder = inner


def _modules(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        for path in folder.iterdir():
            if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier()):
                yield path.stem


def _top(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]


def _place(package: str, code: Path) -> Path:
    inner = code / package
    single = code / f"{package}.py"
    return single if single.is_file() and not (inner / "__init__.py").is_file() else inner


def _files(place: Path, ignore: Ignore | None, left_out: list[str], name: str) -> Iterator[Path]:
    for folder, folders, files in os.walk(place):
        here = Path(folder)
        shown = "/".join((name, *here.relative_to(place).parts))
        kept = []
        for inner in sorted(folders):
            if inner in _NEVER or inner.startswith("."):
                continue
            if (here / inner).is_symlink() or (ignore is not None and ignore.matches(here / inner, is_folder=True)):
                left_out.append(f"{shown}/{inner}/")
            else:
                kept.append(inner)
        folders[:] = kept
        for file in sorted(files):
            path = here / file
            if file.startswith(".") or path.suffix in (".pyc", ".pyo"):
                continue
            is_ignored = ignore is not None and ignore.matches(path, is_folder=False)
            if path.suffix not in SUFFIXES or not path.is_file() or is_ignored:
                left_out.append(f"{shown}/{file}")
            else:
                yield path


def _check_size(files: dict[str, Path]) -> None:
    sizes = {name: file.stat().st_size for name, file in files.items()}
    total = sum(sizes.values())
    if total > LARGEST_BYTES:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        raise ConfigError(
            f"the code is too large to be copied into each run: {total / 2**20:.0f} MiB, "
            + ", ".join(f"{name} {sizes[name] / 2**20:.1f} MiB" for name in largest),
            expected=f"at most {LARGEST_BYTES // 2**20} MiB",
            hint="Name what is no code in a .gitignore, or set __snapshot__: none.",
        )


__all__ = ["LARGEST_BYTES", "SUFFIXES", "Snapshot", "check_main", "snapshot_of"]

"""``GitTree``: a whole repository as it is on disk, or as it was committed, checked out once for all runs that share it.

It lies in ``{output_dir}/.code/{tree}``, by git's own id of its content. Nothing is committed for it, and the repository is not
written to: index and new objects are in a folder of their own, which goes away.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flambe.errors import ConfigError, FlambeError
from flambe.record.layout import TREES

HEAD = "head"


class GitTree(NamedTuple):
    """A checked out tree. tree: git's id of it. root: its folder. inside: where the code is below it. diff: what differs from the
    last commit, empty where nothing does or the commit is what is checked out.
    """

    tree: str
    root: Path
    inside: str
    diff: bytes

    @property
    def folder(self) -> Path:
        """Return the folder that holds the package of the function."""
        return self.root / self.inside


def git_tree_of(code: Path, output_dir: Path, *, dirty: str) -> GitTree:
    """Check the repository of the folder ``code`` out below ``output_dir``, which is no part of it itself.

    dirty: ``include`` for what is on disk (what ``.gitignore`` names left out), ``head`` for the last commit.
    Raises ConfigError where there is no repository or no commit, FlambeError with git's words.
    """
    shared = shared_tree(code)
    if shared is not None:
        return shared
    top = Path(_git(code, ["rev-parse", "--show-toplevel"], missing=True).decode().rstrip("\n"))
    inside = code.resolve().relative_to(top.resolve()).as_posix()
    _git(top, ["rev-parse", "--verify", "--quiet", "HEAD^{tree}"], missing=True)
    with _aside(top) as around:
        _git(top, ["read-tree", "HEAD"], around)
        if dirty != HEAD:
            _git(top, ["add", "--all", "--", ".", *_but(output_dir, top)], around)
        tree = _git(top, ["write-tree"], around).decode().strip()
        diff = _git(top, ["diff", "--cached", "--binary", "--no-ext-diff", "--no-color", "HEAD"], around)
        place = output_dir / TREES / tree
        torn = place.is_dir() and _is_of_an_earlier_boot(place) and not _is_whole(top, place, tree, around)
        if torn or not place.is_dir():
            aside = output_dir / TREES / f".{tree}.{os.getpid()}"
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            try:
                _git(top, ["checkout-index", "--all", "--quiet", f"--prefix={aside}/"], around)
                if torn:
                    os.rename(place, aside.with_suffix(".torn"))
                with _lost_race():
                    os.rename(aside, place)
            finally:
                for left in (aside, aside.with_suffix(".torn")):
                    shutil.rmtree(left, ignore_errors=True)
        elif _is_of_an_earlier_boot(place):
            os.utime(place)  # it was looked at, and is whole
    return GitTree(tree, place, inside, diff)


def _is_of_an_earlier_boot(place: Path) -> bool:
    """Whether the machine has begun anew since a tree was checked out: it may have lost its power, and files their content."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return False  # nobody knows
    return place.stat().st_ctime < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _is_whole(top: Path, place: Path, tree: str, around: Mapping[str, str]) -> bool:
    """Whether the files of a tree that was checked out are still those of the tree: git reads every one."""
    index = {**around, "GIT_INDEX_FILE": f"{around['GIT_INDEX_FILE']}.whole"}
    _git(top, ["read-tree", tree], index)
    return not _git(top, [f"--work-tree={place}", "diff-files", "--name-only"], index)


def shared_tree(code: Path) -> GitTree | None:
    """Return the tree that the folder ``code`` lies in, when it is one of those that runs share."""
    for folder in (code, *code.parents):
        if folder.parent.name == TREES:
            return GitTree(folder.name, folder, code.relative_to(folder).as_posix(), b"")
    return None


def difference(code: Path, output_dir: Path) -> bytes:
    """Return the diff of the folder ``code`` against its last commit, new files included; empty where there is no commit."""
    if not any((above / ".git").exists() for above in (code, *code.parents)):
        return b""
    try:
        top = Path(_git(code, ["rev-parse", "--show-toplevel"], missing=True).decode().rstrip("\n"))
        with _aside(top) as around:
            _git(top, ["read-tree", "HEAD"], around)
            _git(code, ["add", "--all", "--", ".", *_but(output_dir, code)], around)
            return _git(
                code, ["diff", "--cached", "--binary", "--no-ext-diff", "--no-color", "HEAD", "--", "."], around
            )
    except FlambeError:
        return b""


def _but(output_dir: Path, folder: Path) -> list[str]:
    """Return what keeps the folder of the runs out of a list of files."""
    real, here = output_dir.resolve(), folder.resolve()
    return (
        [f":(exclude,literal){real.relative_to(here).as_posix()}"] if real != here and real.is_relative_to(here) else []
    )


@contextmanager
def _aside(top: Path) -> Iterator[Mapping[str, str]]:
    """Yield the variables that make git use a folder of its own for its index and new objects."""
    with tempfile.TemporaryDirectory(prefix="flambe-git-") as name:
        folder = Path(name)
        objects = _git(top, ["rev-parse", "--git-path", "objects"]).decode().rstrip("\n")
        (folder / "objects").mkdir()
        index = _git(top, ["rev-parse", "--git-path", "index"]).decode().rstrip("\n")
        # With the times of the real index only files that have changed are read.
        if (top / index).is_file():
            shutil.copy2(top / index, folder / "index")
        yield {
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((top / objects).resolve()),
        }


@contextmanager
def _lost_race() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        import errno

        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise  # else another run has just put the same content there


def _git(
    folder: Path, words: Sequence[str], around: Mapping[str, str] | None = None, *, missing: bool = False
) -> bytes:
    """Run git in a folder and return what it prints. missing: a failure means that there is no repository, or no commit."""
    import subprocess  # readers of records ask git nothing

    surroundings = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", **(around or {})}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=surroundings,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError as error:
        raise ConfigError("there is no git here", hint="Install it, or set __snapshot__: copy.") from error
    if done.returncode == 0:
        return done.stdout
    if missing:
        raise ConfigError(
            f"{folder} belongs to no git repository with a commit",
            hint="Set __snapshot__: copy and __dirty__: include, or commit your code.",
        )
    raise FlambeError(f"git {words[0]} failed in {folder}: {done.stderr.decode(errors='replace').strip()}")


__all__ = ["GitTree", "difference", "git_tree_of", "shared_tree"]

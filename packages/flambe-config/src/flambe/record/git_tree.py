"""``GitTree``: a whole repository as it is on disk, or as it was committed, checked out once for all runs that share it.

It lies in ``{output_dir}/.code/{tree}``, by git's own id of its content. Nothing is committed for it, and the repository is not
written to: index and new objects are in a folder of their own, which goes away. The index of the tree itself is kept beside it:
by that an edit is found, also where the repository is gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from flambe.errors import ConfigError, FlambeError, ProvenanceError
from flambe.record.layout import TREE_LIST, TREES
from flambe.record.refused import kept_in
from flambe.record.run import replace_file

HEAD = "head"
_SHOWN = 5


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
    Raises ConfigError where there is no repository or no commit, ProvenanceError where somebody has edited the files of the tree,
    DiskRefused, FlambeError with git's words.
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
        there = {**around, **_at(top, place)}
        is_old = place.is_dir() and _is_of_an_earlier_boot(place)
        edited = _edited(place, there, afresh=is_old) if place.is_dir() else []
        if edited and not is_old:
            raise _no_more_itself(place, edited)
        is_missing = bool(edited) or not place.is_dir()
        with kept_in(place):
            if is_missing:
                _check_out(top, place, around, torn=bool(edited))
            else:
                # It was looked at, and is whole; and whoever takes away what no run has sees that one begins.
                with suppress(PermissionError):  # it is another user's
                    os.utime(place)
            if is_missing or not _list_of(place).is_file():
                _keep_list(place, there)
    return GitTree(tree, place, inside, diff)


def tree_in(output_dir: Path, tree: GitTree) -> GitTree:
    """Return a shared tree as one of ``output_dir``, into which it is copied if it is another's: no run needs what lies there.

    Raises ProvenanceError where somebody has edited the one that is in ``output_dir``, DiskRefused.
    """
    place = output_dir / TREES / tree.tree
    if place.resolve() == tree.root.resolve():
        return tree
    edited = edited_in(place, tree.root) if place.is_dir() else []
    if edited:
        raise _no_more_itself(place, edited)
    aside = place.with_name(f".{place.name}.{os.getpid()}")
    with kept_in(place):
        if not place.is_dir():
            try:
                shutil.copytree(tree.root, aside, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
                with _lost_race():
                    os.rename(aside, place)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        if _list_of(tree.root).is_file() and not _list_of(place).is_file():
            replace_file(_list_of(place), _list_of(tree.root).read_bytes())
    return tree._replace(root=place)


def _no_more_itself(place: Path, edited: Sequence[str]) -> ProvenanceError:
    return ProvenanceError(
        f"the shared tree {place} is not what was checked out: {listed(edited)}",
        hint="Bring its files back, or take it away: it is checked out again.",
    )


def _check_out(top: Path, place: Path, around: Mapping[str, str], *, torn: bool) -> None:
    """Write the files of an index to ``place``. torn: in place of what the power has left there."""
    aside = place.with_name(f".{place.name}.{os.getpid()}")
    before = aside.with_suffix(".torn")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        _git(top, ["checkout-index", "--all", "--quiet", f"--prefix={aside}/"], around)
        if torn:
            os.rename(place, before)
        with _lost_race():
            os.rename(aside, place)
    finally:
        for left in (aside, before):
            shutil.rmtree(left, ignore_errors=True)


def _is_of_an_earlier_boot(place: Path) -> bool:
    """Whether the machine has begun anew since a tree was checked out: it may have lost its power, and files their content."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return False  # nobody knows
    return place.stat().st_ctime < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def edited_in(place: Path, source: Path) -> list[str]:
    """Return which files of the shared tree ``place`` are not what was checked out, new ones too, whatever their times say; empty when
    all are, and of a tree that has no list of its files. source: the folder it was checked out from, which may be gone.
    """
    if not _list_of(place).is_file():
        return []
    with tempfile.TemporaryDirectory(prefix="flambe-git-") as name:
        try:
            at = _at(source, place)
        except ConfigError:
            form = ["--object-format=sha256"] if len(place.name) > 40 else []
            _git(Path(name), ["init", "--quiet", "--bare", *form])
            at = {"GIT_DIR": name, "GIT_WORK_TREE": str(place)}
        return _edited(place, {**at, "GIT_INDEX_FILE": str(Path(name, "index"))}, afresh=True)


def _edited(place: Path, around: Mapping[str, str], *, afresh: bool) -> list[str]:
    """Return which files of a tree are others now. afresh: read every one of them; else those whose times have changed."""
    index = {**around, "GIT_INDEX_FILE": f"{around['GIT_INDEX_FILE']}.{place.name}"}
    kept = {**around, "GIT_INDEX_FILE": str(_list_of(place))}
    if not _list_of(place).is_file():
        _git(place, ["read-tree", place.name], index)
    elif afresh:
        _git(place, ["update-index", "-z", "--index-info"], index, given=_git(place, ["ls-files", "-s", "-z"], kept))
    else:
        index = kept
    words = ["--modified", "--deleted", "--others", "--exclude-standard", "-x", "__pycache__", "-x", "*.pyc"]
    return sorted(
        {name.decode(errors="replace") for name in _git(place, ["ls-files", "-z", *words], index).split(b"\0") if name}
    )


def _keep_list(place: Path, around: Mapping[str, str]) -> None:
    """Keep the index of a tree that was checked out, with the times of its files."""
    aside = place.with_name(f".{place.name}{TREE_LIST}.{os.getpid()}")
    try:
        index = {**around, "GIT_INDEX_FILE": str(aside)}
        _git(place, ["read-tree", place.name], index)
        _git(place, ["update-index", "-q", "--refresh"], index)
        os.replace(aside, _list_of(place))
    finally:
        aside.unlink(missing_ok=True)


def _list_of(place: Path) -> Path:
    return place.with_name(place.name + TREE_LIST)


def _at(folder: Path, place: Path) -> dict[str, str]:
    """Return the variables that make git look at ``place`` as if it were a checkout of the repository of ``folder``."""
    repository = _git(folder, ["rev-parse", "--absolute-git-dir"], missing=True).decode().rstrip("\n")
    return {"GIT_DIR": repository, "GIT_WORK_TREE": str(place)}


def listed(files: Sequence[str]) -> str:
    """Return the names of files for a message."""
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{', '.join(files[:_SHOWN])}{more}"


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
    folder: Path,
    words: Sequence[str],
    around: Mapping[str, str] | None = None,
    *,
    missing: bool = False,
    given: bytes = b"",
) -> bytes:
    """Run git in a folder and return what it prints. missing: a failure means that there is no repository, or no commit. given: what
    it reads.
    """
    import subprocess  # readers of records ask git nothing

    surroundings = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", **(around or {})}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=surroundings,
            capture_output=True,
            input=given,
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


__all__ = ["GitTree", "difference", "edited_in", "git_tree_of", "listed", "shared_tree", "tree_in"]

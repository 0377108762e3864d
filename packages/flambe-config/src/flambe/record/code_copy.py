"""``CodeCopy``: the code of a function as a run executes it, however ``__snapshot__`` and ``__dirty__`` say that it is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.errors import ConfigError, ProvenanceError
from flambe.record.checkout import Checkout, checkout_of
from flambe.record.git_tree import HEAD, GitTree, difference, edited_in, git_tree_of, listed, shared_tree, tree_in
from flambe.record.layout import CODE_DIFF, RUN, SPEC
from flambe.record.run import Code, RunRecord, read_record
from flambe.record.snapshot import Snapshot, check_main, snapshot_of
from flambe.spec.codec import load_spec, unescape
from flambe.spec.nodes import FILE, Spec

if TYPE_CHECKING:
    from flambe.record.version_manager import VersionManager

COPY, GIT, CUSTOM, NONE = "copy", "git", "custom", "none"
REFUSE = "refuse"


class CodeCopy:
    """What a run of a function executes. Made by ``code_to_copy`` before anything is written; ``write`` makes what is missing.

    mode: see ``flambe.record.run.Code``. source: the folder that it is taken from.
    """

    def __init__(
        self,
        mode: str,
        source: Path,
        *,
        snapshot: Snapshot | None = None,
        shared: GitTree | None = None,
        manager: VersionManager | None = None,
        checkout: Checkout | None = None,
        diff: bytes = b"",
    ) -> None:
        self.mode = mode
        self.source = source
        self._snapshot = snapshot
        self._shared = shared
        self._manager = manager
        self._checkout = checkout
        self._diff = diff

    @property
    def tree(self) -> str | None:
        """What tells this code from other code; None where no copy is made."""
        if self._shared is not None and self.mode == GIT:
            return self._shared.tree
        return None if self._snapshot is None else self._snapshot.tree

    def write(self, root: Path) -> Code:
        """Make what is missing in, or for, the run directory ``root`` and return what its record says."""
        code = Code(mode=self.mode, source=str(self.source), git=self._checkout)
        if self._snapshot is not None:
            # The digest is that of the copy, which is what runs, should somebody be writing to the source.
            copy = self._snapshot.write(root)
            code.path, code.tree, code.files, code.left_out = copy.path, copy.tree, len(copy.files), copy.left_out
        elif self.mode == GIT and self._shared is not None:
            code.path, code.tree = _seen_from(root, self._shared.folder), self._shared.tree
            code.files = sum(1 for path in self._shared.root.rglob("*") if path.is_file())
        elif self._manager is not None:
            folder = Path(self._manager.make_working_directory()).absolute()
            code.path, code.info = str(folder), dict(self._manager.get_info())
        if self._diff:
            (root / CODE_DIFF).write_bytes(self._diff)
        return code


def code_to_copy(spec: Spec, output_dir: Path) -> CodeCopy | None:
    """Return what a run of ``spec`` executes; None for what is no function. output_dir: of all runs.

    Raises ConfigError, before a run directory is made, when the code of a function is not there or cannot be copied, ProvenanceError
    when it has changes that are not committed and ``__dirty__: refuse`` is asked for.
    """
    if spec.kind != "function":
        return None
    body = spec.stages[0].body
    main, source = str(body["main"]), code_folder(spec)
    names = _names_of(spec)
    mode = NONE if spec.debug else str(body.get("snapshot", COPY))
    settings = unescape(body.get("settings", {}))
    dirty = settings.get("dirty", "include")
    checkout = checkout_of(source, but=output_dir)
    shared = shared_tree(source)
    if shared is not None and mode == GIT:
        if not edited_in(shared.root, source):
            check_main(main, source)
            return CodeCopy(GIT, source, shared=tree_in(output_dir, shared))
        mode = COPY  # it is no tree of that name any more
    if not spec.debug and dirty == REFUSE:
        _refuse_changes(source, checkout)
    if mode == NONE:
        check_main(main, source)
        return CodeCopy(NONE, source, checkout=checkout)
    if mode == CUSTOM:
        return CodeCopy(CUSTOM, source, manager=_manager(settings["version_manager"]), checkout=checkout)
    if mode == GIT or dirty == HEAD:
        shared = git_tree_of(source, output_dir, dirty=dirty)
        check_main(main, shared.folder)
        if mode == GIT:
            return CodeCopy(GIT, source, shared=shared, checkout=checkout, diff=shared.diff)
        return CodeCopy(COPY, source, snapshot=snapshot_of(names, shared.folder), checkout=checkout)
    snapshot = snapshot_of(names, source)
    changed = checkout is not None and (checkout.dirty or checkout.untracked)
    return CodeCopy(
        COPY, source, snapshot=snapshot, checkout=checkout, diff=difference(source, output_dir) if changed else b""
    )


def code_folder(spec: Spec) -> Path:
    """Return the folder that holds the package of a function."""
    code = spec.stages[0].body.get("code", ".")
    return Path(code[FILE] if isinstance(code, dict) else code).expanduser().absolute()


def folder_to_run(root: Path, code: Code) -> Path | None:
    """Return the folder of the code that the run directory ``root`` executes; None where it is run from its place."""
    if code.mode == COPY:
        return root
    return None if code.path is None else Path(os.path.normpath(root / code.path))


def mend_copy(root: Path, code: Code, spec: Spec) -> None:
    """Copy the code of the run in ``root`` again where it is not what was copied: the machine has lost its power.

    Raises ProvenanceError when it cannot be had again: its source is other code by now.
    """
    if code.mode != COPY or code.tree is None:
        return
    names = _names_of(spec)
    if _is_whole(names, root, code.tree):
        return
    if _tree_of(names, Path(code.source)) != code.tree:
        raise ProvenanceError(
            f"the copy of its code in {root} is not whole since the machine lost its power, and {code.source} is other code by now",
            hint="Begin a new run: leave --resume out.",
        )
    snapshot = snapshot_of(names, Path(code.source))
    for name in {name.partition("/")[0] for name in snapshot.files}:
        place = root / name
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    snapshot.write(root)


def edited_files(root: Path, record: RunRecord) -> list[str]:
    """Return which files of the copied code that the run directory ``root`` executes are not what was copied; empty when all are.

    Of a tree that runs share git knows them. Of a copy the record has one digest of them all: which of them it is tells their
    source, if that still is what was copied, else the times of the files; where neither says, it is the whole package.
    """
    code = record.code
    if code is not None and code.mode == GIT:
        shared = shared_tree(folder_to_run(root, code) or root)
        return [] if shared is None else edited_in(shared.root, Path(code.source))
    if code is None or record.entry is None or code.mode != COPY or code.tree is None:
        return []
    names = _names_in(root, record.entry)
    if _is_whole(names, root, code.tree):
        return []
    here = _files_of(names, root)
    source = _files_of(names, Path(code.source)) if _is_whole(names, Path(code.source), code.tree) else None
    if source is not None:
        return sorted(name for name in here.keys() | source.keys() if not _are_equal(here.get(name), source.get(name)))
    # A copy has the times of what it was copied from.
    made = datetime.fromisoformat(record.time.created or "1970-01-01T00:00Z").timestamp()
    later = sorted(name for name, file in here.items() if file.stat().st_mtime > made)
    return later if 0 < len(later) < max(len(here), code.files, 2) else [code.path or "."]


def edit_warning(root: Path) -> str | None:
    """Return what is to be said before the code in ``root``, a run directory or a shared tree, runs again, if somebody has edited it
    since.
    """
    shared = shared_tree(root)
    if shared is not None:
        root, edited = shared.root, edited_in(shared.root, root)
    else:
        try:
            edited = edited_files(root, read_record(root / RUN, RunRecord))
        except (FileNotFoundError, NotADirectoryError, ConfigError):
            return None  # a project, or a record that was torn with the power
    return f"the code in {root} is not what was copied there, and runs as it is: {listed(edited)}" if edited else None


def _names_of(spec: Spec) -> list[str]:
    """Return the function of a spec, and the logger and the seeding that its settings name, as ``package.module:name``."""
    body = spec.stages[0].body
    settings = unescape(body.get("settings", {}))
    log, seeding = settings.get("log"), settings.get("seeding")
    named = [str(log.get("name")) if isinstance(log, dict) else None, seeding if isinstance(seeding, str) else None]
    parts = (name.replace(":", ".").rpartition(".") for name in named if name is not None)
    return [str(body["main"]), *(f"{module}:{name}" for module, _, name in parts)]


def _names_in(root: Path, entry: str) -> list[str]:
    try:
        return _names_of(load_spec((root / SPEC).read_bytes(), where=str(root / SPEC)))
    except (OSError, ConfigError):
        return [entry]


def _is_whole(names: Sequence[str], root: Path, tree: str) -> bool:
    """Whether the copy in ``root`` is what was copied. Files beside it that the project's ``.gitignore`` leaves out are no part of it."""
    return tree in (_tree_of(names, root, is_copy=True), _tree_of(names, root))


def _tree_of(names: Sequence[str], folder: Path, *, is_copy: bool = False) -> str | None:
    try:
        return snapshot_of(names, folder, is_copy=is_copy).tree
    except (ConfigError, OSError):
        return None


def _files_of(names: Sequence[str], folder: Path) -> dict[str, Path]:
    try:
        return snapshot_of(names, folder, is_copy=(folder / RUN).exists()).files
    except (ConfigError, OSError):
        return {}


def _are_equal(one: Path | None, other: Path | None) -> bool:
    return one is not None and other is not None and one.read_bytes() == other.read_bytes()


def _seen_from(root: Path, folder: Path) -> str:
    return Path(os.path.relpath(folder, root)).as_posix()


def _refuse_changes(source: Path, checkout: Checkout | None) -> None:
    if checkout is None:
        raise ConfigError(
            f"nobody knows whether {source} has changes: it belongs to no git repository with a commit",
            rule="invalid-parameter",
            hint="Set __dirty__: include.",
        )
    if checkout.dirty or checkout.untracked:
        new = f", and files that git does not know: {', '.join(checkout.untracked[:3])}" if checkout.untracked else ""
        changes = "changes that are not committed" if checkout.dirty else "no changes"
        raise ProvenanceError(
            f"{source} has {changes}{new}",
            hint="Commit them, name what is no code in a .gitignore, or set __dirty__: include (run them) or head (leave them out).",
        )


def _manager(named: dict[str, Any]) -> VersionManager:
    from flambe.record.version_manager import VersionManager
    from flambe.runnable.own_class import make_own

    manager: VersionManager = make_own(named, {}, base=VersionManager, what="what copies the code")
    return manager


__all__ = ["CodeCopy", "code_folder", "code_to_copy", "edit_warning", "edited_files", "folder_to_run", "listed",
           "mend_copy"]  # fmt: skip

"""``Checkout``: what git knows of a folder of code."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

_LONGEST_S = 5.0
_SHOWN = 20


class Checkout(msgspec.Struct, omit_defaults=True, kw_only=True):
    """commit: the last one. branch: None when none is checked out. dirty: whether tracked files differ from the commit.

    untracked: files that git neither knows nor is told to ignore, the first of them. remote: the URL of ``origin``, without a
    password.
    """

    commit: str
    branch: str | None = None
    dirty: bool = False
    untracked: list[str] = []
    remote: str | None = None


def checkout_of(folder: Path, *, but: Path | None = None) -> Checkout | None:
    """Return what git says of ``folder``; None where there is no git, no repository, no commit yet, or no answer in time.

    but: a folder in it that does not count: where runs are written.
    """
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return None
    # Readers of records ask git nothing.
    import subprocess

    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", "."]
    if but is not None and but != folder and but.is_relative_to(folder):
        command.append(f":(exclude,literal){but.relative_to(folder).as_posix()}")
    # Looking must not write to the user's repository.
    surroundings = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command,
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    lines = done.stdout.splitlines()
    heads = dict(line[len("# branch.") :].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = heads.get("oid", ""), heads.get("head", "")
    if not commit or commit.startswith("("):
        return None
    return Checkout(
        commit=commit,
        branch=None if branch.startswith("(") else branch,
        dirty=any(not line.startswith(("#", "?")) for line in lines),
        untracked=[line[2:] for line in lines if line.startswith("?")][:_SHOWN],
        remote=_remote(folder),
    )


def _remote(folder: Path) -> str | None:
    """Return the URL of ``origin`` from the repository's config file, which is quicker than to ask git."""
    root = next((above for above in (folder, *folder.parents) if (above / ".git").is_dir()), None)
    if root is None:
        return None  # a worktree or a submodule
    import configparser

    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string("\n".join(line.strip() for line in (root / ".git/config").read_text().splitlines()))
        url = parser.get('remote "origin"', "url", fallback=None)
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None
    return None if url is None else re.sub(r"(?<=://)[^/@]*:[^/@]*@", "", url)


__all__ = ["Checkout", "checkout_of"]

"""``Checkout``: what git knows of a folder of code."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_LONGEST_S = 5.0


class Checkout(msgspec.Struct, omit_defaults=True, kw_only=True):
    """commit: the last one. branch: None when none is checked out. dirty: whether tracked files differ from the commit."""

    commit: str
    branch: str | None = None
    dirty: bool = False


def checkout_of(folder: Path) -> Checkout | None:
    """Return what git says of ``folder``; None where there is no git, no repository, no commit yet, or no answer in time."""
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return None
    # Readers of records ask git nothing.
    import subprocess

    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", "."]
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
        dirty=any(not line.startswith("#") for line in lines),
    )


__all__ = ["Checkout", "checkout_of"]

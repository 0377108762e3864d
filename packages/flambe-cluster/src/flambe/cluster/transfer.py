"""Copying files with rsync, through the cluster's own key and nothing else."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from flambe.cluster.connection import Login
from flambe.cluster.errors import RemoteFileTransferError
from flambe.cluster.keyfile import key_mode_warning

STALLED_AFTER_S = 30
JUNK = (".git", "__pycache__", "*.pyc", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def ssh_command(login: Login) -> list[str]:
    """Return the ssh command that rsync speaks through: this key, these host keys, no configuration of the user."""
    options = {
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{login.known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "ForwardAgent": "no",
        "ClearAllForwardings": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "3",
        "ServerAliveCountMax": "4",
        "LogLevel": "ERROR",
    }
    settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "/dev/null", "-i", str(login.key), "-p", str(login.port), *settings]


def push(login: Login, host: str, source: Path, target: str, *, options: Sequence[str] = ()) -> None:
    """Copy ``source`` to ``target`` on ``host``: a folder's content into the folder ``target``, a file to the file.

    Raises ``RemoteFileTransferError``.
    """
    origin = f"{source}/" if source.is_dir() else str(source)
    skipped = [f"--exclude={pattern}" for pattern in JUNK] if source.is_dir() else []
    _rsync(login, ["--recursive", "--links", "--perms", "--times", *skipped, *options],
           origin, f"{_place(login, host, target)}{'/' if source.is_dir() else ''}")  # fmt: skip


def pull(login: Login, host: str, source: str, target: Path, *, options: Sequence[str] = ()) -> str:
    """Copy the content of the folder ``source`` on ``host`` into the folder ``target``; returns rsync's list of changes.

    What is half copied stays in ``.rsync-partial`` and is gone on with next time.

    Raises ``RemoteFileTransferError``.
    """
    target.mkdir(parents=True, exist_ok=True)
    flags = ["--recursive", "--links", "--hard-links", "--perms", "--times", "--partial-dir=.rsync-partial",
             "--itemize-changes", *options]  # fmt: skip
    return _rsync(login, flags, f"{_place(login, host, source)}/", f"{target}/")


def _place(login: Login, host: str, path: str) -> str:
    return f"{login.username}@{f'[{host}]' if ':' in host else host}:{path}"


def _rsync(login: Login, flags: Sequence[str], source: str, target: str) -> str:
    program = shutil.which("rsync")
    if program is None or shutil.which("ssh") is None:
        raise RemoteFileTransferError(
            "files are copied with rsync over ssh, and this machine lacks one of them",
            hint="Install them: apt install rsync openssh-client.",
        )
    # --protect-args: the remote shell never sees the paths.
    command = [program, "--protect-args", f"--timeout={STALLED_AFTER_S}", "-e", shlex.join(ssh_command(login)), *flags]
    done = subprocess.run([*command, "--", source, target], capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise RemoteFileTransferError(
            f"rsync {source} → {target} ended with {done.returncode}: {'; '.join(lines[-4:]) or 'no message'}",
            hint=key_mode_warning(login.key),
        )
    return done.stdout


def files_of(source: Path) -> list[tuple[str, Path]]:
    """Return what rsync would copy of a file or folder: place in it and path, in order."""
    if source.is_file():
        return [("", source)]
    junk = {pattern for pattern in JUNK if "*" not in pattern}
    found = []
    for parent, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if name not in junk)
        found += [
            (os.path.relpath(os.path.join(parent, name), source), Path(parent, name))
            for name in sorted(files)
            if name not in junk and not name.endswith(".pyc")
        ]
    return found

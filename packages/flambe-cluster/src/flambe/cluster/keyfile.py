"""The private key of a cluster: looked at before anything is asked of a machine."""

from __future__ import annotations

import stat
from pathlib import Path

from flambe.cluster.errors import MissingAuthError


def check_key(key: Path) -> None:
    """Raise ``MissingAuthError`` for a file that is no private key which can be used, with its path and the remedy."""
    import paramiko

    hint = "`key` of the cluster file names the private key."
    try:
        text = key.read_bytes()
    except FileNotFoundError:
        raise MissingAuthError(f"there is no key file {key}", hint=hint) from None
    except OSError as error:
        raise MissingAuthError(f"the key file {key} cannot be read: {error.strerror}", hint=hint) from error
    if text.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        private = f" {key.with_suffix('')} may be it." if key.suffix == ".pub" else ""
        raise MissingAuthError(f"{key} is a public key", expected="the private key beside it", hint=hint + private)
    try:
        paramiko.PKey.from_path(key)
    except Exception as error:
        # What a broken key makes a library of cryptography raise is an open list.
        if isinstance(error, paramiko.PasswordRequiredException) or (
            isinstance(error, TypeError | ValueError) and "password" in str(error).lower()
        ):
            raise MissingAuthError(
                f"the key {key} has a passphrase, and nobody is there to type it",
                hint="Make a key for the cluster that has none: ssh-keygen -t ed25519 -N '' -f KEY.",
            ) from error
        raise MissingAuthError(f"{key} is no private key that can be read", hint=hint) from error


def key_mode_warning(key: Path) -> str | None:
    """Return a warning when others may read the private key: ssh then refuses to use it."""
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
    except OSError:
        return None
    if mode & 0o077 == 0:
        return None
    return f"The key {key} can be read by others (mode {mode:o}), so ssh and rsync refuse it: chmod 600 {key}"

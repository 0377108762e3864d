"""Host keys: which machine is the one that we mean.

Keys are only ever compared with one ``known_hosts`` file. Trust is given by ``flambe-cluster trust``, which shows
fingerprints; nothing here accepts a key on its own.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flambe.cluster.errors import HostKeyError, SSHConnectingError

if TYPE_CHECKING:
    import paramiko


class HostKey(NamedTuple):
    """The public key of a machine, as OpenSSH writes it."""

    kind: str
    data: str

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint that ``ssh-keygen -lf`` prints."""
        digest = hashlib.sha256(base64.b64decode(self.data)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def entry_name(host: str, port: int) -> str:
    """Return how a machine is called in ``known_hosts``."""
    return host if port == 22 else f"[{host}]:{port}"


def host_key_of(key: paramiko.PKey) -> HostKey:
    """Return the plain form of a paramiko key."""
    return HostKey(key.get_name(), key.get_base64())


def known_keys(known_hosts: Path, host: str, port: int) -> list[HostKey]:
    """Return the keys that ``known_hosts`` has for a machine; none when the file does not exist."""
    from paramiko import HostKeys

    if not known_hosts.exists():
        return []
    found = HostKeys(str(known_hosts)).lookup(entry_name(host, port)) or {}
    return [host_key_of(found[kind]) for kind in found]


def offered_key(host: str, port: int, *, prefer: list[str], timeout_s: float) -> HostKey:
    """Ask a machine for its host key, without logging in. ``prefer``: kinds to ask for first.

    Raises ``SSHConnectingError`` when it does not answer.
    """
    import paramiko

    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            transport = paramiko.Transport(connection)
            try:
                options = transport.get_security_options()
                kinds = [kind for kind in options.key_types if kind in prefer]
                options.key_types = kinds + [kind for kind in options.key_types if kind not in prefer]
                transport.banner_timeout = timeout_s
                transport.start_client(timeout=timeout_s)
                return host_key_of(transport.get_remote_server_key())
            finally:
                transport.close()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise no_answer(host, port, error) from error


def no_answer(host: str, port: int, error: BaseException) -> SSHConnectingError:
    """Return the error for a machine that could not be reached, in words."""
    # paramiko tried each address of the name, and tells of none.
    causes = list(getattr(error, "errors", {}).values()) or [error]
    cause = causes[0]
    hint = None
    if isinstance(cause, ConnectionRefusedError):
        why, hint = (
            f"nothing listens on port {port}",
            "Is sshd running there? `port` of the cluster file names its port.",
        )
    elif isinstance(cause, socket.gaierror):
        why, hint = "no such host name", "Its address stands in the cluster file."
    elif isinstance(cause, TimeoutError):
        why = f"no connection to port {port} in time"
        hint = "Is the machine up, and does its firewall let this port through?"
    else:
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return SSHConnectingError(f"{entry_name(host, port)} does not answer: {why}", hint=hint)


def remember(known_hosts: Path, host: str, port: int, key: HostKey) -> None:
    """Add a machine to ``known_hosts``."""
    known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(known_hosts, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as stream:
        text = stream.read()
        stream.write("\n" if text and not text.endswith("\n") else "")
        stream.write(f"{entry_name(host, port)} {key.kind} {key.data}\n")


def unknown_host(known_hosts: Path, host: str, port: int, key: HostKey) -> HostKeyError:
    """Return the refusal of a machine that nobody has trusted yet."""
    return HostKeyError(
        f"{entry_name(host, port)} is not in {known_hosts}: its {key.kind} key has the fingerprint {key.fingerprint}",
        hint=f"Compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_{_short(key.kind)}_key.pub` prints on that "
        f"machine, then run: flambe-cluster trust FILE (or: ssh-keyscan -p {port} -t {_short(key.kind)} {host} "
        f">> {known_hosts}). Nothing was sent to it.",
    )


def changed_key(known_hosts: Path, host: str, port: int, key: HostKey, known: list[HostKey]) -> HostKeyError:
    """Return the refusal of a machine whose key is not the one that was trusted."""
    name = entry_name(host, port)
    expected = " or ".join(item.fingerprint for item in known)
    return HostKeyError(
        f"{name} answers with another {key.kind} key than before: {key.fingerprint}",
        expected=f"{expected} of {known_hosts}",
        hint="Somebody may be listening in between. Only if you know that the machine was installed anew: "
        f"ssh-keygen -R '{name}' -f {known_hosts}, then flambe-cluster trust FILE. Nothing was sent to it.",
    )


def _short(kind: str) -> str:
    return "ed25519" if "ed25519" in kind else "ecdsa" if "ecdsa" in kind else "rsa"

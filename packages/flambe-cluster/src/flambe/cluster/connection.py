"""One SSH connection to a machine: host key checked, one key only, never waiting for ever."""

from __future__ import annotations

import io
import shlex
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flambe.cluster.errors import ClusterError, ConnectionLost, MissingAuthError
from flambe.cluster.hostkey import changed_key, entry_name, host_key_of, no_answer, unknown_host
from flambe.cluster.keyfile import check_key

if TYPE_CHECKING:
    import paramiko

CONNECT_TIMEOUT_S = 5.0
HEARTBEAT_S = 3.0
SILENT_AFTER_S = 15.0
"""A machine that has not answered a heartbeat for so long is gone."""

_CHUNK = 65536


class Completed(NamedTuple):
    """How a command on a machine ended. code: its exit status, 128 + n when signal n killed it."""

    code: int
    stdout: bytes
    stderr: bytes


class Login(NamedTuple):
    """How machines are entered. key: private key file. known_hosts: the one file that host keys are compared with."""

    username: str
    key: Path
    known_hosts: Path
    port: int = 22


class Connection:
    """A connection to ``host``, which stays open until ``close``.

    Only ``login.key`` is offered (no agent, no other key, no password), and only to a machine whose host key is in
    ``login.known_hosts``. A thread asks the machine for an answer every ``HEARTBEAT_S``: TCP does not notice a cut cable
    for many minutes, and paramiko's own keepalive does not wait for its answers.

    Raises ``HostKeyError``, ``MissingAuthError``, ``SSHConnectingError``.
    """

    def __init__(self, host: str, login: Login, *, silent_after_s: float = SILENT_AFTER_S) -> None:
        self.host = host
        self.login = login
        self.silent_after_s = silent_after_s
        self.name = entry_name(host, login.port)
        self._lost = False
        self._closed = threading.Event()
        self._client = self._open()
        transport = self._client.get_transport()
        assert transport is not None
        self._transport = transport
        threading.Thread(target=self._watch, name=f"heartbeat {host}", daemon=True).start()

    def _open(self) -> paramiko.SSHClient:
        import paramiko

        login = self.login
        check_key(login.key)

        class Refuse(paramiko.MissingHostKeyPolicy):
            def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
                raise unknown_host(login.known_hosts, host, login.port, host_key_of(key))

        host = self.host
        client = paramiko.SSHClient()
        if login.known_hosts.exists():
            client.load_host_keys(str(login.known_hosts))
        client.set_missing_host_key_policy(Refuse())
        try:
            client.connect(
                host,
                port=login.port,
                username=login.username,
                key_filename=str(login.key),
                allow_agent=False,
                look_for_keys=False,
                timeout=CONNECT_TIMEOUT_S,
                banner_timeout=CONNECT_TIMEOUT_S * 2,
                auth_timeout=CONNECT_TIMEOUT_S * 2,
            )
        except ClusterError:
            client.close()
            raise
        except paramiko.BadHostKeyException as error:
            client.close()
            known = [host_key_of(error.expected_key)]
            raise changed_key(login.known_hosts, host, login.port, host_key_of(error.key), known) from error
        except paramiko.AuthenticationException as error:
            client.close()
            raise MissingAuthError(
                f"{self.name} does not let {login.username} in with the key {login.key}",
                hint=f"Put the text of {login.key}.pub into ~{login.username}/.ssh/authorized_keys on that machine. "
                "No other key is tried.",
            ) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            client.close()
            raise no_answer(host, login.port, error) from error
        return client

    @property
    def alive(self) -> bool:
        """Whether the machine answered lately."""
        return not self._lost and self._transport.is_active()

    def run(
        self,
        command: Sequence[str] | str,
        *,
        stdin: bytes = b"",
        on_stdout: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
        timeout_s: float | None = None,
    ) -> Completed:
        """Run a command and wait for its end.

        command: an argument list, which is quoted for the remote shell, or the text of a shell script.
        on_stdout, on_stderr: called with the bytes as they come; they are then not kept.
        timeout_s: no longer than this; None waits as long as the machine answers heartbeats.

        Raises ``ConnectionLost`` when the machine is gone before the command ended, or at ``timeout_s``.
        """
        script = command if isinstance(command, str) else shlex.join(command)
        # Without the outer shell a command killed by a signal has no exit status, which looks like a lost connection.
        line = shlex.join(["sh", "-c", 'sh -c "$1"; exit $?', "sh", script])
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            channel = self._transport.open_session(timeout=CONNECT_TIMEOUT_S * 2)
        except Exception as error:
            raise self._loss(script, error) from error
        stdout, stderr = io.BytesIO(), io.BytesIO()
        keep_out, keep_err = on_stdout or stdout.write, on_stderr or stderr.write
        try:
            channel.settimeout(0.5)
            channel.exec_command(line)
            feeder = threading.Thread(target=_feed, args=(channel, stdin), daemon=True)
            feeder.start()
            reader = threading.Thread(target=_drain, args=(channel.recv_stderr, keep_err), daemon=True)
            reader.start()
            _drain(channel.recv, keep_out, deadline)
            if deadline is not None and time.monotonic() >= deadline and not channel.exit_status_ready():
                raise ConnectionLost(f"{self.name}: no end after {timeout_s:g} s: {_shortened(script)}")
            reader.join()
            code = channel.recv_exit_status()
        except ConnectionLost:
            raise
        except Exception as error:
            raise self._loss(script, error) from error
        finally:
            channel.close()
        if code == -1:
            raise self._loss(script, None)
        return Completed(code, stdout.getvalue(), stderr.getvalue())

    def close(self) -> None:
        """Hang up."""
        self._closed.set()
        self._client.close()

    def _watch(self) -> None:
        """Ask for an answer again and again; hang up when none comes."""
        while not self._closed.wait(HEARTBEAT_S):
            asked = threading.Thread(target=self._ask, daemon=True)
            asked.start()
            asked.join(self.silent_after_s)
            if asked.is_alive() or not self._transport.is_active():
                if not self._closed.is_set():
                    self._lost = True
                    # Wakes whoever reads: they see the end of the stream and the exit status -1.
                    self._transport.close()
                return

    def _ask(self) -> None:
        try:
            self._transport.global_request("keepalive@openssh.com", wait=True)
        except (OSError, EOFError):
            self._lost = True

    def _loss(self, script: str, error: BaseException | None) -> ConnectionLost:
        why = f": {error}" if error is not None and str(error) else ""
        return ConnectionLost(
            f"the connection to {self.name} was lost{why} while it ran: {_shortened(script)}",
            hint="Whether the command ended there is not known.",
        )


def _feed(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        # The command ended without reading all of it, or the connection is gone; the reader tells which.
        return


def _drain(
    read: Callable[[int], bytes],
    keep: Callable[[bytes], object],
    deadline: float | None = None,
) -> None:
    while True:
        try:
            data = read(_CHUNK)
        except (TimeoutError, socket.timeout):  # noqa: UP041 - paramiko raises socket's own on old versions
            if deadline is not None and time.monotonic() >= deadline:
                return
            # Also of a channel that was closed meanwhile: what came before that is still to be read, and then its end.
            continue
        if not data:
            return
        keep(data)


def _shortened(script: str) -> str:
    first = script.strip().splitlines()[0] if script.strip() else ""
    return first if len(first) <= 80 and first == script.strip() else first[:77] + "…"

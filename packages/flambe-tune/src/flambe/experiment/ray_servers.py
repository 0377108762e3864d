"""``RayServers``: the Ray that a pool's workers live in, of our own or one that runs already: its start, its loss, its end.

The embedded Ray listens on loopback only, behind a token, without a dashboard, and ends when we end (``warden``).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import ray

from flambe.errors import MachineError
from flambe.experiment import warden
from flambe.experiment.apart import apart, with_our_handlers
from flambe.experiment.lifeline import Lifeline

_OBJECT_STORE_BYTES = 200_000_000
_GONE_S, _CUT_S = 1.5, 20.0
"""After how long servers are given up whose machine refuses connections, or does not answer."""
_JOIN_S = 10.0
"""How long a Ray that is to be joined may take to answer."""
_COUNT_S = 5.0
"""How often the resources of a Ray that is joined are counted: machines come and go."""


class RayServers:
    """A Ray that we started, or joined at ``address`` (``host:port`` or ``auto``); a token is taken from ``RAY_AUTH_TOKEN`` or
    ``RAY_AUTH_TOKEN_PATH`` as Ray does. cpus, gpus: of one that we start; gpus is None for all that are found.

    lifeline: for the workers on one that we joined; one of our own ends with us as a whole. Raises MachineError when it cannot be
    started or joined.
    """

    def __init__(self, address: str | None, *, cpus: int, gpus: float | None = None) -> None:
        self.embedded = address is None
        self._warden: subprocess.Popen[bytes] | None = None
        self.lifeline: Lifeline | None = None
        try:
            if address is None:
                self._start(cpus, gpus)
            else:
                # Ray would try for ten minutes.
                if (
                    address.rpartition(":")[2].isdigit()
                    and (silent := _silence(address, timeout_s=_JOIN_S)) is not None
                ):
                    raise silent
                own = own_address(address)
                options = {} if own is None else {"_node_ip_address": own}
                with with_our_handlers():
                    ray.init(address=address, log_to_driver=False, logging_level="ERROR", namespace="flambe", **options)
            context = ray.get_runtime_context()
            self._head: str = context.gcs_address
            mine = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
            # Ray gives up all workers of a command whose own node is lost, and tells the command nothing.
            self._node = f"{mine['NodeManagerAddress']}:{mine['NodeManagerPort']}"
            if not self.embedded:
                with suppress(OSError):  # the node may be elsewhere (``ray://``)
                    self.lifeline = Lifeline(mine["NodeManagerAddress"])
        except Exception as error:
            self.close()
            what = "cannot start Ray" if address is None else f"cannot join the Ray at {address}"
            hint = (
                "--runner local runs without Ray."
                if address is None
                else "Is it running there, of this Ray version, and is its token in RAY_AUTH_TOKEN?"
            )
            raise MachineError(f"{what}: {str(error).strip().partition(chr(10))[0]}", hint=hint) from error
        except KeyboardInterrupt:
            self.close()
            raise
        self._counted_s = 0.0
        self._most = {"cpus": 0.0, "gpus": 0.0}
        self._silent_since_s: float | None = None

    def most(self) -> dict[str, float]:
        """Return the most ``cpus`` and ``gpus`` that there have been: machines may join, and one that is lost is waited for."""
        now = time.monotonic()
        if not self._counted_s or (not self.embedded and now - self._counted_s > _COUNT_S and self._knock() is None):
            self._counted_s = now
            total = ray.cluster_resources()
            now_there = {"cpus": float(total.get("CPU", 0.0)), "gpus": float(total.get("GPU", 0.0))}
            self._most = {name: max(count, self._most[name]) for name, count in now_there.items()}
        return self._most

    def heard(self) -> None:
        """Take note that a worker answered, so that its Ray is there."""
        self._silent_since_s = None

    def answer(self) -> bool:
        """Return whether the head and the node of this machine answer; raise MachineError when one is gone.

        Left alone Ray waits for a minute, in any call that needs the head, and then ends this process with a dump; without the
        node it waits for ever.
        """
        silent = self._knock()
        now = time.monotonic()
        if silent is None:
            self._silent_since_s = None
            return True
        self._silent_since_s = self._silent_since_s or now
        address, error = silent
        # A machine that refuses is there, and its Ray is not; what does not answer may be a network that comes back.
        if now - self._silent_since_s > (_GONE_S if isinstance(error, ConnectionRefusedError) else _CUT_S):
            again = "the same command again: it goes on from what was kept."
            if self.embedded:
                raise MachineError("the Ray of this run is gone", hint=f"Give {again}")
            if address == self._head:
                raise MachineError(f"the Ray at {self._head} is gone", hint=f"Start it there, then give {again}")
            raise MachineError(
                f"this machine's node of the Ray at {self._head} is gone", hint=f"Start it here, then give {again}"
            )
        return False

    def wait(self) -> None:
        """Return when they answer; raise MachineError when they do not any more."""
        while not self.answer():
            time.sleep(0.1)

    def close(self) -> None:
        """End a Ray of our own, leave another."""
        if ray.is_initialized():
            ray.shutdown()
        if self.lifeline is not None:
            self.lifeline.close()
            self.lifeline = None
        if self._warden is not None and self._warden.stdin is not None:
            self._warden.stdin.close()
            self._warden = None

    def _start(self, cpus: int, gpus: float | None) -> None:
        # Short, for the names of sockets below it may have 107 letters.
        folder = tempfile.mkdtemp(prefix="flambe-ray-", dir="/tmp" if os.path.isdir("/tmp") else None)  # noqa: S108
        self._warden = subprocess.Popen(
            [sys.executable, "-I", "-S", warden.__file__, folder, str(os.getpid())],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        with apart(self._warden.pid):
            ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=_OBJECT_STORE_BYTES,
                namespace="flambe",
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
            )

    def _knock(self) -> tuple[str, OSError] | None:
        """Return which address does not answer and why, None when both do."""
        for address in (self._head, self._node):
            if (error := _silence(address, timeout_s=1.0)) is not None:
                return address, error
        return None


def _silence(address: str, timeout_s: float) -> OSError | None:
    """Return why nothing answers at ``host:port``, None when something does."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except OSError as error:
        return error
    return None


def own_address(address: str) -> str | None:
    """Return the host of a Ray's ``host:port`` as an IP address if it is one of this machine, else None.

    Ray guesses which of this machine's addresses is the node's, from the route to the Internet; on a machine with two
    networks it may find no node there.
    """
    host = address.rpartition(":")[0]
    if "://" in address or not host:
        return None
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))  # only an address of this machine can be bound
        own: str = probe.getsockname()[0]
        return None if own == "0.0.0.0" else own  # noqa: S104 - no address of one network card
    return None

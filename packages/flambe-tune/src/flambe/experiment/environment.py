"""The surroundings of a worker process, set before numpy or torch are loaded. Imports nothing heavy."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_QUIET = {
    # Nobody asks our own Ray about its tasks; it would keep 5 kB of each.
    "RAY_task_events_report_interval_ms": "0",
    # What waits for an answer of servers on this machine that are gone need not do so for a minute.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker process: fixed thread counts, and byte code may be written.

    With ``PYTHONDONTWRITEBYTECODE`` every new process would compile torch again: 3.5 s instead of 1.3 s.
    """
    variables = dict(os.environ)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    variables.update((name, str(threads)) for name in THREAD_VARIABLES)
    return variables


def set_threads(count: int) -> None:
    """Fix the number of threads of numerical libraries that are not loaded yet."""
    os.environ.update((name, str(count)) for name in THREAD_VARIABLES)


def protect_stdout() -> None:
    """Point descriptor 1 at stderr: what user code prints must not get into the command's data."""
    sys.stdout.flush()
    os.dup2(2, 1)


def log_from_info() -> None:
    """Let this process log from INFO up, which the logs of units get anyway: changing it twice a step costs time."""
    logging.getLogger().setLevel(logging.INFO)


@contextmanager
def ray_environment(*, embedded: bool) -> Iterator[None]:
    """Set the environment for a Ray that is started (embedded) or joined; afterwards it is as it was.

    Ray reads how it authenticates when it is imported, so this comes first. A Ray of our own gets a token that only its
    own processes know, unless this process has imported Ray without one.
    """
    before = dict(os.environ)
    if embedded:
        # Ray's processes take our environment with them.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.update(_QUIET)
        # Makes 127.0.0.1 the address of the node and every server listen there only; Ray would take the host's own.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if "ray" not in sys.modules:
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        elif os.environ.get("RAY_AUTH_MODE") == "token":
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        set_threads(1)
    else:
        # Of attempts to join; one takes up to 40 s.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
        if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

"""The surroundings of a worker process, set before numpy or torch are loaded. Imports nothing heavy."""

from __future__ import annotations

import os
import sys

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


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

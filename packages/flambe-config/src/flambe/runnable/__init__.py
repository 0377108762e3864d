"""What users subclass or start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

if TYPE_CHECKING:
    from flambe.runnable.environment import Environment, RemoteEnvironment
    from flambe.runnable.runnable import ClusterRunnable, Runnable

__all__ = ["ClusterRunnable", "Environment", "RemoteEnvironment", "Runnable"]

__getattr__ = lazily(
    __name__,
    {
        "ClusterRunnable": "runnable",
        "Environment": "environment",
        "RemoteEnvironment": "environment",
        "Runnable": "runnable",
    },
)

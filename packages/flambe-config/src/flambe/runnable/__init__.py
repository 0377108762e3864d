"""What users subclass or start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

if TYPE_CHECKING:
    from flambe.runnable.environment import Environment, RemoteEnvironment
    from flambe.runnable.function import Function
    from flambe.runnable.runnable import ClusterRunnable, Runnable
    from flambe.runnable.script import Script

__all__ = ["ClusterRunnable", "Environment", "Function", "RemoteEnvironment", "Runnable", "Script"]

__getattr__ = lazily(
    __name__,
    {
        "ClusterRunnable": "runnable",
        "Environment": "environment",
        "Function": "function",
        "RemoteEnvironment": "environment",
        "Runnable": "runnable",
        "Script": "script",
    },
)

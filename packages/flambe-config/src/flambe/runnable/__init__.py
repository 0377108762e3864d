"""What users subclass or start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

if TYPE_CHECKING:
    from flambe.runnable.config_dict import ConfigDict
    from flambe.runnable.context import Context
    from flambe.runnable.environment import Environment, RemoteEnvironment
    from flambe.runnable.function import Function
    from flambe.runnable.launch import Task, launch
    from flambe.runnable.runnable import ClusterRunnable, Runnable
    from flambe.runnable.script import Script

__all__ = [
    "ClusterRunnable",
    "ConfigDict",
    "Context",
    "Environment",
    "Function",
    "RemoteEnvironment",
    "Runnable",
    "Script",
    "Task",
    "launch",
]

__getattr__ = lazily(
    __name__,
    {
        "ClusterRunnable": "runnable",
        "ConfigDict": "config_dict",
        "Context": "context",
        "Environment": "environment",
        "Function": "function",
        "RemoteEnvironment": "environment",
        "Runnable": "runnable",
        "Script": "script",
        "Task": "launch",
        "launch": "flambe.runnable.launch",
    },
)

"""The documented home of ``ClusterRunnable``; it is defined beside ``Runnable``."""

from __future__ import annotations

from flambe.runnable.runnable import ClusterRunnable

__all__ = ["ClusterRunnable"]

"""What users subclass or start from."""

from flambe.runnable.environment import RemoteEnvironment
from flambe.runnable.runnable import ClusterRunnable, Runnable

__all__ = ["ClusterRunnable", "RemoteEnvironment", "Runnable"]

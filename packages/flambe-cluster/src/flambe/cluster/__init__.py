"""Machines: SSH hosts and clouds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "AWSCluster": "flambe.cluster.providers.aws",
    "Cluster": "flambe.cluster.cluster",
    "ClusterConfigurationError": "flambe.cluster.errors",
    "ClusterError": "flambe.cluster.errors",
    "SSHCluster": "flambe.cluster.providers.ssh",
}

__all__ = ["AWSCluster", "Cluster", "ClusterConfigurationError", "ClusterError", "SSHCluster"]

if TYPE_CHECKING:
    from flambe.cluster.cluster import Cluster
    from flambe.cluster.errors import ClusterConfigurationError, ClusterError
    from flambe.cluster.providers.aws import AWSCluster
    from flambe.cluster.providers.ssh import SSHCluster


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value

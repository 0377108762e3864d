"""Machines: SSH hosts and clouds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = ["AWSCluster", "Cluster", "ClusterConfigurationError", "ClusterError", "SSHCluster"]

__getattr__ = lazily(
    __name__,
    {
        "AWSCluster": "flambe.cluster.providers.aws",
        "Cluster": "cluster",
        "ClusterConfigurationError": "errors",
        "ClusterError": "errors",
        "SSHCluster": "flambe.cluster.providers.ssh",
    },
)

if TYPE_CHECKING:
    from flambe.cluster.cluster import Cluster
    from flambe.cluster.errors import ClusterConfigurationError, ClusterError
    from flambe.cluster.providers.aws import AWSCluster
    from flambe.cluster.providers.ssh import SSHCluster

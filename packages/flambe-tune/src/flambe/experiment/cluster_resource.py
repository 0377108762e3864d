"""``ClusterResource``: a resource that only the machines of a cluster have. In YAML it is ``!cluster PATH``."""

from __future__ import annotations


class ClusterResource(str):
    """A path or URL that the machines of a cluster reach, and that nobody looks for, copies or downloads before."""

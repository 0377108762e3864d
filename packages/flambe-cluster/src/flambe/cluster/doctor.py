"""``flambe-cluster doctor``: what would keep a cluster from working."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from flambe.cluster.cluster import Cluster
from flambe.cluster.errors import ClusterError, MissingAuthError
from flambe.cluster.host import Host
from flambe.cluster.hostkey import known_keys
from flambe.cluster.install import wanted
from flambe.cluster.keyfile import check_key, key_mode_warning

LEAST_FREE_GB = 5.0


def examine(cluster: Cluster, report: Callable[[dict[str, Any]], None]) -> bool:
    """Report every check as an event and return whether all are well. Nothing is changed anywhere."""
    failed: list[str] = []

    def check(what: str, ok: bool, detail: str, host: Host | None = None) -> None:
        if not ok:
            failed.append(what)
        report({"event": "check", "host": host.name if host else None, "check": what, "ok": ok, "detail": detail})

    for program in ("rsync", "ssh"):
        place = shutil.which(program)
        check(program, place is not None, place or f"not installed here: apt install {program}")
    key = cluster.login.key
    try:
        check_key(key)
        warning = key_mode_warning(key)
    except MissingAuthError as error:
        warning = str(error)
    check("key", warning is None, warning or str(key))
    for host in cluster.hosts:
        known = known_keys(cluster.login.known_hosts, host.address, cluster.login.port)
        check(
            "host key",
            bool(known),
            ", ".join(one.fingerprint for one in known) or "unknown: flambe-cluster trust",
            host,
        )
        try:
            host.connect()
            facts = cluster.examine(host)
        except ClusterError as error:
            check("connection", False, str(error), host)
            continue
        check("connection", True, f"{facts['hostname']}, Python {facts['python']}", host)
        check("rsync", facts["rsync"], "there" if facts["rsync"] else "missing: add it to setup_cmds", host)
        free = facts["free"] / 2**30
        check("disk", free >= LEAST_FREE_GB, f"{free:.1f} GB free in {facts['workdir']}", host)
        other = {name for name, version in wanted().items() if facts["versions"].get(name) != version}
        detail = "other or missing: " + ", ".join(sorted(other)) if other else "the same as here"
        check("flambe", not other or cluster.python is None, detail, host)
    return not failed

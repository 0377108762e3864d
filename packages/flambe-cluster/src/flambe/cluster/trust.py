"""``flambe-cluster trust``: a person looks at fingerprints and says yes."""

from __future__ import annotations

import sys

import click

from flambe.cluster.cluster import Cluster
from flambe.cluster.connection import CONNECT_TIMEOUT_S
from flambe.cluster.errors import ClusterError
from flambe.cluster.hostkey import changed_key, entry_name, known_keys, offered_key, remember
from flambe.errors import UsageError


def trust_all(cluster: Cluster, *, yes: bool) -> None:
    """Report each machine's host key and add the unknown ones to ``known_hosts``, after a question.

    Raises ``HostKeyError`` for a machine whose known key has changed, ``UsageError`` when there is nobody to ask.
    """
    login = cluster.login
    found = []
    for host in cluster.hosts:
        known = known_keys(login.known_hosts, host.address, login.port)
        key = offered_key(host.address, login.port, prefer=[one.kind for one in known], timeout_s=CONNECT_TIMEOUT_S)
        if known and key not in known:
            raise changed_key(login.known_hosts, host.address, login.port, key, known)
        found.append((host, key, bool(known)))
        cluster.report(
            {
                "event": "host-key",
                "host": host.name,
                "address": entry_name(host.address, login.port),
                "kind": key.kind,
                "fingerprint": key.fingerprint,
                "known": bool(known),
            }
        )
    new = [(host, key) for host, key, known in found if not known]
    if not new:
        return
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(
                f"{len(new)} machines are unknown, and there is nobody to ask whether their fingerprints are right",
                hint="Run it on a terminal, or add --yes when nobody can sit in between.",
            )
        for host, key in new:
            click.echo(f"{host.name} {host.address}: {key.kind} {key.fingerprint}", err=True)
        if not click.confirm(f"Are these the machines, and shall they be added to {login.known_hosts}?", err=True):
            raise ClusterError("no machine was added")
    for host, key in new:
        remember(login.known_hosts, host.address, login.port, key)

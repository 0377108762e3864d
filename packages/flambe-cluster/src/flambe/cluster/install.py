"""Putting flambe on a machine: exactly the version that is here."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flambe.cluster import transfer, wheel
from flambe.cluster.errors import ClusterError, RemoteCommandError
from flambe.cluster.host import Host

NOT_NEEDED = frozenset({"flambe-cluster", "flambe-report"})
"""These two are for the user's machine."""


def wanted() -> dict[str, str]:
    """Return name → version of what a machine has to have."""
    return {name: version for name, version in wheel.versions().items() if name not in NOT_NEEDED}


def prepare(host: Host, workdir: str, python: str | None) -> dict[str, Any]:
    """Make sure that the machine has this flambe. Returns what was done, for the report.

    python: an interpreter there that has to have it already; None: it is installed into ``<workdir>/venv``.

    Raises ``ClusterError``.
    """
    if not host.facts["rsync"]:
        raise ClusterError(f"{host.name} has no rsync", hint="Add it to setup_cmds: sudo apt-get install -y rsync")
    if python is not None:
        _compare(host, python)
        return {"flambe": host.facts["versions"].get("flambe-config"), "installed": False}
    digests = wheels_here()
    if host.facts["wheels"] == digests:
        return {"flambe": host.facts["versions"].get("flambe-config"), "installed": False}
    _install(host, digests)
    host.python = f"{host.workdir}/venv/bin/python"
    host.examine(workdir)
    _compare(host, host.python)
    return {"flambe": host.facts["versions"].get("flambe-config"), "installed": True}


def _compare(host: Host, python: str) -> None:
    theirs: Mapping[str, str] = host.facts["versions"]
    other = {name: theirs.get(name) for name, version in wanted().items() if theirs.get(name) != version}
    if other:
        lines = [f"{name} {found or 'missing'} (here {wanted()[name]})" for name, found in other.items()]
        raise ClusterError(
            f"{host.name}: {python} has another flambe: {', '.join(lines)}",
            hint="Install the same versions there, or leave `python` out and it is done for you.",
        )


@cache
def _packed() -> tuple[tempfile.TemporaryDirectory[str], dict[str, str]]:
    folder = tempfile.TemporaryDirectory(prefix="flambe-wheels-")
    digests = {}
    for name, distribution in wheel.distributions().items():
        if name not in NOT_NEEDED:
            path = wheel.pack(distribution, Path(folder.name))
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (Path(folder.name) / "constraints.txt").write_text("\n".join(wheel.constraints()) + "\n")
    return folder, digests


def wheels_here() -> dict[str, str]:
    """Return file name → SHA-256 of the wheels of the flambe that is installed here."""
    return _packed()[1]


def _install(host: Host, digests: dict[str, str]) -> None:
    if tuple(int(part) for part in host.facts["python"].split(".")[:2]) < (3, 11):
        raise ClusterError(
            f"{host.name} has Python {host.facts['python']}", expected="3.11 or newer",
            hint="Let setup_cmds install one, or name one with `python`.",
        )  # fmt: skip
    folder, venv = f"{host.workdir}/wheels", f"{host.workdir}/venv"
    host.ask("make_dirs", paths=[folder])
    transfer.push(host.login, host.address, Path(_packed()[0].name), folder, options=["--delete", "--checksum"])
    steps = [
        [host.facts["executable"], "-m", "venv", venv],
        [
            f"{venv}/bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--upgrade",
            "--force-reinstall", "--no-deps", *(f"{folder}/{name}" for name in digests),
        ],
        [
            f"{venv}/bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off",
            "--constraint", f"{folder}/constraints.txt", *(f"{folder}/{name}" for name in digests),
        ],
    ]  # fmt: skip
    for step in steps:
        done = host.run(step)
        if done.code:
            # pip says what went wrong on stderr, and why (who asked for which version) on stdout.
            lines = (
                done.stderr.decode(errors="replace").splitlines()[:3]
                + done.stdout.decode(errors="replace").splitlines()[-7:]
            )
            raise RemoteCommandError(
                f"{host.name}: {' '.join(step[:5])} … ended with {done.code}: {' / '.join(line.strip() for line in lines if line.strip())}",
                hint="Debian and Ubuntu need: apt-get install -y python3-venv (setup_cmds)."
                if "venv" in step
                else None,
            )
    # Last: an installation that was cut off has no such file, and is done again.
    host.ask("write", path=f"{venv}/flambe-wheels.json", text=json.dumps(digests), mode=0o644)

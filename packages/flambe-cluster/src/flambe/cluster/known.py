"""What this machine remembers of clusters: which file describes one, and its last job. No secrets.

``<user state folder>/flambe/clusters/<name>.json``. It is a convenience (a cluster can be called by its name); the truth
about a cluster is on its orchestrator.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from platformdirs import user_state_path

from flambe.cluster.errors import ClusterConfigurationError
from flambe.errors import did_you_mean
from flambe.record.run import now, replace_file


class Known(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A cluster that `up` or `submit` was called for from here. file: absolute path of its description."""

    name: str
    file: str
    id: str | None = None
    ray: str | None = None
    hosts: dict[str, str] = {}
    last_job: str | None = None
    changed: str = ""


def folder() -> Path:
    """Return where clusters are remembered."""
    return user_state_path("flambe") / "clusters"


def recall(name: str) -> Known | None:
    """Return what is remembered of a cluster, None when nothing is."""
    try:
        return msgspec.json.decode((folder() / f"{name}.json").read_bytes(), type=Known)
    except (OSError, msgspec.MsgspecError):
        return None


def remember(known: Known) -> None:
    """Write down a cluster."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    known.changed = now()
    replace_file(place / f"{known.name}.json", msgspec.json.format(msgspec.json.encode(known), indent=1))


def forget(name: str) -> None:
    """Forget a cluster."""
    (folder() / f"{name}.json").unlink(missing_ok=True)


def file_of(word: str) -> str:
    """Return the file that describes a cluster: ``word`` itself, or the one of the cluster called so.

    Raises ``ClusterConfigurationError``.
    """
    if os.path.exists(word) or word == "-":
        return word
    known = recall(word) if "/" not in word and not word.startswith(".") else None
    if known is not None and os.path.exists(known.file):
        return known.file
    names = sorted(path.stem for path in folder().glob("*.json")) if folder().is_dir() else []
    if known is not None:
        raise ClusterConfigurationError(
            f"the cluster {word} was described by {known.file}, which is there no more",
            hint=f"Name the file where it is now: flambe-cluster up FILE makes {word} known again.",
        )
    raise ClusterConfigurationError(
        f"there is no file {word}, and no cluster of this name was made known by `up` or `submit` from here",
        expected="a cluster file" + (f", or one of the clusters {', '.join(names)}" if names else ""),
        hint=did_you_mean(word, names) or "flambe-cluster up FILE makes a cluster known by its name.",
    )

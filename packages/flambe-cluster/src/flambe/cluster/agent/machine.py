"""What a machine is, and small things done to its files."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys

from .files import Refusal, Result, read_json, resolve, write_file
from .processes import boot
from .ray_node import node_state


def probe(workdir: str) -> Result:
    """Describe this machine and its interpreter."""
    import sysconfig
    from importlib import metadata

    versions: dict[str, str] = {}
    for found in metadata.distributions():
        name = (found.metadata["Name"] or "").lower().replace("_", "-")
        if name == "ray" or name == "flambe" or name.startswith("flambe-"):
            versions.setdefault(name, found.version)
    folder = resolve(workdir)
    if sys.platform != "linux":
        raise Refusal(f"this is {sys.platform}, machines of a cluster run Linux")
    gpus = 0
    with contextlib.suppress(OSError):
        gpus = len(os.listdir("/proc/driver/nvidia/gpus"))
    with open("/proc/meminfo") as stream:
        memory = int(stream.readline().split()[1]) * 1024
    existing = folder
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    return {
        "hostname": socket.gethostname(),
        "boot": boot(),
        "home": os.path.expanduser("~"),
        "workdir": folder,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "executable": sys.executable,
        "scripts": sysconfig.get_path("scripts"),
        "versions": versions,
        "cpus": len(os.sched_getaffinity(0)),
        "gpus": gpus,
        "memory": memory,
        "free": shutil.disk_usage(existing).free,
        "load": os.getloadavg()[0],
        "rsync": shutil.which("rsync") is not None,
        "cluster": read_json(os.path.join(folder, "cluster.json")),
        "wheels": read_json(os.path.join(folder, "venv", "flambe-wheels.json")),
        "node": node_state(folder),
    }


def write(path: str, text: str, mode: int) -> Result:
    """Write a small file that may hold a secret."""
    write_file(resolve(path), text, mode)
    return {"path": resolve(path)}


def make_dirs(paths: list[str]) -> Result:
    """Make folders, with those above them."""
    for path in paths:
        os.makedirs(resolve(path), exist_ok=True)
    return {}


def has_dir(path: str) -> Result:
    """Return whether there is such a folder."""
    return {"exists": os.path.isdir(resolve(path))}


def remove_dir(path: str, content_only: bool) -> Result:
    """Remove a folder, or what is in it."""
    folder = resolve(path)
    if folder in ("/", os.path.expanduser("~")):
        raise Refusal(f"{folder} is not removed")
    if os.path.isdir(folder):
        shutil.rmtree(folder)
    if content_only:
        os.makedirs(folder, exist_ok=True)
    return {"path": folder}


def missing_modules(modules: list[str]) -> Result:
    """Return which of these top-level modules this interpreter does not find."""
    from importlib.util import find_spec

    return {"missing": [name for name in modules if find_spec(name) is None]}


def clean(workdir: str, cluster: str) -> Result:
    """Remove the folder of a cluster, and no other folder."""
    folder = resolve(workdir)
    mark = read_json(os.path.join(folder, "cluster.json"))
    if mark is None:
        return {"removed": False}
    if mark.get("id") != cluster:
        raise Refusal("{} belongs to another cluster ({})".format(folder, mark.get("id")))
    shutil.rmtree(folder)
    return {"removed": True}

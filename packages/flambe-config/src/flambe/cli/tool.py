"""The six commands: which one runs a spec, where it is, and how this process becomes it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from flambe.cli.streams import claim_stdout
from flambe.errors import FlambeError, UsageError

if TYPE_CHECKING:
    from flambe.spec.nodes import Spec


class Tool(NamedTuple):
    """One of the commands. package: the distribution that brings it."""

    package: str
    summary: str


TOOLS = {
    "compile": Tool("flambe-config", "YAML → spec, checked before anything runs"),
    "train": Tool("flambe-nn", "run concrete specs in this process, with PyTorch"),
    "tune": Tool("flambe-tune", "run a spec with its search, over Ray or here"),
    "cluster": Tool("flambe-cluster", "machines: up, submit, fetch, down"),
    "report": Tool("flambe-report", "run directories as tables and pages"),
    "build": Tool("flambe-export", "a saved component, ready to ship"),
    "site": Tool("flambe-report", "the report page, as in version 0.4"),
}


def tool_for(spec: Spec, *, cluster: str | None = None, file: str = "-") -> tuple[str, list[str]]:
    """Return the tool that runs a spec, and its arguments; the spec comes to it on stdin."""
    from flambe.spec.nodes import NEW, is_concrete

    if cluster is not None:
        return "cluster", ["submit", cluster]
    if spec.kind == "runnable":
        target = str(spec.stages[0].body[NEW])
        if target.startswith("flambe.export") and target.endswith(":Builder"):
            return "build", ["-"]
        if target.startswith("flambe.cluster"):
            if file == "-" or spec.source.overrides:
                raise UsageError("a cluster is read from its file, as it is", hint="Change the file.")
            return "cluster", ["up", file]
    if spec.kind == "function" and is_concrete(spec):
        return "exec", ["-"]  # no library is loaded that the function does not load itself
    return ("train" if is_concrete(spec) else "tune"), ["-"]


def is_installed(name: str) -> bool:
    """Whether ``flambe-NAME`` is there."""
    try:
        return bool(find_tool(name))
    except FlambeError:
        return False


def find_tool(name: str) -> str:
    """Return the path of ``flambe-NAME``: beside this program first, then on the path.

    Raises FlambeError with the install line when it is not there.
    """
    program = "flambe" if name == "exec" else f"flambe-{name}"
    for folder in dict.fromkeys((os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable))):
        found = shutil.which(program, path=folder)
        if found:
            return found
    found = shutil.which(program)
    if found is None:
        package = TOOLS[name].package if name in TOOLS else program
        raise FlambeError(f"{program} is not installed", hint=f"pip install {package}.")
    return found


def become(name: str, arguments: Sequence[str], spec: Spec | None = None) -> None:
    """Replace this process by ``flambe-NAME``, with the spec as its stdin: one pid, its signals, its exit code."""
    path = find_tool(name)
    if spec is not None:
        from flambe.spec.codec import dump_spec

        os.dup2(_as_file(dump_spec(spec) + b"\n"), 0)
    sys.stdout.flush()
    sys.stderr.flush()
    # The door keeps descriptor 1 for data; the tool's own door wants it back.
    os.dup2(claim_stdout().fileno(), 1)
    words = ["exec", *arguments] if name == "exec" else arguments
    os.execv(path, [path, *words])  # noqa: S606 - no shell is wanted


def _as_file(data: bytes) -> int:
    """Return a descriptor that reads ``data``; a file without a name, so nothing is left behind."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("spec")
    else:
        import tempfile

        with tempfile.TemporaryFile() as stream:
            descriptor = os.dup(stream.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

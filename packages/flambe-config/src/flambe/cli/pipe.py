"""The pipe that does what ``flambe run`` does, with every option in force, for a person to read and a shell to run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from flambe.spec.nodes import Spec


class Asked(NamedTuple):
    """What was asked of ``flambe run``. debug, devices, output: as given there, not what the file says already."""

    file: str
    overrides: Sequence[str] = ()
    debug: bool = False
    devices: dict[str, float] = {}
    output: str | None = None
    install: bool = False
    secrets: str | None = None
    force: bool = False


def pipe(name: str, arguments: Sequence[str], spec: Spec, asked: Asked) -> tuple[str, list[str]]:
    """Return the pipe that ends in the tool ``name``, and the options that no pipe can have: only the spec has them."""
    program = ["flambe", "exec"] if name == "exec" else [f"flambe-{name}"]
    tool = [*program, *(word for word in arguments if word != "-")]
    left: list[str] = []
    if name == "exec" and asked.output is not None:
        tool += ["--output-dir", asked.output]
    elif asked.output is not None and "--output-dir" not in tool:
        left.append(f"--output {asked.output}")
    shown = shlex.join(tool)
    settings = []
    if asked.secrets is not None and "--secrets" not in tool:
        settings.append(f"FLAMBE_SECRETS={shlex.quote(asked.secrets)}")
    if asked.force and "--force" not in tool:
        settings.append("FLAMBE_FORCE=1")
    shown = " ".join([*settings, shown])
    if "up" in arguments:
        return shown, left
    compiled = ["flambe-compile", *(["-i"] if asked.install else []), asked.file, *asked.overrides]
    if _is_experiment(spec):
        compiled += ["debug=true"] if asked.debug else []
        if asked.devices and spec.devices:
            amounts = ", ".join(f"{kind}: {amount:g}" for kind, amount in spec.devices.items())
            compiled.append(f"devices={{{amounts}}}")
    else:
        left += ["--debug"] if asked.debug else []
        left += [f"--num-{kind} {amount:g}" for kind, amount in asked.devices.items()]
    return f"{shlex.join(compiled)} | {shown}", left


def _is_experiment(spec: Spec) -> bool:
    """Whether the config is an ``!Experiment``, whose parameters overrides can set; a ``!Pipeline`` has not these."""
    lines = (line for file in spec.source.files for line in file.text.splitlines())
    return spec.kind == "experiment" and not any(line.startswith("!Pipeline") for line in lines)

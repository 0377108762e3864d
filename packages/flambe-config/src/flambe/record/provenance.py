"""Where a run came from: its sources, command, interpreter and installed distributions."""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from typing import Any

from flambe.record import layout
from flambe.record.run import Command, replace_file
from flambe.spec.codec import dump_json
from flambe.spec.nodes import NEW, Spec

_FIELD = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", re.MULTILINE)


def write_sources(paths: layout.RunPaths, spec: Spec) -> None:
    """Write what was asked for, as it was written and resolved, and what was installed. ``spec.json`` comes last."""
    replace_file(paths.root / layout.CONFIG, spec_to_yaml(spec).encode())
    if spec.source.files:
        replace_file(paths.root / layout.RAW_CONFIG, spec.source.files[0].text.encode())
    replace_file(paths.root / layout.REQUIREMENTS, "".join(f"{line}\n" for line in installed_requirements()).encode())
    replace_file(paths.spec, dump_json(spec), durable=True)


def spec_to_yaml(spec: Spec) -> str:
    """Return YAML that compiles to an equal spec: the header with its extensions, then the experiment or single object."""
    from flambe.compile.dump import node_to_yaml

    around = spec.environment
    if around.extra or (spec.kind == "runnable" and (around.files or spec.debug)):
        fields = {
            "output_path": spec.output_dir,
            "debug": spec.debug,
            "extensions": around.extensions,
            "local_files": {name: source for name, source in around.files.items() if name not in around.remote},
            "remote_files": {name: around.files[name] for name in around.remote},
            "extra": around.extra,
        }
        if spec.kind != "runnable":  # these stand in the experiment
            fields = {"extensions": around.extensions, "extra": around.extra}
        header = f"!Environment\n{node_to_yaml({name: value for name, value in fields.items() if value})}---\n"
    else:
        header = f"{node_to_yaml(around.extensions)}---\n" if around.extensions else ""
    return header + node_to_yaml(_as_node(spec))


def _as_node(spec: Spec) -> Any:
    if spec.kind == "runnable":
        return spec.stages[0].body
    node: dict[str, Any] = {NEW: "flambe.experiment:Experiment", "name": spec.name, "save_path": spec.output_dir}
    plain = Spec(name=spec.name, stages=[])
    node["seed"] = spec.seed
    for name in ("resume", "devices", "debug", "max_failures", "stop_on_failure", "merge_plot", "ordering"):
        if getattr(spec, name) != getattr(plain, name):
            node[name] = getattr(spec, name)
    if spec.environment.files:
        around = spec.environment
        local = {name: source for name, source in around.files.items() if name not in around.remote}
        remote = {name: around.files[name] for name in around.remote}
        node["resources"] = {"local": local, "remote": remote} if remote else local
    node["pipeline"] = {stage.name: stage.body for stage in spec.stages}
    for key, attribute in (("schedulers", "scheduler"), ("search", "search"), ("reduce", "reduce")):
        found = {stage.name: getattr(stage, attribute) for stage in spec.stages}
        found = {name: value for name, value in found.items() if value is not None}
        if found:
            node[key] = found
    return node


def installed_requirements() -> Sequence[str]:
    """Return ``name==version`` of every distribution of the running interpreter, sorted."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name, number = _name_and_version(distribution)
        if name:
            found.setdefault(name.lower().replace("_", "-"), f"{name}=={number}")
    return [found[name] for name in sorted(found)]


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    # ``distribution.metadata`` parses the whole page of each as a mail: 55 ms for 135 of them, and this takes 4.
    head = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
    found = dict(_FIELD.findall(head))
    if len(found) == 2:
        return found["Name"], found["Version"]
    return distribution.metadata["Name"], distribution.version


def command_of(spec: Spec, argv: Sequence[str]) -> Command:
    """Describe the command that is running."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Command(argv=list(argv), cwd=os.getcwd(), user=user, overrides=list(spec.source.overrides))


def this_python() -> dict[str, str]:
    """Describe the running interpreter."""
    return {"version": platform.python_version(), "implementation": platform.python_implementation()}

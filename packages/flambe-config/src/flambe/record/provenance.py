"""Where a run came from: its sources, command, interpreter and installed distributions."""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.record import layout
from flambe.record.checkout import checkout_of
from flambe.record.run import Code, Command, replace_file
from flambe.spec.codec import dump_json
from flambe.spec.nodes import FILE, MAP, NEW, Spec, kind_of

if TYPE_CHECKING:
    from flambe.record.snapshot import Snapshot

_FIELD = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", re.MULTILINE)


def write_sources(paths: layout.RunPaths, spec: Spec) -> None:
    """Write what was asked for, as it was written and resolved, and what was installed. ``spec.json`` comes last."""
    replace_file(paths.root / layout.CONFIG, spec_to_yaml(spec, beside_code=True).encode())
    raw = spec.source.raw
    if raw is None and spec.source.files:
        raw = spec.source.files[0].text
    if raw is not None:
        raw = raw_to_run_again(raw, spec) if spec.kind == "function" else raw
        replace_file(paths.root / layout.RAW_CONFIG, raw.encode())
    if not (spec.kind == "function" and spec.debug):
        lines = "".join(f"{line}\n" for line in installed_requirements())
        replace_file(paths.root / layout.REQUIREMENTS, lines.encode())
    replace_file(paths.spec, dump_json(spec), durable=True)


def copies_code(spec: Spec) -> bool:
    """Whether a run of ``spec`` begins with a copy of its function's code."""
    if spec.kind != "function" or spec.debug:
        return False
    return bool(spec.stages[0].body.get("snapshot", "copy") == "copy")


def code_folder(spec: Spec) -> Path:
    """Return the folder that holds the package of a function."""
    code = spec.stages[0].body.get("code", ".")
    return Path(code[FILE] if isinstance(code, dict) else code).expanduser().absolute()


def code_to_copy(spec: Spec) -> Snapshot | None:
    """Return what a run of ``spec`` copies, None when it copies nothing.

    Raises ConfigError, before anything is made, when the code of a function is not there or cannot be copied.
    """
    if spec.kind != "function":
        return None
    from flambe.record.snapshot import check_main, snapshot_of

    main = str(spec.stages[0].body["main"])
    if copies_code(spec):
        return snapshot_of(main, code_folder(spec))
    check_main(main, code_folder(spec))
    return None


def code_record(spec: Spec, snapshot: Snapshot | None) -> Code | None:
    """Describe the code of a function for ``run.json``; None for what is no function."""
    if spec.kind != "function":
        return None
    folder = code_folder(spec)
    if snapshot is None:
        return Code(mode="none", source=str(folder), git=checkout_of(folder))
    return Code(
        mode="copy", path=snapshot.path, tree=snapshot.tree, files=len(snapshot.files), source=str(folder),
        left_out=snapshot.left_out, git=checkout_of(folder),
    )  # fmt: skip


def raw_to_run_again(text: str, spec: Spec) -> str:
    """Return the raw config of a function so that it can be run from its run directory: with its code and output folder.

    An output folder that is written with a reference (``{a.b}``) stays, to follow what it refers to.
    """
    import yaml

    from flambe.compile.dump import scalar

    for tree in yaml.compose_all(text, Loader=yaml.SafeLoader):
        run = _value(tree, "__run__")
        if isinstance(run, yaml.MappingNode) and run.value:
            break
    else:
        return text
    wanted = {"__code__": _code_again(spec)}
    written = _value(run, "__output_dir__")
    if written is None or "{" not in str(written.value):
        wanted["__output_dir__"] = str(Path(spec.output_dir).expanduser().absolute())
    first = run.value[0][0].start_mark
    # From the end to the beginning, so that the places before stay where they are.
    edits = []
    for name, value in wanted.items():
        found = _value(run, name)
        shown = scalar(value, flow=bool(run.flow_style))
        if found is not None:
            edits.append((found.start_mark.index, found.end_mark.index, shown))
        else:
            after = ", " if run.flow_style else "\n" + " " * first.column
            edits.append((first.index, first.index, f"{name}: {shown}{after}"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _value(tree: Any, key: str) -> Any:
    pairs = getattr(tree, "value", None)
    if not isinstance(pairs, list):
        return None
    return next((pair[1] for pair in pairs if isinstance(pair, tuple) and pair[0].value == key), None)


def _code_again(spec: Spec) -> str:
    return "./" if copies_code(spec) else str(code_folder(spec))


def spec_to_yaml(spec: Spec, *, beside_code: bool = False) -> str:
    """Return YAML that compiles to an equal spec: the header with its extensions, then the experiment or single object.

    That of a function is its resolved config. beside_code: to stand in its run directory, where a copy of the code is.
    """
    from flambe.compile.dump import node_to_yaml
    from flambe.compile.placeholder import protected_node

    if spec.kind == "function":
        return node_to_yaml(_as_resolved(spec, _code_again(spec) if beside_code else str(code_folder(spec))))
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
        fields = protected_node({name: value for name, value in fields.items() if value})
        header = f"!Environment\n{node_to_yaml(fields)}---\n"
    else:
        header = f"{node_to_yaml(protected_node(around.extensions))}---\n" if around.extensions else ""
    return header + node_to_yaml(protected_node(_as_node(spec)))


def _as_resolved(spec: Spec, code: str) -> dict[str, Any]:
    body = spec.stages[0].body
    run = {
        "__main__": body["main"],
        "__output_dir__": str(Path(spec.output_dir).expanduser().absolute()),
        "__name__": spec.name,
        "__code__": code,
    }
    if body.get("snapshot", "copy") != "copy":
        run["__snapshot__"] = body["snapshot"]
    config = body.get("config") or {}
    pairs = config[MAP] if kind_of(config) == MAP else list(config.items())
    return {MAP: [["__resolved__", True], ["__run__", run], *pairs]}


def _as_node(spec: Spec) -> Any:
    if spec.kind == "runnable":
        return spec.stages[0].body
    node: dict[str, Any] = {NEW: "flambe.experiment:Experiment", "name": spec.name, "save_path": spec.output_dir}
    plain = Spec(name=spec.name, stages=[])
    node["seed"] = _seeds(spec) if spec.seeds else spec.seed
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
    for key, resource in (("cpus_per_trial", "cpus"), ("gpus_per_trial", "gpus")):
        wanted = {stage.name: stage.resources for stage in spec.stages if stage.resources is not None}
        amounts = {name: resources[resource] for name, resources in wanted.items() if resource in resources}
        if amounts:
            node[key] = amounts
    return node


def _seeds(spec: Spec) -> dict[str, Any]:
    """Return the ``!seeds`` that gives the seeds of a spec, and what they and other draws come from."""
    from flambe.compile.sample import derive_seeds

    if spec.seeds == derive_seeds(spec.seed, len(spec.seeds)):
        return {"$seeds": {"n": len(spec.seeds), "seed": spec.seed} if spec.seed else len(spec.seeds)}
    return {"$seeds": spec.seeds}


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

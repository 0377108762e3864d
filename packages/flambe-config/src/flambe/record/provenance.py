"""Where a run came from: its sources, command, interpreter and installed distributions."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from flambe.errors import ConfigError
from flambe.record import layout
from flambe.record.code_copy import code_folder
from flambe.record.run import Code, Command, RunRecord, read_record, replace_file
from flambe.spec.codec import dump_json
from flambe.spec.nodes import MAP, NEW, Spec, kind_of

_VARIABLE = re.compile(r"(?<!\$)\$\{?([A-Za-z_]\w*)")
_KEPT = re.compile(r"(raw_)?config(\.\d+)?\.yml")
_FIELD = re.compile(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", re.MULTILINE)


def write_sources(paths: layout.RunPaths, spec: Spec, code: Code | None = None, *, number: int = 0) -> None:
    """Write what was asked for, as it was written and resolved, and what was installed. ``spec.json`` comes last.

    code: of a function, as the record has it. number: 0 for the first command of a run; one that went on with other values has its
    own files beside those.
    """
    again = None if code is None else code_again(spec, code)
    replace_file(paths.numbered(layout.CONFIG, number), spec_to_yaml(spec, code=again).encode())
    raw = spec.source.raw
    if raw is None and spec.source.files:
        raw = spec.source.files[0].text
    if raw is not None:
        raw = raw if again is None else raw_to_run_again(raw, spec, again)
        replace_file(paths.numbered(layout.RAW_CONFIG, number), raw.encode())
    _write_requirements(paths, spec)
    replace_file(paths.numbered(layout.SPEC, number), dump_json(spec), durable=True)


def _write_requirements(paths: layout.RunPaths, spec: Spec) -> None:
    wanted = "freeze"
    if spec.kind == "function":
        wanted = "none" if spec.debug else spec.stages[0].body.get("settings", {}).get("requirements", wanted)
    if wanted == "freeze":
        lines = "".join(f"{line}\n" for line in installed_requirements())
        replace_file(paths.root / layout.REQUIREMENTS, lines.encode())
    elif wanted == "declared":
        replace_file(paths.root / layout.DECLARED, declared_requirements(code_folder(spec)).encode())


def declared_requirements(folder: Path) -> str:
    """Return what a project says that it needs: its ``requirements.txt``, else the dependencies of its ``pyproject.toml``.

    Looked for in the folder of the code and those above it, as far as the repository goes. Raises ConfigError when there is none.
    """
    import tomllib

    for above in (folder, *folder.parents):
        if (above / layout.DECLARED).is_file():
            return (above / layout.DECLARED).read_text(encoding="utf-8")
        if (above / "pyproject.toml").is_file():
            try:
                project = tomllib.loads((above / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
            except tomllib.TOMLDecodeError as error:
                raise ConfigError(f"{above / 'pyproject.toml'} is no TOML: {error}") from error
            if "dependencies" in project:
                return "".join(f"{line}\n" for line in project["dependencies"])
        if (above / ".git").exists():
            break
    raise ConfigError(
        f"__requirements__ is declared, and {folder} has neither a requirements.txt nor a pyproject.toml with dependencies",
        hint="Write one, or set __requirements__: freeze, which lists what is installed.",
    )


def code_again(spec: Spec, code: Code) -> str:
    """Return what ``__code__`` is in the configs of a run directory: seen from there, so that it may be moved."""
    if code.mode == "copy":
        return "./"
    return code.path if code.mode == "git" and code.path is not None else str(code_folder(spec))


def raw_to_run_again(text: str, spec: Spec, code: str) -> str:
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
    wanted = {"__code__": code}
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


def spec_to_yaml(spec: Spec, *, code: str | None = None) -> str:
    """Return YAML that compiles to an equal spec: the header with its extensions, then the experiment or single object.

    That of a function is its resolved config. code: its ``__code__``, where that is not the folder that it was compiled with.
    """
    from flambe.compile.dump import node_to_yaml
    from flambe.compile.placeholder import protected_node

    if spec.kind == "function":
        return node_to_yaml(_as_resolved(spec, code or str(code_folder(spec))))
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
    settings = dict(body.get("settings", {}))
    settings.pop("context", None)  # its signature says so
    manager = settings.pop("version_manager", None)
    if body.get("snapshot", "copy") != "copy":
        run["__snapshot__"] = manager or body["snapshot"]
    run.update({f"__{name}__": value for name, value in settings.items()})
    if spec.max_failures:
        run["__retries__"] = spec.max_failures
    if spec.devices:
        run["__resources__"] = spec.devices
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
    """Describe the command that is running, and the variables that its config names: never the value of a secret."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Command(argv=list(argv), cwd=os.getcwd(), user=user, overrides=list(spec.source.overrides), env=_named(spec))


def _named(spec: Spec) -> dict[str, str | None]:
    from flambe.compile.placeholder import Variable

    texts = [file.text for file in spec.source.files] + spec.source.overrides
    names = dict.fromkeys(name for text in texts if "$" in text for name in _VARIABLE.findall(text))
    return {name: None if Variable(name, None).is_secret else os.environ.get(name) for name in names}


def repeated_run(spec: Spec) -> str | None:
    """Return the id of the run in whose folder, or that of a variant of it, the config of ``spec`` was kept; None for any other config."""
    path = Path(spec.source.cwd, spec.source.files[0].path) if spec.source.files else Path()
    if _KEPT.fullmatch(path.name):
        for root in (path.parent, *path.parents[3:4]):
            with contextlib.suppress(OSError, ConfigError):
                return read_record(root / layout.RUN, RunRecord).id
    return None


def this_python() -> dict[str, str]:
    """Describe the running interpreter."""
    return {"version": platform.python_version(), "implementation": platform.python_implementation()}

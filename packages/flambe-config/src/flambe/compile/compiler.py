"""One config file → one spec: read, override, lower, check, emit. Every fault is raised at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from flambe.cli.console import say
from flambe.compile.check import Body, Checker
from flambe.compile.experiment import lower_experiment
from flambe.compile.extensions import Header, read_header
from flambe.compile.library import Library
from flambe.compile.lowering import FAULT, FORMS, Lowering, Place, Where
from flambe.compile.override import apply_overrides
from flambe.compile.source import Class
from flambe.compile.tags import resolve
from flambe.compile.yaml import Mapping, Node, documents
from flambe.errors import ConfigError, ConfigFaults, Notice, Position
from flambe.spec.codec import needed_version
from flambe.spec.nodes import NEW, SCRIPT, Environment, Source, SourceFile, Spec, Stage, pointer

EXPERIMENTS = ("Experiment", "Pipeline", "Search")


class Compiled(NamedTuple):
    """A spec and what was learnt on the way. places: JSON path → position. tree: the config after overrides."""

    spec: Spec
    places: dict[Where, Position]
    tree: Node
    header: Node | None
    warnings: list[Notice]
    library: Library


def compile_file(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), *, argv: Sequence[str] = (), install: bool = False
) -> Spec:
    """Compile a YAML file (``-`` is stdin). install: fetch and install the extensions that its header names.

    Raises ``ConfigFaults`` with every fault and its position, ``ConfigError`` for a file that cannot be read.
    """
    from flambe.cli.streams import read_text

    file = os.fspath(path)
    text = read_text(file, what="config")
    return compile_text(text, name=name_of(file), file=file, overrides=overrides, argv=argv, install=install)


def name_of(file: str) -> str:
    """Return the name that an experiment without one gets: its file's, with unusual characters replaced."""
    if file == "-":
        return "stdin"
    stem = os.path.basename(file).partition(".")[0]
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in stem).strip("-_") or "config"


def compile_text(
    text: str,
    *,
    name: str,
    file: str | None = None,
    overrides: Sequence[str] = (),
    argv: Sequence[str] = (),
    install: bool = False,
) -> Spec:
    """Compile a YAML text. name: of the run, where the text gives none. file: what positions call it, and where
    relative paths start. Raises as ``compile_file``; warnings go to stderr.
    """
    compiled = compile_whole(text, name=name, file=file or f"<{name}>", overrides=overrides, argv=argv, install=install)
    for warning in compiled.warnings:
        say(f"warning: {warning}")
    return compiled.spec


def compile_whole(
    text: str, *, name: str, file: str, overrides: Sequence[str], argv: Sequence[str], install: bool = False
) -> Compiled:
    """Compile a YAML text and keep what was learnt on the way. Raises as ``compile_file``; prints nothing."""
    header_node, tree = _two_documents(text, file)
    faults: list[ConfigError] = []
    override_warnings = apply_overrides(tree, overrides, faults)
    lowering = _lowering(file)
    lowering.faults = faults
    header = read_header(header_node, lowering, install=install)
    lowering.extensions = header.extensions
    lowering.files = header.files
    checks: list[tuple[Any, Where, str | None]]
    names: list[str] = []
    if (tree.tag or "").removeprefix("!") in EXPERIMENTS or tree.tag == "!flambe.experiment.Experiment":
        spec, checks, names = lower_experiment(tree, lowering, header, name)
    else:
        spec, checks = _lower_runnable(tree, lowering, header, name)
    checker = Checker(lowering.library, lowering.places, lowering.keys)
    checker.check([Body(*check) for check in checks], names)
    warnings = override_warnings + lowering.warnings + checker.warnings
    if faults or checker.faults:
        raise ConfigFaults(faults + checker.faults, warnings)
    spec.source = Source(
        files=[SourceFile(path=file, sha256=_sha256(text), text=text)],
        overrides=list(overrides),
        argv=list(argv),
        cwd=os.getcwd(),
        tools={"flambe-config": _version()},
    )
    spec.origins = _origins(lowering, file)
    spec.flambe_spec = needed_version(spec)
    return Compiled(spec, lowering.places, tree, header_node, warnings, lowering.library)


def _two_documents(text: str, file: str) -> tuple[Node | None, Node]:
    found = documents(text, file)
    if not found:
        raise ConfigError(f"{file} is empty", rule="empty-file", expected="an object to run, such as !Experiment")
    if len(found) > 2:
        raise ConfigError(
            f"{file} holds {len(found)} documents",
            rule="too-many-documents",
            position=found[2].position,
            expected="one, or a header and one, separated by '---'",
        )
    return (found[0] if len(found) == 2 else None), found[-1]


def _lowering(file: str) -> Lowering:
    folder = os.path.dirname(os.path.abspath(file)) if os.path.exists(file) else os.getcwd()
    return Lowering(Library(), extensions={}, folder=folder, files={}, seed=0, link_root=lambda name: None)


def _lower_runnable(
    tree: Node, lowering: Lowering, header: Header, name: str
) -> tuple[Spec, list[tuple[Any, Where, str | None]]]:
    tag = (tree.tag or "").removeprefix("!")
    spec = Spec(
        kind="runnable",
        name=name,
        stages=[],
        debug=header.debug,
        environment=Environment(
            extensions=dict(header.extensions), files=dict(header.files), remote=header.remote, extra=header.extra
        ),
    )
    if header.output_dir is not None:
        spec.output_dir = header.output_dir
    if not tag:
        hint = None
        if isinstance(tree, Mapping) and any(
            getattr(key, "text", "") in ("pipeline", "stages") for key, _ in tree.items
        ):
            hint = "Write !Experiment in the line above."
        lowering.fault(
            tree.position,
            "this is nothing that can be run: the document has no tag",
            rule="no-tag",
            expected="!Experiment, or another tag",
            hint=hint,
        )
        return spec, []
    if not _is_known(tag, tree, lowering):
        return spec, []  # whatever is below was meant for something else
    from flambe.compile.single_search import stage_name

    stage = stage_name(tag, lowering)
    arguments = {getattr(key, "text", None) for key, _ in tree.items} if isinstance(tree, Mapping) else set()
    lowering.link_root = lambda root: (stage, root) if root in arguments else (root,)
    at: Where = ("stages", 0, "body")
    body = lowering.value(tree, Place(at, (stage,)))
    if not (isinstance(body, dict) and (NEW in body or FAULT in body)):
        what = f"!{tag} is nothing that can be run"
        lowering.fault(tree.position, what, rule="not-runnable", expected="!Experiment, or another tag")
        return spec, []
    spec.stages = [Stage(name=stage, body=body, reuse=_gives_result(body, lowering.library))]
    for place in lowering.endless:
        lowering.endless_fault(place, f"Put the object into '!Search {{task: !{tag} …, algorithm: !RandomSearch …}}'")
    if not spec.stages[0].reuse:
        spec.max_failures = 0  # half of its effect may have happened
    return spec, [(body, at, stage)]


def _gives_result(body: dict[str, Any], library: Library) -> bool:
    """Whether what is run is a component, whose result may be kept and taken again; others are run for their effect."""
    if body.get(NEW) == SCRIPT:
        return False  # a program: nobody knows what else it reads and writes
    module, _, name = str(body.get(NEW, "")).partition(":")
    found = library.find(module, name.partition(".")[0])
    if found is None or not isinstance(found.item, Class):
        return False
    ancestors, _ = library.ancestors(found)
    return any((one.module, one.name) == ("flambe.build.component", "Component") for one in ancestors)


def _is_known(tag: str, tree: Node, lowering: Lowering) -> bool:
    """Whether a tag names something; if not, that is noted."""
    if tag in FORMS:
        return True
    try:
        resolve(tag, lowering.library, lowering.extensions, lowering.folder)
    except ConfigError as error:
        error.position = tree.position
        lowering.faults.append(error)
        return False
    return True


def _origins(lowering: Lowering, file: str) -> dict[str, list[int]]:
    return {
        pointer(at): [0, position.line, position.column]
        for at, position in lowering.places.items()
        if position.file == file and at not in lowering.quiet
    }


def _sha256(text: str) -> str:
    try:
        # As in Python's own random.py: hashlib would load OpenSSL, which takes longer than to compile a small file.
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256
    return str(sha256(text.encode()).hexdigest())


def _version() -> str:
    import flambe

    return flambe.__version__


__all__ = ["Compiled", "compile_file", "compile_text", "compile_whole", "name_of"]

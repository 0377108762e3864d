"""One config file → one spec: read, compose, override, resolve, lower, check, emit. Every fault is raised at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flambe.cli.console import say
from flambe.compile.check import Body, Checker
from flambe.compile.compose import DEFAULT, POLICY, Composer
from flambe.compile.document import is_resolved, may_refer
from flambe.compile.experiment import lower_experiment
from flambe.compile.extensions import Header, read_header
from flambe.compile.library import Library
from flambe.compile.lowering import FAULT, FORMS, Lowering, Place, Where
from flambe.compile.override import apply_overrides
from flambe.compile.source import Class
from flambe.compile.stages_check import check_stages
from flambe.compile.tags import resolve
from flambe.compile.yaml import LARGEST, Mapping, Node, bared, child, text_of
from flambe.compile.yaml import Sequence as Many
from flambe.errors import ConfigError, ConfigFaults, Faults, Notice, Position
from flambe.spec.codec import needed_version
from flambe.spec.nodes import NEW, SCRIPT, Environment, Source, SourceFile, Spec, Stage, pointer

EXPERIMENTS = ("Experiment", "Pipeline", "Search")


class Compiled(NamedTuple):
    """A spec and what was learnt on the way.

    places: JSON path → position. tree, header: the config after overrides, its references as they are written. raw: its text,
    where that differs from the file's. files: path → text of all that were read. follows: references to what a search
    decides; where there are any, only ``variants`` are right.
    """

    spec: Spec
    places: dict[Where, Position]
    tree: Node
    header: Node | None
    warnings: list[Notice]
    library: Library
    files: dict[str, str]
    follows: list[ConfigError]
    config: _Config

    @property
    def raw(self) -> str | None:
        return self.spec.source.raw

    def undecided(self) -> ConfigFaults:
        """Return the faults of somebody who wants one spec where there are references to what a search decides."""
        if os.path.isfile(self.config.file):
            import shlex

            words = ["flambe-compile", self.config.file, *self.spec.source.overrides, "--expand"]
            for fault in self.follows:
                fault.hint = f"Write out the variants: {shlex.join(words)} | flambe exec"
        return ConfigFaults(self.follows)

    def variants(self) -> Iterator[Spec]:
        """Yield the spec of every variant. A function's name and values follow the choice."""
        if self.spec.kind != "function":
            from flambe.compile.search import expand

            yield from expand(self.spec)
            return
        from flambe.compile.function_search import Options, variants

        for tree, params in variants(self.tree, Options(self, _lowering(self.config.file))):
            spec = _compile(self.config._replace(install=False), tree).spec if params else self.spec
            for stage in spec.stages:
                stage.params = params
            yield spec


def compile_file(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    argv: Sequence[str] = (),
    install: bool = False,
    here: bool = False,
) -> Spec:
    """Compile a YAML file (``-`` is stdin). install: fetch and install the extensions that its header names. here: it is run on this
    machine, so that files which are not there are faults and no warnings.

    Raises ``ConfigFaults`` with every fault and its position, ``ConfigError`` for a file that cannot be read.
    """
    from flambe.cli.streams import read_text

    file = os.fspath(path)
    text = read_text(file, what="config", largest=LARGEST)
    name = name_of(file)
    return compile_text(text, name=name, file=file, overrides=overrides, argv=argv, install=install, here=here)


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
    here: bool = False,
) -> Spec:
    """Compile a YAML text. name: of the run, where the text gives none. file: what positions call it, and where
    relative paths start. Raises as ``compile_file``; warnings go to stderr.
    """
    compiled = compile_whole(text, name=name, file=file or f"<{name}>", overrides=overrides, argv=argv, install=install)
    missing = [one for one in compiled.warnings if here and one.rule == "missing-file"]
    for warning in compiled.warnings:
        if warning not in missing:
            say(f"warning: {warning}")
    if missing:
        raise ConfigFaults([ConfigError(one.what, rule=one.rule, position=one.position) for one in missing])
    if compiled.follows:
        raise compiled.undecided()
    return compiled.spec


def compile_whole(
    text: str,
    *,
    name: str,
    file: str,
    overrides: Sequence[str],
    argv: Sequence[str],
    install: bool = False,
    run: Mapping | None = None,
) -> Compiled:
    """Compile a YAML text and keep what was learnt on the way. Raises as ``compile_file``; prints nothing.

    run: keys of ``__run__`` that count where the text says nothing, which is the config of a function then.
    """
    faults: list[ConfigError] = Faults()
    composer = Composer(faults)
    header, tree = composer.config(text, file)
    if faults:  # each once, where a file is the parent of several
        raise ConfigFaults({str(fault): fault for fault in faults}.values(), composer.warnings)
    if run is not None:
        from flambe.compile.run_settings import add_defaults

        add_defaults(tree, run)
    warnings = apply_overrides(tree, overrides, faults, composer)
    raw = _raw(tree, header, text, file, is_changed=bool(overrides) or run is not None)
    files = composer.files
    source = Source(
        files=[SourceFile(path=path, sha256=_sha256(content), text=content) for path, content in files.items()],
        raw=raw,
        overrides=list(overrides),
        argv=list(argv),
        cwd=os.getcwd(),
        tools={"flambe-config": _version()},
    )
    refers = not is_resolved(tree) and any(may_refer(content) for content in (*files.values(), *overrides))
    config = _Config(name, file, header, source, refers, install)
    compiled = _compile(config, tree, faults, composer.warnings + warnings)
    if compiled.follows:
        next(compiled.variants())  # what refers to a search is checked with its first value
    return compiled


class _Config(NamedTuple):
    """What the variants of a config have in common. refers: whether there may be references in it."""

    name: str
    file: str
    header: Node | None
    source: Source
    refers: bool
    install: bool


def _compile(
    config: _Config, tree: Node, faults: list[ConfigError] | None = None, warnings: Sequence[Notice] = ()
) -> Compiled:
    """Compile a config that is composed and overridden. Raises ``ConfigFaults``."""
    faults = [] if faults is None else faults
    follows: list[ConfigError] = []
    header_node, body = config.header, tree
    _refuse_defaults(tree, faults)
    if config.refers:
        from flambe.compile.interpolate import Interpolation

        name = None
        if _is_function(tree):
            from flambe.compile.run_settings import name_node

            name = name_node(tree)
        interpolation = Interpolation(tree, faults, name=name)
        header_node = None if header_node is None else interpolation.resolved(header_node)
        body = interpolation.resolved(tree)
        follows += interpolation.follows
    noted = {fault.position for fault in (*faults, *follows)}
    lowering = _lowering(config.file)
    header = read_header(header_node, lowering, install=config.install)
    lowering.extensions = header.extensions
    lowering.files = header.files
    checks: list[tuple[Any, Where, str | None]]
    names: list[str] = []
    if _is_function(body):
        from flambe.compile.function import lower_function

        assert isinstance(body, Mapping)
        spec, checks = lower_function(body, lowering, header)
    else:
        faults += follows
        if (body.tag or "").removeprefix("!") in EXPERIMENTS or body.tag == "!flambe.experiment.Experiment":
            spec, checks, names = lower_experiment(body, lowering, header, config.name)
        else:
            spec, checks = _lower_runnable(body, lowering, header, config.name)
            names = [text for key, _ in body.items if (text := text_of(key))] if isinstance(body, Mapping) else []
    checker = Checker(lowering.library, lowering.places, lowering.keys)
    checker.check([Body(*check) for check in checks], names)
    check_stages(spec, checker, lowering.library, lowering.folder)
    # One fault a place: what a wrong reference could not give has others.
    faults += [one for one in (*lowering.faults, *checker.faults) if one.position is None or one.position not in noted]
    noticed = [*warnings, *lowering.warnings, *checker.warnings]
    if faults:
        raise ConfigFaults(faults, noticed)
    spec.source = config.source
    spec.origins = _origins(lowering, config.source)
    spec.flambe_spec = needed_version(spec)
    files = {file.path: file.text for file in config.source.files}
    return Compiled(spec, lowering.places, tree, config.header, noticed, lowering.library, files, follows, config)


def _raw(tree: Node, header: Node | None, text: str, file: str, *, is_changed: bool) -> str | None:
    """Return the text of a config that means the same in any folder; None where that is the file's own."""
    is_rewritten = is_changed or DEFAULT in text or POLICY in text
    edits: list[Any] = []
    if _is_function(tree):
        from flambe.compile.run_settings import anchor_run

        edits += anchor_run(tree)
    if is_rewritten or header is not None or "!file" in text or "resources" in text:
        from flambe.compile.anchor import anchor

        edits += anchor(tree, header, _folder(file))
    if not is_rewritten and not edits:
        return None
    from flambe.compile.anchor import edited
    from flambe.compile.dump import tree_to_yaml

    return (None if is_rewritten else edited(text, edits)) or tree_to_yaml(header, tree)


def _is_function(tree: Node) -> bool:
    """Whether a config says what function to run."""
    return tree.tag is None and child(tree, "__run__") is not None


def _refuse_defaults(tree: Node, faults: list[ConfigError]) -> None:
    """Note a ``defaults`` list as Hydra has it."""
    node = bared(child(tree, "defaults") or tree)
    if not isinstance(node, Many) or node is tree:
        return
    groups = [bared(item) for item in node.items]
    if any(text_of(item) == "_self_" for item in groups) or (
        groups and all(isinstance(item, Mapping) and len(item.items) == 1 for item in groups)
    ):
        if isinstance(tree, Mapping):  # nothing more is to be said of it
            tree.items = [pair for pair in tree.items if text_of(pair[0]) != "defaults"]
        names = [(text_of(item.items[0][0]), text_of(item.items[0][1])) for item in groups if isinstance(item, Mapping)]
        group, option = names[0] if names else ("model", "small")
        faults.append(
            ConfigError(
                "a list of defaults has no meaning here",
                rule="invalid-parent",
                position=node.position,
                hint=f"Name the files of parents: '{group}: {{{DEFAULT}: ./{group}/{option}.yaml}}', "
                f"or '{DEFAULT}: [./base.yaml]' for a whole config. All of a folder at once: flambe import --from hydra DIR",
            )
        )


def _lowering(file: str) -> Lowering:
    return Lowering(Library(), extensions={}, folder=_folder(file), files={}, seed=0, link_root=lambda name: None)


def _folder(file: str) -> str:
    return os.path.dirname(os.path.abspath(file)) if os.path.exists(file) else os.getcwd()


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
        elif isinstance(tree, Mapping):
            from flambe.compile.compose import misspelt

            hint = misspelt(tree)
        if hint is None:
            from flambe.compile.importing.recognition import import_hint

            hint = import_hint(tree, lowering.folder)
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


def _origins(lowering: Lowering, source: Source) -> dict[str, list[int]]:
    order = {file.path: index for index, file in enumerate(source.files)}
    return {
        pointer(at): [order[position.file], position.line, position.column]
        for at, position in lowering.places.items()
        if position.file in order and at not in lowering.quiet
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

"""What happens when a decorated function is called: its command line and config are read, and it is run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import msgspec

from flambe.cli.console import say, tell
from flambe.errors import ConfigError, ConfigFaults, FlambeError, RunFailed
from flambe.reading.finding import find_run
from flambe.record.claim import NEXT, Wish, home_of
from flambe.record.layout import RUN
from flambe.record.run import FAILED, RunRecord, read_record
from flambe.runnable.function import hold
from flambe.runnable.words import Words, check_options, help_text, path_of, read_words
from flambe.runner.interrupt import Stopped
from flambe.runner.launched import Ended, How, refuse_inside, run_launched
from flambe.runner.unrecorded import forgotten, is_unrecorded
from flambe.spec.codec import dump_json, escape, unescape
from flambe.spec.nodes import MAP, Spec, is_concrete, kind_of

if TYPE_CHECKING:
    from flambe.compile.compiler import Compiled
    from flambe.compile.yaml import Mapping as Tree
    from flambe.reading.recorded import RecordedRun
    from flambe.runnable.launch import Task

LOGS = "logs"


class Plan(NamedTuple):
    """What is run. variants: the concrete specs of ``spec``. wish: into which folder."""

    spec: Spec
    variants: list[Spec]
    wish: Wish


class Returned:
    """What a function gave back in this process: a value, or what it raised."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.came = False

    def calling(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return ``function`` as something that leaves here what comes of it."""

        def call(context: Any) -> Any:
            self.came = True
            try:
                self.value = function(context)
            except BaseException as error:
                self.error = error
                raise
            return self.value

        return call


# The three doors ---------------------------------------------------------------------------------------------------------


def start_task(task: Task) -> Any:
    """Run a function as the command line says, and return what it returns; of a sweep a list of that. A fault ends this process."""
    program = os.path.basename(sys.argv[0]) or task.name
    try:
        refuse_inside()
        asked = read_words(sys.argv[1:])
        if asked.help or asked.version:
            _answer(task, asked, program)
        plan = plan_task(task, task.config_text(), asked, sys.argv)
        if asked.dry_run:
            _show(plan)
            sys.exit(0)
        ended, returned = _run(task, plan, asked, sys.argv)
    except FlambeError as error:
        tell("\n".join(f"{program}: error: {line}" for line in str(error).splitlines()))
        sys.exit(error.exit_code)
    except Stopped as stop:
        tell(f"{program}: interrupted")
        sys.exit(128 + stop.number)
    if ended.record.status == FAILED:
        code = ended.record.exit.code if len(plan.variants) == 1 else 1
        sys.exit(code or 1)
    return _value(ended, returned) if len(plan.variants) == 1 else ended.results


def call_task(task: Task, config: Mapping[str, Any]) -> Any:
    """Run a function with a config, and return or raise what it does."""
    plan = plan_task(task, _text_of(config), Words(), sys.argv)
    if len(plan.variants) != 1:
        raise ConfigError("the config holds a search", hint="Use run() for a sweep.")
    ended, returned = _run(task, plan, Words(), sys.argv)
    if returned.error is not None:
        raise returned.error
    if ended.record.status == FAILED:
        raise RunFailed(f"{task.name} failed: {ended.record.exit.error}", hint=f"See {ended.root}.")
    return _value(ended, returned)


def run_task(task: Task, overrides: Sequence[str] | Mapping[str, Any], *, jobs: int) -> list[RecordedRun]:
    """Run a function from Python, see ``Task.run``."""
    from flambe.reading.recorded import RecordedRun

    if isinstance(overrides, str):
        raise ConfigError(f"the overrides are {overrides!r}", expected="a list of words")
    whole = isinstance(overrides, Mapping)
    asked = Words(jobs=jobs) if whole else read_words(list(overrides))._replace(jobs=jobs)
    text = _text_of(overrides) if isinstance(overrides, Mapping) else task.config_text()
    ended, _ = _run(task, plan_task(task, text, asked, sys.argv), asked, sys.argv)
    return [RecordedRun(ended.root)]


# Reading -----------------------------------------------------------------------------------------------------------------


def plan_task(task: Task, text: str, asked: Words, argv: Sequence[str]) -> Plan:
    """Compile the config of a function; of a run that is gone on with, and of which nothing else is said, with its own overrides.

    Raises ConfigFaults with every fault, and UsageError for a run that is not there.
    """
    if asked.resume is not None and not asked.overrides:
        found = _run_to_resume(task, text, asked, argv)
        kept = _overrides_of(found)
        if kept:
            say(f"{found.name} goes on with its own overrides: {' '.join(kept)}")
            asked = asked._replace(resume=str(found), overrides=kept)
    return _plan(task, text, asked, argv)


def _run_to_resume(task: Task, text: str, asked: Words, argv: Sequence[str]) -> Path:
    """Return the run that ``--resume`` names; without its overrides the config may have faults, and says nothing of where runs are."""
    try:
        found = _plan(task, text, asked, argv, tells=False).wish.resume
    except ConfigFaults:
        found = None
    home = Path(asked.output_dir or task.file.parent / LOGS).expanduser().absolute()
    return found or find_run(str(asked.resume), home)


def _overrides_of(run: Path) -> tuple[str, ...]:
    try:
        return tuple(read_record(run / RUN, RunRecord).command.overrides)
    except (OSError, ConfigError):
        return ()  # whoever takes the folder says what is wrong with it


def _plan(task: Task, text: str, asked: Words, argv: Sequence[str], *, tells: bool = True) -> Plan:
    from flambe.compile.compiler import compile_whole
    from flambe.compile.mlxp_settings import read_settings

    if not task.file.is_file():
        raise ConfigError(
            f"{task.name} is written in no file", hint="A run keeps a copy of its code: write it into one."
        )
    if not task.module.replace(".", "_").isidentifier():
        raise ConfigError(f"{task.file.name} cannot be imported", hint="Rename it: letters, digits and '_'.")
    base = task.file.parent
    settings, overrides = read_settings(str(task.folder), str(base), asked.overrides)
    for note in settings.notes if tells else ():
        say(f"note: mlxpy.{note}")
    check_options(overrides, text)
    run: dict[str, Any] = {"output_dir": str(base / LOGS), "name": task.name, **settings.run}
    if asked.output_dir is not None:
        run["output_dir"] = os.path.abspath(os.path.expanduser(asked.output_dir))
    if not asked.log:
        run["log"] = False
    file = os.path.relpath(task.folder / "config.yaml")
    compiled = compile_whole(
        text if _says_something(text) else "{}\n",
        name=task.name,
        file=file,
        overrides=overrides,
        argv=list(argv),
        run=_run_tree(task, run),
    )
    for warning in compiled.warnings if tells else ():
        say(f"warning: {warning}")
    spec = _whole_spec(compiled)
    variants = [spec] if is_concrete(spec) else in_order(list(compiled.variants()), overrides)
    # What was said on the command line beats the file.
    changes: dict[str, Any] = {"debug": asked.debug or spec.debug}
    if asked.output_dir is not None:
        changes["output_dir"] = run["output_dir"]
    spec, *variants = (msgspec.structs.replace(one, **changes) for one in (spec, *variants))
    return Plan(spec, variants, _wish(spec, asked, settings.forced))


def _run_tree(task: Task, settings: Mapping[str, Any]) -> Tree:
    """Return the keys of ``__run__`` that the decorator stands for; a fault of them is told at the function."""
    from flambe.compile.dump import node_to_yaml
    from flambe.compile.placeholder import protected_node
    from flambe.compile.yaml import Mapping as Tree
    from flambe.compile.yaml import documents
    from flambe.errors import Position

    given = {"main": f"{task.module}:{task.name}", "code": str(task.code), **settings}
    node = protected_node(escape({f"__{name}__": value for name, value in given.items()}))
    at = Position(os.path.relpath(task.file), task.function.__code__.co_firstlineno, 1)
    tree = documents(node_to_yaml(node), at.file, place=lambda *_: at)[0]  # type: ignore[arg-type]
    assert isinstance(tree, Tree)
    return tree


def _whole_spec(compiled: Compiled) -> Spec:
    """Return the spec of what was asked for. What refers to a search has its reference in it: only a variant has a value there."""
    if not compiled.follows:
        return compiled.spec
    spec = compiled.spec
    from flambe.compile.yaml import child

    run = child(compiled.tree, "__run__")
    inside = [one for one in compiled.follows if run is not None and _stands_in(run, one)]
    if inside:
        raise ConfigFaults(inside)
    body = {**spec.stages[0].body, "config": _with_references(spec.stages[0].body["config"], compiled.tree)}
    return msgspec.structs.replace(spec, stages=[msgspec.structs.replace(spec.stages[0], body=body)])


def _stands_in(node: Any, fault: ConfigError) -> bool:
    from flambe.compile.yaml import each

    return any(one.position == fault.position for one in each(node))


def _with_references(value: Any, tree: Any) -> Any:
    from flambe.compile.lowering import FAULT
    from flambe.compile.yaml import Scalar, bared, child

    tree = bared(tree) if tree is not None else None
    if isinstance(value, dict) and FAULT in value:
        return tree.text if isinstance(tree, Scalar) else None
    if isinstance(value, list) and hasattr(tree, "items"):
        return [_with_references(item, inner) for item, inner in zip(value, tree.items, strict=True)]
    if isinstance(value, dict) and kind_of(value) is None:
        return {key: _with_references(item, child(tree, key)) for key, item in value.items()}
    return value


def in_order(variants: list[Spec], overrides: Sequence[str]) -> list[Spec]:
    """Return the variants of a sweep so that the last of the overrides changes fastest, whatever the order of the file."""
    said = {f"config.{path}": number for number, word in enumerate(overrides, 1) if (path := path_of(word)) is not None}
    seen: dict[str, dict[bytes, int]] = {}
    keys = []
    for variant in variants:
        params = variant.stages[0].params
        ranks = []
        for path in sorted(params, key=lambda path: said.get(path, 0)):
            known = seen.setdefault(path, {})
            ranks.append(known.setdefault(dump_json(params[path]), len(known)))
        keys.append(ranks)
    return [variants[number] for number in sorted(range(len(variants)), key=lambda number: keys[number])]


def _wish(spec: Spec, asked: Words, forced: int | None) -> Wish:
    if asked.resume is not None:
        folder = Path(spec.output_dir).expanduser().absolute()
        # exp.3 is this function's own, if others have one too.
        own = home_of(spec) / asked.resume
        return Wish(
            resume=find_run(str(own), folder) if own.is_dir() else find_run(asked.resume, folder),
            allow_change=asked.allow_change,
        )
    if asked.exp is not None:
        return Wish(number=asked.exp)
    if forced is not None:
        there = home_of(spec) / f"exp.{forced}"
        return Wish(resume=there, allow_change=True) if there.is_dir() else Wish(number=forced)
    return NEXT


def _says_something(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _text_of(config: Mapping[str, Any]) -> str:
    """Return the YAML of a config from Python: plain values, in which nothing is a reference."""
    from flambe.compile.document import RESOLVED
    from flambe.compile.dump import node_to_yaml
    from flambe.runnable.config_dict import ConfigDict

    try:
        node = escape(ConfigDict(config).to_dict())
    except TypeError as error:
        raise ConfigError(f"the config is no plain data: {error}") from error
    pairs = node[MAP] if kind_of(node) == MAP else list(node.items())
    return node_to_yaml({MAP: [[RESOLVED, True], *pairs]})


# Running -----------------------------------------------------------------------------------------------------------------


def _run(task: Task, plan: Plan, asked: Words, argv: Sequence[str]) -> tuple[Ended, Returned]:
    """Run what was planned; also where nothing is to be recorded: in a folder that goes away."""
    how = How(jobs=asked.jobs, fail_fast=asked.fail_fast, wish=plan.wish)
    returned = Returned()
    held = _Held(task, returned.calling(task.function))

    @contextlib.contextmanager
    def ready() -> Iterator[None]:
        main = str(plan.spec.stages[0].body["main"])
        hold(main, held)  # type: ignore[arg-type]
        try:
            yield
        finally:
            hold(main, None)

    if not is_unrecorded(plan.spec):
        return run_launched(plan.spec, plan.variants, how=how, argv=argv, ready=ready), returned
    with forgotten(plan.spec, *plan.variants) as (spec, *variants):
        return run_launched(spec, variants, how=how._replace(wish=NEXT), argv=argv, ready=ready), returned


class _Held(NamedTuple):
    """A function that this process has loaded, in the place of its task."""

    task: Task
    function: Callable[[Any], Any]

    @property
    def __flambe_task__(self) -> _Held:
        return self

    @property
    def seeding_function(self) -> Callable[[Any], Any] | None:
        return self.task.seeding_function

    def __call__(self, context: Any) -> Any:
        return self.function(context)


def _value(ended: Ended, returned: Returned) -> Any:
    return returned.value if returned.came else unescape(ended.record.result)


# Answering ---------------------------------------------------------------------------------------------------------------


def _answer(task: Task, asked: Words, program: str) -> NoReturn:
    if asked.version:
        import flambe

        print(f"{program} (flambe {flambe.__version__})")
    else:
        print(help_text(program, task.__doc__, task.config_text()))
    sys.exit(0)


def _show(plan: Plan) -> None:
    """Print the config of each run, as its ``config.yml`` would have it."""
    from flambe.record.provenance import spec_to_yaml

    print("---\n".join(spec_to_yaml(one) for one in plan.variants), end="")


__all__ = ["call_task", "plan_task", "run_task", "start_task"]

"""``!Search`` (1.0): one object and how it is searched. It is the ``!Pipeline`` of one stage, and is lowered as that."""

from __future__ import annotations

from typing import NamedTuple

from flambe.compile.lowering import Lowering, Where
from flambe.compile.tags import resolve
from flambe.compile.yaml import Alias, Mapping, Node, Scalar
from flambe.errors import ConfigError, Position

SEARCH = (
    "task", "searchable", "algorithm", "cpus_per_trial", "gpus_per_trial", "refresh_waitime", "name", "seed", "save_path",
)  # fmt: skip
_OF_ITS_STAGE = ("algorithm", "cpus_per_trial", "gpus_per_trial")
_OF_ALL = ("name", "seed", "save_path")


class SingleSearch(NamedTuple):
    """A search as a pipeline. roots: what a link in it may begin with, beside the name of its stage → the path that is meant."""

    pipeline: Mapping
    roots: dict[str, Where]


def single_search(top: Node, lowering: Lowering) -> SingleSearch | None:
    """Return the pipeline that ``!Search`` stands for, None where it has no task. Faults are noted in ``lowering``."""
    pipeline = Mapping("!Pipeline", top.position)
    found = SingleSearch(pipeline, {})
    if not isinstance(top, Mapping):
        what = "!Search holds no parameters"
        lowering.fault(top.position, what, rule="invalid-parameter", expected="a mapping with the key task")
        return None
    given: dict[str, tuple[Node, Node]] = {}
    faults = len(lowering.faults)
    for key, key_node, value in lowering.pairs(top):
        if key in SEARCH:
            given[str(key)] = (key_node, value)
        else:
            what = f"!Search has no parameter {key!r}"
            lowering.unknown(key_node.position, what, str(key), SEARCH, "unknown-parameter")
    tasks = [given[name] for name in ("task", "searchable") if name in given]
    if not tasks and len(lowering.faults) > faults:
        return None  # one of the unknown ones was meant
    if len(tasks) != 1:
        what = "!Search has both task and searchable" if tasks else "!Search needs the parameter 'task'"
        rule = "duplicate-argument" if tasks else "missing-parameter"
        lowering.fault(top.position, what, rule=rule, expected="one of them" if tasks else "a tag such as !Trainer")
        return None
    task_key, task = tasks[0]
    bare = task.target if isinstance(task, Alias) else task
    stage = stage_name((bare.tag or "").removeprefix("!"), lowering)
    found.roots.update({"task": (stage,), "searchable": (stage,)})
    if isinstance(bare, Mapping):
        names = [key.text for key, _ in bare.items if isinstance(key, Scalar)]
        found.roots.update({name: (stage, name) for name in names if name != stage})
    if "refresh_waitime" in given:
        what = "refresh_waitime has no effect: results are looked at when they come"
        lowering.warn(given["refresh_waitime"][0].position, what, "unused-value")
    pipeline.items = [given[name] for name in _OF_ALL if name in given]
    pipeline.items.append((_key("stages", task_key), _under(stage, task_key, task)))
    for name in _OF_ITS_STAGE:
        if name in given:
            key_node, value = given[name]
            pipeline.items.append((key_node, _under(stage, key_node, value)))
    return found


def stage_name(tag: str, lowering: Lowering) -> str:
    """Return the lower-cased name of the class that a tag (without ``!``) stands for: what its only stage is called."""
    try:
        target = resolve(tag, lowering.library, lowering.extensions)
    except ConfigError:
        return tag.rpartition(".")[2].lower() or "object"
    return target.rpartition(":")[2].partition(".")[0].lower()


def _under(stage: str, key: Node, value: Node) -> Mapping:
    inner = Mapping(None, key.position)
    inner.items = [(_key(stage, key), value)]
    return inner


def _key(name: str, like: Node) -> Scalar:
    position: Position = like.position
    return Scalar(None, position, name, False)

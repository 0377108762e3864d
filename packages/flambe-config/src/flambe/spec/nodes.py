"""The spec: what is to be run. One JSON document, and the few node forms its values may take.

A *body* is plain JSON (text, numbers, booleans, null, lists, maps with text keys). A map whose first key starts
with ``$`` is a *node* with a meaning of its own:

====================  ==================================================================================
``$new``              build an object: ``{"$new": "module:Class" or "module:Class.factory", argument: value, …}``;
                      ``$args`` holds positional arguments
``$link``             ``{"$link": ["stage", "key", 0], "attr": ["a", "b"]}``: brackets follow the config, attributes
                      the built object; ``"call": true`` calls what is found; ``"copy": true`` copies it
``$grid``             each of these values is a variant; ``"names"`` and ``"probs"`` may stand beside it, one of each a value
``$uniform``          a number drawn from ``[low, high]``; ``"transform"``: ``pow2``, ``pow10`` or ``exp`` of what is drawn
``$normal``           the same of ``[loc, scale]``
``$beta``             the same of ``[a, b]``
``$quniform``         ``[low, high, n]``: each of n evenly spaced values is a variant; ``"transform"`` as above
``$file``             a path, absolute since compilation
``$yaml``             ``{"$yaml": "!tag", "value": …}``: a class that reads its own YAML
``$env``              an environment variable read when built; never stored
``$map``              escape: ``[[key, value], …]`` for data with ``$`` keys or keys that are no text
``$float``            escape: ``"NaN"``, ``"Infinity"``, ``"-Infinity"``
``$bytes``            escape: base64
====================  ==================================================================================

The order of arguments means something (it is build order, and so random-number order): nobody may sort them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

VERSION = "1.2"
"""The newest version of the document that this program reads. A spec that needs less says so: ``codec.needed_version``."""

NEW = "$new"
ARGS = "$args"
LINK = "$link"
GRID = "$grid"
UNIFORM = "$uniform"
NORMAL = "$normal"
BETA = "$beta"
QUNIFORM = "$quniform"
FILE = "$file"
YAML = "$yaml"
ENV = "$env"
MAP = "$map"
FLOAT = "$float"
BYTES = "$bytes"

NOTES = "$notes"
"""Beside ``$new``, in this process only: the comments around what stands there (``flambe.compile.comments``)."""
TAG = "$tag"
"""Beside ``$new`` or ``$yaml``, in this process only: the tag that it was written with."""

CONTINUOUS = (UNIFORM, NORMAL, BETA)
DISTRIBUTIONS = (*CONTINUOUS, QUNIFORM)
SEARCHES = (GRID, *DISTRIBUTIONS)
"""The nodes that have no value before it is chosen."""

SEED = "seed"
"""The parameter of a unit that says which of the spec's ``seeds`` it was run for. All others have a dot in their names."""

FUNCTION = "flambe.runnable:Function"
SCRIPT = "flambe.runnable:Script"
"""What runs code that an argument names."""

Path = tuple[str | int, ...]


class LinkTarget(NamedTuple):
    """Where a link points: ``path`` through the config (its first part is the stage), then ``attr`` of the object."""

    path: Path
    attr: tuple[str, ...] = ()
    call: bool = False
    copy: bool = False

    @property
    def stage(self) -> str:
        return str(self.path[0])

    def __str__(self) -> str:
        return f"{self.path[0]}" + "".join(f"[{part}]" for part in self.path[1:]) + "".join(f".{a}" for a in self.attr)


class Stage(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One stage of a pipeline.

    name: unique in the spec. body: the node to build and run. reduce: how many variants stay for later stages.
    scheduler, search: ``$new`` nodes of algorithms. resources: ``{"cpus": 1, "gpus": 0}`` for each variant.
    params: in a concrete spec, what was chosen for each search node of this stage, by dotted path; of an option that has
    a name its name.
    reuse: whether an equal earlier result does as well; not for what is run for its effect.
    seedless: its class says that its result does not depend on the seed.
    """

    name: str
    body: Any
    reduce: int | None = None
    scheduler: Any = None
    search: Any = None
    resources: dict[str, float] | None = None
    params: dict[str, Any] = {}
    reuse: bool = True
    seedless: bool = False


class Environment(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a spec needs around it.

    extensions: module → path, requirement or URL (``git+URL@COMMIT#subdirectory=FOLDER``). files: name → path or URL.
    remote: those of the files that are on the machines of a cluster only. extra: what the config adds for its own code.
    """

    extensions: dict[str, str] = {}
    files: dict[str, str] = {}
    remote: list[str] = []
    extra: dict[str, Any] = {}


class SourceFile(msgspec.Struct, kw_only=True):
    """A YAML file that the spec was compiled from."""

    path: str
    sha256: str
    text: str


class Source(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Where a spec came from. Not part of its digest.

    raw: the config after composition and overrides, before references and the environment are put in; a text that can
    be run again. None where it is the text of the only file.
    """

    files: list[SourceFile] = []
    raw: str | None = None
    overrides: list[str] = []
    argv: list[str] = []
    cwd: str = ""
    tools: dict[str, str] = {}


class Spec(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is to be run, resolved. See the module for the forms of a body.

    kind: ``experiment`` (stages), ``runnable`` (one object with ``run()``: a single stage) or ``function``.
    resume: a stage (and all above) or a list of stages whose results are taken from earlier runs by key.
    max_failures: how often a failing unit is tried again. devices: resources of each variant of every stage.
    debug: one process, variants one after another. ordering: ``step``, or ``arrival`` (not repeatable).
    seeds: of ``seed: !seeds N``: everything is run once for each of them. ``seed`` is what they, and values of a search,
    were drawn from.
    origins: JSON pointer of a value → [index in source.files, line, column], 1-based.
    """

    # A plain default would be left out of the document by omit_defaults; readers look for these two.
    flambe_spec: str = msgspec.field(default_factory=lambda: VERSION)
    kind: str = msgspec.field(default_factory=lambda: "experiment")
    name: str
    output_dir: str = "flambe-output"
    seed: int = 0
    seeds: list[int] = []
    stages: list[Stage]
    resume: str | list[str] | None = None
    devices: dict[str, float] | None = None
    max_failures: int = 1
    stop_on_failure: bool = False
    merge_plot: bool = True
    debug: bool = False
    ordering: str = "step"
    environment: Environment = msgspec.field(default_factory=Environment)
    source: Source = msgspec.field(default_factory=Source)
    origins: dict[str, list[int]] = {}

    def stage(self, name: str) -> Stage:
        """Return the stage called ``name``. Raises KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


def kind_of(value: Any) -> str | None:
    """Return the keyword of a node (``"$new"``, …), or None for plain data."""
    if isinstance(value, dict):
        first = next(iter(value), None)
        if isinstance(first, str) and first.startswith("$"):
            return first
    return None


def arguments(node: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a ``$new`` node, in order."""
    return {key: value for key, value in node.items() if not key.startswith("$")}


def link_target(node: dict[str, Any]) -> LinkTarget:
    """Return where a ``$link`` node points."""
    return LinkTarget(tuple(node[LINK]), tuple(node.get("attr", ())), bool(node.get("call")), bool(node.get("copy")))


def link_node(target: LinkTarget) -> dict[str, Any]:
    """Return the ``$link`` node of a target."""
    node: dict[str, Any] = {LINK: list(target.path)}
    if target.attr:
        node["attr"] = list(target.attr)
    if target.call:
        node["call"] = True
    if target.copy:
        node["copy"] = True
    return node


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Yield the direct parts of a value, with the key of each. What is inside a link or an escape is no part."""
    kind = kind_of(value)
    if kind == NEW:
        yield from enumerate(value.get(ARGS, ()))
        yield from arguments(value).items()
    elif kind == GRID:
        yield from enumerate(value[GRID])
    elif kind == YAML:
        yield "value", value["value"]
    elif kind is None and isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value below ``value``, itself first, in build order, with its config path."""
    yield path, value
    for key, part in children(value):
        yield from walk(part, (*path, key))


def links(body: Any) -> Iterator[tuple[Path, LinkTarget]]:
    """Yield every link in ``body``: where it stands and where it points."""
    for path, value in walk(body):
        if kind_of(value) == LINK:
            yield path, link_target(value)


def with_files(node: Any, told: Callable[[str], Any]) -> Any:
    """Return ``node`` with what ``told`` makes of its path or address in place of each ``$file`` below it."""
    if isinstance(node, dict):
        if kind_of(node) == FILE:
            return told(node[FILE])
        return {key: with_files(item, told) for key, item in node.items()}
    return [with_files(item, told) for item in node] if isinstance(node, list) else node


def stages_needed(stage: Stage) -> list[str]:
    """Return the other stages that ``stage`` links to, in the order of their first link."""
    names = dict.fromkeys(target.stage for _, target in links(stage.body))
    names.pop(stage.name, None)
    return list(names)


def is_concrete(spec: Spec) -> bool:
    """Whether no search is left in ``spec``: no choice, no algorithm that makes one, no more than one seed."""
    if spec.seeds or any(stage.search is not None for stage in spec.stages):
        return False
    return not any(kind_of(value) in SEARCHES for stage in spec.stages for _, value in walk(stage.body))


def pointer(parts: Sequence[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)

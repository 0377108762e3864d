"""A YAML text that holds a value → its node form, for ``flambe.compile.yaml.load``: what the compiler does for a whole run.

Beside the installed tags it knows those that this process registered, and it keeps how each component was written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flambe.build.component import Component
from flambe.build.made import Written
from flambe.build.registrable import Registrable, class_of_tag, class_of_target, public_target, reads_own_yaml
from flambe.cli.console import say
from flambe.compile.comments import notes_of
from flambe.compile.compiler import EXPERIMENTS, name_of
from flambe.compile.compose import DEFAULT, Composer
from flambe.compile.document import Document, is_resolved, may_refer
from flambe.compile.extensions import file_path, read_header
from flambe.compile.library import Library
from flambe.compile.lowering import Lowering, Place
from flambe.compile.source import Class
from flambe.compile.tags import short_names
from flambe.compile.yaml import Mapping, Node, Scalar, bared, child, text_of
from flambe.errors import ConfigError, ConfigFaults
from flambe.spec.nodes import NEW, TAG, YAML

_CLUSTER = ("!cluster", "!ClusterResource")


class Value(NamedTuple):
    """What a text holds. A component that is aliased is one dict, which stands at several places of ``node``.

    extensions: of the header. written: id of a ``$new`` dict → how it was written. ready: ids of those that are made at once:
    a runnable or another ``Registrable`` that is no component.
    """

    node: Any
    extensions: dict[str, str]
    written: dict[int, Written]
    ready: set[int]


def read_value(text: str, *, file: str | None = None) -> Value:
    """Read a YAML text of one value. file: what positions call it, and where relative paths start.

    Signatures are not checked: classes of this process may be anything. Raises ``ConfigFaults``.
    """
    name = file or "<text>"
    if all(line.lstrip().startswith("#") or not line.strip() for line in text.splitlines()):
        return Value(None, {}, {}, set())
    header_tree, tree = _composed(text, name)
    lowering = _lowering(name)
    header = read_header(header_tree, lowering)
    lowering.extensions, lowering.files = header.extensions, header.files
    _check_rooms(tree)
    resources = _resources(tree, lowering) if _is_experiment(tree) else None
    node = lowering.value(tree, Place((), ()))
    for warning in lowering.warnings:
        say(f"warning: {warning}")
    if lowering.faults:
        raise ConfigFaults(lowering.faults)
    if _is_experiment(tree) and file is not None:
        node.setdefault("name", name_of(file))
    if resources is not None:
        node["resources"] = resources
    made = lowering.made()
    # What was put together from several files has no text to which comments could belong.
    notes = {} if DEFAULT in text else notes_of(text, tree, [component for component, _ in made])
    written = {
        id(result): Written(component.tag or "", notes.get(id(component), {}))
        for component, result in made
        if NEW in result
    }
    for component, result in made:
        if YAML in result:
            result[TAG] = component.tag
    ready = {id(result) for _, result in made if NEW in result and _is_ready_made(result[NEW], lowering)}
    return Value(node, header.extensions, written, ready)


def _composed(text: str, name: str) -> Document:
    """Return header and value of a text, with its parents, without references. Raises ``ConfigFaults``."""
    faults: list[ConfigError] = []
    composer = Composer(faults)
    header, tree = composer.config(text, name)
    if not is_resolved(tree) and any(map(may_refer, composer.files.values())):
        from flambe.compile.interpolate import Interpolation

        interpolation = Interpolation(tree, faults)
        header = None if header is None else interpolation.resolved(header)
        tree = interpolation.resolved(tree)
        faults += interpolation.follows
    for warning in composer.warnings:
        say(f"warning: {warning}")
    if faults:
        raise ConfigFaults(faults)
    return Document(header, tree)


class _Here(Lowering):
    """Knows the tags of this process, and keeps which tree each component came from."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            _LibraryHere(),
            extensions={},
            folder=folder,
            files={},
            seed=0,
            link_root=lambda name: None,
            registered=_registered,
        )
        self._trees: dict[int, tuple[Node, dict[str, Any]]] = {}

    def value(self, node: Node, place: Place) -> Any:
        """Return the node form of a tree; a resource on a cluster stays as it is, an experiment knows what it is."""
        if (node.tag or "") in _CLUSTER and isinstance(node, Scalar):
            return {YAML: "!cluster", "value": node.text}
        return super().value(node, place)

    def _component(self, node: Node, tag: str, place: Place) -> dict[str, Any]:
        result = super()._component(node, tag, place)
        self._trees.setdefault(id(node), (node, result))
        return result

    def made(self) -> list[tuple[Node, dict[str, Any]]]:
        """Return every component: its tree and its node."""
        return list(self._trees.values())


class _LibraryHere(Library):
    def reads_own_yaml(self, target: str) -> bool:
        class_ = class_of_target(target)
        return super().reads_own_yaml(target) if class_ is None else reads_own_yaml(class_)


def _lowering(file: str) -> _Here:
    import os

    return _Here(os.path.dirname(os.path.abspath(file)) if os.path.exists(file) else os.getcwd())


def _registered(tag: str) -> str | None:
    class_ = class_of_tag(tag)
    if class_ is not None:
        return public_target(class_)
    prefix, _, factory = tag.rpartition(".")
    class_ = class_of_tag(prefix)
    return None if class_ is None else f"{public_target(class_)}.{factory}"


def _is_experiment(tree: Node) -> bool:
    return isinstance(tree, Mapping) and (tree.tag or "").removeprefix("!") in EXPERIMENTS


def _resources(tree: Node, lowering: Lowering) -> dict[str, Any] | None:
    """Declare the files that an experiment names, and return its ``resources`` with whole paths; None: it has none."""
    given = child(tree, "resources")
    if not isinstance(given, Mapping):
        return None
    local: dict[str, str] = {}
    remote: dict[str, str] = {}
    parts = {text_of(key): value for key, value in given.items}
    sections = (
        parts
        if set(parts) <= {"local", "remote"} and all(isinstance(v, Mapping) for v in parts.values())
        else {"local": given}
    )
    for section, node in sections.items():
        assert isinstance(node, Mapping)
        for key, value in node.items:
            name, path = text_of(key), text_of(value)
            if name is None or path is None:
                lowering.fault(
                    value.position, "a resource has no path", rule="invalid-parameter", expected="name: path or URL"
                )
            elif section == "remote" or bared(value).tag in _CLUSTER:
                remote[name] = path
            else:
                local[name] = file_path(path, value.position, lowering, must_exist=True)
    lowering.files.update({**local, **remote})
    return {"local": local, "remote": remote} if remote else local


def _check_rooms(tree: Node) -> None:
    """Say what to install where a text asks for an experiment and there is nothing that makes one."""
    tag = (tree.tag or "").removeprefix("!")
    if _is_experiment(tree) and tag not in short_names() and class_of_tag(tag) is None:
        raise ConfigError(
            f"!{tag} is not there: flambe-tune is not installed",
            rule="unknown-tag",
            position=tree.position,
            hint="pip install flambe-tune.",
        )


def _is_ready_made(target: str, lowering: Lowering) -> bool:
    """Whether an object is made at once. One of an extension is not: reading imports nothing, imported already or not."""
    if target.partition(":")[0].partition(".")[0] in {module.partition(".")[0] for module in lowering.extensions}:
        return False
    class_ = class_of_target(target) or class_of_target(target.rpartition(".")[0])
    if class_ is not None:
        return issubclass(class_, Registrable) and not issubclass(class_, Component)
    module, _, name = target.partition(":")
    if not module.startswith("flambe."):
        return False
    found = lowering.library.find(module, name.partition(".")[0])
    if found is None or not isinstance(found.item, Class):
        return False
    names = {one.name for one in lowering.library.ancestors(found)[0] if one.module.startswith("flambe.build.")}
    return "Registrable" in names and "Component" not in names


__all__ = ["Value", "read_value"]

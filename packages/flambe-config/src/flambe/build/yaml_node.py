"""Between objects and PyYAML's nodes, for the documented ``to_yaml`` and ``from_yaml`` of tagged classes.

PyYAML's composer keeps tags as they are written and makes nothing of them, so the nodes can come from, and go to, the text that
``flambe.compile.yaml`` writes and reads: there is one reader and one writer of the language.
"""

from __future__ import annotations

import io
from typing import Any

import yaml

from flambe.build.made import made_of
from flambe.build.registrable import Registrable
from flambe.errors import FlambeError
from flambe.spec.codec import escape
from flambe.spec.nodes import MAP, TAG, YAML

_STANDARD = "tag:yaml.org,2002:"


def to_node(obj: Any, tag: str | None = None) -> Any:
    """Return the PyYAML node of a Schema, a component (its arguments as given), a link or plain data.

    tag: in place of the one that it is dumped with. Raises TypeError for anything else.
    """
    from flambe.compile.dump import object_to_yaml

    node: Any = yaml.compose(object_to_yaml(obj), Loader=yaml.SafeLoader)
    if tag is not None:
        node.tag = tag if tag.startswith("!") else f"!{tag}"
    return node


def from_node(node: Any, factory: str | None = None) -> Any:
    """Return what ``flambe.compile.yaml.load`` makes of a PyYAML node: a Schema for a component.

    factory: of the class that the node's tag names. Raises ``ConfigFaults``.
    """
    from flambe.compile.yaml import load

    tag = str(node.tag)
    if factory is not None and not tag.endswith(f".{factory}"):
        tag = f"{tag}.{factory}"
    kind = type(node)
    top = kind(tag, node.value) if isinstance(node, yaml.ScalarNode) else kind(tag, node.value, flow_style=False)
    return load(yaml.serialize(top))


def node_of_registrable(obj: Registrable) -> dict[str, Any]:
    """Return the ``$yaml`` node that the ``to_yaml`` of an object's class gives, under the tag that it was read with.

    Raises FlambeError when that gives no PyYAML node.
    """
    made = made_of(obj)
    class_ = type(obj)
    if made is not None and made.written is not None:
        tag = made.written.tag
    else:
        tag = f"!{Registrable.get_default_tag(class_)}"
    node = class_.to_yaml(_Representer(io.StringIO()), obj, tag)
    if not isinstance(node, yaml.Node):
        raise FlambeError(
            f"{class_.__qualname__}.to_yaml returned {'nothing' if node is None else repr(node)}, expected a PyYAML node",
            hint="Write `return representer.represent_scalar(tag, text)`, or represent_mapping(tag, arguments).",
        )
    return {YAML: tag, TAG: tag, "value": _untagged(node)}


class _Representer(yaml.SafeDumper):
    """PyYAML's own, which knows our objects below an object too."""


_Representer.add_multi_representer(object, lambda _, obj: to_node(obj))


def _untagged(node: Any) -> Any:
    """Return a PyYAML node, without its own tag, as a node of ours."""
    from flambe.compile.yaml import plain_value

    if isinstance(node, yaml.ScalarNode):
        return escape(node.value if node.style or node.tag == f"{_STANDARD}str" else plain_value(node.value))
    if isinstance(node, yaml.SequenceNode):
        return [_tagged(item) for item in node.value]
    return {MAP: [[_untagged(key), _tagged(item)] for key, item in node.value]}


def _tagged(node: Any) -> Any:
    tag = str(node.tag)
    value = _untagged(node)
    return value if tag.startswith(_STANDARD) else {YAML: tag, TAG: tag, "value": value}

"""Between objects and PyYAML's nodes, for the documented ``to_yaml`` and ``from_yaml`` of tagged classes.

PyYAML's composer keeps tags as they are written and makes nothing of them, so the nodes can come from, and go to, the text that
``flambe.compile.yaml`` writes and reads: there is one reader and one writer of the language.
"""

from __future__ import annotations

from typing import Any


def to_node(obj: Any, tag: str | None = None) -> Any:
    """Return the PyYAML node of a Schema, a component (its arguments as given), a link or plain data.

    tag: in place of the one that it is dumped with. Raises TypeError for anything else.
    """
    import yaml

    from flambe.compile.dump import object_to_yaml

    node: Any = yaml.compose(object_to_yaml(obj), Loader=yaml.SafeLoader)
    if tag is not None:
        node.tag = tag if tag.startswith("!") else f"!{tag}"
    return node


def from_node(node: Any, factory: str | None = None) -> Any:
    """Return what ``flambe.compile.yaml.load`` makes of a PyYAML node: a Schema for a component.

    factory: of the class that the node's tag names. Raises ``ConfigFaults``.
    """
    import yaml

    from flambe.compile.yaml import load

    tag = str(node.tag)
    if factory is not None and not tag.endswith(f".{factory}"):
        tag = f"{tag}.{factory}"
    kind = type(node)
    top = kind(tag, node.value) if isinstance(node, yaml.ScalarNode) else kind(tag, node.value, flow_style=False)
    return load(yaml.serialize(top))

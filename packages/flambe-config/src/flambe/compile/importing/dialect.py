"""YAML as the other tools read it: version 1.1, where ``yes`` is a boolean and ``012`` is ten."""

from __future__ import annotations

import datetime
import re
from typing import Any

import yaml

from flambe.compile.yaml import STANDARD, Alias, Mapping, Node, Scalar, Sequence, documents, plain_value
from flambe.errors import ConfigError, Position

_MOST_NODES = 200_000


class _PyYAML(yaml.SafeLoader):
    """What ``yaml.safe_load`` makes of a scalar (expyrun)."""


class _OmegaConf(yaml.SafeLoader):
    """What OmegaConf makes of one (Hydra, mlxp): ``1e-3`` is a number, dates are text."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if not tag.endswith((":timestamp", ":float", ":value"))]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


# As omegaconf 2.3 reads numbers (checked against it by the tests): an exponent needs no point before it.
_OmegaConf.add_implicit_resolver(
    f"{STANDARD}float",
    re.compile(
        r"""(?:[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9]+(?:_[0-9]+)*[eE][-+]?[0-9]+
        |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
        |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))\Z""",
        re.X,
    ),
    list("-+0123456789."),
)


class Dialect:
    """How a tool reads scalars. duplicates: whether it lets a key be written twice."""

    def __init__(self, loader: type[yaml.SafeLoader], *, duplicates: bool) -> None:
        self._loader: Any = loader("")  # PyYAML has no types
        self.duplicates = duplicates

    def value(self, scalar: Scalar) -> Any:
        """Return what a scalar means there: None, bool, int, float or text; a date too, for expyrun."""
        kind = (scalar.tag or "").removeprefix(STANDARD)
        if kind == "str" or (not scalar.plain and not kind):
            return scalar.text
        tag = scalar.tag or self._loader.resolve(yaml.ScalarNode, scalar.text, (True, False))
        if tag in (f"{STANDARD}value", f"{STANDARD}merge"):
            return scalar.text
        try:
            return self._loader.construct_object(yaml.ScalarNode(tag, scalar.text), deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"{scalar.text!r} is no {kind}", position=scalar.position) from error


EXPYRUN = Dialect(_PyYAML, duplicates=True)
HYDRA = Dialect(_OmegaConf, duplicates=False)


def scalar_of(value: Any, position: Position) -> Scalar:
    """Return a scalar of YAML 1.2 that means ``value``."""
    if isinstance(value, str):
        return Scalar(None, position, value, False)
    from flambe.compile.dump import scalar

    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return Scalar(None, position, {"inf": ".inf", "-inf": "-.inf"}.get(repr(value), ".nan"), True)
    if isinstance(value, datetime.date):
        return Scalar(None, position, value.isoformat(), False)
    return Scalar(None, position, scalar(value), True)


def means_the_same(scalar: Scalar, value: Any) -> bool:
    """Whether a scalar as it is written means ``value`` in YAML 1.2 too."""
    here = plain_value(scalar.text) if scalar.plain and scalar.tag is None else scalar.text
    return type(here) is type(value) and (here == value or here != here)


def read_mapping(text: str, file: str, dialect: Dialect) -> Mapping:
    """Return the mapping of a file, without aliases and ``<<``: what they stand for is in their place.

    An empty file is an empty mapping. Raises ConfigError for anything else, as the tool itself would.
    """
    found = documents(text, file)
    if not found:
        return Mapping(None, Position(file, 1, 1))
    if len(found) > 1:
        raise ConfigError(f"{file} holds {len(found)} documents", position=found[1].position, expected="one")
    tree = _Plain(dialect).node(found[0])
    if isinstance(tree, Scalar) and not tree.text and tree.plain:
        return Mapping(None, tree.position)
    if not isinstance(tree, Mapping):
        raise ConfigError("this holds no mapping", position=tree.position, expected="key: value")
    return tree


class _Plain:
    """A copy of a tree without aliases, merge keys and repeated keys."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._count = 0

    def node(self, node: Node) -> Node:
        if isinstance(node, Alias):
            node = node.target
        self._count += 1
        if self._count > _MOST_NODES:
            raise ConfigError("aliases make this file too large", position=node.position)
        if isinstance(node, Sequence):
            items = Sequence(node.tag, node.position)
            items.items = [self.node(item) for item in node.items]
            return items
        if isinstance(node, Mapping):
            return self._mapping(node)
        assert isinstance(node, Scalar)
        return Scalar(node.tag, node.position, node.text, node.plain)

    def _mapping(self, node: Mapping) -> Mapping:
        merged: dict[str, tuple[Node, Node]] = {}
        own: dict[str, tuple[Node, Node]] = {}
        for key, item in node.items:
            bare = key.target if isinstance(key, Alias) else key
            if not isinstance(bare, Scalar):
                raise ConfigError("a key is a single value", position=key.position)
            value = self.node(item)
            if bare.plain and bare.text == "<<" and bare.tag is None:
                sources = value.items if isinstance(value, Sequence) else [value]
                for source in reversed(sources):
                    if not isinstance(source, Mapping):
                        raise ConfigError("<< takes a mapping", position=item.position)
                    merged.update({_name(inner): (inner, below) for inner, below in source.items})
                continue
            if bare.text in own and not self._dialect.duplicates:
                raise ConfigError(f"duplicate key {bare.text!r}", position=key.position, hint="Remove one of them.")
            own[bare.text] = (Scalar(bare.tag, bare.position, bare.text, bare.plain), value)
        result = Mapping(node.tag, node.position)
        result.items = list({**merged, **own}.values())
        return result


def _name(key: Node) -> str:
    assert isinstance(key, Scalar)
    return key.text

"""A YAML file of another tool as plain data: tags mean nothing, and aliases cannot grow without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flambe.errors import ConfigError
from flambe.reading.inside import read_file

_MOST_VALUES = 100_000


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping of a file; empty where the file is missing or empty. A key that is no text becomes one.

    Raises ConfigError when it is no YAML, no mapping, a link, or too large.
    """
    from flambe.compile.yaml import Alias, Mapping, Node, Scalar, Sequence, documents, value_of

    budget = _MOST_VALUES

    def plain(node: Node) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0:
            raise ConfigError(f"{path} holds more than {_MOST_VALUES:,} values")
        if isinstance(node, Alias):
            return plain(node.target)
        if isinstance(node, Mapping):
            return {_key(plain(key)): plain(value) for key, value in node.items}
        if isinstance(node, Sequence):
            return [plain(item) for item in node.items]
        return value_of(node) if isinstance(node, Scalar) else None

    try:
        text = read_file(path).decode()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text: {error}") from error
    trees = documents(text, str(path))
    found = plain(trees[0]) if trees else None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no mapping")
    return found


def _key(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


__all__ = ["read_yaml"]

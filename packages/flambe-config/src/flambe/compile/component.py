"""The documented names around components and links; they are defined in ``flambe.build``."""

from __future__ import annotations

from flambe.build.component import Component, dynamic_component
from flambe.build.link import (
    FunctionCallLink,
    Link,
    LinkError,
    MalformedLinkError,
    UnpreparedLinkError,
    activate_links,
    create_link_str,
    parse_link_str,
)
from flambe.build.schema import Schema
from flambe.build.state import LoadError

__all__ = [
    "Component",
    "FunctionCallLink",
    "Link",
    "LinkError",
    "LoadError",
    "MalformedLinkError",
    "Schema",
    "UnpreparedLinkError",
    "activate_links",
    "create_link_str",
    "dynamic_component",
    "parse_link_str",
]

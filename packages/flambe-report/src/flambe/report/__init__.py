"""Tables and pages over run directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

__all__ = ["make_app", "serve"]

__getattr__ = lazily(__name__, {"make_app": "server", "serve": "server"})

if TYPE_CHECKING:
    from flambe.report.server import make_app, serve

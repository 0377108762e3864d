"""How a unit is run. Import from the files: ``flambe.runner.stage`` builds objects, ``flambe.runner.environment`` is light.

``Environment`` is here too because version 1.0's documentation calls it ``flambe.runner.Environment``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flambe.lazy import lazily

if TYPE_CHECKING:
    from flambe.runnable.environment import Environment

__all__ = ["Environment"]

__getattr__ = lazily(__name__, {"Environment": "flambe.runnable.environment"})

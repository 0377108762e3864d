"""The documented names around saving and loading; they are defined in ``flambe.build``."""

from __future__ import annotations

from flambe.build.saved import load, load_state_from_file, save, save_state_to_file
from flambe.build.state import LoadError, State

__all__ = ["LoadError", "State", "load", "load_state_from_file", "save", "save_state_to_file"]

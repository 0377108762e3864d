"""Files of a machine, and the word it says when it will not."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Dict  # noqa: UP035

Result = Dict[str, Any]  # noqa: UP006 - evaluated, so Python 3.8 has to know it


class Refusal(Exception):
    """The machine cannot do what was asked; ``str()`` says why."""


def read_json(path: str) -> Any:
    """Return what a JSON file holds, None when there is none or it is torn."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def write_file(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file whole, with this mode from its first byte on."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    aside = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(aside, path)


def write_json(path: str, value: Any, mode: int = 0o600) -> None:
    """Replace a JSON file."""
    write_file(path, json.dumps(value, indent=1) + "\n", mode)


def resolve(path: str) -> str:
    """Return an absolute path; relative ones start at the home folder."""
    return os.path.normpath(os.path.join(os.path.expanduser("~"), os.path.expanduser(path)))

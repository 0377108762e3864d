"""Files with a word (or a label) a line."""

from __future__ import annotations

from pathlib import Path

from flambe.errors import ConfigError
from flambe.runner.environment import note_input


def read_words(path: str, argument: str) -> list[str]:
    """Read the lines of a file that are not empty. argument: what named it, for the message.

    Raises ConfigError when there is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(
            f"{argument} {path} do not exist", expected=f"a list of {argument}, or a file with one a line"
        )
    note_input(file)
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line]

"""What a shell proposes after ``flambe``: the words that stand there, config files, and what the tool itself proposes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import click
from click.shell_completion import CompletionItem

VARIABLE = "_FLAMBE_COMPLETE"


class Words(click.Group):
    """``flambe`` as shells see it. words: what may stand first → its summary. commands: those of them that are click's."""

    def __init__(self, words: Mapping[str, str], commands: Mapping[str, click.Command]) -> None:
        super().__init__("flambe", commands=dict(commands))
        self._words = words

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the words that begin so; where there is none, the files, of which a config is one."""
        found = [CompletionItem(word, help=text) for word, text in self._words.items() if word.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


def with_files(command: click.Command) -> None:
    """Let a shell propose files for the arguments of a command and of all below it, and for options that take a FILE or DIR.

    Once a shell completes a command by our words, it proposes no file of its own any more.
    """
    for param in command.params:
        is_path = isinstance(param, click.Argument) or param.metavar in ("FILE", "DIR", "PATH")
        if is_path and param.type in (click.STRING, click.UNPROCESSED):
            param.type = click.Path(file_okay=param.metavar != "DIR")
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        with_files(inner)


def tool_asked(names: Iterable[str]) -> str | None:
    """Return the tool whose words are asked for: the first word that is complete. None when it is none of ``names``."""
    words = os.environ.get("COMP_WORDS", "").split()
    position = os.environ.get("COMP_CWORD", "")
    complete = len(words) > 2 or (len(words) == 2 and (position == "2" or (_is_fish() and not position)))
    return words[1] if complete and words[1] in names else None


def hand_on(name: str) -> None:
    """Put the question of the shell as ``flambe-NAME`` reads it."""
    instruction = os.environ.pop(VARIABLE)
    os.environ[f"_FLAMBE_{name.upper()}_COMPLETE"] = instruction
    _, _, *rest = os.environ["COMP_WORDS"].split()
    os.environ["COMP_WORDS"] = " ".join([f"flambe-{name}", *rest])
    if not _is_fish():
        os.environ["COMP_CWORD"] = str(int(os.environ["COMP_CWORD"]) - 1)


def _is_fish() -> bool:
    """Whether the position is the word itself, and no number."""
    return any(os.environ.get(name, "").startswith("fish") for name in os.environ if name.endswith("_COMPLETE"))

"""``flambe fmt``: the layout of config files, made alike."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from flambe.cli.console import say
from flambe.cli.door import loudness
from flambe.cli.streams import emit, read_text
from flambe.errors import ConfigError

_HELP = """Lay out YAML configs alike: two spaces a level, one blank line at most, no blanks at line ends.

Comments, quotes and the order of keys stay. A file is only written when it compiles to an equal spec before and after;
any other is left as it is and named. - reads stdin and writes stdout.

\b
Examples:
  flambe fmt experiments/*.yaml
  flambe fmt --check experiments/*.yaml
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--check", is_flag=True, help="Write nothing; name what would change and end with 1.")
@loudness
def fmt(files: tuple[str, ...], check: bool) -> int:
    from flambe.compile.layout import laid_out

    changed = 0
    refused = 0
    for file in files:
        text = _read(file)
        try:
            new = laid_out(text, file)
        except ConfigError as error:
            refused += 1
            for line in str(error).splitlines():
                say(f"flambe fmt: error: {line}", level=0)
            continue
        if file == "-" and not check:
            emit(new)
        elif new != text:
            changed += 1
            emit(file)
            if not check:
                _replace(file, new)
    return 2 if refused else 1 if check and changed else 0


def _read(file: str) -> str:
    """Return a text with its line ends as they are."""
    text = read_text(file, what="config")
    if file != "-" and "\n" in text:
        with open(file, encoding="utf-8", newline="") as stream:
            return stream.read()
    return text


def _replace(file: str, text: str) -> None:
    """Write a file whole or not at all, with the rights it has."""
    target = os.path.realpath(file)
    aside = f"{target}.{os.getpid()}.new"
    try:
        with open(aside, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        os.chmod(aside, os.stat(target).st_mode & 0o7777)
        os.replace(aside, target)
    except OSError as error:
        with suppress(FileNotFoundError):
            os.remove(aside)
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error

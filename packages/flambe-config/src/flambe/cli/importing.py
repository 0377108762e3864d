"""``flambe import``: the configs of another tool, written as ours."""

from __future__ import annotations

import os

import click

from flambe.cli.console import VERBOSE, say
from flambe.cli.door import loudness
from flambe.cli.streams import emit_json
from flambe.errors import ConfigError, UsageError

_HELP = """Write the configs of another tool as configs of flambe. Nothing of them is run, and DIR stays as it is.

\b
  hydra    a folder of configs with its groups: defaults lists, ${...}, _target_, hydra.sweeper
  mlxp     the same, with mlxp.yaml or mlxpy.yaml beside config.yaml
  expyrun  YAML files, which we read nearly as they are

stdout has a line of JSON for each file that was written, stderr what was done, and a note for everything that has no equal
here: where it stands and what to write. The exit code is 0 when the files can be used as they are and 1 when a note is
marked (!): until you have done what it says, flambe-compile refuses the file, or the program does not start.

\b
Examples:
  flambe import --from hydra conf
  flambe import --from mlxp configs -o flambe-configs --main main:train
  flambe import --from expyrun configs --check
"""


@click.command(name="import", help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR")
@click.option("--from", "tool", type=click.Choice(["hydra", "mlxp", "expyrun"]), required=True, help="The other tool.")
@click.option("-o", "--output", metavar="OUT", help="Where to write; default DIR-flambe, beside DIR.")
@click.option("--config-name", multiple=True, metavar="NAME", help="A config that the program starts from.")
@click.option("--main", metavar="MODULE:FUNCTION", help="What runs the configs; default the decorated function.")
@click.option(
    "--targets",
    type=click.Choice(["data", "tags"]),
    default="data",
    show_default=True,
    help="Keep _target_ as data for your function, or write tags, which are built before it is called.",
)
@click.option("--check", is_flag=True, help="Write nothing; say what would be done.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@loudness
def import_(
    folder: str,
    tool: str,
    output: str | None,
    config_name: tuple[str, ...],
    main: str | None,
    targets: str,
    check: bool,
    force: bool,
) -> int:
    from flambe.compile.importing import translate

    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is no folder", expected="the folder of the configs")
    folder = os.path.normpath(folder)
    out = output or f"{folder}-flambe"
    if os.path.realpath(out) == os.path.realpath(folder):
        raise UsageError(f"{out} is the folder that is read", expected="another one to write into")
    translation = translate(tool, folder, out, primary=config_name, main=main, as_tags=targets == "tags")
    present = [path for path in translation.files if os.path.exists(os.path.join(out, path))]
    if present and not (force or check):
        shown = ", ".join(os.path.join(out, path) for path in present[:3])
        more = f" and {len(present) - 3} more" if len(present) > 3 else ""
        raise UsageError(f"{shown}{more} would be written over", hint="Choose another folder with -o, or add --force.")
    for path, written in translation.files.items():
        target = os.path.join(out, path)
        if not check:
            _write(target, written.text)
        emit_json({"file": target, "from": list(written.sources)})
        for did in written.did:
            say(f"{target}: {did}", level=VERBOSE)
    for note in translation.notes:
        say(f"{note} (!)" if note.left else str(note))
    left = sum(note.left for note in translation.notes)
    say(_summary(len(translation.files), len(translation.notes), left, out, check=check))
    return 1 if left else 0


def _summary(files: int, notes: int, left: int, out: str, *, check: bool) -> str:
    text = f"{files} file{'s' * (files != 1)} {'would be' if check else 'written'} in {out}"
    text += f", {notes} note{'s' * (notes != 1)}" if notes else ""
    return f"{text}, {left} of them for you to do (!)" if left else text


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error

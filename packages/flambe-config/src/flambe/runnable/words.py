"""The command line of a decorated function: ``python main.py [OPTION]... [OVERRIDE]...``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from flambe.errors import UsageError, did_you_mean


class Words(NamedTuple):
    """What was asked for. exp: the number of the folder. resume: a run. overrides: the words that belong to the config."""

    jobs: int = 1
    exp: int | None = None
    resume: str | None = None
    allow_change: bool = False
    fail_fast: bool = False
    log: bool = True
    debug: bool = False
    dry_run: bool = False
    output_dir: str | None = None
    help: bool = False
    version: bool = False
    overrides: tuple[str, ...] = ()


class _Option(NamedTuple):
    field: str
    value: str | None
    text: str


OPTIONS = {
    "--jobs": _Option("jobs", "N", "Runs of a sweep at once; default 1."),
    "--fail-fast": _Option("fail_fast", None, "End a sweep when one of its runs fails."),
    "--exp": _Option("exp", "N", "Write to exp.N, which must not be there."),
    "--resume": _Option(
        "resume", "RUN", "Go on with a run, by its path or the beginning of its id; its overrides if none are given."
    ),
    "--allow-change": _Option("allow_change", None, "With --resume: also when the config is another one."),
    "--output-dir": _Option("output_dir", "DIR", "Where run directories are made; default ./logs beside this file."),
    "--no-log": _Option("log", None, "Make no run directory; ctx.logger is None."),
    "--debug": _Option("debug", None, "Copy no code, run all in this process, below DEBUG/."),
    "--dry-run": _Option("dry_run", None, "Print the resolved config, and run nothing."),
    "--help": _Option("help", None, "Print this."),
    "--version": _Option("version", None, "Print the version of flambe."),
}
_SHORT = {"-j": "--jobs", "-d": "--debug", "-h": "--help", "-o": "--output-dir"}


def read_words(words: Sequence[str]) -> Words:
    """Read a command line. Options end at the first word that is none: what comes after belongs to the config, but for ``--debug``.

    Raises UsageError for an option without its value, or with a wrong one.
    """
    found: dict[str, object] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest[0].partition("=")
        option = OPTIONS.get(_SHORT.get(name, name))
        if option is None:
            break
        rest.pop(0)
        if option.value is None:
            if equals:
                raise UsageError(f"{name} takes no value")
            found[option.field] = option.field != "log"
            continue
        if not equals:
            if not rest:
                raise UsageError(f"{name} has no value", expected=f"{name} {option.value}")
            value = rest.pop(0)
        found[option.field] = _number(name, value, option.field) if option.value == "N" else value
    if "--debug" in rest:
        rest.remove("--debug")
        found["debug"] = True
    asked = Words(**found, overrides=tuple(rest))  # type: ignore[arg-type]
    if asked.exp is not None and asked.resume is not None:
        raise UsageError("--exp makes a new folder, and --resume goes on in an old one", hint="Give one of them.")
    if asked.allow_change and asked.resume is None:
        raise UsageError("--allow-change is said of --resume RUN", hint="Name the run.")
    return asked


def _number(name: str, text: str, field: str) -> int:
    least = 1 if field == "jobs" else 0
    if not text.isdigit() or int(text) < least:
        raise UsageError(f"{name} is {text!r}", expected=f"a number from {least} on")
    return int(text)


def help_text(program: str, about: str | None, config: str) -> str:
    """Return what ``--help`` prints. about: the docstring of the function. config: the text of its config file."""
    shown = {f"{', '.join([s for s, n in _SHORT.items() if n == name] + [name])}"
             f"{f' {option.value}' if option.value else ''}": option.text for name, option in OPTIONS.items()}  # fmt: skip
    width = max(map(len, shown))
    lines = [f"Usage: {program} [OPTION]... [OVERRIDE]...", ""]
    if about:
        lines += [*about.strip().splitlines(), ""]
    lines += ["Options, before the first override:", *(f"  {left:<{width}}  {text}" for left, text in shown.items())]
    lines += [
        "",
        "Overrides: a.b=V sets what is there, +a.b=V adds, ~a.b takes away, a.b=V1,V2 runs each; --a.b V as well.",
        "",
        "Config:",
        *(f"  {line}".rstrip() for line in config.strip().splitlines()),
    ]
    return "\n".join(lines)


_PATH = re.compile(r"(?:\+{1,2}|--)?([\w.-]+)(?:=|\Z)")


def path_of(word: str) -> str | None:
    """Return what an override is about: ``a.b`` of ``+a.b=1``."""
    match = _PATH.match(word)
    return None if match is None else match[1]


def check_options(overrides: Sequence[str], config: str) -> None:
    """Raise UsageError for an option among the overrides of a config that has no such key, and for one that is misspelt."""
    for word in overrides:
        name = word.partition("=")[0]
        if not name.startswith("--") or "." in name or re.search(rf"^{re.escape(name[2:])}\s*:", config, re.MULTILINE):
            continue
        if name in OPTIONS:
            raise UsageError(f"{name} stands after an override", hint="Options come before the first override.")
        hint = did_you_mean(name, OPTIONS)
        if hint is not None:
            raise UsageError(f"there is no option {name}, and no such key", hint=hint)


__all__ = ["OPTIONS", "Words", "check_options", "help_text", "path_of", "read_words"]

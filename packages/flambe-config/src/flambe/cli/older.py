"""The cluster words of version 1.0 (``flambe kill JOB -c CLUSTER``, ``flambe ls``, …) as words of ``flambe-cluster``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from flambe.errors import UsageError


class _Given(NamedTuple):
    """What stood after a word. options: by their long name, True for those without a value."""

    words: list[str]
    options: dict[str, str | bool]

    @property
    def cluster(self) -> str:
        found = self.options.get("--cluster")
        if not isinstance(found, str):
            raise UsageError("no cluster is named", hint="Add -c FILE: its YAML file, or its name once it was used.")
        return found


_LONG = {"-c": "--cluster", "-y": "--yes", "-n": "--new", "-p": "--port", "--port-forward": "--port"}
_WITH_VALUE = ("--cluster", "--port", "--template", "--min-workers", "--max-workers")
_KNOWN = (*_WITH_VALUE, "--yes", "--new", "--clean", "--destroy", "--workers-only", "--create")


def is_older(word: str, rest: Sequence[str]) -> bool:
    """Whether a command is one of version 1.0. The same words with a file are ours: ``flambe kill FILE JOB``."""
    if word in ("ls", "clean", "rsync-up", "rsync-down"):
        return True
    names = {part.partition("=")[0] for part in rest}
    if word in ("exec", "site", "attach", "kill"):
        return bool(names & {"-c", "--cluster"})
    return word in ("up", "down") and bool(names & ({*_KNOWN, "-y"} - {"--clean"}))


def as_ours(word: str, rest: Sequence[str]) -> list[str]:
    """Return the words of ``flambe-cluster`` that do the same.

    Raises UsageError where there is no one command: the message has the commands to use.
    """
    given = _read(rest, keep=word == "exec")
    first = given.words[0] if given.words else None
    if word == "exec":
        if "--port" in given.options:
            raise _instead(
                "flambe exec -p forwards no port",
                f"ssh -L {given.options['--port']}:localhost:{given.options['--port']} USER@ORCHESTRATOR",
            )
        return ["exec", given.cluster, *given.words]
    if word == "ls":
        return ["status", given.cluster]
    if word == "attach":
        return ["logs", given.cluster, *given.words, "--follow"]
    if word == "kill":
        return ["kill", given.cluster, *given.words]
    if word == "up":
        asked = [name for name in ("--create", "--template", "--min-workers", "--max-workers") if name in given.options]
        if asked:
            raise _instead(
                f"a cluster is described by its file, not by {asked[0]}", f"flambe-cluster up {first or 'FILE'}"
            )
        return ["up", *given.words]
    if word == "down":
        if "--workers-only" in given.options:
            what = "flambe-cluster ends what it started on all machines, not on the workers only"
            raise _instead(what, f"flambe-cluster down {first or 'FILE'}")
        return ["down", *given.words, *(["--clean"] if "--destroy" in given.options else [])]
    cluster = given.options.get("--cluster") or "FILE"
    if word == "clean":
        what = "the files of one job are not removed alone"
        raise _instead(what, f"flambe-cluster down {cluster} --clean", "removes those of all jobs, results included")
    if word == "site":
        raise _instead(
            "the pages are made from runs on this machine", f"flambe-cluster fetch {cluster} | flambe-report serve -"
        )
    source, target = (*given.words, "SOURCE", "TARGET")[:2]
    if word == "rsync-down":
        what = f"flambe-cluster fetch {cluster} brings runs back; for any other file"
        raise _instead(what, f"rsync -az {shlex.quote('USER@ORCHESTRATOR:' + source)} {shlex.quote(target)}")
    what = "files that a config declares (local_files, extensions) are sent by flambe-cluster submit; for any other"
    raise _instead(what, f"rsync -az {shlex.quote(source)} {shlex.quote('USER@ORCHESTRATOR:' + target)}")


def _instead(what: str, command: str, why: str = "") -> UsageError:
    return UsageError(what, hint=f"Use: {command}{f'   ({why})' if why else ''}")


def _read(rest: Sequence[str], *, keep: bool) -> _Given:
    """Split words from options. keep: unknown options belong to a command for other machines."""
    words: list[str] = []
    options: dict[str, str | bool] = {}
    left = list(rest)
    while left:
        word = left.pop(0)
        name, has_value, value = word.partition("=")
        name = _LONG.get(name, name)
        if name in _WITH_VALUE:
            if not has_value and not left:
                raise UsageError(f"{word} has no value")
            options[name] = value if has_value else left.pop(0)
        elif name in _KNOWN and not keep:
            options[name] = True
        else:
            words.append(word)
    return _Given(words, options)


__all__ = ["as_ours", "is_older"]

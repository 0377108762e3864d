"""Installing what extensions need, with pip, and telling what that changed in the environment."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from flambe.cli.console import VERBOSE, level, say
from flambe.errors import ConfigError


def is_package(folder: Path | str) -> bool:
    """Whether pip can install a folder: it says how it is built."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in ("pyproject.toml", "setup.py"))


def install_extensions(extensions: Mapping[str, str]) -> None:
    """Fetch and install what a spec names: module → folder, git address or requirement. A folder without a build needs nothing.

    Raises ``ConfigError`` for what cannot be fetched or installed.
    """
    targets: list[str] = []
    for module, source in extensions.items():
        path = source
        if "://" in source:
            from flambe.compile.git import fetch, parse_source

            git = parse_source(source)
            path = source if git is None else str(fetch(module, git).folder)
        if os.path.exists(path):
            targets += [path] if is_package(path) else []
        elif not os.path.isabs(path):
            targets.append(source)
    if targets:
        install(targets)


def install(targets: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Install folders and requirements into the environment of this Python, and say what changed there.

    What is satisfied already stays as it is. Returns distribution → (version before, version now), None where there is none.
    Raises ``ConfigError`` with pip's own words.
    """
    before = installed()
    say(f"installing {', '.join(targets)}")
    done = subprocess.run([*_program(), *targets], capture_output=True, text=True, errors="replace", check=False)
    say(f"{done.stdout}{done.stderr}".rstrip(), level=VERBOSE)
    importlib.invalidate_caches()
    changed = _changes(before, installed())
    for name, (old, new) in changed.items():
        if old is None:
            say(f"  {name} {new} is new")
        else:
            say(f"  warning: {name} {old} is {'gone' if new is None else f'now {new}'}")
    if not changed and not done.returncode:
        say("  everything was there")
    if done.returncode:
        raise ConfigError(
            f"{', '.join(targets)} cannot be installed: {_reason(done.stderr)}",
            rule="extension-install",
            hint=None if level() >= VERBOSE else "--verbose shows all that pip says.",
        )
    return changed


def installed() -> dict[str, str]:
    """Return the version of every distribution of this Python."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(name, distribution.version)
    return found


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    names = sorted({*before, *after}, key=str.casefold)
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _program() -> list[str]:
    """Return the beginning of the command line of an installer for this very Python."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    raise ConfigError(
        f"{sys.executable} has no pip, so nothing can be installed",
        rule="extension-install",
        hint=f"{sys.executable} -m ensurepip; or install the extensions yourself.",
    )


def _reason(text: str) -> str:
    words = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in words if line.lower().startswith("error")]
    chosen = errors[0] if errors else (words[-1] if words else "pip says nothing")
    return chosen[:300]

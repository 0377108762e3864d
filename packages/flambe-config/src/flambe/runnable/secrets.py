"""The user's secrets: an INI file that only the process that needs it reads.

A command gets its name by ``--secrets`` and hands it on by an environment variable; the content never leaves the process
that runs the object: it is in no spec, no argument list and no message, and ``hide`` takes it out of what code prints.
"""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flambe.errors import FlambeError
from flambe.runnable.error import MissingSecretsError, ResourceError

VARIABLE = "FLAMBE_SECRETS"
"""The environment variable that names the file."""

DEFAULT = Path("~/.flambe/secrets.ini")
HIDDEN = "[secret]"
_SHORTEST = 6  # a shorter value is a word that may stand anywhere

_LONG_ENOUGH = 12  # for a key that nobody vouches for: DEFAULT_KEY=default is none

_values: set[str] = set()
_looked_at: set[tuple[str, str]] = set()
"""Variables of the environment, so that a process that runs thousands of units looks at each once."""


class Secrets(configparser.ConfigParser):
    """Sections of keys and values; ``secrets["AWS"]["TOKEN"]``. What is not there is named together with its remedy."""

    def __init__(self) -> None:
        # Interpolation would take a % for a reference, and show the value in its complaint.
        super().__init__(interpolation=None)
        self.file: Path | None = None

    def __getitem__(self, key: str) -> configparser.SectionProxy:
        if key != self.default_section and not self.has_section(key):
            raise _missing(f"there is no section [{key}] in the secrets", self.file)
        return _Section(self, key)


class _Section(configparser.SectionProxy):
    def __getitem__(self, key: str) -> str:
        if not self.parser.has_option(self.name, key):
            assert isinstance(self.parser, Secrets)
            raise _missing(f"there is no {key} in the section [{self.name}] of the secrets", self.parser.file)
        return super().__getitem__(key)


class NoSecretError(MissingSecretsError, KeyError):
    """A key that is not there; a KeyError too, as of any mapping."""

    __str__ = FlambeError.__str__


def _missing(what: str, file: Path | None) -> NoSecretError:
    hint = f"Write it into {file}." if file else f"Give their file by --secrets FILE, or make {DEFAULT}."
    return NoSecretError(what, hint=hint)


def read_secrets(path: str | os.PathLike[str]) -> Secrets:
    """Read an INI file. One that does not exist holds no secrets.

    Raises ``ResourceError`` when it is no INI file, or cannot be read; its text is not shown.
    """
    secrets = Secrets()
    file = Path(path).expanduser()
    try:
        if secrets.read(file, encoding="utf-8"):
            secrets.file = file
    except (configparser.Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or next((n for n, _ in getattr(error, "errors", ())), None)
        raise ResourceError(
            f"{path} is no INI file ({type(error).__name__}{f', line {line}' if line else ''})",
            hint="Write [SECTION] above lines of KEY = value.",
        ) from None
    except OSError as error:
        raise ResourceError(f"cannot read the secrets {path}: {error.strerror}") from None
    _values.update(form for value in _all_values(secrets) for form in _forms(value) if len(form) >= _SHORTEST)
    return secrets


def secrets_file(given: str | None = None) -> Path | None:
    """Return the file to read: ``given``, the one that ``FLAMBE_SECRETS`` names, or the default one; None: there is none.

    Raises ``MissingSecretsError`` for a file that was named and is not there.
    """
    named = given or os.environ.get(VARIABLE)
    if named:
        file = Path(os.path.abspath(os.path.expanduser(named)))
        if not file.is_file():
            raise MissingSecretsError(f"there is no file of secrets {named}", hint="It is what --secrets names.")
        return file
    default = DEFAULT.expanduser()
    return default if default.is_file() else None


def hand_on(given: str) -> None:
    """Check a file of secrets and name it to this process and the one that it becomes. Raises as the functions above."""
    file = secrets_file(given)
    assert file is not None
    read_secrets(file)
    os.environ[VARIABLE] = str(file)


def _forms(value: str) -> Iterator[str]:
    """Yield a value as prints, tracebacks and JSON lines have it; of a key of several lines each alone."""
    for text in (value, *value.splitlines()):
        yield text
        yield repr(text)[1:-1]
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]


def hide_environment() -> None:
    """Let ``hide`` take out what variables with secret-like names (``TOKEN``, ``SECRET``, ``PASSWORD``, ``KEY``) hold."""
    from flambe.compile.placeholder import Variable

    for name, value in os.environ.items():
        if len(value) < _LONG_ENOUGH or (name, value) in _looked_at:
            continue
        _looked_at.add((name, value))
        if Variable(name, None).is_secret and not os.path.exists(value):
            _values.update(_forms(value))


def hide(text: str) -> str:
    """Return a text without the values of the secrets that this process has read."""
    for value in sorted(_values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def hide_bytes(data: bytes) -> bytes:
    """As ``hide``, for bytes."""
    for value in sorted(_values, key=len, reverse=True):
        data = data.replace(value.encode(), HIDDEN.encode())
    return data


def hide_within(value: Any) -> Any:
    """As ``hide``, for all texts of plain data, keys too."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {hide_within(key): hide_within(item) for key, item in value.items()}
    return [hide_within(item) for item in value] if isinstance(value, list) else value


def hide_flowing(data: bytes) -> tuple[bytes, bytes]:
    """Return bytes of a stream without secrets, and what has to wait for the next ones: the end that may be the beginning of one."""
    if not _values:
        return data, b""
    data = hide_bytes(data)
    secrets = [value.encode() for value in _values]
    longest = min(len(data), max(map(len, secrets)) - 1)
    for size in range(longest, 0, -1):
        if any(value.startswith(data[-size:]) for value in secrets):
            return data[:-size], data[-size:]
    return data, b""


def hide_in_file(path: Path, start: int) -> None:
    """Take the secrets out of a file, from an offset on. Its length stays, since others may be writing to its end."""
    if not _values or path.stat().st_size <= start:
        return
    import mmap

    with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), 0) as content:
        for value in sorted((value.encode() for value in _values), key=len, reverse=True):
            at = content.find(value, start)
            while at >= 0:
                content[at : at + len(value)] = HIDDEN.encode()[: len(value)].ljust(len(value), b"*")
                at = content.find(value, at)


def _all_values(secrets: Secrets) -> Iterator[str]:
    for section in (secrets.default_section, *secrets.sections()):
        for _, value in configparser.ConfigParser.items(secrets, section):
            if value:
                yield value

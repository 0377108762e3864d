"""Errors that people read: where it is, what came, what was expected, what to do.

FlambeError                 1  anything of ours; the number is the exit code of a command that ends with it
├── ConfigError             2  a fault in a file or value the user wrote
│   ├── ArgumentError       2  an argument of a component with which it cannot do its work
│   ├── ConfigFaults        2  several of them, reported together
│   ├── MissingFieldError   2  a config without the seed that its seeding function is to be given
│   └── UsageError          2  a fault on the command line
├── RunFailed               1  a stage raised
├── ProvenanceError         3  what would run is not what was recorded
└── MachineError            4  a host or scheduler refused
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Position(NamedTuple):
    """A place in a file: 1-based line and column, as editors count them."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


LONGEST = 2000
"""Characters of one line of a message. What came may be a value of any size."""
MOST_FAULTS = 200


def _shown(text: str, *, one_line: bool = False) -> str:
    """Return a text as a terminal may get it: no control characters (they could hide or forge lines), no endless lines.

    one_line: what has a position is read line by line, by editors and CI too.
    """
    if text.isprintable() and len(text) <= LONGEST:
        return text
    lines = [text] if one_line else text.split("\n")
    shown = ("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line) for line in lines)
    return "\n".join(
        line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 4 :]}" for line in shown
    )


class FlambeError(Exception):
    """Base of every error that flambe raises on purpose.

    Parameters
    ----------
    what: what came, in one clause.
    rule: which fault this is, for programs: an id of ``flambe.compile.rules``. A class may have one of its own.
    position: where it was written, when it was written somewhere.
    expected: what would have been right.
    hint: what to do about it.
    """

    exit_code = 1
    rule = "invalid-value"

    def __init__(
        self,
        what: str,
        *,
        rule: str | None = None,
        position: Position | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        if rule is not None:
            self.rule = rule
        self.what = what
        self.position = position
        self.expected = expected
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel from worker processes; the default would call __init__ with the text alone.
        return (_rebuild, (type(self), self.what, self.__dict__.copy()))

    def __str__(self) -> str:
        text = f"{self.position}: {self.what}" if self.position else self.what
        if self.expected:
            text += f"; expected {self.expected}"
        if self.hint:
            text += f". {self.hint}" if not text.endswith((".", "?", "!")) else f" {self.hint}"
        return _shown(text, one_line=self.position is not None)


def _rebuild(kind: type[FlambeError], what: str, attributes: dict[str, object]) -> FlambeError:
    error = kind.__new__(kind)
    Exception.__init__(error, what)
    error.__dict__.update(attributes)
    return error


class ConfigError(FlambeError):
    """A fault in something the user wrote."""

    exit_code = 2


class ArgumentError(ConfigError):
    """What a component was given does not do, as came out while it ran. Whoever runs it knows where that was written.

    argument: path below the component as links write it: ``("model", "embedder")``, ``("extra_validation_metrics", 0)``.
    """

    def __init__(
        self, what: str, *, argument: Sequence[str | int], expected: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(what, rule="argument-unfit", expected=expected, hint=hint)
        self.argument = tuple(argument)


class MissingFieldError(ConfigError):
    """A config lacks what its function is said to need."""


class UsageError(ConfigError):
    """A command was called wrongly."""


class Notice(NamedTuple):
    """A warning: what is probably meant otherwise, and stops nothing. rule: as of an error."""

    what: str
    rule: str
    position: Position | None = None

    def __str__(self) -> str:
        return _shown(f"{self.position}: {self.what}" if self.position else self.what, one_line=True)


class ConfigFaults(ConfigError):
    """Every fault found in one pass, sorted by position. warnings: what was noticed beside them."""

    def __init__(self, faults: Iterable[ConfigError], warnings: Sequence[Notice] = ()) -> None:
        self.warnings = list(warnings)
        self.faults: Sequence[ConfigError] = sorted(faults, key=lambda fault: fault.position or Position("", 0, 0))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Faults(list[ConfigError]):
    """What is wrong with a config, as it is found. The one after ``MOST_FAULTS`` raises them all: nobody reads thousands."""

    def append(self, fault: ConfigError) -> None:
        """Add one. Raises ``ConfigFaults`` when there are too many."""
        super().append(fault)
        if len(self) > MOST_FAULTS:
            self[-1] = ConfigError(
                f"there are more than {MOST_FAULTS} faults; what comes after was not looked at",
                rule="too-large",
                position=fault.position,
            )
            raise ConfigFaults(self)


class RunFailed(FlambeError):
    """A stage raised, or a run ended with failed stages."""


class ProvenanceError(FlambeError):
    """What would run, or be loaded, is not what was recorded."""

    exit_code = 3


class MachineError(FlambeError):
    """A host or a scheduler refused."""

    exit_code = 4


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the nearest of ``known``, or None when nothing is near."""
    import difflib  # only a file with faults needs it

    candidates = list(known)
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if not near:
        folded = {name.casefold(): name for name in candidates}
        near = [folded[word.casefold()]] if word.casefold() in folded else []
    return near[0] if near else None


def near_file(path: str) -> str | None:
    """Return what to do about a file that is not there: the nearest name in its folder; None when nothing is near."""
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    try:
        # What all names end with alike would make any two of them alike.
        stems = {
            os.path.splitext(one)[0]: one for one in sorted(os.listdir(folder or "."), key=lambda n: n.endswith(suffix))
        }
    except FileNotFoundError:
        return f"There is no folder {folder}."
    except OSError:
        return None
    near = nearest(stem, stems)
    return None if near is None else f"Did you mean {stems[near]!r}?"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return ``Did you mean 'x'?`` for the nearest of ``known``, or None when nothing is near."""
    near = nearest(word, known)
    return None if near is None else f"Did you mean {near!r}?"

"""Faults and warnings of a check as documents for other programs: JSON of our own, and SARIF 2.1.0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from flambe.compile.override import OverridePosition
from flambe.compile.rules import PAGE, RULES
from flambe.errors import ConfigError, ConfigFaults, Notice, Position

VERSION = "1.0"


class Diagnostic(msgspec.Struct, kw_only=True):
    """One fault or warning. line, column, end_line, end_column: 1-based, the end is the column after the last.

    rule: one of ``RULES``. file is None for what was written on the command line; override says what.
    """

    rule: str
    level: str
    file: str | None
    line: int | None
    column: int | None
    end_line: int | None = None
    end_column: int | None = None
    override: str | None = None
    message: str
    expected: str | None = None
    hint: str | None = None


def diagnose(error: ConfigError | None, warnings: Sequence[Notice], text: str, file: str) -> list[Diagnostic]:
    """Return the faults of ``error`` and the warnings of a check of ``text``, by position. file: what positions call it."""
    ends = {Position(file, *start): end for start, end in _ends(text).items()}
    faults: Sequence[ConfigError] = []
    if error is not None:
        faults = error.faults if isinstance(error, ConfigFaults) else [error]
    noticed = [ConfigError(one.what, rule=one.rule, position=one.position) for one in warnings]
    return [_diagnostic(one, ends, "error") for one in faults] + [_diagnostic(one, ends, "warning") for one in noticed]


def _diagnostic(fault: ConfigError, ends: dict[Position, tuple[int, int]], level: str) -> Diagnostic:
    position = fault.position
    override = None
    if isinstance(position, OverridePosition):
        override, position = position.file.removeprefix("override ").strip("'"), None
    end = ends.get(position) if position else None
    return Diagnostic(
        rule=fault.rule,
        level=level,
        file=position.file if position else None,
        line=position.line if position else None,
        column=position.column if position else None,
        end_line=end[0] if end else None,
        end_column=end[1] if end else None,
        override=override,
        message=fault.what,
        expected=fault.expected,
        hint=fault.hint,
    )


def to_json(found: Sequence[Diagnostic], file: str) -> str:
    """Return one line of JSON: ``{"flambe_check": "1.0", "file": …, "faults": n, "diagnostics": [{…}]}``."""
    document = {
        "flambe_check": VERSION,
        "file": file,
        "faults": sum(one.level == "error" for one in found),
        "diagnostics": found,
    }
    return msgspec.json.encode(document).decode()


def to_sarif(found: Sequence[Diagnostic], file: str, version: str) -> str:
    """Return a SARIF 2.1.0 log, as code-scanning services and editors read it. version: of the tool."""
    names = list(RULES)
    rules = [
        {"id": name, "shortDescription": {"text": words}, "help": {"text": words}, "helpUri": f"{PAGE}#{name}"}
        for name, words in RULES.items()
    ]
    results = [
        {
            "ruleId": one.rule,
            "ruleIndex": names.index(one.rule),
            "level": one.level,
            "message": {"text": _sentence(one)},
            "locations": [_location(one, file)],
        }
        for one in found
    ]
    driver = {"name": "flambe-compile", "version": version, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return msgspec.json.encode(log).decode()


def _sentence(one: Diagnostic) -> str:
    text = str(ConfigError(one.message, rule=one.rule, expected=one.expected, hint=one.hint))
    return text if one.override is None else f"override {one.override!r}: {text}"


def _location(one: Diagnostic, file: str) -> dict[str, object]:
    place: dict[str, object] = {"artifactLocation": {"uri": quote(one.file or file)}}
    if one.line is not None and one.column is not None:
        region = {"startLine": one.line, "startColumn": one.column}
        if one.end_line is not None and one.end_column is not None:
            region |= {"endLine": one.end_line, "endColumn": one.end_column}
        place["region"] = region
    return {"physicalLocation": place}


def _ends(text: str) -> dict[tuple[int, int], tuple[int, int]]:
    """Return where each value of a YAML text ends, by where it begins; of a block only its first word."""
    from yaml.cyaml import CParser  # type: ignore[attr-defined]
    from yaml.error import YAMLError
    from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

    ends: dict[tuple[int, int], tuple[int, int]] = {}
    lines = text.splitlines()
    parser = CParser(text.encode(errors="replace"))
    try:
        while parser.check_event():
            event = parser.get_event()
            if not isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
                continue
            start: Any = event.start_mark  # libyaml marks every event; the stubs allow for none
            end: Any = event.end_mark
            last = (end.line + 1, end.column + 1)
            if not isinstance(event, ScalarEvent) or end.line > start.line:
                last = (start.line + 1, start.column + 1 + len(_first_word(lines, start.line, start.column)))
            ends[start.line + 1, start.column + 1] = last
    except YAMLError:
        return ends  # what came before the error
    return ends


def _first_word(lines: Sequence[str], line: int, column: int) -> str:
    rest = lines[line][column:] if line < len(lines) else ""
    return next(_words(rest), "")


def _words(text: str) -> Iterator[str]:
    for match in re.finditer(r"[^\s:,\[\]{}]\S*?(?=:?(?:\s|$))", text):
        yield match.group()

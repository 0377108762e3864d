"""Questions about rows: ``status == 'COMPLETE' and params.model.n_layers >= 2``.

::

    query  := or
    or     := and (("or" | "|") and)*
    and    := not (("and" | "&") not)*
    not    := ("not" | "~") not | test
    test   := value [("==" | "!=" | "<" | "<=" | ">" | ">=") value]
            | value ["not"] "in" list | value "is" ["not"] "null" | "(" query ")"
    value  := column (alone: true if its value is) | number | text | true | false | null
    column := name ("." name)*, or any text in `backquotes`
    list   := "[" value, … "]" | "(" value, … ")"

A column that a row does not have makes every comparison false, ``!=`` too. Ordered comparison of unlike types is
false, never an error. A boolean equals no number. The text is parsed, never evaluated as code.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from flambe.errors import ConfigError, Position, did_you_mean

Row = Mapping[str, Any]
_Test = Callable[[Row], bool]
_Value = Callable[[Row], Any]

_DEEPEST = 64
_MISSING = object()

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<quoted>`[^`]+`)
      | (?P<sign>==|!=|<=|>=|<|>|[()\[\],&|~])
      | (?P<word>[A-Za-z_]\w*(?:\.\w+)*)
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_CONSTANTS: dict[str, bool | None] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None
}  # fmt: skip
_KEYWORDS = {"and", "or", "not", "in", "is"} | set(_CONSTANTS)
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip


class ColumnUse(NamedTuple):
    """A column that a query names, and the 1-based column of the text where it does."""

    name: str
    at: int


class Query:
    """A parsed question. Call it with a row; ``check`` it against the columns that exist."""

    def __init__(self, text: str, source: str, test: _Test, columns: Iterable[ColumnUse]) -> None:
        self.text = text
        self.columns = tuple(columns)
        self._source = source
        self._test = test

    def __call__(self, row: Row) -> bool:
        return self._test(row)

    def __repr__(self) -> str:
        return f"Query({self.text!r})"

    def check(self, known: Iterable[str]) -> None:
        """Raise ConfigError for the first column that is none of ``known``, with its place and the nearest name."""
        names = list(known)
        for name, at in self.columns:
            if name not in names:
                # Whoever leaves out the start of a path ("n_layers") is best helped with the whole of it.
                ends = [other for other in names if other.endswith("." + name)]
                hint = f"Did you mean {ends[0]!r}?" if ends else did_you_mean(name, names)
                raise ConfigError(
                    f"unknown column {name!r}",
                    position=Position(self._source, 1, at),
                    hint=hint or "Known are " + ", ".join(names) + ".",
                )


def parse(text: str, *, source: str = "--where") -> Query:
    """Return the query that ``text`` writes; empty text asks for every row.

    source: what the text is called in errors. Raises ConfigError with the column of the fault.
    """
    parser = _Parser(text, source)
    return Query(text, source, parser.whole(), parser.columns)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


class _Parser:
    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._tokens = self._scan(text)
        self._next = 0
        self._depth = 0
        self.columns: list[ColumnUse] = []

    def _scan(self, text: str) -> list[_Token]:
        tokens = []
        place = 0
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                rest = text[place:]
                if rest[0] == "=":
                    self._fail(place + 1, "a single '='", hint="Equality is written '=='.")
                if rest[0] in "'\"`":
                    self._fail(place + 1, f"a text that nothing closes: {rest[:20]}")
                self._fail(place + 1, f"unexpected {re.split(r'[ ()]', rest, maxsplit=1)[0] or rest[0]!r}")
            if match.lastgroup != "space":
                tokens.append(_Token(str(match.lastgroup), match.group(), place + 1))
            place = match.end()
        return [*tokens, _Token("end", "", len(text) + 1)]

    def _fail(self, at: int, what: str, *, expected: str | None = None, hint: str | None = None) -> NoReturn:
        raise ConfigError(what, position=Position(self._source, 1, at), expected=expected, hint=hint)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str | None:
        """Step over the next token if it is one of these signs or words."""
        token = self._token
        if token.kind in ("sign", "word") and token.text in texts:
            self._next += 1
            return token.text
        return None

    def _need(self, text: str, *, opened: _Token) -> None:
        if not self._take(text):
            self._fail(self._token.at, f"{self._token} after column {opened.at}'s {opened.text!r}", expected=repr(text))

    def whole(self) -> _Test:
        if self._token.kind == "end":
            return lambda row: True
        test = self._or()
        if self._token.kind != "end":
            self._fail(self._token.at, f"unexpected {self._token}", expected="'and', 'or' or the end")
        return test

    def _or(self) -> _Test:
        parts = [self._and()]
        while self._take("or", "|"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _and(self) -> _Test:
        parts = [self._not()]
        while self._take("and", "&"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _not(self) -> _Test:
        # Each level of a query is a level of Python's stack: a text from a page must not exhaust it.
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail(self._token.at, f"a query deeper than {_DEEPEST} levels")
        try:
            if self._take("not", "~"):
                inner = self._not()
                return lambda row: not inner(row)
            return self._test()
        finally:
            self._depth -= 1

    def _test(self) -> _Test:
        opened = self._token
        if self._take("("):
            inner = self._or()
            self._need(")", opened=opened)
            return inner
        left, alone = self._value()
        sign = self._token
        if sign.kind == "sign" and sign.text in ("==", "!=", *_ORDERED):
            self._next += 1
            right, _ = self._value()
            return _comparison(sign.text, left, right)
        if self._take("is"):
            negated = self._take("not") is not None
            if not self._take("null", "None"):
                self._fail(self._token.at, f"{self._token} after 'is'", expected="'null' or 'not null'")
            return lambda row: (left(row) in (None, _MISSING)) is not negated
        negated = self._take("not") is not None
        if self._take("in"):
            return _membership(left, self._list(), negated=negated)
        if negated:
            self._fail(self._token.at, f"{self._token} after 'not'", expected="'in'")
        if not alone:
            self._fail(sign.at, f"{sign} after a value", expected="a comparison such as '=='")
        return lambda row: left(row) is True

    def _value(self) -> tuple[_Value, bool]:
        """Return how to get the value, and whether it may stand alone (columns, ``true`` and ``false``)."""
        token = self._token
        self._next += token.kind != "end"
        if token.kind == "number":
            number = float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
            return (lambda row: number), False
        if token.kind == "text":
            text = _ESCAPE.sub(r"\1", token.text[1:-1])
            return (lambda row: text), False
        if token.kind == "word" and token.text in _CONSTANTS:
            constant = _CONSTANTS[token.text]
            return (lambda row: constant), constant is not None
        if token.kind not in ("quoted", "word") or token.text in _KEYWORDS:
            self._fail(token.at, f"unexpected {token}", expected="a column, a number or a quoted text")
        name = token.text.strip("`")
        self.columns.append(ColumnUse(name, token.at))
        return (lambda row: row.get(name, _MISSING)), True

    def _list(self) -> list[_Value]:
        opened = self._token
        close = {"[": "]", "(": ")"}.get(self._take("[", "(") or "")
        if close is None:
            self._fail(opened.at, f"{opened} after 'in'", expected="a list such as [1, 2]")
        items: list[_Value] = []
        while not self._take(close):
            items.append(self._value()[0])
            if not self._take(",") and self._token.text != close:
                self._fail(self._token.at, f"{self._token} in a list", expected=f"',' or {close!r}")
        return items


def _comparison(sign: str, left: _Value, right: _Value) -> _Test:
    def test(row: Row) -> bool:
        one, other = left(row), right(row)
        if one is _MISSING or other is _MISSING:
            return False
        if sign == "==":
            return _equal(one, other)
        if sign == "!=":
            return not _equal(one, other)
        if _kind(one) != _kind(other) or _kind(one) not in ("number", "text"):
            return False
        return _ORDERED[sign](one, other)

    return test


def _membership(left: _Value, items: list[_Value], *, negated: bool) -> _Test:
    def test(row: Row) -> bool:
        value = left(row)
        if value is _MISSING:
            return False
        return any(_equal(value, item(row)) for item in items) is not negated

    return test


def _equal(one: Any, other: Any) -> bool:
    return _kind(one) == _kind(other) and bool(one == other)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__

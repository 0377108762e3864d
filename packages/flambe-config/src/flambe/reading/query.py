"""Questions about rows: ``status == 'COMPLETE' and min(val.loss) < 0.3 and info.age < 2d``.

::

    query    := or
    or       := and (("or" | "|") and)*
    and      := not (("and" | "&") not)*
    not      := ("not" | "~") not | test
    test     := value [("==" | "!=" | "<" | "<=" | ">" | ">=") value]
              | value ["not"] "in" list | value "is" ["not"] "null" | value "matches" text
              | "has" "(" column ")" | "(" query ")"
    value    := column (alone: true if its value is) | number | text | true | false | null | duration | list
              | function "(" column ")"
    function := last first min max mean std len argmin argmax
    column   := name (("." | "/") name)*, or any text in `backquotes`
    list     := "[" value, … "]", after "in" also "(" value, … ")"
    duration := number and ms s m min h d w

A column that a row does not have, or that is an empty map, makes every comparison false, ``!=`` too. Ordered comparison of unlike types is
false, never an error. A boolean equals no number. Texts that are both dates or times compare as these; without a zone they
are UTC. ``matches`` searches for a regular expression. The text is parsed, never evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from flambe.errors import ConfigError, Position, did_you_mean
from flambe.reading.operand import (
    AGE,
    ALIASES,
    FUNCTIONS,
    MISSING,
    SECONDS,
    SIGNS,
    Operand,
    Row,
    Sheet,
    Test,
    asking,
    called,
    column,
    comparison,
    constant,
    matching,
    membership,
)

_DEEPEST = 64
_SHOWN = 40
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_TOKEN = re.compile(
    rf"""(?P<space>\s+)
      | (?P<number>{_NUMBER}(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<duration>{_NUMBER}(?:{"|".join(SECONDS)})(?![\w.]))
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<quoted>`[^`]+`)
      | (?P<sign>==|!=|<=|>=|<|>|[()\[\],&|~])
      | (?P<word>[^\W\d]\w*(?:[./]\w+)*)
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_CONSTANTS: dict[str, bool | None] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None
}  # fmt: skip
_KEYWORDS = {"and", "or", "not", "in", "is", "matches"} | set(_CONSTANTS)
HAS = "has"


class ColumnUse(NamedTuple):
    """A column that a query names, the 1-based column of the text where it does, and the function of it that is asked for."""

    name: str
    at: int
    function: str | None = None
    may_be_text: bool = False
    """Whether it is compared with another column: a text that somebody forgot to quote looks like that."""

    @property
    def cell(self) -> str:
        """The name under which a row has what is asked for."""
        name = ALIASES.get(self.name, self.name)
        return name if self.function in (None, HAS) else f"{self.function}({name})"


class Query:
    """A parsed question. Call it with a row; ``check`` it against the columns that exist."""

    def __init__(self, text: str, source: str, test: Test, columns: Iterable[ColumnUse]) -> None:
        self.text = text
        self.columns = tuple(columns)
        self._source = source
        self._test = test

    def __call__(self, row: Row) -> bool:
        return self._test.of_row(row)

    def answers(self, sheet: Sheet) -> list[bool]:
        """Return what the query is of each row of a sheet that has ``columns``, and the time of creation where it asks for an age."""
        return self._test.of_all(sheet)

    def __repr__(self) -> str:
        return f"Query({self.text!r})"

    def unknown(self, known: Iterable[str]) -> ConfigError | None:
        """Return what to say of the first column that is none of ``known``, with its place and the nearest name."""
        names = dict.fromkeys([*known, AGE])
        for name, at, function, may_be_text in self.columns:
            if name not in names and name not in ALIASES and function != HAS:
                # Whoever leaves out the start of a path ("n_layers") is best helped with the whole of it.
                ends = [other for other in names if other.endswith("." + name)]
                hint = f"Did you mean {ends[0]!r}?" if ends else did_you_mean(name, names)
                if may_be_text:
                    hint = f"{hint} Quote a text: {name!r}." if hint else f"Quote a text: {name!r}."
                return ConfigError(
                    f"unknown column {name!r}",
                    position=Position(self._source, 1, at),
                    hint=hint or f"Known are {_some(names)}.",
                )
        return None

    def check(self, known: Iterable[str]) -> None:
        """Raise ConfigError for the first column that is none of ``known``."""
        if (fault := self.unknown(known)) is not None:
            raise fault


def _some(names: Iterable[str]) -> str:
    *some, last = sorted(names)[: _SHOWN + 1]
    return ", ".join([*some, "…" if len(some) == _SHOWN else last])


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

    def whole(self) -> Test:
        if self._token.kind == "end":
            return Test(lambda row: True, lambda sheet: [True] * sheet.count)
        test = self._or()
        if self._token.kind != "end":
            self._fail(self._token.at, f"unexpected {self._token}", expected="'and', 'or' or the end")
        return test

    def _or(self) -> Test:
        parts = [self._and()]
        while self._take("or", "|"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else _one_of(parts)

    def _and(self) -> Test:
        parts = [self._not()]
        while self._take("and", "&"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def _not(self) -> Test:
        # Each level of a query is a level of Python's stack: a text from a page must not exhaust it.
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail(self._token.at, f"a query deeper than {_DEEPEST} levels")
        try:
            if self._take("not", "~"):
                return _none_of(self._not())
            return self._test()
        finally:
            self._depth -= 1

    def _test(self) -> Test:
        opened = self._token
        if self._take("("):
            inner = self._or()
            self._need(")", opened=opened)
            return inner
        if self._is_call() and self._take(HAS):
            name = self._argument(HAS)
            return asking(column(name), lambda cell: cell is not MISSING)
        first = len(self.columns)
        left = self._value()
        sign = self._token
        if sign.kind == "sign" and sign.text in SIGNS:
            self._next += 1
            right = self._value()
            if left.column and right.column:
                self._note_texts(first)
            return comparison(sign.text, left, right)
        if self._take("is"):
            negated = self._take("not") is not None
            if not self._take("null", "None"):
                self._fail(self._token.at, f"{self._token} after 'is'", expected="'null' or 'not null'")
            return asking(left, lambda cell: (cell is None or cell is MISSING) is not negated)
        if self._take("matches"):
            return matching(left, self._pattern())
        negated = self._take("not") is not None
        if self._take("in"):
            first = len(self.columns)
            items = self._list("[", "(")
            self._note_texts(first)
            return membership(left, items, negated=negated)
        if negated:
            self._fail(self._token.at, f"{self._token} after 'not'", expected="'in'")
        if not left.may_stand_alone:
            self._fail(sign.at, f"{sign} after a value", expected="a comparison such as '=='")
        return asking(left, lambda cell: cell is True)

    def _note_texts(self, first: int) -> None:
        self.columns[first:] = [use._replace(may_be_text=use.function is None) for use in self.columns[first:]]

    def _is_call(self) -> bool:
        return self._token.kind == "word" and self._tokens[self._next + 1].text == "("

    def _value(self) -> Operand:
        token = self._token
        if token.text == "[":
            items = self._list("[")
            return Operand(lambda row: [item.get(row) for item in items])
        if self._is_call() and token.text not in _KEYWORDS:
            if token.text not in FUNCTIONS:
                known = (*FUNCTIONS, HAS)
                hint = did_you_mean(token.text, known)
                self._fail(token.at, f"unknown function {token.text!r}", expected=", ".join(known), hint=hint)
            self._next += 1
            return called(token.text, ALIASES.get(name := self._argument(token.text), name))
        self._next += token.kind != "end"
        if token.kind == "number":
            return constant(float(token.text) if re.search(r"[.eE]", token.text) else self._integer(token))
        if token.kind == "duration":
            number = token.text.rstrip("mshdwin")
            return constant(float(number) * SECONDS[token.text[len(number) :]])
        if token.kind == "text":
            return constant(_text(token))
        if token.kind == "word" and token.text in _CONSTANTS:
            return constant(_CONSTANTS[token.text])
        return column(self._named(token))

    def _integer(self, token: _Token) -> int:
        try:
            return int(token.text)
        except ValueError:  # Python reads no integers of thousands of digits
            self._fail(token.at, f"a number of {len(token.text)} digits")

    def _named(self, token: _Token, function: str | None = None) -> str:
        if token.kind not in ("quoted", "word") or token.text in _KEYWORDS:
            self._fail(token.at, f"unexpected {token}", expected="a column, a number or a quoted text")
        name = token.text.strip("`")
        self.columns.append(ColumnUse(name, token.at, function))
        return name

    def _argument(self, function: str) -> str:
        """Return the column in the brackets that come next."""
        opened = self._token
        self._need("(", opened=opened)
        token = self._token
        if token.kind not in ("quoted", "word") or token.text in _KEYWORDS or self._is_call():
            self._fail(token.at, f"{token} in the brackets of {function!r}", expected="a column")
        self._next += 1
        name = self._named(token, function)
        self._need(")", opened=opened)
        return name

    def _pattern(self) -> re.Pattern[str]:
        token = self._token
        if token.kind != "text":
            self._fail(token.at, f"{token} after 'matches'", expected="a regular expression in quotes")
        self._next += 1
        try:
            # Its backslashes are those of the regular expression.
            return re.compile(token.text[1:-1])
        except (re.error, RecursionError, OverflowError) as error:
            self._fail(token.at + 1 + (getattr(error, "pos", None) or 0), f"no regular expression: {error}")

    def _list(self, *opening: str) -> list[Operand]:
        opened = self._token
        close = {"[": "]", "(": ")"}.get(self._take(*opening) or "")
        if close is None:
            self._fail(opened.at, f"{opened} after 'in'", expected="a list such as [1, 2]")
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail(opened.at, f"a query deeper than {_DEEPEST} levels")
        items: list[Operand] = []
        while not self._take(close):
            items.append(self._value())
            if not self._take(",") and self._token.text != close:
                self._fail(self._token.at, f"{self._token} in a list", expected=f"',' or {close!r}")
        self._depth -= 1
        return items


# A generator for each row would take longer than what it asks.


def _none_of(inner: Test) -> Test:
    of_row = inner.of_row
    return Test(lambda row: not of_row(row), lambda sheet: [not answer for answer in inner.of_all(sheet)])


def _one_of(parts: list[Test]) -> Test:
    tests = [part.of_row for part in parts]

    def of_row(row: Row) -> bool:
        for test in tests:  # noqa: SIM110
            if test(row):
                return True
        return False

    return Test(of_row, lambda sheet: list(map(any, zip(*(part.of_all(sheet) for part in parts), strict=True))))


def _all_of(parts: list[Test]) -> Test:
    tests = [part.of_row for part in parts]

    def of_row(row: Row) -> bool:
        for test in tests:  # noqa: SIM110
            if not test(row):
                return False
        return True

    return Test(of_row, lambda sheet: list(map(all, zip(*(part.of_all(sheet) for part in parts), strict=True))))


def _text(token: _Token) -> str:
    return _ESCAPE.sub(r"\1", token.text[1:-1])


__all__ = ["FUNCTIONS", "HAS", "ColumnUse", "Query", "Row", "parse"]

"""What is wrong with a text that is no YAML: the line that looks wrong, which is often not where the parser gave up."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from yaml.error import MarkedYAMLError

from flambe.errors import ConfigError, Position

RULE = "yaml-syntax"
_KEY = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s#'"\[{][^#]*?)\s*:(?:\s|\Z)""")
_PAIR = re.compile(r"([\w.-]+)\s*[\s:=]\s*(\S.*)\Z")
_WORD = re.compile(r"[^\s,\]}]*")
_CLOSES = {"[": "]", "{": "}"}
_NAMES = {"[": "list", "{": "mapping"}


class _Suspect(NamedTuple):
    """What looks wrong. line, column: where, 0-based; the column of the first character of the line when None."""

    line: int
    what: str
    hint: str | None = None
    column: int | None = None


class _Block(NamedTuple):
    """Lines that are indented alike. line: its first, 0-based. step: how far it is in from the block around it."""

    indent: int
    line: int
    step: int | None


def syntax_error(error: MarkedYAMLError, text: str, file: str, place: type[Position]) -> ConfigError:
    """Return the error of a text that the parser refused. place: the class of its position."""
    mark = error.problem_mark or error.context_mark
    problem = (error.problem or "this is no YAML").strip()
    if mark is None:
        return ConfigError(f"this is no YAML: {problem}", rule=RULE)
    lines = text.splitlines()
    lines += [""] * (mark.line + 1 - len(lines))
    found = _suspect(error, problem, lines, mark.line, mark.column) or _Suspect(mark.line, problem, None, mark.column)
    column = _indent(lines[found.line]) if found.column is None else found.column
    position = place(file, found.line + 1, column + 1)
    return ConfigError(f"this is no YAML: {found.what}", rule=RULE, position=position, hint=found.hint)


def _suspect(error: MarkedYAMLError, problem: str, lines: list[str], index: int, column: int) -> _Suspect | None:
    """Return what looks wrong, when the parser gave up at ``column`` of the line ``index``."""
    start = error.context_mark
    context = error.context or ""
    rest = lines[index][column:]
    if problem.startswith("could not find expected ':'") and start is not None:
        found = _second_document(lines, start.line) or _without_colon(lines, start.line)
        if found is not None:
            return found
    if context == "while scanning a quoted scalar" and start is not None and "end of stream" in problem:
        what = "the quoted text that begins here is never closed"
        return _Suspect(start.line, what, "Write the quote at its end.", start.column)
    if context.startswith("while parsing a flow"):
        return _in_brackets(lines, index, column)
    if context in ("while scanning an alias", "while scanning an anchor") and start is not None:
        word = _WORD.match(lines[start.line][start.column :])
        return _Suspect(
            start.line, f"{word and word[0]!r} names no anchor", "Quote text that begins with '*' or '&'.", start.column
        )
    if "tab" in problem.split() or rest.startswith("\t"):
        return _Suspect(index, "this line is indented with a tab", "Indent with spaces.", column)
    if "cannot start any token" in problem and rest:
        word = _WORD.match(rest)
        is_link = re.match(r"@\s*(\S+)", rest)
        hint = (
            f"Write !@ {is_link[1]} for a link, or {word and word[0]!r}." if is_link else f"Write {word and word[0]!r}."
        )
        return _Suspect(index, f"a value cannot begin with {rest[0]!r}", hint, column)
    if context == "while scanning a tag":
        hint = "Put a space between a tag and the bracket after it: [!Tag ]."
        return _Suspect(index, "a tag goes on to the next space", hint, column)
    if "unknown escape character" in problem:
        hint = "Write the text in single quotes, or each backslash twice."
        return _Suspect(index, "in double quotes a backslash begins an escape", hint, column)
    if problem.startswith("block sequence entries are not allowed"):
        hint = "Begin the list in the next line, or write [value, …]."
        return _Suspect(index, "a list with '-' cannot begin in the line of its key", hint, column)
    if "<document start>" in problem:
        dots = next((line for line in range(index - 1, -1, -1) if lines[line].rstrip() == "..."), None)
        if dots is not None:
            return _Suspect(
                dots, "'...' at the start of a line ends the document, and more comes after it", "Leave it out."
            )
    if problem.startswith("mapping values are not allowed"):
        found = _before_a_pair(lines, index)
        what, hint = "there is a second ': ' in this line", "One key a line; quote text that contains ': '."
        return found or _Suspect(index, what, hint, column)
    if problem.startswith("did not find expected key"):
        what = "this line is no key of the block above it"
        hint = "Its indentation, or that of a line above it, is not that of its neighbours."
        return _after_a_value(lines, index, column) or _indentation(lines, index) or _Suspect(index, what, hint)
    return None


def _in_brackets(lines: list[str], index: int, column: int) -> _Suspect | None:
    """Return what is wrong inside of ``[ ]`` or ``{ }``."""
    opened = _innermost(lines, index, column)
    rest = lines[index][column:]
    if opened is None:
        return None
    line, place, bracket = opened
    name, end = _NAMES[bracket], _CLOSES[bracket]
    if rest[:1] in ("]", "}") and rest[0] != end:
        return _Suspect(index, f"{rest[0]!r} stands where the {name} needs {end!r}", f"Write {end!r}.", column)
    is_last = not any(_is_content(one) for one in [rest, *lines[index + 1 :]])
    if line < index or is_last:
        hint = f"Write {end!r} at its end." + (" Is the file complete?" if is_last else "")
        return _Suspect(line, f"the {name} that begins here is never closed", hint, place)
    if re.search(r"!(@|link|ref|call|copy)\s+[^'\"\s,]*\[", lines[index]):
        hint = "Inside [ ] or { } quote a link that has brackets: !@ 'model[encoder]'."
        return _Suspect(index, "a link in brackets has brackets itself", hint, column)
    return _Suspect(index, f"there is no ',' and no {end!r} before {rest.strip()!r}", None, column)


def _innermost(lines: list[str], index: int, column: int) -> tuple[int, int, str] | None:
    """Return (line, column, bracket) of the innermost bracket that is open at a place."""
    opened: list[tuple[int, int, str]] = []
    quote = ""
    for number, line in enumerate(lines[: index + 1]):
        for at, character in enumerate(line[:column] if number == index else line):
            if quote:
                quote = "" if character == quote else quote
            elif character == "#" and (at == 0 or line[at - 1].isspace()):
                break
            elif character in "'\"" and (at == 0 or line[at - 1] in " \t,[{:"):
                quote = character
            elif character in _CLOSES:
                opened.append((number, at, character))
            elif character in "]}" and opened:
                opened.pop()
    return opened[-1] if opened else None


def _after_a_value(lines: list[str], index: int, column: int) -> _Suspect | None:
    """Return what is wrong where something stands after a value in its line."""
    rest = lines[index][column:].strip()
    before = lines[index][:column]
    if not before.strip():
        return None
    if rest[:1] in ("]", "}"):
        return _Suspect(index, f"{rest[0]!r} closes nothing", "Remove it.", column)
    if rest.startswith("!"):
        return _Suspect(index, f"a second tag, {rest.split()[0]}", "A value has one tag: remove one of them.", column)
    link = re.search(r"!(@|link|ref|call|copy) \[\s*([^\]]*?)\s*\]\Z", before.rstrip())
    if link is not None:
        what = "a link begins with a name, not with a bracket"
        return _Suspect(index, what, f"Write !{link[1]} {link[2]}{rest}.", link.start())
    hint = "Quote the whole value, or write it in a line of its own."
    return _Suspect(index, f"{rest!r} comes after a value that has ended", hint, column)


def _second_document(lines: list[str], index: int) -> _Suspect | None:
    """Return the tag that begins what is to be run, below a header that was not ended."""
    for line in range(max(index - 1, 0), min(index + 2, len(lines))):
        if re.match(r"![\w.]+\s*(#.*)?\Z", lines[line]):
            above = next((one.strip() for one in reversed(lines[:line]) if _is_content(one)), "---")
            if above != "---":
                tag = lines[line].split()[0]
                return _Suspect(
                    line, f"{tag} comes after {above!r} in one document", "End the header with a line '---'."
                )
    return None


def _without_colon(lines: list[str], index: int) -> _Suspect | None:
    text = lines[index].strip() if index < len(lines) else ""
    if re.match(r"-[^\s\d-]", text):
        return _Suspect(index, f"{text!r} has no space after the '-'", f"Write '- {text[1:]}'.")
    if not text or _KEY.match(text) or text[0] in "-[]{}!&*?|>'\"#%":
        return None
    pair = _PAIR.match(text)
    what = f"{text!r} has no " + ("space after the ':'" if pair and f"{pair[1]}:" in text else "':'")
    hint = f"Write '{pair[1]}: {pair[2]}'." if pair else "A key has a ':' after it."
    if re.match(r"[A-Z]\w*\Z", text):
        hint = f"A key has a ':' after it, a tag a '!' before it: !{text}."
    return _Suspect(index, what, hint)


def _before_a_pair(lines: list[str], index: int) -> _Suspect | None:
    """Return what is wrong above a line ``key: value`` where the parser wanted none."""
    line = lines[index]
    if not _KEY.match(line.strip()) or len(re.findall(r":(?=\s|\Z)", line)) > 1:
        return None
    above = [i for i in range(index) if _is_content(lines[i])]
    if not above:
        return None
    first = None
    for i in reversed(above):
        if _indent(lines[i]) != _indent(line) or _without_colon(lines, i) is None:
            break
        first = i
    if first is not None:
        return _without_colon(lines, first)
    return _deeper(lines, index, above[-1])


def _deeper(lines: list[str], index: int, above: int) -> _Suspect | None:
    """Return the line that looks wrong when the one at ``index`` is in from a value that is complete."""
    if not (_indent(lines[index]) > _indent(lines[above]) and _KEY.match(lines[above].strip())):
        return None
    bare = re.search(r"! +(\w\S*)\s*\Z", lines[above])
    if bare is not None:
        return _Suspect(above, "a tag has no space after its '!'", f"Write !{bare[1]}.", bare.start())
    forgotten = re.search(r":\s+((?:\w+\.)*[A-Z]\w*)\s*\Z", lines[above])
    if forgotten is not None:
        what = f"{forgotten[1]!r} is a text, and line {index + 1} is indented deeper"
        return _Suspect(above, what, f"A tag begins with '!': !{forgotten[1]}.", forgotten.start(1))
    found = _blocks(lines, index)
    odd = found and _odd(found[0], found[2], lines, index)
    if odd:
        return odd
    what = f"line {index + 1} is indented deeper than line {above + 1}, which has a value already"
    return _Suspect(index, what, "Indent it as its neighbours, or quote text that contains ': '.")


def _indentation(lines: list[str], index: int) -> _Suspect | None:
    """Return the line whose indentation looks wrong, when the one at ``index`` fits no open block."""
    found = _blocks(lines, index)
    if found is None:
        return None
    stack, popped, steps = found
    indent = _indent(lines[index])
    if not stack:
        return None
    if popped is None:
        return _deeper(lines, index, max(i for i in range(index) if _is_content(lines[i])))
    if not stack[-1].indent < indent < popped.indent:
        return None
    odd = _odd([*stack, popped], steps, lines, index)
    if odd is not None:
        return odd
    nearest = f"{stack[-1].indent} or {popped.indent}"
    return _Suspect(
        index, f"{_amount(lines, index)}, which is no indentation of the lines above it ({nearest} would be)"
    )


def _odd(blocks: list[_Block], steps: Counter[int], lines: list[str], index: int) -> _Suspect | None:
    """Return the first of ``blocks`` that is in from the one around it by another amount than all the file is used to."""
    usual = steps.most_common(2)
    if not usual or usual[0][1] < 2 or (len(usual) > 1 and usual[0][1] == usual[1][1]):
        return None
    odd = next((block for block in blocks if block.step not in (None, usual[0][0])), None)
    if odd is None:
        return None
    what = f"{_amount(lines, odd.line)}, and {_amount(lines, index)}; one of them is not where it belongs"
    return _Suspect(odd.line, what, f"Indent by {usual[0][0]} more than the block around it.")


def _amount(lines: list[str], index: int) -> str:
    return f"line {index + 1} is indented by {_indent(lines[index])}"


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _blocks(lines: list[str], end: int) -> tuple[list[_Block], _Block | None, Counter[int]] | None:
    """Return the open blocks at the line ``end``, the outermost that ended there, and how often blocks step in how far.

    None where the lines are more than keys and values one below the other: the parser knows better.
    """
    stack: list[_Block] = []
    popped: _Block | None = None
    steps: Counter[int] = Counter()
    text_below: int | None = None  # the indent of a key whose value is a text of several lines
    for index, line in enumerate(lines[: end + 1]):
        bare = line.strip()
        indent = _indent(line)
        if not _is_content(line):
            continue
        if text_below is not None and indent > text_below:
            continue
        text_below = indent if re.search(r"[|>][+-]?\d?[+-]?\Z", bare) else None
        if bare == "---" or bare.startswith("!"):
            stack, popped = [], None
            continue
        if "\t" in line[:indent] or bare.count("[") != bare.count("]") or bare.count("{") != bare.count("}"):
            return None
        popped = None
        while stack and stack[-1].indent > indent:
            popped = stack.pop()
        if index == end:
            break
        if popped is not None and (not stack or stack[-1].indent < indent):
            return None
        if not stack or stack[-1].indent < indent:
            step = indent - stack[-1].indent if stack and not bare.startswith("-") else None
            if step is not None:
                steps[step] += 1
            stack.append(_Block(indent, index, step))
        if bare.startswith("- "):
            inner = indent + len(bare) - len(bare[1:].lstrip())
            stack.append(_Block(inner, index, None))
    return stack, popped, steps


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

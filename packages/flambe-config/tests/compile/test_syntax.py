"""Texts that are no YAML: the line that looks wrong is named, not the one where the parser gave up."""

from __future__ import annotations

import pytest

from flambe.compile.yaml import documents
from flambe.errors import ConfigError

TOP = "!Experiment\nname: t\npipeline:\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOP + "  a: !A\n    max_steps 8\n    b: 3\n", "f:5:5: this is no YAML: 'max_steps 8' has no ':'. Write 'max_steps: 8'."),
        (TOP + "  a: !A\n    b: 3\n    max_steps 8\n  c: !C\n", "f:6:5: this is no YAML: 'max_steps 8' has no ':'. Write 'max_steps: 8'."),
        (TOP + "  a: !A\n    b: 3\n    max_steps 8\n", "f:6:5: this is no YAML: 'max_steps 8' has no ':'. Write 'max_steps: 8'."),
        ("name t\na: 1\n", "f:1:1: this is no YAML: 'name t' has no ':'. Write 'name: t'."),
        ("a: 1\nfoo\nb: 2\n", "f:2:1: this is no YAML: 'foo' has no ':'. A key has a ':' after it."),
        (TOP + "  a: !A\n    b: 1\n      # here\n      c: 2\n", "f:7:7: this is no YAML: line 7 is indented deeper than line 5, which has a value already. Indent it as its neighbours, or quote text that contains ': '."),
        (TOP + "  a: !A\n    b: 1\n   c: 2\n", "f:6:4: this is no YAML: line 6 is indented by 3, which is no indentation of the lines above it (2 or 4 would be)"),
        ("a:\n  - 1\n - 2\n", "f:3:2: this is no YAML: line 3 is indented by 1, which is no indentation of the lines above it (0 or 2 would be)"),
    ],
)  # fmt: skip
def test_the_line_that_looks_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        documents(text, "f")
    assert str(caught.value) == message


@pytest.mark.parametrize(("wrong", "column"), [(3, 4), (5, 6)])
def test_a_block_that_is_indented_unlike_all_others_is_named(wrong: int, column: int) -> None:
    lines = ["a: !A", "  b: 1", "  c: !C", "    d: |", "      any text", "       e", "f: !F", "  g: !G", "    h: 1"]
    lines += ["k: !K", "  l: !L", " " * wrong + "m: 1", *(f"{' ' * wrong}n{i}: 1" for i in range(9)), "    o: 2"]
    with pytest.raises(ConfigError) as caught:
        documents("\n".join(lines), "f")
    assert str(caught.value) == (
        f"f:12:{column}: this is no YAML: line 12 is indented by {wrong}, and line 22 is indented by 4; one of them is not "
        "where it belongs. Indent by 2 more than the block around it."
    )


def test_what_the_lines_do_not_tell_is_said_so() -> None:
    with pytest.raises(ConfigError) as caught:
        documents("a: [1,\n  2]\nb: !B\n    c: 1\n  d: 2\n", "f")
    assert str(caught.value) == (
        "f:5:3: this is no YAML: this line is no key of the block above it. Its indentation, or that of a line above it, "
        "is not that of its neighbours."
    )

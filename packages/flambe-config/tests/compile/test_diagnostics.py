"""Faults for other programs: flambe-compile --check --format json and sarif."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flambe
from flambe.compile.rules import RULES

CLI = "flambe.compile.cli"
BAD = """\
!Experiment
name: bad
pipeline:
  a: !Encoder
    input_size: 1
    n_layers: "two words"
    rnn_type: ltsm
  b: !Encodr
    x: !@ c[d].e
"""


def _check(kit: Any, form: str, *words: str, text: str = BAD) -> tuple[int, Any]:
    done = kit.command(CLI, "-", "--check", "--format", form, *words, stdin=text)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return done.returncode, json.loads(line)


def test_json_has_every_fault_with_its_place_and_its_end(kit: Any) -> None:
    code, found = _check(kit, "json")
    assert code == 2
    assert (found["flambe_check"], found["file"], found["faults"]) == ("1.0", "<stdin>", 4)
    assert [(d["rule"], d["line"], d["column"], d["end_line"], d["end_column"]) for d in found["diagnostics"]] == [
        ("type-mismatch", 6, 15, 6, 26),
        ("type-mismatch", 7, 15, 7, 19),
        ("unknown-tag", 8, 6, 8, 13),
        ("link-unknown", 9, 8, 9, 17),
    ]
    second = found["diagnostics"][1]
    assert second["message"] == "rnn_type of Encoder is the text 'ltsm'"
    assert (second["expected"], second["hint"], second["level"]) == (
        "'lstm', 'gru' or 'sru'",
        "Did you mean 'lstm'?",
        "error",
    )


def test_nothing_wrong_is_an_empty_list(kit: Any) -> None:
    good = (kit.here / "toy.yaml").read_text()
    assert _check(kit, "json", text=good) == (
        0, {"flambe_check": "1.0", "file": "<stdin>", "faults": 0, "diagnostics": []},
    )  # fmt: skip
    code, log = _check(kit, "sarif", text=good)
    assert (code, log["runs"][0]["results"]) == (0, [])
    assert kit.command(CLI, "-", "--check", "--format", "text", stdin=good).stdout == ""


def test_warnings_are_told_apart_from_faults(kit: Any) -> None:
    code, found = _check(
        kit, "json", text="!Experiment\npipeline:\n  a: !Anything {{}}\n  b: !Anything {x: !g [1, 1]}\n"
    )
    assert code == 0
    assert [(d["level"], d["rule"], d["line"], d["column"]) for d in found["diagnostics"]] == [
        ("warning", "old-spelling", 3, 6),
        ("warning", "duplicate-option", 4, 27),
    ]


def test_a_fault_of_an_override_has_no_line(kit: Any) -> None:
    code, found = _check(kit, "json", "a.n_layer=2", text=BAD)
    wrong = [d for d in found["diagnostics"] if d["override"] is not None]
    assert code == 2
    assert [(d["override"], d["rule"], d["file"], d["line"]) for d in wrong] == [
        ("a.n_layer=2", "override-key", None, None),
    ]
    _, log = _check(kit, "sarif", "a.n_layer=2", text=BAD)
    (result,) = [one for one in log["runs"][0]["results"] if one["ruleId"] == "override-key"]
    assert result["message"]["text"].startswith("override 'a.n_layer=2': a has no key 'n_layer'")
    assert "region" not in result["locations"][0]["physicalLocation"]


def test_a_file_that_is_no_yaml_is_one_fault(kit: Any) -> None:
    code, found = _check(kit, "json", text="!Experiment\na: [1, 2\n")
    assert code == 2
    (one,) = found["diagnostics"]
    assert (one["rule"], one["line"], one["column"]) == ("yaml-syntax", 2, 4)


def test_sarif_has_the_structure_of_version_2_1_0(kit: Any) -> None:
    code, log = _check(kit, "sarif")
    assert code == 2
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "flambe-compile"
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(set(rules)) == len(rules)
    assert all(rule["shortDescription"]["text"] and rule["help"]["text"] for rule in driver["rules"])
    assert all(rule["helpUri"] == f"docs/language.md#{rule['id']}" for rule in driver["rules"])
    assert len(run["results"]) == 4
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert set(place) == {"artifactLocation", "region"}
        assert " " not in place["artifactLocation"]["uri"]
        region = place["region"]
        assert all(isinstance(value, int) and value >= 1 for value in region.values())
        assert (region["endLine"], region["endColumn"]) > (region["startLine"], region["startColumn"])


# What makes a fault or a warning in the compile room. A class may have its rule from above.
_MAKERS = {"ConfigError", "fault", "warn", "Notice", "_ArgumentFault"}


def _made_in(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            if (function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")) in _MAKERS:
                yield node


def _rules_of(call: ast.Call) -> list[str]:
    """Return the rules among the arguments of a call; ["…"] for one that is handed on by name."""
    found = []
    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
        for node in ast.walk(argument):
            if isinstance(node, ast.Constant) and node.value in RULES:
                found.append(str(node.value))
            elif (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")) in (
                "rule",
                "RULE",
                "UNKNOWN",
            ):
                found.append("…")
    return found


@pytest.mark.parametrize("path", sorted(Path(flambe.compile.__path__[0]).glob("*.py")), ids=lambda path: path.name)
def test_every_fault_of_the_compiler_has_a_rule(path: Path) -> None:
    for call in _made_in(path):
        assert len(_rules_of(call)) == 1, (
            f"{path.name}:{call.lineno}: {ast.unparse(call)} has no rule of flambe.compile.rules"
        )


def test_every_rule_is_made_somewhere() -> None:
    source = "".join(
        path.read_text() for path in Path(flambe.__file__).parent.glob("*/*.py") if path.name != "rules.py"
    )
    assert [rule for rule in RULES if f'"{rule}"' not in source + '"invalid-value"'] == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--format", "sarif"), "--format sarif is no form of a spec; expected json, yaml."),
        (("--check", "--format", "yaml"), "--format yaml is no form of --check; expected text, json, sarif."),
        (("--explain", "name", "--format", "sarif"), "--format sarif is no form of --explain; expected text, json."),
    ],
)
def test_a_form_that_does_not_go_with_the_rest_is_refused(kit: Any, words: tuple[str, ...], fault: str) -> None:
    done = kit.command(CLI, "toy.yaml", *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert fault in done.stderr

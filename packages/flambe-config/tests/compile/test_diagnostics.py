"""Faults for other programs: flambe-compile --check --format json and sarif."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flambe.compile.diagnostics import rule_of

CLI = "flambe.compile.cli"
BROKEN = Path(__file__).parent / "broken"
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
        ("type", 6, 15, 6, 26),
        ("type", 7, 15, 7, 19),
        ("unknown-tag", 8, 6, 8, 13),
        ("link", 9, 8, 9, 17),
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
        ("warning", "search", 4, 27),
    ]


def test_a_fault_of_an_override_has_no_line(kit: Any) -> None:
    code, found = _check(kit, "json", "a.n_layer=2", text=BAD)
    wrong = [d for d in found["diagnostics"] if d["override"] is not None]
    assert code == 2
    assert [(d["override"], d["rule"], d["file"], d["line"]) for d in wrong] == [
        ("a.n_layer=2", "override", None, None),
    ]
    _, log = _check(kit, "sarif", "a.n_layer=2", text=BAD)
    (result,) = [one for one in log["runs"][0]["results"] if one["ruleId"] == "override"]
    assert result["message"]["text"].startswith("override 'a.n_layer=2': a has no key 'n_layer'")
    assert "region" not in result["locations"][0]["physicalLocation"]


def test_a_file_that_is_no_yaml_is_one_fault(kit: Any) -> None:
    code, found = _check(kit, "json", text="!Experiment\na: [1, 2\n")
    assert code == 2
    (one,) = found["diagnostics"]
    assert (one["rule"], one["line"], one["column"]) == ("syntax", 3, 1)


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
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
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


RULES = {
    "unknown_tag": ["unknown-tag"],
    "misspelt_argument": ["unknown-argument"],
    "later_link": ["link"],
    "parent_link": ["link"],
    "duplicate_key": ["duplicate-key"],
    "wrong_type": ["type"],
    "missing_argument": ["missing-argument", "missing-argument"],
    "unknown_stage": ["stage"],
    "truncated": ["syntax"],
}


@pytest.mark.parametrize("name", RULES)
def test_a_broken_file_breaks_the_rule_that_one_expects(kit: Any, name: str) -> None:
    done = kit.command(CLI, f"{name}.yaml", "--check", "--format", "json", cwd=BROKEN)
    assert [one["rule"] for one in json.loads(done.stdout)["diagnostics"]] == RULES[name]


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        ("train.optimizer: a BaseSampler came", "type"),
        ("box.text: the link 'a.b' gives an integer", "type"),
        ("box.tool: Saw.nail gives a Nail", "type"),
        ("Words has no factory 'autogenn'", "unknown-tag"),
        ("!Experiment has no parameter 'nmae'", "unknown-parameter"),
        ("the extension 'lib' is not installed", "extension"),
        ("no file is called 'x'", "file"),
        ("!g holds nothing", "search"),
        ("!file holds a list", "value"),
        ("a key is a single value", "value"),
    ],
)
def test_the_rule_is_told_from_the_words(what: str, rule: str) -> None:
    assert rule_of(what) == rule


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

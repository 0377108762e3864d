"""The flambe-compile command, as a process."""

from __future__ import annotations

import json
from typing import Any

CLI = "flambe.compile.cli"


def test_the_spec_is_one_line_of_json(kit: Any) -> None:
    done = kit.command(CLI, "toy.yaml", "train.max_steps=3")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    spec = json.loads(line)
    assert spec["flambe_spec"] == "1.0"
    assert spec["name"] == "toy"
    assert spec["stages"][2]["body"]["max_steps"] == 3
    assert spec["stages"][2]["reduce"] == 1
    assert spec["source"]["overrides"] == ["train.max_steps=3"]
    assert done.stderr == ""


def test_stdin_and_check(kit: Any) -> None:
    text = (kit.here / "toy.yaml").read_text()
    done = kit.command(CLI, "-", "--check", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    empty = kit.command(CLI, "-")
    assert (empty.returncode, empty.stdout) == (2, "")
    assert empty.stderr == "flambe-compile: error: stdin is empty, a config was expected\n"


def test_expand_writes_one_concrete_spec_a_line(kit: Any) -> None:
    done = kit.command(CLI, "toy.yaml", "train.max_steps=1,2,3", "--expand")
    specs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(specs) == 6
    assert "$grid" not in done.stdout.replace("/$grid", "")
    assert [(spec["stages"][1]["params"], spec["stages"][2]["params"]) for spec in specs][:2] == [
        ({"encoder.n_layers": 2}, {"max_steps": 1}), ({"encoder.n_layers": 2}, {"max_steps": 2}),
    ]  # fmt: skip
    assert "origins" in specs[0]
    assert "origins" not in specs[1]
    assert kit.command(CLI, "toy.yaml", "train.max_steps=1,2,3", "--count").stdout == "6\n"


def test_resolved_yaml_compiles_to_the_same_stages(kit: Any) -> None:
    first = json.loads(kit.command(CLI, "toy.yaml").stdout)
    resolved = kit.command(CLI, "toy.yaml", "--stage", "resolved").stdout
    again = json.loads(kit.command(CLI, "-", stdin=resolved).stdout)
    assert again["stages"] == first["stages"]
    raw = kit.command(CLI, "toy.yaml", "train.max_steps=2", "--stage", "raw").stdout
    assert json.loads(kit.command(CLI, "-", stdin=raw).stdout)["stages"][2]["body"]["max_steps"] == 2
    assert kit.command(CLI, "toy.yaml", "--stage", "raw").stdout == (kit.here / "toy.yaml").read_text()


def test_usage(kit: Any) -> None:
    missing = kit.command(CLI, "nowhere.yaml")
    assert missing.returncode == 2
    assert missing.stderr == "flambe-compile: error: cannot read nowhere.yaml: No such file or directory\n"
    helped = kit.command(CLI, "--help")
    assert helped.returncode == 0
    assert "Examples:" in helped.stdout
    assert helped.stderr == ""
    assert kit.command(CLI).returncode == 2

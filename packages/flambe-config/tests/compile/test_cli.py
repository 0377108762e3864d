"""The flambe-compile command, as a process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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


def test_a_device_is_not_read_for_ever(kit: Any) -> None:
    done = kit.command(CLI, "/dev/zero")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "flambe-compile: error: /dev/zero is larger than 32 MiB\n"


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


def test_every_stage_of_a_config_can_be_seen(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("x: 1\ny: 'a{x}'\n")
    (tmp_path / "c.yaml").write_text("!Anything\n__default__: base.yaml\nx: 2\n")
    (tmp_path / "alone.yaml").write_text("# words\n!Anything {x: 1}\n")

    def written(stage: str, *words: str) -> str:
        done = kit.command(CLI, *words, "--stage", stage, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    assert written("composed", "c.yaml", "x=3") == "!Anything\nx: 2\ny: a{x}\n"
    assert written("raw", "c.yaml", "x=3") == "!Anything\nx: 3\ny: a{x}\n"
    assert written("resolved", "c.yaml", "x=3") == "!Anything\nx: 3\ny: a3\n"
    for stage in ("composed", "raw"):
        assert written(stage, "alone.yaml") == "# words\n!Anything {x: 1}\n"


def test_a_function_whose_values_follow_a_search_is_written_by_its_variants(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def main(name, config): ...\n")
    (tmp_path / "c.yaml").write_text(
        "__run__: {__main__: 'code:main', __name__: 'n{a}', __output_dir__: out}\na: !g [1, 2]\nb: '{a}'\n"
    )
    done = kit.command(CLI, "c.yaml", "--expand", cwd=tmp_path)
    specs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(spec["name"], spec["stages"][0]["body"]["config"]["b"]) for spec in specs] == [("n1", 1), ("n2", 2)]
    assert kit.command(CLI, "c.yaml", "--count", cwd=tmp_path).stdout == "2\n"
    assert kit.command(CLI, "c.yaml", "--check", cwd=tmp_path).returncode == 0
    whole = kit.command(CLI, "c.yaml", cwd=tmp_path)
    assert (whole.returncode, whole.stdout) == (2, "")
    found = "c.yaml:3:4: {a} names a search (!g), whose value only a variant knows. Write out the variants: "
    assert whole.stderr == f"flambe-compile: error: {found}flambe-compile c.yaml --expand | flambe exec\n"
    whole = kit.command(CLI, "c.yaml", "a=3,4", "+c=it's", cwd=tmp_path)
    command = "flambe-compile c.yaml a=3,4 '+c=it'\"'\"'s' --expand | flambe exec"
    assert whole.stderr == f"flambe-compile: error: {found}{command}\n"


def test_a_check_says_how_many_files_there_were(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("x: 1\n")
    (tmp_path / "c.yaml").write_text("!Anything\n__default__: base.yaml\n")
    done = kit.command(CLI, "c.yaml", "--check", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "flambe-compile: 2 files checked\n")
    (tmp_path / "base.yaml").write_text("# one line more\nx: !TextField {lowr: 1}\n")
    found = json.loads(kit.command(CLI, "c.yaml", "--check", "--format", "json", cwd=tmp_path).stdout)
    (one,) = found["diagnostics"]
    assert (one["file"], one["line"], one["column"], one["end_line"]) == ("base.yaml", 2, 16, None)


def test_a_word_with_one_dash_is_no_bundle_of_options(kit: Any) -> None:
    done = kit.command(CLI, "toy.yaml", "-train.max_steps=3")  # has the -i of --install-extensions in it
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "flambe-compile: error: override '-train.max_steps=3': this is no override; expected "
    )
    assert (
        json.loads(kit.command(CLI, "toy.yaml", "-vq", "--train.max_steps", "-1").stdout)["stages"][2]["body"][
            "max_steps"
        ]
        == -1
    )


def test_an_option_that_is_misspelt_is_no_key(kit: Any) -> None:
    done = kit.command(CLI, "toy.yaml", "--staeg", "raw")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "flambe-compile: error: override '--staeg raw': there is no key 'staeg'. Did you mean '--stage'?\n"
    )


def test_a_shell_is_told_that_a_file_comes_first(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"COMP_WORDS": "flambe-compile t", "COMP_CWORD": "1", "_FLAMBE_COMPILE_COMPLETE": "bash_complete"}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert kit.command(CLI).stdout == "file,t\n"

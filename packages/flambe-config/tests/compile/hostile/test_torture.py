"""Hostile input at every door: a share of ``torture.py``, all of ``bombs.py``, and by name what they have found."""

from __future__ import annotations

import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flambe
from flambe.build.builder import build
from flambe.build.scope import Scope
from flambe.compile import compile_file, compile_text
from flambe.compile.dump import tree_to_yaml
from flambe.compile.yaml import documents
from flambe.errors import LONGEST, ConfigError, ConfigFaults, FlambeError
from flambe.record.run import RunRecord, read_record
from flambe.spec.codec import dump_spec, escape

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data" / "v1.0"


def script(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, HERE / name, *words], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_share_of_the_torture() -> None:
    done = script("torture.py", "--count", "6000", "--seed", "11")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6,000 inputs" in done.stdout
    assert "findings: 0" in done.stdout


def test_the_torture_sees_what_it_is_to_see(tmp_path: Path) -> None:
    """A watch that sees nothing would find nothing."""
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from watch import Watch\n"
        "watch = Watch('cache'); watch.on = True\n"
        "import wave; open('x', 'w').close(); os.system('true'); exec('1'); os.makedirs('cache/a'); open('cache/a/b', 'w').close()\n"
        "__import__('socket').socket().close(); watch.on = False\n"
        "print(*sorted({event.split()[0] for event in watch.seen}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, HERE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert {"import", "exec", "open", "os.system", "socket.__new__"} <= set(done.stdout.split())
    assert "os.mkdir" not in done.stdout


@pytest.mark.slow
def test_no_bomb_takes_more_than_a_moment() -> None:
    # Five times what each takes on a quiet machine, and a third of the memory that would be noticed.
    done = script("bombs.py", "--seconds", "5", "--megabytes", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") >= 40


# What was found -------------------------------------------------------------------------------------------------------


def faults(body: str, *overrides: str, folder: Path | None = None) -> list[str]:
    text = f"!Experiment\nname: x\nseed: 1\npipeline:\n  a: !Anything\n    x: {body}\n"
    file = None if folder is None else str(folder / "exp.yaml")
    with pytest.raises(ConfigFaults) as caught:
        compile_text(text, name="x", file=file, overrides=overrides)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=range(0, 99999999999)", "range(0, 99999999999) has 99,999,999,999 numbers; expected range(end)"),
        ("seed=range(0, 9" + "9" * 30 + ")", "gives no numbers; expected range(end)"),
        ("seed=range(1, 2, 0)", "range(1, 2, 0) gives no numbers"),
        ("a.x=@\0", "is no file"),
        ("a.x=@\udcff", "is no file"),
        ("a.x=@.", "cannot read ."),
    ],
)
def test_overrides(override: str, message: str) -> None:
    (told,) = faults("1", override)
    assert message in told


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"!!float {'9' * 400}", "is too large; expected at most 1.8e308"),
        ("!file http://[::1", "is no address: Invalid IPv6 URL"),
        (
            "[!s [0, 9000000, 100000], !s [0, 9000000, 100000], !s [0, 9000000, 100000]]",
            "draw more than 200,000 values",
        ),
        (f"[{', '.join(['&x0 1'] + [f'!Nothing{n} ' for n in range(500)])}]", "there are more than 200 faults"),
    ],
)
def test_configs(body: str, message: str) -> None:
    told = faults(body)
    assert message in told[-1]
    assert len(told) <= 201


@pytest.mark.parametrize("parent", ["/dev/zero", "./pipe", '"a\\0b"', '"a\\uFFFFb"', "."])
def test_parents_that_are_no_files(parent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for somebody who writes
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is no file|there is no file"):
        compile_text(f"__default__: {parent}\n", name="x", file=str(tmp_path / "exp.yaml"))


def test_a_text_that_an_alias_repeats_is_counted_by_its_length() -> None:
    with pytest.raises(ConfigError, match="aliases make this file too large"):
        compile_text(
            f"!Experiment\npipeline:\n  a: !Anything\n    x: [&x {'x' * 100_000}, {', '.join(['*x'] * 1000)}]\n",
            name="x",
        )


def test_what_was_read_can_be_written() -> None:
    for text in ("- !a b\n-\n", "a:\n- !b c\n-\n- d\n", "a: [&x [1], *x]\n"):
        (tree,) = documents(text, "x.yaml")
        again = documents(tree_to_yaml(None, tree), "raw")
        assert tree_to_yaml(None, again[0]) == tree_to_yaml(None, tree)


@pytest.mark.parametrize("odd", ["\x1b[2J", "\x07", "\u202e", "\ufeff", "\x85", "\udcff", "\n", "y" * 100_000])
def test_a_message_is_one_line_that_a_terminal_can_show(odd: str) -> None:
    (told,) = faults("1", f"a.{odd}q=1" if odd != "\n" else "a.q=1\n2")
    assert told.isprintable()
    assert len(told) <= LONGEST


def test_a_message_without_a_place_is_cut_too() -> None:
    (told,) = faults("1", "=" + "y" * 100_000)
    assert told.startswith("override '=yyy")
    assert len(told) <= LONGEST


def test_a_spec_holds_what_only_an_override_could_bring() -> None:
    spec = compile_text("!Experiment\nname: x\npipeline:\n  a: !Anything {x: one}\n", name="x", overrides=["a.x=é\x1b"])
    assert b"\\u001b" in dump_spec(spec)


def test_a_file_whose_name_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a long path is cut in the message
    Path("exp\udcff.yaml").write_text("!Experiment\npipeline:\n  a: !Anything {x: 1}\n")
    with pytest.raises(ConfigError, match=r"exp.udcff.yaml' is not UTF-8 text, and a spec cannot hold it. Rename"):
        dump_spec(compile_file("exp\udcff.yaml"))


@pytest.mark.parametrize(
    "data",
    [b"\xff", b'{"flambe_record": "1.0", "id": "\xff"}', b"[" * 100_000, b"[1]", b'{"flambe_record": "1.0"}', b"{}"],
)
def test_records(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(ConfigError, match=r"run.json is (not JSON|nested too deeply|no run record)"):
        read_record(tmp_path / "run.json", RunRecord)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("manifest.json", {"config": {"$new": "sample:Walk", "cell": {"$saved": True}}}),
        ("manifest.json", {"config": {"$new": "sample:Walk", "cell": {"$saved": "cell", "attr": [1]}}}),
        ("manifest.json", {"config": {"$new": "sample:Walk", "cell": {"$result": {"path": "a\0"}}}}),
        ("manifest.json", {"config": {"$new": "sample:Walk", "cell": {"$result": 3}}}),
        ("manifest.json", {"config": {"$new": "sample:Walk", "notes": {"$map": [[{"$file": "x"}, 1]]}}}),
        ("manifest.json", {"parts": ["\0"]}),
        ("manifest.json", {"parts": ["9" * 5000]}),
        ("manifest.json", {"version": "x.y"}),
        ("state.json", {"state": True}),
        ("state.json", {"state": {"$state": {"done": {"$tuple": 3}}, "metadata": {}}}),
        ("state.json", {"state": {"$state": {"done": {"$float": []}}, "metadata": {}}}),
        ("state.json", {"state": {"$state": {}, "metadata": {"": {"version": True}}}}),
        ("state.json", {"state": {"$state": {}, "metadata": {"": True}}}),
        ("state.json", {"state": {"$data": "os:system", "fields": {"command": "touch sprung"}}}),
        ("state.json", {"state": {"$state": {"$map": [[7, 1]]}, "metadata": {}}}),
        ("state.json", {"state": {"$later": 1}}),
    ],
)
def test_components(file: str, change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DATA / "component", tmp_path / "component")
    monkeypatch.syspath_prepend(str(DATA))
    # All that is installed: where torch is loaded already, its codec is asked for.
    monkeypatch.setattr(flambe, "__path__", pkgutil.extend_path([str(Path(flambe.__file__).parent)], "flambe"))
    path = tmp_path / "component" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FlambeError):
        flambe.load(tmp_path / "component", verify=False, extensions={"sample": str(DATA)})
    sys.modules.pop("sample", None)


def test_keys_that_are_tuples_are_built() -> None:
    value = {(1, 2): "a", 3: {(4, (5,)): "b"}}
    assert build(escape(value), scope=Scope(stage="a")) == value

"""The flambe command: it becomes the tool that fits, with the spec on stdin."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.cli.pipe import Asked, pipe
from flambe.spec.nodes import Spec

TRAIN = "!Experiment\nname: t\nseed: 3\npipeline:\n  a: !msgspec.Raw {{msg: {value}}}\n"
FAKE = """#!{python}
import json, os, sys
print("a person reads this", file=sys.stderr)
print(json.dumps({{"argv": [os.path.basename(sys.argv[0]), *sys.argv[1:]], "pid": os.getpid(), "spec": sys.stdin.read()}}))
sys.exit(7)
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a program in place of every tool; each says how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("train", "tune", "build", "cluster", "report"):
        path = folder / f"flambe-{name}"
        path.write_text(FAKE.format(python=sys.executable))
        path.chmod(0o755)
    program = folder / "flambe"
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom flambe.cli.umbrella import main\nsys.exit(main())\n")
    program.chmod(0o755)
    return folder


def flambe(tools: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tools / "flambe"), *words], input=stdin, capture_output=True, text=True, cwd=tools.parent, check=False, timeout=60
    )  # fmt: skip


def write(tools: Path, name: str, text: str) -> str:
    (tools.parent / name).write_text(text)
    return name


def experiment(tools: Path, value: str = "1") -> str:
    return write(tools, "x.yaml", "msgspec: msgspec\n---\n" + TRAIN.format(value=value))


@pytest.mark.parametrize("words", [[], ["run"]])
def test_a_concrete_experiment_becomes_train(tools: Path, words: list[str]) -> None:
    done = flambe(tools, *words, experiment(tools), "seed=9", "--verbose")
    assert done.returncode == 7, done.stderr
    answer = json.loads(done.stdout)
    assert answer["argv"] == ["flambe-train", "-", "--verbose"]
    spec = json.loads(answer["spec"])
    assert spec["seed"] == 9
    assert spec["stages"][0]["body"] == {"$new": "msgspec:Raw", "msg": 1}
    assert done.stderr == "a person reads this\n"


def test_the_process_itself_becomes_the_tool(tools: Path) -> None:
    with subprocess.Popen(
        [str(tools / "flambe"), experiment(tools)], cwd=tools.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        out, _ = process.communicate(timeout=60)
    assert json.loads(out)["pid"] == process.pid


def test_search_becomes_tune_with_its_options(tools: Path) -> None:
    done = flambe(tools, experiment(tools, "!g [1, 2]"), "-o", "out", "-d", "--num-cpus", "2")
    answer = json.loads(done.stdout)
    assert answer["argv"] == ["flambe-tune", "-", "--output-dir", "out"]
    spec = json.loads(answer["spec"])
    assert spec["debug"] is True
    assert spec["devices"] == {"cpus": 2.0}


def test_cluster_and_submit(tools: Path) -> None:
    name = experiment(tools)
    for words in (["-c", "c.yaml"], ["submit", "--cluster", "c.yaml"]):
        flags = words[1:] if words[0] == "submit" else words
        done = flambe(tools, *(["submit"] if words[0] == "submit" else []), name, *flags, "--force")
        assert json.loads(done.stdout)["argv"] == ["flambe-cluster", "submit", "c.yaml", "--force"]
    alone = flambe(tools, "submit", name)
    assert alone.returncode == 2
    assert alone.stderr == "flambe submit: error: no cluster is named. Add --cluster FILE.\n"


def test_a_file_that_is_not_here_may_be_there(tools: Path) -> None:
    """Run on this machine it is an error before anything runs, on a cluster a warning."""
    name = write(tools, "s.yaml", "!Experiment\npipeline:\n  a: !Script {script: trian.py}\n")
    write(tools, "train.py", "")
    said = f"s.yaml:3:23: there is no program trian.py in {tools.parent}, where a relative path begins. Did you mean 'train.py'?\n"
    here = flambe(tools, "run", name)
    assert (here.returncode, here.stdout, here.stderr) == (2, "", f"flambe run: error: {said}")
    there = flambe(tools, "submit", name, "-c", "c.yaml", "--show")
    assert (there.returncode, there.stderr) == (0, f"warning: {said}")


def test_show_prints_the_pipe_and_runs_nothing(tools: Path) -> None:
    done = flambe(tools, "run", experiment(tools, "!g [1, 2]"), "seed=2", "--show", "-q")
    assert (done.returncode, done.stdout) == (0, "flambe-compile x.yaml seed=2 | flambe-tune --quiet\n")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["-d", "--num-cpus", "2", "--num-gpus", "1"], "flambe-compile x.yaml debug=true 'devices={cpus: 2, gpus: 1}' | flambe-tune"),
        (["--num-gpus", "0.5", "-o", "out", "--force"], "flambe-compile x.yaml 'devices={gpus: 0.5}' | flambe-tune --output-dir out --force"),
        (["--plan", "-o", "out"], "flambe-compile x.yaml | flambe-tune --plan --output-dir out"),
        (["-s", "keys.ini"], "flambe-compile x.yaml | FLAMBE_SECRETS=keys.ini flambe-tune"),
        (["-s", "keys.ini", "-c", "c.yaml"], "flambe-compile x.yaml | flambe-cluster submit c.yaml --secrets keys.ini"),
        (["-c", "c.yaml", "--num-cpus", "2"], "flambe-compile x.yaml 'devices={cpus: 2}' | flambe-cluster submit c.yaml"),
    ],
)  # fmt: skip
def test_show_has_the_options_in_force(tools: Path, options: list[str], shown: str) -> None:
    keys = tools.parent / "keys.ini"
    keys.write_text("[a]\nb = c\n")
    keys.chmod(0o600)
    done = flambe(tools, "run", experiment(tools, "!g [1, 2]"), *options, "--show")
    assert (done.returncode, done.stdout, done.stderr) == (0, shown + "\n", "")


def test_the_pipe_installs_extensions_where_they_were_asked_for() -> None:
    asked = Asked("x y.yaml", ["seed=2"], install=True, output="out", force=True)
    text, left = pipe("exec", ["-"], Spec(name="x", stages=[]), asked)
    assert text == "flambe-compile -i 'x y.yaml' seed=2 | FLAMBE_FORCE=1 flambe exec --output-dir out"
    assert left == []


def test_a_plan_is_of_this_machine(tools: Path) -> None:
    done = flambe(tools, "run", experiment(tools, "!g [1, 2]"), "--plan", "-c", "c.yaml")
    assert done.returncode == 2
    assert done.stderr == "flambe run: error: --plan looks at the results on this machine. Leave out --cluster.\n"


def test_the_pipe_that_is_shown_makes_the_spec_that_runs(tools: Path) -> None:
    name = experiment(tools, "!g [1, 2]")
    options = ["-d", "--num-cpus", "2", "--num-gpus", "1"]
    words = shlex.split(flambe(tools, "run", name, *options, "--show").stdout.partition(" | ")[0])
    program = "import sys; from flambe.compile.cli import main; sys.exit(main())"
    shown = subprocess.run(
        [sys.executable, "-c", program, *words[1:]], capture_output=True, text=True, cwd=tools.parent, check=True
    ).stdout  # fmt: skip
    ran = json.loads(json.loads(flambe(tools, "run", name, *options).stdout)["spec"])
    assert {**json.loads(shown), "source": 0, "origins": 0} == {**ran, "source": 0, "origins": 0}


def test_show_says_what_no_pipe_can_have(tools: Path) -> None:
    name = write(tools, "r.yaml", "msgspec: msgspec\n---\n!msgspec.Raw {msg: 1}\n")
    done = flambe(tools, "run", name, "-d", "--num-cpus", "2", "--show")
    assert done.stdout == "flambe-compile r.yaml | flambe-train\n"
    assert done.stderr == "flambe run hands on in the spec itself: --debug, --num-cpus 2\n"


def test_submit_has_a_help_of_its_own(tools: Path) -> None:
    done = flambe(tools, "submit", "--help")
    assert done.returncode == 0
    assert "run it on a cluster" in done.stdout
    assert "-c, --cluster FILE        The cluster to run on.  [required]" in done.stdout
    assert "--debug" not in done.stdout
    assert "-a, --attach" in done.stdout
    assert "--debug" in flambe(tools, "run", "--help").stdout


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["--verbose", "report", "ls"], ["flambe-report", "--verbose", "ls"]),
        (["-q", "up", "c.yaml"], ["flambe-cluster", "up", "-q", "c.yaml"]),
        (["-v", "x.yaml"], ["flambe-train", "-", "--verbose"]),
        (["--quiet", "run", "x.yaml"], ["flambe-train", "-", "--quiet"]),
    ],
)
def test_loudness_may_stand_in_front(tools: Path, words: list[str], argv: list[str]) -> None:
    experiment(tools)
    assert json.loads(flambe(tools, *words).stdout)["argv"] == argv


def complete(tools: Path, words: str, position: str, shell: str = "bash") -> list[str]:
    environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": position, "_FLAMBE_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(
        [str(tools / "flambe")], capture_output=True, text=True, env=environment, cwd=tools.parent, check=True, timeout=60
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_knows_the_words(tools: Path) -> None:
    found = complete(tools, "flambe ", "1")
    assert {"plain,run", "plain,submit", "plain,diff", "plain,tune", "plain,report", "plain,up"} <= set(found)
    assert sorted(complete(tools, "flambe re", "1")) == ["plain,report", "plain,reproduce"]
    assert complete(tools, "flambe exp", "1") == ["file,exp"]
    assert complete(tools, "flambe run --num", "2") == ["plain,--num-cpus", "plain,--num-gpus"]
    assert complete(tools, "flambe run e", "2") == ["file,e"]
    assert complete(tools, "flambe import c", "2") == ["dir,c"]
    assert complete(tools, "flambe run x.yaml --secrets s", "4") == ["file,s"]
    assert complete(tools, "flambe submit --num", "2") == ["plain,--num-cpus", "plain,--num-gpus"]


@pytest.mark.parametrize(("shell", "position"), [("bash", "2"), ("zsh", "2"), ("fish", "l")])
def test_completion_asks_the_tool_for_its_own_words(tools: Path, shell: str, position: str) -> None:
    program = tools / "flambe-report"
    program.write_text(
        f"#!{sys.executable}\nimport click\n@click.group()\ndef main(): ...\n"
        "@main.command()\ndef lsx(): ...\nmain(prog_name='flambe-report')\n"
    )
    assert any("lsx" in one for one in complete(tools, "flambe report l", position, shell))


def test_a_word_starts_its_tool(tools: Path) -> None:
    done = flambe(tools, "report", "ls", "--where", "x>1", stdin="{}")
    assert json.loads(done.stdout) == {
        "argv": ["flambe-report", "ls", "--where", "x>1"], "pid": json.loads(done.stdout)["pid"], "spec": "{}",
    }  # fmt: skip
    assert json.loads(flambe(tools, "up", "c.yaml").stdout)["argv"] == ["flambe-cluster", "up", "c.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.yaml", "-fd.x=1"], "flambe: error: override '-fd.x=1': this is no override; expected key.key=value, +key.key=value, ~key.key or --key.key value. Write fd.x=1"),
        (["trian"], "flambe: error: there is no tool and no file called 'trian'. Did you mean 'train'?"),
        (["rnu", "x.yaml"], "flambe: error: there is no tool and no file called 'rnu'. Did you mean 'run'?"),
        (["xx.yaml"], "flambe: error: cannot read xx.yaml: No such file or directory. Did you mean 'x.yaml'?"),
        (["import", "."], "Usage: flambe import [OPTIONS] DIR\nflambe import: error: Missing option '--from'. Choose from: hydra, mlxp, expyrun"),
        (["x.yaml", "-d", "-c", "c"], "flambe: error: --debug works on this machine only. Leave out --cluster."),
        (["x.yaml", "--workers", "2"], "flambe: error: override '--workers 2': there is no key 'workers'. flambe-tune has this option: flambe-compile x.yaml | flambe-tune --workers 2"),
        (["x.yaml", "--store=s3://a b"], "flambe: error: override '--store=s3://a b': there is no key 'store'. flambe-tune has this option: flambe-compile x.yaml | flambe-tune '--store=s3://a b'"),
        (["x.yaml", "sed=1"], "flambe: error: override 'sed=1': there is no key 'sed'. Did you mean 'seed'?"),
        (["run", "nowhere.yaml"], "flambe run: error: cannot read nowhere.yaml: No such file or directory"),
    ],
)  # fmt: skip
def test_faults(tools: Path, words: list[str], message: str) -> None:
    experiment(tools)
    done = flambe(tools, *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message + "\n")


def test_a_missing_tool_names_its_package(tools: Path) -> None:
    (tools / "flambe-tune").unlink()
    program = "import sys; sys.executable = '/nowhere/python'\nfrom flambe.cli.tool import find_tool\nfind_tool('tune')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PATH": str(tools)}, check=False
    )  # fmt: skip
    assert "flambe-tune is not installed. pip install flambe-tune." in done.stderr


def test_help_names_every_tool(tools: Path) -> None:
    done = flambe(tools, "--help")
    assert done.returncode == 0
    assert all(f"flambe {name}" in done.stdout for name in ("compile", "train", "tune", "cluster", "report", "build"))
    nothing = flambe(tools)
    assert nothing.returncode == 2
    assert "Usage: flambe" in nothing.stderr

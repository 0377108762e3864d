"""A user's own Runnable, from a YAML file, through the real commands: its arguments, secrets, surroundings and record."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PUSHER = '''
import os
import flambe
from flambe.runnable import Runnable


class S3Pusher(Runnable):
    def __init__(self, experiment_path: str, bucket_name: str) -> None:
        super().__init__()
        self.experiment_path = experiment_path
        self.bucket_name = bucket_name

    def run(self, **kwargs):
        token = self.config["AWS"]["AWS_SECRET_TOKEN"]
        names = sorted(name for _, _, files in os.walk(self.experiment_path) for name in files)
        with open("pushed.txt", "a") as out:
            print(self.bucket_name, *names, len(token), sorted(kwargs.items()), sorted(self.extensions), file=out)
        print("the token is", token)
        env = flambe.get_env()
        os.makedirs(env.output_path, exist_ok=True)
        with open(os.path.join(env.output_path, "env.txt"), "w") as out:
            print(env.extra, env.debug, sorted(env.local_files), file=out)
        assert str(flambe.get_trial_dir()) == env.output_path
        if self.bucket_name == "broken":
            raise ValueError(f"{token} is refused")
        return {"files": names}


class Once(Runnable):
    def run(self, force: bool = False):
        print("force is", force)


class Picky(Runnable):
    def parse(self):
        raise ValueError("it cannot run today")

    def run(self):
        raise AssertionError


class Plain:
    """No base class: it has run(), which is enough."""

    def __init__(self, times: int):
        self.times = times

    def run(self) -> bool:
        self.times -= 1
        print("one more" if self.times else "last")
        return self.times > 0
'''
TOKEN = "ABCDEFGHI123456789"


class Desk:
    """A folder with an extension, a config and the real command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ext").mkdir()
        (folder / "ext" / "ext.py").write_text(PUSHER)
        (folder / "results").mkdir()
        (folder / "results" / "a.txt").write_text("a")
        (folder / "home").mkdir()
        self.write(
            "s3pusher.yaml", "ext: ./ext\n---\n!ext.S3Pusher\n  experiment_path: results\n  bucket_name: my-bucket\n"
        )
        self.write("secret.ini", f"[AWS]\nAWS_SECRET_TOKEN = {TOKEN}\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def flambe(self, *words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        # No flambe-train beside this program nor on the path: the floor runs what it can alone.
        surroundings = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLAMBE_")},
            "HOME": str(self.folder / "home"), "PATH": str(self.folder / "bin"), **variables,
        }  # fmt: skip
        program = self.folder / "bin" / "flambe"
        if not program.exists():
            program.parent.mkdir()
            start = f"import sys\nsys.executable = {str(program)!r}\nfrom flambe.cli.umbrella import main\nsys.exit(main())\n"
            program.write_text(f"#!{sys.executable}\n{start}")
            program.chmod(0o755)
        return subprocess.run(
            [str(program), *words], cwd=self.folder, env=surroundings, input=stdin, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip

    @property
    def pushed(self) -> list[str]:
        return (self.folder / "pushed.txt").read_text().splitlines()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_s3_pusher_of_the_documentation(desk: Desk) -> None:
    done = desk.flambe("s3pusher.yaml", "--secrets", "secret.ini", "--force")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["status"] == "COMPLETE"
    assert desk.pushed == ["my-bucket a.txt 18 [('debug', False), ('force', True), ('verbose', False)] ['ext']"]
    # What runs alone is heard, and its step is told once.
    said = ["s3pusher/0: starts", "the token is [secret]", "s3pusher/0: step 1 (0.0 s)"]
    assert [re.sub(r"\d+\.\d s", "0.0 s", line) for line in done.stderr.splitlines()] == said
    # It is run for its effect: the same command does it again, and asks no earlier result.
    again = desk.flambe("s3pusher.yaml", "--secrets", "secret.ini", "--verbose", "--debug")
    assert again.returncode == 0, again.stderr
    assert desk.pushed[1].startswith("my-bucket a.txt 18 [('debug', True), ('force', False), ('verbose', True)]")


def test_no_file_of_the_run_and_no_message_has_the_secret(desk: Desk) -> None:
    done = desk.flambe("s3pusher.yaml", "--secrets", "secret.ini", "-v", "bucket_name=broken")
    assert done.returncode == 1
    assert "ValueError: [secret] is refused" in done.stderr
    # Half of its effect may have happened: it is not tried again by itself.
    assert len(desk.pushed) == 1
    texts = [path.read_bytes() for path in (desk.folder / "flambe-output").rglob("*") if path.is_file()]
    assert any(b"the token is [secret]" in text for text in texts)
    assert not any(TOKEN.encode() in text for text in [*texts, done.stdout.encode(), done.stderr.encode()])


def test_the_default_file_and_the_variable(desk: Desk) -> None:
    missing = desk.flambe("s3pusher.yaml")
    assert missing.returncode == 1
    assert "there is no section [AWS] in the secrets. Give their file by --secrets FILE" in missing.stderr
    (desk.folder / "home" / ".flambe").mkdir()
    desk.write("home/.flambe/secrets.ini", f"[AWS]\nAWS_SECRET_TOKEN = {TOKEN}\n")
    assert desk.flambe("s3pusher.yaml").returncode == 0
    desk.write("short.ini", "[AWS]\nAWS_SECRET_TOKEN = abc\n")
    spec = desk.flambe("compile", "s3pusher.yaml")
    assert spec.returncode == 1  # flambe-compile is not on this path
    assert desk.flambe("s3pusher.yaml", FLAMBE_SECRETS="short.ini").returncode == 0
    assert [line.split()[2] for line in desk.pushed] == ["18", "3"]


def test_faults_of_the_file_of_secrets_come_before_anything_runs(desk: Desk) -> None:
    nowhere = desk.flambe("s3pusher.yaml", "-s", "nowhere.ini")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert nowhere.stderr == "flambe: error: there is no file of secrets nowhere.ini. It is what --secrets names.\n"
    desk.write("bad.ini", f"token = {TOKEN}\n")
    bad = desk.flambe("s3pusher.yaml", "-s", "bad.ini")
    assert bad.returncode == 2
    assert bad.stderr == (
        f"flambe: error: {desk.folder}/bad.ini is no INI file (MissingSectionHeaderError, line 1). Write [SECTION] above lines of KEY = value.\n"
    )
    assert not (desk.folder / "flambe-output").exists()


def test_the_header_of_version_1_is_the_environment(desk: Desk) -> None:
    desk.write(
        "e.yaml",
        "!Environment\nextensions: {ext: ./ext}\nlocal_files: {data: results/a.txt}\nextra: {fold: 3}\noutput_path: out\n---\n"
        "!ext.S3Pusher\n  experiment_path: results\n  bucket_name: !file data\n",
    )
    done = desk.flambe("e.yaml", "-s", "secret.ini")
    assert done.returncode == 0, done.stderr
    run = desk.folder / json.loads(done.stdout.splitlines()[-1])["run"]
    assert run.parent.parent == desk.folder / "out"
    assert desk.pushed[0].startswith(f"{desk.folder}/results/a.txt ")
    written = run / "stages" / "s3pusher" / "0" / "artifacts" / "env.txt"
    assert written.read_text() == "{'fold': 3} False ['data']\n"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("!ext.Once", 0, ["force is True"]),
        ("!ext.Picky", 1, ["ValueError: it cannot run today"]),
        ("!ext.Plain {times: 3}", 0, ["one more", "one more", "last"]),
    ],
)
def test_other_objects_with_run(desk: Desk, body: str, code: int, words: list[str]) -> None:
    desk.write("o.yaml", f"ext: ./ext\n---\n{body}\n")
    done = desk.flambe("run", "o.yaml", "-f")
    assert done.returncode == code, done.stderr
    log = next((desk.folder / "flambe-output").rglob("stages/*/*/outputs.log")).read_text()
    assert [line for line in log.splitlines() if line in words] == words


def test_show_names_the_command(desk: Desk) -> None:
    shown = desk.flambe("run", "s3pusher.yaml", "--show")
    assert shown.stdout == "flambe-compile s3pusher.yaml | flambe exec\n"


def test_from_plain_python(desk: Desk) -> None:
    program = (
        "import sys; sys.path.insert(0, 'ext')\nfrom ext import S3Pusher\n"
        "import flambe; flambe.get_trial_dir = lambda: 'flambe_output'\npusher = S3Pusher('results', 'b')\npusher.inject_secrets('secret.ini')\nprint(pusher.run(force=True))\n"
        "from flambe.compile import yaml\nfrom flambe.runnable import Runnable\n"
        "schema = yaml.load('ext: ./ext\\n---\\n!ext.Plain {times: 2}')\n"
        "plain = schema()\nprint(plain.run(), plain.run())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=desk.folder, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-4:] == ["{'files': ['a.txt']}", "one more", "last", "True False"], done.stderr

"""``flambe-build`` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ENGINE = """\
import numpy as np
from flambe import Component

class Engine(Component):
    def __init__(self, words: list, scale: float = 1.0):
        super().__init__()
        self.words, self.scale = words, scale
        self.weights = np.arange(6, dtype=np.float32).reshape(2, 3) * scale
        self.register_attrs("weights")

    def predict(self, text: str) -> float:
        return sum(word in text.split() for word in self.words) * float(self.weights[0, 1])
"""
BUILDER = """\
engine: ./engine.py
---
!Builder
destination: {destination}
storage: {storage}
component: !engine.Engine
  words: [good, fine]
  scale: 2.0
"""
USE = """\
import sys, flambe
sys.path.insert(0, ".")
import engine
print(flambe.load(sys.argv[1]).predict("a good film"))
"""


def run(
    folder: Path, *argv: str, stdin: str = "", module: str = "flambe.export.cli"
) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from {module} import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
    )


def predict(folder: Path, address: str) -> str:
    """Load an artifact in a fresh process and use it."""
    done = subprocess.run([sys.executable, "-c", USE, address], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def row(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "engine.py").write_text(ENGINE)
    (tmp_path / "builder.yaml").write_text(BUILDER.format(destination="built", storage="local"))
    return tmp_path


def test_one_line_says_what_was_built(folder: Path) -> None:
    built = row(run(folder, "builder.yaml"))
    assert built["artifact"] == str(folder / "built")
    assert built["component"] == "engine:Engine"
    assert len(built["digest"]) == 64
    assert predict(folder, built["artifact"]) == "2.0"


@pytest.mark.slow
def test_a_spec_on_stdin_gives_the_same(folder: Path) -> None:
    first = row(run(folder, "builder.yaml"))
    spec = run(folder, "builder.yaml", module="flambe.compile.cli").stdout
    assert row(run(folder, "--force", stdin=spec))["digest"] == first["digest"]
    assert row(run(folder, "--force", "-", stdin=spec))["digest"] == first["digest"]


@pytest.mark.slow
def test_equal_code_in_another_folder_gives_an_equal_digest(folder: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("here", "there"):
        place = tmp_path / name
        place.mkdir()
        for file in ("engine.py", "builder.yaml"):
            (place / file).write_text((folder / file).read_text())
        (place / "unrelated.py").write_text(f"# of {name}\n")
        digests.append(row(run(place, "builder.yaml"))["digest"])
        holding = [
            path for path in (place / "built").rglob("*") if path.is_file() and str(place) in path.read_text("latin-1")
        ]
        assert holding == []
        again = (place / "builder.yaml").read_text().replace("built", "again")
        again = again[: again.index("component:")] + "component: !engine.Engine.load_from_path\n  path: built\n"
        (place / "again.yaml").write_text(again)
        digests.append(row(run(place, "again.yaml"))["digest"])
        assert str(place) not in (place / "again" / "manifest.json").read_text()
    assert digests[:2] == digests[2:]


@pytest.mark.slow
def test_a_component_can_be_built_from_a_saved_one(folder: Path) -> None:
    row(run(folder, "builder.yaml"))
    text = (folder / "builder.yaml").read_text().replace("built", "again")
    text = text[: text.index("component:")] + "component: !engine.Engine.load_from_path\n  path: built\n"
    (folder / "again.yaml").write_text(text)
    assert predict(folder, row(run(folder, "again.yaml"))["artifact"]) == "2.0"


def test_s3(folder: Path, s3: Any) -> None:
    (folder / "builder.yaml").write_text(BUILDER.format(destination="s3://models/engine", storage="s3"))
    built = row(run(folder, "builder.yaml"))
    assert built["artifact"] == "s3://models/engine"
    assert predict(folder, "s3://models/engine") == "2.0"
    assert row(run(folder, "--verify", "s3://models/engine"))["digest"] == built["digest"]
    s3.put_object(Bucket="models", Key="engine/state.json", Body=b"{ }")
    refused = run(folder, "--verify", "s3://models/engine")
    assert refused.returncode == 3
    assert "state.json is changed" in refused.stderr


@pytest.mark.slow
def test_an_occupied_destination(folder: Path) -> None:
    row(run(folder, "builder.yaml"))
    refused = run(folder, "builder.yaml")
    assert refused.returncode == 2
    assert "built is not empty" in refused.stderr
    assert refused.stdout == ""
    row(run(folder, "builder.yaml", "--force"))


def test_verify_finds_a_change(folder: Path) -> None:
    built = row(run(folder, "builder.yaml"))
    assert row(run(folder, "--verify", "built")) == {
        "artifact": "built", "digest": built["digest"], "files": built["files"], "verified": True
    }  # fmt: skip
    tensors = folder / "built" / "state.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    refused = run(folder, "--verify", "built")
    assert refused.returncode == 3
    assert "built is not what was built: state.safetensors is changed" in refused.stderr


@pytest.mark.slow
def test_inspect_and_diff(folder: Path) -> None:
    row(run(folder, "builder.yaml"))
    found = row(run(folder, "--inspect", "built"))
    assert found["class"] == "engine:Engine"
    assert found["tensors"] == {"weights": ["F32", [2, 3]]}
    (folder / "other.yaml").write_text(
        (folder / "builder.yaml").read_text().replace("built", "other").replace("2.0", "3.0")
    )
    row(run(folder, "other.yaml"))
    assert row(run(folder, "--diff", "built", "built"))["equal"] is True
    differ = run(folder, "--diff", "built", "other")
    assert (differ.returncode, differ.stderr) == (1, "")
    found = json.loads(differ.stdout)
    assert found["equal"] is False
    assert "state.safetensors" in found["files"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--inspect", "built", "--verify", "built"], "were both given"),
        (["--verify", "built", "builder.yaml"], "builds nothing"),
        (["--verify", "built", "--force"], "builds nothing"),
        (["--inspect", "nowhere"], "nowhere is no folder"),
        (["--inspect", "gopher://x"], "nothing here reads gopher:// addresses"),
        (["--inspect", "."], "holds no saved component"),
        (["nowhere.yaml"], "nowhere.yaml"),
        ([], "stdin is empty"),
    ],
)
def test_wrong_usage(folder: Path, argv: list[str], said: str) -> None:
    done = run(folder, *argv)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_what_is_no_builder_is_refused(folder: Path) -> None:
    (folder / "exp.yaml").write_text("!Experiment\nname: x\npipeline:\n  a: !Exporter\n    b: 1\n")
    done = run(folder, "exp.yaml")
    assert done.returncode == 2
    assert "describes an experiment; expected a !Builder" in done.stderr


def test_a_bare_bucket_name_is_refused(folder: Path) -> None:
    (folder / "builder.yaml").write_text(BUILDER.format(destination="my-bucket", storage="s3"))
    done = run(folder, "builder.yaml")
    assert done.returncode == 2
    assert "'my-bucket' is no address on S3; expected s3://my-bucket" in done.stderr

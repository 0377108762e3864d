"""``-i``: pip installs what the header names, into a real environment, from real packages; and says what changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from flambe.compile.install import is_package

# Builds its wheel without any other package, so that pip needs no network.
BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "localdist-3.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.write("locallib.py")
        wheel.writestr("localdist-3.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: localdist\\nVersion: 3.0\\nRequires-Dist: toydist\\n")
        wheel.writestr("localdist-3.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("localdist-3.0.dist-info/RECORD", "")
    return name
"""


def write_wheel(folder: Path, version: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"toydist-{version}.dist-info"
    with zipfile.ZipFile(folder / f"toydist-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toylib.py", f"import flambe\nclass Thing(flambe.Component):\n    version = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: toydist\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


class Place:
    """A Python environment of its own that sees this one's packages, and an index that is a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True, capture_output=True)
        self.python = root / "venv" / "bin" / "python"
        site = next((root / "venv" / "lib").glob("python*")) / "site-packages"
        lines = [sysconfig.get_paths()["purelib"], *(p for p in sys.path if p.endswith("/src"))]
        # site reads the .pth files of a folder that is added this way.
        (site / "outer.pth").write_text("".join(f"import site; site.addsitedir({line!r})\n" for line in lines))
        write_wheel(root / "wheels", "1.0")

    def compile(self, config: str, *words: str) -> subprocess.CompletedProcess[str]:
        (self.root / "c.yaml").write_text(config)
        return self.run("flambe.compile.cli", "c.yaml", *words)

    def run(self, module: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        surroundings = {
            **os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.root / "wheels"), "PIP_CONFIG_FILE": os.devnull,
            "XDG_DATA_HOME": str(self.root / "data"), "XDG_CACHE_HOME": str(self.root / "cache"),
        }  # fmt: skip
        return subprocess.run(
            [self.python, "-m", module, *words],
            cwd=self.root, env=surroundings, input=stdin, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.mark.slow
def test_requirements_and_packages_are_installed_only_with_i(place: Place) -> None:
    config = "toylib: toydist{wanted}\n---\n!toylib.Thing\n"
    refused = place.compile(config.format(wanted="==1.0"))
    assert refused.returncode == 2
    assert (
        "c.yaml:1:9: the extension 'toylib' is not installed. pip install 'toydist==1.0', or add -i" in refused.stderr
    )

    done = place.compile(config.format(wanted="==1.0"), "-i")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[:2] == ["installing toydist==1.0", "  toydist 1.0 is new"]
    spec = json.loads(done.stdout)
    assert spec["environment"]["extensions"] == {"toylib": "toydist==1.0"}
    assert spec["stages"][0]["body"] == {"$new": "toylib:Thing"}

    write_wheel(place.root / "wheels", "2.0")
    same = place.compile(config.format(wanted=">=1.0"), "-i")
    assert "everything was there" in same.stderr, same.stderr
    newer = place.compile(config.format(wanted=">=2.0"), "-i")
    assert "  warning: toydist 1.0 is now 2.0" in newer.stderr.splitlines()

    nowhere = place.compile(config.format(wanted="==9"), "-i")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert "c.yaml:1:9: toydist==9 cannot be installed: ERROR: Could not find a version" in nowhere.stderr

    subprocess.run([place.python, "-m", "pip", "uninstall", "-y", "toydist"], check=True, capture_output=True)
    without = place.run("flambe.cli.umbrella", "exec", stdin=newer.stdout)
    assert (without.returncode, "toylib" in without.stderr) == (1, True)
    ran = place.run("flambe.cli.umbrella", "exec", "-i", stdin=newer.stdout)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[:2] == ["installing toydist>=2.0", "  toydist 2.0 is new"]

    subprocess.run([place.python, "-m", "pip", "uninstall", "-y", "toydist"], check=True, capture_output=True)
    folder = place.root / "local"
    folder.mkdir()
    (folder / "locallib.py").write_text("import flambe\nimport toylib\nclass Own(flambe.Component): ...\n")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    assert is_package(folder)
    local = place.compile("locallib: ./local\n---\n!locallib.Own\n", "-i")
    assert local.returncode == 0, local.stderr
    assert local.stderr.splitlines()[:3] == [f"installing {folder}", "  localdist 3.0 is new", "  toydist 2.0 is new"]
    assert json.loads(local.stdout)["environment"]["extensions"] == {"locallib": str(folder)}

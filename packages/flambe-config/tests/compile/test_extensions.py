"""The extensions header: modules from folders, files and what is installed; everything else refused with a way out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambe.compile import compile_text
from flambe.record.provenance import spec_to_yaml
from flambe.spec.codec import dump_spec

CODE = "class Thing:\n    def __init__(self, size: int): ...\n"


def compile_with(tmp_path: Path, header: str, tag: str) -> Any:
    return compile_text(f"{header}\n---\n!{tag}\nsize: 1\n", name="c", file=str(_config(tmp_path)))


def _config(tmp_path: Path) -> Path:
    config = tmp_path / "configs" / "c.yaml"
    config.parent.mkdir(exist_ok=True)
    config.touch()
    return config


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("code/lib.py", "../code"), ("code/lib.py", "../code/lib.py"), ("code/lib/__init__.py", "../code"),
        ("code/lib/__init__.py", "../code/lib"), ("code/src/lib/__init__.py", "../code"),
    ],
)  # fmt: skip
def test_a_module_is_found_where_it_lies(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(CODE)
    spec = compile_with(tmp_path, f"lib: {source}", "lib.Thing")
    assert spec.stages[0].body == {"$new": "lib:Thing", "size": 1}
    assert spec.environment.extensions == {"lib": str((tmp_path / "configs" / source).resolve())}


def test_reading_an_extension_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "lib.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + CODE)
    compile_with(tmp_path, "lib: ..", "lib.Thing")
    assert not (tmp_path / "ran").exists()


def test_a_class_in_a_sub_module_by_its_path_and_by_its_alias(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("from lib.inner import Thing\n")
    (tmp_path / "lib" / "inner.py").write_text("@alias('short')\n" + CODE)
    assert compile_with(tmp_path, "lib: ..", "lib.inner.Thing").stages[0].body["$new"] == "lib.inner:Thing"
    assert compile_with(tmp_path, "lib: ..", "lib.short").stages[0].body["$new"] == "lib:Thing"


def test_an_installed_module_needs_no_folder(tmp_path: Path) -> None:
    spec = compile_text("msgspec: msgspec>=0.1\n---\n!msgspec.Raw\n", name="c", file=str(_config(tmp_path)))
    assert spec.environment.extensions == {"msgspec": "msgspec>=0.1"}


def test_environment_of_version_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lib.py").write_text(CODE)
    header = "!Environment\noutput_path: out\nextensions: {lib: ..}\nlocal_files: {here: ../lib.py}\nremote: true\ndebug: true"
    spec = compile_with(tmp_path, header, "lib.Thing")
    assert (spec.output_dir, spec.debug) == ("out", True)
    assert spec.environment.files == {"here": str(tmp_path / "lib.py")}
    assert "remote of !Environment is set by the system" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("lib: https://github.com/u/lib", "1:6: the extension 'lib' was not fetched yet from https://github.com/u/lib. Add -i (--install-extensions) to have it done; or clone it and name the folder: 'lib: path/to/clone'."),
        ("lib: ssh://git@github.com:u/r.git", "1:6: the extension 'lib' was not fetched yet from ssh://git@github.com/u/r.git. Add -i (--install-extensions) to have it done; or clone it and name the folder: 'lib: path/to/clone'."),
        ("lib: py-lib==1.0", "1:6: the extension 'lib' is not installed. pip install 'py-lib==1.0', or add -i to have it done; or name its folder: 'lib: ./path/to/it'."),
        ("lib: --index-url=x", "1:6: '--index-url=x' is no source of an extension; expected a folder, a URL or a package"),
        ("lib: ./nowhere", "1:6: the extension 'lib' has no folder {folder}/nowhere"),
        ("lib: ./nowhere.py", "1:6: the extension 'lib' has no file {folder}/nowhere.py"),
        ("lib: nowhere.py", "1:6: the extension 'lib' has no file {folder}/nowhere.py"),
        ("lib: ./gone/nowhere.py", "1:6: the extension 'lib' has no file {folder}/gone/nowhere.py"),
        ("lib: ..", "1:6: the extension 'lib' is not in {parent}; expected lib/ or lib.py in it. The key is the name that Python code imports."),
        ("msgspec: msgspec>=99", "1:10: the extension 'msgspec' asks for msgspec>=99, installed is "),
        ("my-lib: .", "1:9: 'my-lib' is no module name; expected the name that Python code imports"),
        ("!Environment {extension: 1}", "1:15: !Environment has no field 'extension'. Did you mean 'extensions'?"),
        ("[1]", "1:1: the first of two documents is no header; expected a mapping of module: source, or !Environment"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_says_what_to_do(kit: Any, tmp_path: Path, header: str, fault: str) -> None:
    config = _config(tmp_path)
    found = kit.faults(lambda: compile_text(f"{header}\n---\n!Anything\n", name="c", file=str(config)))
    shown = found[0].removeprefix(f"{config}:")
    wanted = fault.format(folder=config.parent, parent=tmp_path)
    assert shown == wanted or (wanted.endswith(" ") and shown.startswith(wanted))


def test_three_documents(tmp_path: Path) -> None:
    from flambe.errors import ConfigError

    with pytest.raises(ConfigError, match="holds 3 documents; expected one, or a header and one, separated by '---'"):
        compile_text("a: 1\n---\nb: 1\n---\nc: 1\n", name="c")
    with pytest.raises(ConfigError, match="is empty"):
        compile_text("# nothing\n", name="c")


OWN = """
from flambe.compile import Component, Registrable, alias

@alias("short")
class SmartInt(Registrable):
    def __init__(self, name, initial_value):
        self.name = name
        self.val = initial_value

    @classmethod
    def to_yaml(cls, representer, node, tag):
        return representer.represent_scalar(tag, f"{node.name}-{node.val}")

    @classmethod
    def from_yaml(cls, constructor, node, factory_name):
        name, value = constructor.construct_scalar(node).split("-")
        return cls(name, int(value))

class Holder(Component):
    def __init__(self, param):
        print("it is", type(param).__name__, param.name, param.val)
"""


def test_a_class_that_reads_its_own_yaml_gets_it(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    for tag in ("SmartInt", "short"):
        config = f"own: {tmp_path}\n---\n!own.Holder\nparam: !own.{tag} my_param-9\n"
        spec = compile_text(config, name="t")
        assert spec.stages[0].body["param"] == {"$yaml": "!own:SmartInt", "value": "my_param-9"}
        again = compile_text(spec_to_yaml(spec), name="t")
        assert again.stages == spec.stages
    direct = (
        "from flambe.compile import yaml\n"
        "assert isinstance(yaml.load(sys.argv[1]), dict) and 'own' not in sys.modules\n"
        "sys.path.insert(0, sys.argv[2])\nimport own\nmade = yaml.load(sys.argv[1])\nprint(made.name, made.val, yaml.dump(made), end='')\n"
    )
    loaded = kit.python(direct, f"own: {tmp_path}\n---\n!own.SmartInt a-9\n", str(tmp_path))
    assert loaded.stdout == "a 9 !own.SmartInt a-9\n", loaded.stderr
    program = (
        "from flambe.runner.execute import execute\nfrom flambe.spec.codec import load_spec\n"
        "execute(load_spec(sys.stdin.read()), tool='t', on_unit=lambda row: print(row.get('error')), output_dir=sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}", str(tmp_path / "out")],
        input=dump_spec(spec).decode(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "it is SmartInt my_param 9" in next((tmp_path / "out").rglob("stages/*/*/outputs.log")).read_text()


def test_what_reads_its_own_yaml_holds_no_tags(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    config = f"own: {tmp_path}\n---\n!own.SmartInt\na: !g [1, 2]\n"
    found = kit.faults(lambda: compile_text(config, name="t"))
    assert found[0] == "3:1: !own.SmartInt reads its own YAML, which cannot hold other tags"

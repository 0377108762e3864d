"""What a tag may reach, and how what it may not reach is refused."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from flambe.build.component import Component
from flambe.build.registrable import registrable_factory, target_of
from flambe.build.trust import import_extensions, locate, resolve
from flambe.errors import ConfigError, FlambeError, ProvenanceError


class Mine(Component):
    class Nested(Component):
        pass

    @registrable_factory
    @classmethod
    def make(cls) -> Mine:
        return cls()

    @classmethod
    def not_a_factory(cls) -> None: ...


def test_classes_of_this_process_are_reached() -> None:
    target = target_of(Mine)
    assert resolve(target) is Mine
    assert locate(f"{target}.make") == (Mine, "make")
    assert isinstance(resolve(f"{target}.make")(), Mine)
    assert resolve(target_of(Mine.Nested)) is Mine.Nested


def test_only_factories_are_called() -> None:
    with pytest.raises(ProvenanceError, match="not_a_factory is no factory of Mine"):
        resolve(f"{target_of(Mine)}.not_a_factory")
    with pytest.raises(ConfigError, match="no factory 'mak'.*Did you mean 'make'"):
        resolve(f"{target_of(Mine)}.mak")


@pytest.mark.parametrize(
    "target",
    [
        "os:system",
        "builtins:eval",
        "subprocess:Popen",
        "flambe.record.run:replace_file",
        "flambe.record.run:os.remove",
        "flambe.build.saved:shutil.rmtree",
        "flambe.errors:FlambeError",
        "flambe.build.component:Component.__subclasses__",
        "json:JSONDecoder",
        "never_imported_before:Thing",
        "torch.hub:load",
        "torch.utils.data:os.system",
        "torch.nn:functional.os.system",
        "pathlib:Path.write_text",
    ],
)
def test_everything_else_is_refused(target: str) -> None:
    with pytest.raises((ProvenanceError, ConfigError)) as caught:
        resolve(target)
    if isinstance(caught.value, ProvenanceError):
        assert caught.value.exit_code == 3
        is_python = target.partition(":")[0] in sys.stdlib_module_names or target.startswith("flambe")
        assert ("extensions=" in str(caught.value)) is not is_python


def test_a_refusal_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text("open('sprung', 'w')\nclass A: ...\n")
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from flambe.build.trust import resolve\n"
        "from flambe.errors import ProvenanceError\n"
        "try: resolve('trap:A')\n"
        "except ProvenanceError as error: print(error)\n"
        "assert 'trap' not in sys.modules and 'torch' not in sys.modules\n"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "trap:A may not be reached from here" in told.stdout
    assert not (tmp_path / "sprung").exists()


def test_torch_lends_modules_and_its_table() -> None:
    torch = pytest.importorskip("torch")
    assert resolve("torch.nn:Linear") is torch.nn.Linear
    assert resolve("torch.optim:Adam") is torch.optim.Adam
    assert resolve("torch.optim.lr_scheduler:ReduceLROnPlateau") is torch.optim.lr_scheduler.ReduceLROnPlateau
    assert resolve("torch.utils.data:RandomSampler") is torch.utils.data.RandomSampler
    assert resolve("torch.nn.functional:relu") is torch.nn.functional.relu
    assert resolve("torch:zeros") is torch.zeros
    for target in ("torch.utils.data:DataLoader", "torch.nn.functional:has_torch_function", "torch:load"):
        with pytest.raises(ProvenanceError):
            resolve(target)
    with pytest.raises(ConfigError, match="no Linea. Did you mean 'Linear'"):
        resolve("torch.nn:Linea")


def test_a_named_module_lends_what_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lends_own"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from os import system\nimport shutil\nfrom lends_own.deep import Deep\n"
        "def function(): return 7\nclass Plain:\n    pass\n_private = Plain\n"
    )
    (package / "deep.py").write_text("class Deep:\n    pass\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(ProvenanceError, match="lends_own: path/to/lends_own"):
        resolve("lends_own:Plain")
    extensions = {"lends_own": str(package)}
    import_extensions(extensions)
    assert resolve("lends_own:Plain", extensions)() is not None
    assert resolve("lends_own:function", extensions)() == 7
    assert resolve("lends_own:Deep", extensions).__module__ == "lends_own.deep"
    for target in ("lends_own:system", "lends_own:shutil.rmtree", "lends_own:_private"):
        with pytest.raises(ProvenanceError):
            resolve(target, extensions)


@pytest.mark.parametrize("layout", ["container", "src", "package", "file", "itself"])
def test_an_extension_is_found_in_its_source(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"found_as_{layout}"
    source = tmp_path / "code"
    if layout == "container":
        (source / name).mkdir(parents=True)
        (source / name / "__init__.py").write_text("value = 1")
    elif layout == "src":
        (source / "src" / name).mkdir(parents=True)
        (source / "src" / name / "__init__.py").write_text("value = 1")
    elif layout == "package":
        source = tmp_path / name
        source.mkdir()
        (source / "__init__.py").write_text("value = 1")
    elif layout == "file":
        source.mkdir()
        (source / f"{name}.py").write_text("value = 1")
    else:
        source = tmp_path / f"{name}.py"
        source.write_text("value = 1")
    handlers = list(logging.getLogger().handlers)
    import_extensions({name: source.name}, base=tmp_path)
    assert sys.modules[name].value == 1
    assert logging.getLogger().handlers == handlers


def test_a_missing_extension_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(FlambeError, match="the extension not_there is not installed. pip install 'not-there>=1,<2'"):
        import_extensions({"not_there": "not-there>=1,<2"})
    with pytest.raises(FlambeError, match=r"pip install 'git\+https://github.com/me/not_there'"):
        import_extensions({"not_there": "https://github.com/me/not_there"})
    with pytest.raises(FlambeError, match="no module not_there in .*Its source should be a folder with not_there/"):
        import_extensions({"not_there": str(tmp_path)})


def test_a_fault_inside_an_extension_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "breaks_inside.py").write_text("import module_that_is_nowhere")
    with pytest.raises(ModuleNotFoundError, match="module_that_is_nowhere"):
        import_extensions({"breaks_inside": str(tmp_path)})


def test_two_sources_of_one_name_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name_twice.py").write_text("")
    import_extensions({"same_name_twice": str(tmp_path / "a")})
    with pytest.raises(FlambeError, match="loaded already, from .*/a/same_name_twice.py"):
        import_extensions({"same_name_twice": str(tmp_path / "b")})


def test_a_room_that_is_not_installed_names_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    import flambe

    monkeypatch.setattr(flambe, "__path__", [])
    monkeypatch.delitem(sys.modules, "flambe.vision", raising=False)
    with pytest.raises(FlambeError, match="flambe.vision is not installed: pip install flambe-nn"):
        resolve("flambe.vision:Model")

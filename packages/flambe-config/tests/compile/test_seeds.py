"""Every config of the manuals that flambe replaces, as ``seeds/index.tsv`` lists them: compiled, with what they come to.

``NAME.yaml`` compiles. Where it had to be put right, ``NAME.printed.yaml`` is the block as it was printed, and
``faults.tsv`` has all that is said about it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import flambe
from flambe.compile import compile_file, tags
from flambe.compile.search import total
from flambe.errors import ConfigError, ConfigFaults

SEEDS = Path(__file__).parent / "seeds"
INSTALLED = list(flambe.__path__)  # before the toy room takes its place

# What the blocks name: modules under /path/to, which are moved to a folder of the test, and modules that are installed.
STAGE = "class {}:\n    def __init__(self{}): ...\n    def run(self): ...\n"
DATA = STAGE + "    train, val, test = (), (), ()\n"
MAIN = "def main(name, config):\n    print(name, config['data'])\n"
FILES = {
    "path/to/extension/foo.py": STAGE.format("ACustomRunnable", ""),
    "path/to/extension/my_extension.py": STAGE.format("MyCustomTrainer", ""),
    "path/to/extension/ext.py": (
        STAGE.format("CustomRunnable", ", param")
        + DATA.format("TCProcessor", ", dataset")
        + DATA.format("SSTDataset", "")
        + "import torch\nclass SomeModel(torch.nn.Module):\n    trainable_params = ()\n"
    ),
    "path/to/extensions/my_extension.py": (
        STAGE.format("MyCustomTrainer", "") + STAGE.format("ReadsData", ", data: str")
    ),
    "path/to/S3Pusher/extension/ext.py": STAGE.format("S3Pusher", ", experiment_path: str, bucket_name: str"),
    "path/to/my/extensions/ext.py": (
        "from flambe.compile import Component\n"
        + STAGE.format("MyBinaryClassifier(Component)", "")
        + STAGE.format("ClassifierEngine(Component)", ", model")
        + STAGE.format("MyComponent(Component)", ", params1, params2, paramsN")
    ),
    "path/to/my_package/my_module/__init__.py": (
        "from flambe.compile import Component, Registrable, registrable_factory\n"
        + STAGE.format("MyClass(Component)", ", a, b")
        + "    @registrable_factory\n    @classmethod\n    def special_factory(cls, x, y): ...\n"
        + STAGE.format("MyModel(Component)", "")
        + "    @registrable_factory\n    @classmethod\n    def from_file(cls, path): ...\n"
        + DATA.format("SomeDataset(Component)", ", transform=None")
        + STAGE.format("SomeTextField(Component)", "")
        + STAGE.format("SomeOtherTextField(Component)", "")
        + STAGE.format("Params(Component)", ", param")
        + DATA.format("MyDataset(Component)", "")
        + "import torch\nclass SomeModel(torch.nn.Module):\n    trainable_params = ()\n"
        + "class SmartInt(Registrable):\n    @classmethod\n    def from_yaml(cls, constructor, node, factory_name): ...\n"
    ),
    "path/to/my_pip_installable/my_project/__init__.py": "",
    "path/to/my_pip_installable/my_project/train.py": "import sys\nprint(sys.argv)\n",
    "path/to/train.csv": "text\nfine\n",
    "path/to/embeddings.txt": "fine 0.1 0.2\n",
    "main.py": "def my_task(name, config): ...\n",
    "package/module.py": "def entry_point(name, config): ...\n",
    "my_code/__init__.py": "",
    "my_code/experiments/__init__.py": "",
    "my_code/experiments/first_method.py": MAIN,
    "my_code/experiments/second_method.py": MAIN,
    "installed/other_ext.py": STAGE.format("CustomComponent", ""),
    "installed/my_other_extension.py": STAGE.format("AnotherCustomObject", ""),
    "installed/another_extension.py": STAGE.format("Third", ""),
    "installed/extensions.py": STAGE.format("ACustomRunnable", ""),
    "installed/other_extension.py": STAGE.format("Third", ""),
}  # fmt: skip

# Blocks that name one another by these paths.
PLACES = {
    "004-example-data": "configs/data.yml",
    "004-example-first": "configs/experiments/first_method.yml",
    "004-example-second": "configs/experiments/second_method.yml",
}


class Block(NamedTuple):
    """A row of the index. stages: as they are named, with blanks between. why: what had to be put right, if something."""

    file: str
    manual: str
    section: str
    shows: str
    result: str
    variants: str
    stages: str
    why: str


def table(name: str) -> Iterator[list[str]]:
    with (SEEDS / name).open(encoding="utf-8", newline="") as stream:
        yield from csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)


BLOCKS = [Block(*row) for row in list(table("index.tsv"))[1:]]
FAULTS: dict[str, list[str]] = {}
for file, fault in list(table("faults.tsv"))[1:]:
    FAULTS.setdefault(file, []).append(fault)


def some(*results: str) -> list[Any]:
    return [pytest.param(block, id=block.file) for block in BLOCKS if block.result in results]


@pytest.fixture(autouse=True)
def installed(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambe, "__path__", INSTALLED)
    if not {"Trainer", "AWSCluster", "Builder"} <= set(tags.short_names()):
        pytest.skip("the manuals' configs name components of flambe-nn, flambe-cluster and flambe-export")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the blocks name, which is the working directory."""
    blocks = {path: (SEEDS / f"{name}.yaml").read_text(encoding="utf-8") for name, path in PLACES.items()}
    for name, text in (FILES | blocks).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_FOLDER", "/data")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "out"))
    return tmp_path


def placed(name: str, folder: Path) -> Path:
    """Return a copy of a block in ``folder``, whose /path/to lies there too."""
    text = (SEEDS / f"{name}.yaml").read_text(encoding="utf-8")
    path = folder / PLACES.get(name, f"{name}.yaml")
    # Always as long: the columns of faults stay.
    path.write_text(text.replace(" /path/to", " ./path/to").replace("'/path/to", "'./path/to"))
    return path


def said(path: Path, folder: Path) -> list[str]:
    """Return the faults of a file as the table writes them: ``line:column: text``."""
    with pytest.raises(ConfigError) as caught:
        compile_file(path)
    faults = caught.value.faults if isinstance(caught.value, ConfigFaults) else [caught.value]
    return [str(fault).replace(f"{path}:", "").replace(str(folder), "") for fault in faults]


def compare(found: list[str], expected: list[str]) -> None:
    """Compare faults with those of the table, where … stands for any rest."""
    assert len(found) == len(expected), found
    for text, wanted in zip(found, expected, strict=True):
        assert text.startswith(wanted[:-1]) if wanted.endswith("…") else text == wanted


@pytest.mark.parametrize("block", some("as written", "put right"))
def test_a_block_compiles(block: Block, folder: Path) -> None:
    spec = compile_file(placed(block.file, folder))
    assert [stage.name for stage in spec.stages] == block.stages.split()
    assert str(total(spec)) == block.variants


@pytest.mark.parametrize("block", some("put right"))
def test_a_block_as_printed_says_what_to_put_right(block: Block, folder: Path) -> None:
    compare(said(placed(f"{block.file}.printed", folder), folder), FAULTS[f"{block.file}.printed"])


@pytest.mark.parametrize("block", some("no config"))
def test_what_is_no_config_says_so(block: Block, folder: Path) -> None:
    compare(said(placed(block.file, folder), folder), FAULTS[block.file])


def test_the_index_is_whole() -> None:
    listed = {block.file for block in BLOCKS}
    printed = {f"{block.file}.printed" for block in BLOCKS if block.result == "put right"}
    assert len(listed) == len(BLOCKS)
    assert {path.name.removesuffix(".yaml") for path in SEEDS.glob("*.yaml")} == listed | printed
    assert all(bool(block.why) == (block.result != "as written") for block in BLOCKS)
    assert set(FAULTS) == printed | {block.file for block in BLOCKS if block.result == "no config"}


def test_page_one_in_full(folder: Path) -> None:
    spec = compile_file(placed("001-0-page1", folder))
    train = spec.stage("train").body
    assert train["optimizer"] == {
        "$new": "torch.optim:Adam", "params": {"$link": ["train", "model"], "attr": ["trainable_params"]},
    }  # fmt: skip
    assert train["loss_fn"] == {"$new": "torch.nn:NLLLoss"}
    assert spec.stage("train").scheduler == {"$new": "ray.tune.schedulers:HyperBandScheduler"}
    assert spec.stage("model").body["embedder"]["embedding"]["$new"] == "torch.nn:Embedding"
    assert spec.stage("eval").body["model"] == {"$link": ["train"], "attr": ["model"]}


def test_the_second_example_of_expyrun_in_full(folder: Path) -> None:
    spec = compile_file(placed("004-example-second", folder), ["--training.lr", "0.5"])
    assert (spec.kind, spec.name, spec.output_dir) == (
        "function",
        "second_method/MyModelBis-[10,10]",
        str(folder / "out"),
    )
    assert spec.stages[0].body["config"] == {
        "data": {"location": "/data", "train_size": 0.7}, "seed": 777, "model": {"name": "MyModelBis"},
        "training": {"seed": 777, "lr": 0.5, "batch_size": 10, "size": [10, 10]},
    }  # fmt: skip

"""Experiments of 0.4's manual, run as they stand in tests/compile/seeds but for their sizes: chapters 2, 6, 13 and 15."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import flambe
from flambe.compile import compile_text
from flambe.experiment import run_experiment
from flambe.experiment.local import LocalPool
from flambe.experiment.session import Settings, Summary
from flambe.pipeline.plan import plan_units
from flambe.record.result import ResultStore
from flambe.record.run import StageRecord, read_record
from flambe.spec.nodes import Spec

SEEDS = Path(__file__).parent.parent / "packages/flambe-config/tests/compile/seeds"

TINY = '''
from flambe import Component
from flambe.dataset import TabularDataset

GOOD, BAD = ["good", "fine", "great", "warm"], ["bad", "dull", "poor", "cold"]
ROWS = [(f"a {word} film by {name}", label) for words, label in ((GOOD, "1"), (BAD, "0")) for word in words
        for name in ("her", "him", "them", "us")]


class SST(TabularDataset):
    """In place of 7,000 sentences."""

    def __init__(self, transform=None):
        super().__init__(ROWS, ROWS[::2], ROWS[1::2], named_columns=["text", "label"], transform=transform)


class Params(Component):
    def __init__(self, param):
        super().__init__()
'''

SMALL = [
    ("!SSTDataset", "!tiny.SST"), ("300", "8"), ("[128, 256]", "[4, 8]"), ("256", "8"), ("max_steps: 20", "max_steps: 1"),
    ("iter_per_step: 50", "iter_per_step: 1"),
]  # fmt: skip

OWN = [("my_module: /path/to/my_package\n---\n", "")]
MODEL = """model_A: !TextClassifier
    embedder: !Embedder
      embedding: !torch.Embedding
        num_embeddings: !@ dataset_A.text.vocab_size
        embedding_dim: 8
      encoder: !PooledRNNEncoder {input_size: 8, hidden_size: 8}
    output_layer: !SoftmaxLayer
      input_size: 8
      output_size: !@ dataset_A.label.vocab_size
"""
TINY_MODEL = """!TextClassifier
          embedder: !Embedder
            embedding: !torch.Embedding
              num_embeddings: !@ b0.text.vocab_size
              embedding_dim: 8
            encoder: !PooledRNNEncoder {input_size: 8, hidden_size: 8}
          output_layer: !SoftmaxLayer
            input_size: 8
            output_size: !@ b0.label.vocab_size
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def one_child() -> Iterator[None]:
    """One process that works for all runs: each would import PyTorch anew."""
    pool = LocalPool()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "close", lambda: None)
        patch.setattr("flambe.experiment.session.make_pool", lambda settings, spec, count, root: pool)
        yield
    pool.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset; its runs know each other's results."""
    folder = tmp_path_factory.mktemp("manual")
    (folder / "tiny.py").write_text(TINY)
    return folder


def _spec(desk: Path, name: str, *changes: tuple[str, str]) -> Spec:
    text = (SEEDS / f"{name}.yaml").read_text()
    if "max_steps" not in text + "".join(new for _, new in changes):
        changes = (
            *changes,
            ("val_sampler: !BaseSampler", "val_sampler: !BaseSampler\n    max_steps: 1\n    iter_per_step: 1"),
        )
    for old, new in (*SMALL, *changes):
        text = text.replace(old, new)
    assert "/path/to" not in text
    return compile_text(f"tiny: {desk}/tiny.py\n---\n{text}", name="manual")


def _run(desk: Path, spec: Spec) -> tuple[Summary, Counter]:
    summary = run_experiment(spec, Settings(runner="local", output_dir=str(desk / "out")))
    assert summary.status == "COMPLETE", summary.rows
    return summary, Counter(row["stage"] for row in summary.rows)


def _plan(desk: Path, spec: Spec) -> Counter:
    planned = plan_units(spec, desk / "out/manual/exp.9", ResultStore(desk / "out"))
    return Counter((one.unit.stage, one.action) for one in planned)


def test_the_quickstart_of_chapter_2(desk: Path) -> None:
    summary, units = _run(desk, _spec(desk, "001-2.6-quickstart"))
    assert units == {"dataset": 1, "model": 3, "train": 3}
    for stage in ("model", "train"):
        folders = sorted(path.name for path in (summary.run / "stages" / stage).iterdir() if not path.is_symlink())
        assert folders == ["n_layers=2", "n_layers=3", "n_layers=4"]
    checkpoint = summary.run / "stages/train/n_layers=4/checkpoint"
    encoder = flambe.load(checkpoint / "model/embedder/encoder")
    assert {name[-1] for name in encoder.state_dict() if "_l" in name} == {"0", "1", "2", "3"}
    whole = flambe.load(checkpoint / "model").embedder.encoder
    assert all((a == b).all() for a, b in zip(encoder.state_dict().values(), whole.state_dict().values(), strict=True))


def test_inheritance_reduce_and_resume_of_chapter_6(desk: Path) -> None:
    summary, units = _run(desk, _spec(desk, "001-6.4-reduce"))
    assert units == {"dataset": 1, "model": 6, "trainer": 12, "evaluator": 2}
    metrics = {row["variant"]: row["metric"] for row in summary.rows if row["stage"] == "trainer"}
    kept = {row["variant"] for row in summary.rows if row["stage"] == "evaluator"}
    assert min(metrics[name] for name in kept) >= max(metric for name, metric in metrics.items() if name not in kept)

    above = {("dataset", "reuse"): 1, ("model", "reuse"): 6, ("trainer", "reuse"): 12}
    named = _spec(desk, "001-6.11-resume")
    assert named.resume == "trainer"
    assert _plan(desk, named) == {**above, ("other_trainer", "run"): 12}
    listed = _spec(desk, "001-6.11-resume", ("resume: trainer", "resume: [dataset, other_trainer]"))
    assert _plan(desk, listed) == {
        ("dataset", "reuse"): 1, ("model", "run"): 6, ("trainer", "run"): 12, ("other_trainer", "run"): 12,
    }  # fmt: skip


def test_training_on_one_dataset_and_fine_tuning_on_another_of_chapter_6(desk: Path) -> None:
    changes = [
        ("!my_module.SomeDataset\n", "!tiny.SST\n    transform: {text: !TextField {}, label: !LabelField {}}\n"),
        ("model_A: !my_module.SomeModel\n", MODEL),
    ]
    summary, units = _run(desk, _spec(desk, "001-6.1-pipeline", *OWN, *changes))
    stages = ("dataset_A", "model_A", "trainer", "dataset_B", "fine_tunning", "eval")
    assert units == dict.fromkeys(stages, 1)
    needs = {stage: set(read_record(summary.run / f"stages/{stage}/0/run.json", StageRecord).needs) for stage in stages}
    assert needs["fine_tunning"] == {"trainer", "dataset_B"}
    assert needs["eval"] == {"trainer", "dataset_A"}


def test_a_grid_of_fields_and_a_file_of_the_experiment_of_chapter_6(desk: Path) -> None:
    changes = [
        ("!my_module.SomeDataset\n", "!tiny.SST\n"),
        ("!my_module.SomeTextField", "!TextField"),
        ("!my_module.SomeOtherTextField {{}}", "!TextField {lower: true}"),
    ]
    summary, units = _run(desk, _spec(desk, "001-6.3-components", *OWN, *changes))
    assert units == {"dataset": 2}
    own = {"tiny": str(desk / "tiny.py")}
    folders = [summary.run / "stages/dataset" / row["variant"] / "checkpoint" for row in summary.rows]
    lower = {flambe.load(folder, extensions=own).text.lower for folder in folders}
    assert lower == {True, False}
    (desk / "train.csv").write_text("text,label\na good film,1\na bad film,0\n")
    (desk / "embeddings.txt").write_text("good 1 0\nbad 0 1\n")
    changes = [("path/to/", f"{desk}/"), ("TextField\n", "TextField\n        embeddings_format: glove\n")]
    summary, _ = _run(desk, _spec(desk, "001-6.5-resources", *changes))
    text = flambe.load(summary.run / "stages/dataset/0/checkpoint").text
    assert text.embedding_matrix[text.vocab["good"]].tolist() == [1, 0]


def test_a_scheduler_of_chapter_6(desk: Path) -> None:
    changes = [
        (
            "!ext.TCProcessor\n        dataset: !ext.SSTDataset\n",
            "!tiny.SST\n      transform: {text: !TextField {}, label: !LabelField {}}\n",
        ),
        ("ext: /path/to/extension\n---\n", ""),
        ("!ext.SomeModel\n", TINY_MODEL),
        ("[32, 64, 128]", "[2, 4, 8]"),
        ("!ray.HyperBandScheduler", "!ray.HyperBandScheduler {max_t: 3}"),
        ("val_sampler: !BaseSampler", "val_sampler: !BaseSampler\n        max_steps: 3\n        iter_per_step: 1"),
    ]
    summary, units = _run(desk, _spec(desk, "001-6.6-scheduler", *changes))
    assert units == {"b0": 1, "b1": 3, "b2": 3}
    assert {row["step"] for row in summary.rows if row["stage"] == "b1"} <= {1, 2, 3}
    again, _ = _run(desk, _spec(desk, "001-6.6-scheduler", *changes))
    assert all(row["reused"] for row in again.rows)


EMBEDDINGS = [("path/to/", "{desk}/"), ("TextField\n", "TextField\n        embeddings_format: glove\n")]
PARAMS = [*OWN, ("!my_module", "!tiny")]


@pytest.mark.parametrize(
    ("name", "changes", "units"),
    [
        ("2-simple", [], {"dataset": 1}),
        ("2.2-model", [], {"dataset": 1, "model": 3}),
        ("2.2-link", [], {"dataset": 1, "model": 1}),
        ("2.2-grid", [], {"encoder": 3}),
        ("2.2-train", [], {"dataset": 1, "model": 3, "train": 3}),
        ("6.3-grid", [], {"model": 3}),
        ("6.3-values", PARAMS, {"a": 3, "b": 2}),
        ("6.3-samples", PARAMS, {"a": 5, "b": 5, "c": 5}),
        ("6.3-combined", [], {"model": 6}),
        ("6.3-inheritance", [], {"dataset": 1, "model": 6, "trainer": 12, "evaluator": 12}),
        ("6.5-link", EMBEDDINGS, {"field": 1}),
        ("6.10-saved", [], {"b0": 1, "b1": 1}),
        ("6.11-resume", [], {"dataset": 1, "model": 6, "trainer": 12, "other_trainer": 12}),
        ("6.12-debug", [], {"dataset": 1}),
    ],
)
def test_all_others_of_chapters_2_and_6(
    desk: Path, name: str, changes: list[tuple[str, str]], units: dict[str, int]
) -> None:
    (desk / "embeddings.txt").write_text("good 1 0\nbad 0 1\n")
    _, found = _run(desk, _spec(desk, f"001-{name}", *[(old, new.format(desk=desk)) for old, new in changes]))
    assert found == units


@pytest.fixture(scope="module")
def bert(desk: Path) -> str:
    """A BERT of two small layers, in place of ``bert-base-uncased``."""
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "by", "good", "bad", "great", "poor"]
    (desk / "vocab.txt").write_text("\n".join(words) + "\n")
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes)).save_pretrained(desk / "bert")
    transformers.BertTokenizer(vocab=str(desk / "vocab.txt")).save_pretrained(desk / "bert")
    return str(desk / "bert")


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("15.3-full", "dataset teacher student finetune distill"),
        ("15.1-dataset", "dataset"),
        ("15.1-columns", "dataset"),
        ("15.1-teacher", "dataset teacher"),
        ("15.1-finetune", "dataset teacher finetune"),
        ("15.2-student", "dataset student"),
        ("15.2-fields", "dataset"),
        ("15.2-distill", "dataset teacher student finetune distill"),
    ],
)
def test_fine_tuning_and_distillation_of_chapter_15(desk: Path, bert: str, name: str, stages: str) -> None:
    small = ("metric_fn: !Accuracy\n", "metric_fn: !Accuracy\n    max_steps: 1\n    iter_per_step: 1\n")
    summary, units = _run(desk, _spec(desk, f"001-{name}", ("bert-base-uncased", bert), small))
    assert units == dict.fromkeys(stages.split(), 1)
    if "distill" in units:
        needs = read_record(summary.run / "stages/distill/0/run.json", StageRecord).needs
        assert set(needs) == {"dataset", "student", "finetune"}


def test_a_script_with_a_grid_of_chapter_13(desk: Path) -> None:
    project = desk / "my_pip_installable/my_project"
    project.mkdir(parents=True)
    (project / "__init__.py").write_text("")
    (project / "train.py").write_text(
        "import argparse, pathlib\nfrom flambe import log\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--arg1', type=int)\nparser.add_argument('--arg2')\ngiven = parser.parse_args()\n"
        "log('loss', given.arg1 / 2, 1)\nprint(given.arg2)\n"
    )
    text = (SEEDS / "001-13.2-script.yaml").read_text().replace("/path/to/my_pip_installable", str(project.parent))
    summary, units = _run(desk, compile_text(text, name="scripts"))
    assert units == {"stage_0": 2}
    for value in (1, 5):
        folder = summary.run / f"stages/stage_0/arg1={value}"
        assert "foo" in (folder / "outputs.log").read_text()
        assert f'"loss":{value / 2}' in (folder / "metrics/stage_0.jsonl").read_text().replace(" ", "")

"""Pretrained transformers: a tiny BERT, written to a folder as `save_pretrained()` does it, stands for a large one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import flambe
from flambe.compile import compile_text
from flambe.errors import ConfigError
from flambe.nlp.transformers import (
    AdamW,
    BertEmbedder,
    BertTextField,
    ConstantLRSchedule,
    GPT2Embedder,
    GPT2TextField,
    GPTEmbedder,
    GPTTextField,
    PretrainedTransformerEmbedder,
    PretrainedTransformerField,
    RobertaEmbedder,
    RobertaTextField,
    WarmupConstantSchedule,
    WarmupLinearSchedule,
    XLMEmbedder,
    XLMTextField,
    XLNetEmbedder,
    XLNetTextField,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "fine", "bad", "poor", "film", "##s", "!"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


def test_text_to_the_ids_of_the_tokenizer(bert: str) -> None:
    field = BertTextField(bert)
    assert field.process("Good films!").tolist() == [2, 5, 9, 10, 11, 3]
    assert (field.vocab_size, field.padding_idx) == (len(WORDS), 0)
    assert BertTextField(bert, max_len_truncate=4).process("good fine bad poor").tolist() == [2, 5, 6, 3]
    assert BertTextField(bert, add_special_tokens=False).process("good").tolist() == [5]


def test_a_split_at_once_is_its_examples_one_by_one(bert: str) -> None:
    field = PretrainedTransformerField(bert, max_len_truncate=5)
    texts = ["good film", "", "bad bad bad bad bad", "a word that nobody knows"]
    packed = field.pack(np.array(texts, dtype=object))
    assert packed is not None
    column = packed[0]
    assert [column.example(row).tolist() for row in range(4)] == [field.process(text).tolist() for text in texts]


def test_padding_changes_nothing(bert: str) -> None:
    embedder = BertEmbedder(bert).eval()
    short = torch.tensor([[2, 5, 9, 3]])
    padded = torch.tensor([[2, 5, 9, 3, 0, 0]])
    with torch.no_grad():
        states = embedder(short)
        torch.testing.assert_close(embedder(padded)[:, :4], states)
        pooled = BertEmbedder(bert, pool=True).eval()(padded)
    assert states.shape == (1, 4, 8)
    assert pooled.shape == (1, 8)


def test_what_the_configuration_says_is_an_attribute(bert: str) -> None:
    embedder = PretrainedTransformerEmbedder(bert)
    assert (embedder.hidden_size, embedder.output_size, embedder.num_attention_heads) == (8, 8, 2)
    with pytest.raises(AttributeError, match="no_such"):
        embedder.no_such


FAMILIES: dict[str, tuple[Any, Any]] = {
    "bert": (BertEmbedder, BertTextField),
    "roberta": (RobertaEmbedder, RobertaTextField),
    "gpt2": (GPT2Embedder, GPT2TextField),
    "openai-gpt": (GPTEmbedder, GPTTextField),
    "xlm": (XLMEmbedder, XLMTextField),
    "xlnet": (XLNetEmbedder, XLNetTextField),
}


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if kind != "bert"])
def test_a_family_takes_no_model_of_another(bert: str, kind: str) -> None:
    for one in FAMILIES[kind]:
        with pytest.raises(ValueError, match=f"is a bert model, not {kind}; PretrainedTransformerField and"):
            one(bert)


PIECES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<sep>", "<cls>", "a", "b", "ab"]
NUMBERS = {piece: place for place, piece in enumerate(PIECES)}


@pytest.mark.parametrize(
    ("kind", "tokenizer", "options", "ids", "padding"),
    [
        ("gpt2", "GPT2Tokenizer", {"vocab": NUMBERS, "merges": [("a", "b")], "unk_token": "<unk>"}, [9, 7], None),
        ("roberta", "RobertaTokenizer", {"vocab": NUMBERS, "merges": [("a", "b")]}, [0, 9, 7, 2], 1),
        ("openai-gpt", "OpenAIGPTTokenizer", {"vocab": {**NUMBERS, "b</w>": 10, "a</w>": 11, "ba</w>": 12}, "merges": [("b", "a</w>")]},
         [7, 12], None),
        ("xlnet", "XLNetTokenizer", {"vocab": [*((piece, -9.0) for piece in PIECES), ("\u2581ab", -1.0)], "unk_id": 3}, [10, 7, 5, 6], 1),
    ],
)  # fmt: skip
def test_the_fields_of_other_families(
    kind: str, tokenizer: str, options: dict[str, Any], ids: list[int], padding: int | None, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    getattr(transformers, tokenizer)(**options).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    field = FAMILIES[kind][1](str(tmp_path))
    assert field.process("aba").tolist() == ids
    assert field.padding_idx == padding


BERT = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 12,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "sizes", "positions"),
    [
        ("bert", BERT, 12),
        ("roberta", BERT, 10),
        ("gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 12}, 12),
        ("openai-gpt", {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 12}, 12),
        ("xlm", {"emb_dim": 8, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 12}, 12),
        ("xlnet", {"d_model": 8, "n_layer": 1, "n_head": 2, "d_inner": 8}, None),
    ],
)
def test_how_long_a_text_may_be(kind: str, sizes: dict[str, int], positions: int | None) -> None:
    pytest.importorskip("transformers")
    embedder = FAMILIES[kind][0]("small", config={"model_type": kind, "vocab_size": 7, **sizes}).eval()
    assert embedder.positions == positions
    with torch.no_grad():
        assert embedder(torch.full((1, positions or 20), 5)).shape == (1, positions or 20, 8)
        if positions is not None:
            with pytest.raises((IndexError, RuntimeError, ValueError)):
                embedder(torch.full((1, positions + 1), 5))


def test_weights_come_from_the_saved_component(bert: str, tmp_path: Path) -> None:
    from flambe.compile import yaml

    embedder = yaml.load(f"!BertEmbedder\nalias: {bert}\n")()
    with torch.no_grad():
        next(embedder.parameters()).fill_(0.5)
    embedder.save(str(tmp_path / "saved"))
    assert bool((next(flambe.load(str(tmp_path / "saved")).parameters()) == 0.5).all())


@pytest.mark.parametrize("options", ["", "pool: true", "add_pooling_layer: false, hidden_dropout_prob: 0.25"])
def test_a_saved_embedder_needs_no_folder(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    from flambe.compile import yaml

    monkeypatch.chdir(tmp_path)
    shutil.copytree(bert, "bert")
    embedder = yaml.load(f"!BertEmbedder {{alias: bert, {options}}}\n")()
    embedder.save("saved")
    shutil.rmtree("bert")
    loaded = flambe.load("saved")
    ids = torch.tensor([[2, 5, 9, 3, 0]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(ids), embedder.eval()(ids), rtol=0, atol=0)
    assert (loaded.alias, loaded.hidden_dropout_prob) == ("bert", embedder.hidden_dropout_prob)
    # What was loaded may be saved, and loaded, again.
    loaded.save("again")
    assert flambe.load("again").get_state().keys() == embedder.get_state().keys()


def test_a_saved_field_needs_no_folder(bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bert, "bert")
    field = BertTextField("bert", max_len_truncate=4)
    field.save("before")
    text = "good fine bad poor"
    ids = field.process(text).tolist()
    field.save("saved")
    shutil.rmtree("bert")
    loaded = flambe.load("saved")
    assert loaded.process(text).tolist() == ids
    assert (loaded.alias, loaded.vocab_size, loaded.padding_idx) == ("bert", len(WORDS), 0)
    loaded.save("again")
    # Neither what it was used for nor where it was read is part of it.
    states = {Path(place, "state.json").read_text() for place in ("before", "saved", "again")}
    assert len(states) == 1


def test_a_saved_tokenizer_writes_nowhere_else(bert: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"called '../mine'; expected a plain name"):
        BertTextField.restore({"alias": "bert"}, {"tokenizer": {"../mine": "text"}})


def test_an_architecture_as_data() -> None:
    pytest.importorskip("transformers")
    small = {"model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
    assert BertEmbedder("small", config=small, intermediate_size=5)(torch.tensor([[1, 2]])).shape == (1, 2, 4)
    with pytest.raises(ValueError, match="model_type is 'no'; expected one that transformers knows, such as 'bert'"):
        BertEmbedder("small", config={"model_type": "no"})
    with pytest.raises(ValueError, match="model_type is 'bert'; expected 'roberta'"):
        RobertaEmbedder("small", config=small)


REUSE = """
!Experiment
name: reuse
pipeline:
  text: !BertTextField {alias: BERT}
  model: !BertEmbedder {alias: BERT}
"""


def test_other_weights_in_the_folder_are_another_result(
    bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flambe.runner.execute import execute

    monkeypatch.chdir(tmp_path)
    shutil.copytree(bert, "bert")

    def reused() -> dict[str, bool]:
        rows: list[dict[str, Any]] = []
        _, failed = execute(compile_text(REUSE.replace("BERT", "bert"), name="x"), tool="test", on_unit=rows.append)
        assert failed == 0
        return {row["stage"]: row["reused"] for row in rows if "stage" in row}

    assert reused() == {"text": False, "model": False}
    assert reused() == {"text": True, "model": True}
    model = PretrainedTransformerEmbedder("bert").embedder
    with torch.no_grad():
        next(model.parameters()).zero_()
    model.save_pretrained("bert")
    assert reused() == {"text": True, "model": False}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda bert: BertEmbedder(bert + "-no"), "there is no folder '.*-no', which save_pretrained"),
        (lambda bert: BertTextField("~/no"), "there is no folder '~/no'"),
        (lambda bert: BertEmbedder(bert, trust_remote_code=True), "trust_remote_code is refused"),
        (lambda bert: PretrainedTransformerEmbedder(bert, pool=True, add_pooling_layer=False), r"\(bert\) has no pooler"),
    ],
)  # fmt: skip
def test_refusals(bert: str, make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(bert)


def test_without_the_package_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'flambe-nn\[transformers\]'"):
        BertTextField("bert-base-uncased")


def rates(make: Any, updates: int) -> list[float]:
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer)
    found = []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_schedules() -> None:
    assert rates(ConstantLRSchedule, 3) == [1, 1, 1]
    assert rates(lambda o: WarmupConstantSchedule(o, 2), 4) == [0, 0.5, 1, 1]
    assert rates(lambda o: WarmupConstantSchedule(o, 0), 2) == [1, 1]
    assert rates(lambda o: WarmupLinearSchedule(o, 2, 4), 5) == [0, 0.5, 1, 0.5, 0]


PIPELINE = """
!Experiment
name: distil
pipeline:
  dataset: !TabularDataset.autogen
    data_path: reviews.tsv
    transform:
      text: !BertTextField
        alias: BERT
      label: !LabelField
  teacher: !TextClassifier
    embedder: !BertEmbedder
      alias: BERT
      pool: True
    output_layer: !SoftmaxLayer
      input_size: !@ teacher[embedder].hidden_size
      output_size: !@ dataset.label.vocab_size
  student: !TextClassifier
    embedder: !Embedder
      embedding: !Embeddings
        num_embeddings: !@ dataset.text.vocab_size
        embedding_dim: 6
      encoder: !PooledRNNEncoder
        input_size: 6
        rnn_type: sru
        n_layers: 2
        hidden_size: 5
      pooling: last
    output_layer: !SoftmaxLayer
      input_size: !@ student[embedder][encoder].hidden_size
      output_size: !@ dataset.label.vocab_size
  finetune: !Trainer
    dataset: !@ dataset
    train_sampler: !BaseSampler
      batch_size: 16
    val_sampler: !BaseSampler
      batch_size: 16
    model: !@ teacher
    loss_fn: !torch.NLLLoss
    metric_fn: !Accuracy
    optimizer: !AdamW
      params: !@ finetune[model].trainable_params
      lr: 0.01
    max_steps: 3
    iter_per_step: 10
  distill: !DistillationTrainer
    dataset: !@ dataset
    train_sampler: !BaseSampler
      batch_size: 16
    val_sampler: !BaseSampler
      batch_size: 16
    teacher_model: !@ finetune.model
    student_model: !@ student
    loss_fn: !torch.NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam
      params: !@ distill[student_model].trainable_params
      lr: 0.05
    alpha_kl: 1.0
    temperature: 2
    max_steps: 4
    iter_per_step: 20
"""


@pytest.mark.slow
def test_a_bert_is_fine_tuned_and_distilled(bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flambe.runner.execute import execute

    monkeypatch.chdir(tmp_path)
    # Seeds follow from the spec, so from this name too: by the one of the test's own folder they were others in each run.
    shutil.copytree(bert, "bert")
    lines = [f"{word} film{'s' * (row % 2)}\t{word in ('good', 'fine')}" for row in range(30) for word in WORDS[5:9]]
    (tmp_path / "reviews.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    rows: list[dict[str, Any]] = []
    run, failed = execute(
        compile_text(PIPELINE.replace("BERT", "bert"), name="distil"), tool="test", on_unit=rows.append
    )
    assert failed == 0, (run / "outputs.log").read_text()
    # The student has seen no label, so its teacher is the model after it was fine-tuned.
    (metric,) = [row["metric"] for row in rows if row.get("stage") == "distill"]
    assert metric == 1.0

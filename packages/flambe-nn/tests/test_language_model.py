"""LanguageModel, LMField and PTBDataset."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flambe
from flambe.errors import ConfigError
from flambe.metric import Perplexity
from flambe.nlp.language_modeling import (
    CorpusDataset,
    CorpusSampler,
    Enwiki8,
    LanguageModel,
    LMField,
    PTBDataset,
    Wiki103,
)
from flambe.nn import Embedder, Embeddings, MixtureOfSoftmax, RNNEncoder, SoftmaxLayer, TransformerEncoder
from flambe.tokenizer import CharTokenizer

IDS = torch.tensor([[3, 1, 2], [4, 5, 0]])
NEXT = torch.tensor([[1, 2, 8], [5, 0, 0]])


def model(encoder: Any = None, **options: Any) -> LanguageModel:
    torch.manual_seed(0)
    embedder = Embedder(Embeddings(9, 6), encoder or RNNEncoder(6, 6, rnn_type="gru"))
    return LanguageModel(embedder, SoftmaxLayer(6, 9), **options).eval()


def test_positions_whose_target_is_padding_do_not_count() -> None:
    language = model()
    scores = language(IDS)
    assert scores.shape == (2, 3, 9)
    pred, target = language(IDS, NEXT)
    assert target.tolist() == [1, 2, 8, 5]
    torch.testing.assert_close(pred, torch.cat([scores[0], scores[1, :1]]))
    assert Perplexity()(pred, target).item() == pytest.approx(float(nn.functional.nll_loss(pred, target).exp()))


def test_padding_changes_nothing() -> None:
    language = model()
    zeros = torch.zeros(2, 4, dtype=torch.long)
    pred, target = language(torch.cat([IDS, zeros], 1), torch.cat([NEXT, zeros], 1))
    torch.testing.assert_close(pred, language(IDS, NEXT)[0])
    assert target.tolist() == [1, 2, 8, 5]


def test_embedders_that_give_one_tensor_will_do() -> None:
    language = model(encoder=TransformerEncoder(6, 6, 2, 1, 8))
    assert language(IDS, NEXT)[0].shape == (4, 9)
    pooled = LanguageModel(Embedder(Embeddings(9, 6), RNNEncoder(6, 6), pooling="last"), SoftmaxLayer(6, 9))
    with pytest.raises(ValueError, match="the embedder pools; a language model needs a state for every position"):
        pooled(IDS)


def test_tied_weights(tmp_path: Path) -> None:
    language = model(tie_weights=True)
    language(IDS, NEXT)[0].sum().backward()
    assert language.output_layer.mlp.seq[0].weight is language.embedder.embedding.weight
    assert len({id(p) for p in language.parameters()}) == len(list(language.parameters()))
    flambe.save(language, str(tmp_path / "lm"))
    again = flambe.load(str(tmp_path / "lm")).eval()
    assert again.output_layer.mlp.seq[0].weight is again.embedder.embedding.weight
    torch.testing.assert_close(again(IDS), language(IDS))
    for output_layer in (SoftmaxLayer(6, 8), MixtureOfSoftmax(6, 9, k=2)):
        with pytest.raises(ValueError, match=r"one matrix of shape \[9, 6\] \(vocabulary, embedding size\); it has"):
            LanguageModel(language.embedder, output_layer, tie_weights=True)


def test_tied_weights_of_an_embedding_by_another_name() -> None:
    language = model()
    language.embedder.table = language.embedder.embedding
    tied = LanguageModel(language.embedder, SoftmaxLayer(6, 9), tie_weights=True, tie_weight_attr="table")
    assert tied.output_layer.mlp.seq[0].weight is language.embedder.embedding.weight
    with pytest.raises(ValueError, match="the embedder has no 'tabel', which tie_weight_attr names"):
        LanguageModel(language.embedder, SoftmaxLayer(6, 9), tie_weights=True, tie_weight_attr="tabel")


def test_the_field_shifts_by_one() -> None:
    field = LMField(sos_token="<s>", eos_token="</s>")
    texts = np.array(["a b c", "", "b"], dtype=object)
    field.setup(texts)
    ids, following = field.process("a b c")
    assert ids.tolist() == [2, 4, 5, 6]
    assert following.tolist() == [4, 5, 6, 3]
    columns = field.pack(texts)
    assert columns is not None
    for place, text in enumerate(texts):
        expected = field.process(text)
        assert [column.example(place).tolist() for column in columns] == [part.tolist() for part in expected]
    bare = LMField()
    bare.setup(texts)
    assert [column.example(1).tolist() for column in bare.pack(texts) or ()] == [[], []]
    assert bare.process("")[0].tolist() == []


def test_ptb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ptb").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "ptb" / f"{split}.txt").write_text(f" the {split} <unk> N \n\n and more \n")
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    data = PTBDataset(transform={"text": LMField(eos_token="<eos>")})
    assert data.val.raw.tolist() == [["the valid <unk> N"], ["and more"]]
    ids, following = data.train[1]
    assert len(ids) == len(following) == 2
    whole = PTBDataset(split_by_line=False, end_of_line_token="<eos>")
    assert whole.val.raw.tolist() == [["the valid <unk> N <eos> and more <eos>"]]


def test_wiki103_and_enwik8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAMBE_DATA", str(tmp_path))
    for folder in ("wikitext-103", "enwik8"):
        (tmp_path / folder).mkdir()
    with zipfile.ZipFile(tmp_path / "wikitext-103/wikitext-103-v1.zip", "w") as archive:
        for split in ("train", "valid", "test"):
            archive.writestr(f"wikitext-103/wiki.{split}.tokens", f" \n = Title = \n \n the {split} <unk> \n")
    assert Wiki103(remove_headers=True).train.raw.tolist() == [["the train <unk> <eol>"]]
    assert Wiki103(split_by_line=False, end_of_line_token=None).test.raw.tolist() == [["= Title = the test <unk>"]]
    with zipfile.ZipFile(tmp_path / "enwik8/enwik8.zip", "w") as archive:
        archive.writestr("enwik8", bytes(range(97, 117)))
    data = Enwiki8(num_eval_symbols=5, transform={"text": LMField(tokenizer=CharTokenizer())})
    assert [len(split[0][0]) for split in (data.train, data.val, data.test)] == [9, 4, 4]
    with pytest.raises(ValueError, match="num_eval_symbols is 10, and the text has 20 bytes"):
        Enwiki8(num_eval_symbols=10)
    (tmp_path / "enwik8/enwik8.zip").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="is not the archive that was published"):
        Enwiki8()


def test_a_text_file_of_ones_own(tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text(" one two \n\nthree\n")
    (tmp_path / "more").mkdir()
    for name in ("b", "a"):
        (tmp_path / "more" / name).write_text(f"{name} four\n")
    data = CorpusDataset(str(text), str(tmp_path / "more"), end_of_line_token="EOL", transform={"text": LMField()})
    assert data.raw.tolist() == [["one two EOL three EOL"], ["a four EOL b four EOL"]]
    assert data.test.is_empty()
    ids, following = next(CorpusSampler(batch_size=2, unroll_size=2).sample(data.train))
    assert ids.tolist() == [[2, 3], [4, 5]]
    assert following.tolist() == [[3, 4], [5, 4]]
    flambe.save(data, str(tmp_path / "saved"))
    text.unlink()
    assert torch.equal(flambe.load(str(tmp_path / "saved")).train[0][0], data.train[0][0]), "no file is read again"
    assert CorpusDataset(str(tmp_path / "more"), split_by_line=True).train.raw.tolist() == [["a four"], ["b four"]]
    with pytest.raises(ConfigError, match=r"mine.txt does not exist"):
        CorpusDataset(str(text))
    text.write_bytes("é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"mine.txt:1 is not in utf-8: .*`encoding: latin-1`"):
        CorpusDataset(str(text))
    text.write_text("\n")
    with pytest.raises(ConfigError, match=r"mine.txt has no text"):
        CorpusDataset(str(text))


def test_a_corpus_in_parallel_streams() -> None:
    text = torch.arange(23)
    data = [(text[:-1], text[1:])]
    sampler = CorpusSampler(batch_size=2, unroll_size=4)
    batches = list(sampler.sample(data, n_epochs=2))
    assert len(batches) == 2 * sampler.length(data) == 4
    assert batches[0][0].tolist() == [[0, 1, 2, 3], [11, 12, 13, 14]]
    assert batches[1][0].tolist() == [[4, 5, 6, 7], [15, 16, 17, 18]], "a batch goes on where the one before ended"
    assert all(torch.equal(ids + 1, following) for ids, following in batches)
    assert [b.tolist() for b, _ in sampler.iterate(data, start=(1, 1), n_epochs=2)] == [batches[3][0].tolist()]
    assert [b.size(1) for b, _ in CorpusSampler(2, 4, drop_last=False).sample(data)] == [4, 4, 3]
    assert CorpusSampler(2, 4, downsample=0.5).length(data) == 1
    with pytest.raises(ValueError, match="here are 2. Read files of text with `!CorpusDataset"):
        sampler.sample(data * 2)
    with pytest.raises(ValueError, match="a text of 22 tokens is too short for 8 streams of 4"):
        CorpusSampler(8, 4).sample(data)

"""LanguageModel, LMField and PTBDataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flambe
from flambe.metric import Perplexity
from flambe.nlp.language_modeling import LanguageModel, LMField, PTBDataset
from flambe.nn import Embedder, Embeddings, MixtureOfSoftmax, RNNEncoder, SoftmaxLayer, TransformerEncoder

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

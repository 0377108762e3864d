"""TextClassifier, from ids to class scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import flambe
from flambe.nlp.classification import TextClassifier
from flambe.nn import Embedder, Embeddings, PooledRNNEncoder, RNNEncoder, SoftmaxLayer

IDS = torch.tensor([[3, 1, 2], [4, 0, 0]])


def model(pooled: bool = True) -> TextClassifier:
    torch.manual_seed(0)
    encoder = (PooledRNNEncoder if pooled else RNNEncoder)(6, 8, rnn_type="gru")
    return TextClassifier(Embedder(Embeddings(9, 6), encoder), SoftmaxLayer(8, 2), dropout=0.5)


def test_forward() -> None:
    classifier = model().eval()
    scores = classifier(IDS)
    assert scores.shape == (2, 2)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(2))
    pred, target = classifier(IDS, torch.tensor([0, 1]))
    assert torch.equal(pred, scores)
    assert target.tolist() == [0, 1]
    assert isinstance(classifier.drop, nn.Dropout)
    assert classifier.drop.p == 0.5


def test_an_embedder_that_does_not_pool_is_named() -> None:
    with pytest.raises(ValueError, match="give the embedder a `pooling`, or use PooledRNNEncoder"):
        model(pooled=False)(IDS)
    # A single tensor of states (a transformer's) says as little, unless there is a label for each of them.
    tagger = TextClassifier(Embeddings(9, 6), SoftmaxLayer(6, 2))
    with pytest.raises(ValueError, match="a state for every position; .* or `pool: true` of a pretrained transformer"):
        tagger(IDS, torch.tensor([0, 1]))
    assert tagger(IDS, IDS)[0].shape == (2, 3, 2)


def test_it_is_saved_part_by_part(tmp_path: Path) -> None:
    classifier = model().eval()
    flambe.save(classifier, str(tmp_path / "model"))
    again = flambe.load(str(tmp_path / "model")).eval()
    assert torch.equal(again(IDS), classifier(IDS))
    encoder = flambe.load(str(tmp_path / "model" / "embedder" / "encoder"))
    assert isinstance(encoder, PooledRNNEncoder)
    assert torch.equal(encoder.rnn.rnn.weight_ih_l0, classifier.embedder.encoder.rnn.rnn.weight_ih_l0)

"""Embeddings and Embedder."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from flambe.nn import (
    AvgPooling,
    CNNEncoder,
    Embedder,
    Embeddings,
    LastPooling,
    MLPEncoder,
    PooledRNNEncoder,
    RNNEncoder,
)

IDS = torch.tensor([[3, 1, 2], [4, 0, 0]])


def test_it_is_torch_embedding() -> None:
    torch.manual_seed(0)
    ours = Embeddings(5, 4)
    torch.manual_seed(0)
    theirs = nn.Embedding(5, 4, padding_idx=0)
    assert torch.equal(ours(IDS), theirs(IDS))
    assert torch.equal(ours.weight, theirs.weight)
    assert not ours(IDS)[1, 1:].any()
    ours(IDS).sum().backward()
    assert not ours.weight.grad[0].any()  # type: ignore[index]
    assert (ours.num_embeddings, ours.embedding_dim) == (5, 4)


def test_sines_follow_the_sequence_and_not_the_batch() -> None:
    emb = Embeddings(5, 4, positional_encoding=True, positional_max_length=7)
    positions = emb(IDS) - emb.token_embedding(IDS)
    for place in range(3):
        expected = [
            math.sin(place), math.cos(place), math.sin(place / 100), math.cos(place / 100),
        ]  # fmt: skip
        torch.testing.assert_close(positions[0, place], torch.tensor(expected))
    assert not positions[1, 1:].any()  # padding stays zeros
    torch.testing.assert_close(emb(IDS[1:]), emb(IDS)[1:])
    assert [name for name, _ in emb.named_trainable_params] == ["token_embedding.weight"]
    with pytest.raises(ValueError, match=r"a sequence of 8 is longer than positional_max_length \(7\)"):
        emb(torch.ones(1, 8, dtype=torch.long))


def test_odd_sizes() -> None:
    assert Embeddings(5, 3, positional_encoding=True)(IDS).shape == (2, 3, 3)


def test_learned_positions() -> None:
    emb = Embeddings(5, 4, positional_encoding=True, positional_learned=True, padding_idx=None)
    assert len(list(emb.trainable_params)) == 2
    positions = emb(IDS) - emb.token_embedding(IDS)
    torch.testing.assert_close(positions[0], emb.positional_embedding.weight[:3])  # type: ignore[union-attr]
    torch.testing.assert_close(positions[1], positions[0])
    with pytest.raises(ValueError, match="positional_learned needs positional_encoding"):
        Embeddings(5, 4, positional_learned=True)


def test_from_pretrained() -> None:
    matrix = torch.randn(5, 4)
    emb = Embeddings.from_pretrained(matrix)
    assert torch.equal(emb(IDS[:1]), matrix[IDS[:1]])
    assert not list(emb.trainable_params)
    assert len(list(Embeddings.from_pretrained(matrix, freeze=False).trainable_params)) == 1
    emb.weight.data.zero_()
    assert matrix.any()
    places = torch.randn(3, 4)
    emb = Embeddings.from_pretrained(
        matrix, positional_encoding=True, positional_embeddings=places, positional_freeze=False
    )
    torch.testing.assert_close(emb(IDS)[0], matrix[IDS[0]] + places)
    assert len(list(emb.trainable_params)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeddings": torch.zeros(3)}, r"must be a matrix \[num_embeddings, embedding_dim\], got 1 dimensions"),
        ({"embeddings": None}, "got None"),
        ({"embeddings": torch.zeros(3, 2), "positional_embeddings": torch.zeros(3, 2)}, "needs positional_encoding"),
        (
            {"embeddings": torch.zeros(3, 2), "positional_embeddings": torch.zeros(3), "positional_encoding": True},
            r"must be \[length, 2\], got \[3\]",
        ),
    ],
)
def test_bad_matrices(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embeddings.from_pretrained(**options)


# --- Embedder ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: Embedder(Embeddings(9, 6), RNNEncoder(6, 8, bidirectional=True), LastPooling()),
        lambda: Embedder(Embeddings(9, 6), RNNEncoder(6, 8, rnn_type="gru"), "average"),
        lambda: Embedder(nn.Embedding(9, 6), PooledRNNEncoder(6, 8, n_layers=2)),
        lambda: Embedder(Embeddings(9, 6, positional_encoding=True), MLPEncoder(6, 8), AvgPooling()),
    ],
)
def test_padding_changes_nothing(make: Any) -> None:
    torch.manual_seed(0)
    embedder = make().eval()
    ids = torch.tensor([[3, 1, 2, 8], [4, 5, 0, 0]])
    padded = torch.cat([ids, torch.zeros(2, 5, dtype=torch.long)], dim=1)
    torch.testing.assert_close(embedder(padded), embedder(ids))
    torch.testing.assert_close(embedder(padded)[1:], embedder(ids[1:, :2]))
    assert embedder(ids).shape == (2, embedder.output_size)


def test_without_pooling_the_state_comes_too() -> None:
    embedder = Embedder(Embeddings(9, 6), RNNEncoder(6, 8, rnn_type="gru"))
    output, state = embedder(IDS)
    assert output.shape == (2, 3, 8)
    assert state.shape == (1, 2, 8)
    (output, _), mask = Embedder(Embeddings(9, 6), RNNEncoder(6, 8), return_mask=True)(IDS)
    assert mask.tolist() == [[True, True, True], [True, False, False]]


def test_an_encoder_that_pools_is_left_alone() -> None:
    embedder = Embedder(Embeddings(9, 6), PooledRNNEncoder(6, 8), pooling=LastPooling()).eval()
    torch.testing.assert_close(embedder(IDS), Embedder(embedder.embedding, embedder.encoder).eval()(IDS))
    assert (embedder.input_size, embedder.hidden_size, embedder.output_size) == (6, 8, 8)
    assert embedder.embeddings is embedder.embedding


def test_no_padding_index_is_no_mask() -> None:
    torch.manual_seed(0)
    embedder = Embedder(nn.Embedding(9, 6), RNNEncoder(6, 8), LastPooling(), padding_idx=None)
    expected = embedder.encoder(embedder.embedding(IDS))[0][:, -1]
    torch.testing.assert_close(embedder(IDS), expected)


def test_dropout_only_while_training() -> None:
    embedder = Embedder(Embeddings(9, 6), MLPEncoder(6, 8), AvgPooling(), embedding_dropout=0.9)
    assert not torch.equal(embedder(IDS), embedder(IDS))
    embedder.eval()
    assert torch.equal(embedder(IDS), embedder(IDS))


def convolutions(**options: Any) -> Embedder:
    torch.manual_seed(0)
    options = {"conv_dim": 1, "kernel_size": [3, 5], "padding": "same", "activation": nn.Tanh()} | options
    return Embedder(Embeddings(5, 4), CNNEncoder(4, [6, 7], **options), "average").eval()


def test_convolutions_over_words() -> None:
    embedder = convolutions()
    vectors = embedder(IDS)
    assert vectors.shape == (2, 7)
    assert embedder.output_size == 7
    # Beside a longer text, and with more padding, a text is what it is alone.
    torch.testing.assert_close(embedder(IDS[1:, :1]), vectors[1:])
    torch.testing.assert_close(embedder(torch.nn.functional.pad(IDS, (0, 3))), vectors)
    assert not embedder(torch.zeros(2, 0, dtype=torch.long)).any()
    # By hand, for the text without padding.
    states = embedder.encoder.cnn(embedder.embedding(IDS[:1]).transpose(1, 2))
    torch.testing.assert_close(vectors[:1], states.mean(dim=-1))


def test_convolutions_that_do_not_fit_text() -> None:
    with pytest.raises(
        ValueError, match="encoder has conv_dim 2, and text has one dimension; set conv_dim: 1, padding: sa"
    ):
        convolutions(conv_dim=2)
    with pytest.raises(ValueError, match="block 0 of the CNNEncoder makes 1 positions of 3, .* set padding: same"):
        convolutions(padding=0)(IDS)

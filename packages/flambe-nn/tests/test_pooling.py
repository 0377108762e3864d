"""Poolings, against sums over rows."""

from __future__ import annotations

import pytest
import torch

from flambe.nn import (
    AvgPooling,
    Embedder,
    Embeddings,
    FirstPooling,
    GeneralizedPooling,
    LastPooling,
    PooledRNNEncoder,
    RNNEncoder,
    StructuredSelfAttentivePooling,
    SumPooling,
)

DATA = torch.arange(24, dtype=torch.float).reshape(2, 4, 3)
MASK = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)

torch.manual_seed(0)
POOLINGS = [
    FirstPooling(),
    LastPooling(),
    SumPooling(),
    AvgPooling(),
    StructuredSelfAttentivePooling(3, 2, (5,)),
    GeneralizedPooling(3, (5,)),
]


def test_values() -> None:
    assert FirstPooling()(DATA, MASK).tolist() == [[0, 1, 2], [12, 13, 14]]
    assert LastPooling()(DATA, MASK).tolist() == [[3, 4, 5], [21, 22, 23]]
    assert SumPooling()(DATA, MASK).tolist() == [[3, 5, 7], [66, 70, 74]]
    assert AvgPooling()(DATA, MASK).tolist() == [[1.5, 2.5, 3.5], [16.5, 17.5, 18.5]]


def test_without_a_mask() -> None:
    assert torch.equal(FirstPooling()(DATA), DATA[:, 0])
    assert torch.equal(LastPooling()(DATA), DATA[:, -1])
    assert torch.equal(SumPooling()(DATA), DATA.sum(1))
    assert torch.equal(AvgPooling()(DATA), DATA.mean(1))


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: type(pooling).__name__)
def test_padding_changes_nothing_whatever_is_in_it(pooling: torch.nn.Module) -> None:
    data = torch.cat([DATA.masked_fill(~MASK.unsqueeze(-1), float("nan")), torch.full((2, 2, 3), float("nan"))], dim=1)
    mask = torch.cat([MASK, torch.zeros(2, 2, dtype=torch.bool)], dim=1)
    assert torch.equal(pooling(data, mask), pooling(DATA, MASK))
    assert torch.equal(pooling(data, mask.long()), pooling(DATA, MASK))  # masks of numbers are taken too
    # Padding on the left.
    flipped = pooling(data.flip(1), mask.flip(1))
    assert torch.isfinite(flipped).all()
    if isinstance(pooling, FirstPooling):
        assert torch.equal(flipped, LastPooling()(DATA, MASK))


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: type(pooling).__name__)
def test_a_row_of_padding_gives_zeros(pooling: torch.nn.Module) -> None:
    assert not pooling(DATA, torch.zeros_like(MASK)).any()
    data = DATA.clone().requires_grad_()
    pooling(data, torch.zeros_like(MASK)).sum().backward()
    assert data.grad is not None
    assert torch.isfinite(data.grad).all()


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: type(pooling).__name__)
def test_a_batch_of_empty_texts_gives_zeros(pooling: torch.nn.Module) -> None:
    assert pooling(torch.ones(2, 0, 3), torch.ones(2, 0, dtype=torch.bool)).tolist() == [[0.0] * 3] * 2
    assert pooling(torch.ones(2, 0, 3)).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: type(pooling).__name__)
def test_a_mask_of_other_positions_is_named(pooling: torch.nn.Module) -> None:
    with pytest.raises(
        ValueError, match=r"states are \[2, 4, 3\] and their padding_mask is \[2, 6\]; expected \[2, 4\]"
    ):
        pooling(DATA, torch.ones(2, 6, dtype=torch.bool))


def test_attentive_poolings_are_the_formulas() -> None:
    torch.manual_seed(0)
    data = torch.randn(2, 4, 3)
    several, of_features = StructuredSelfAttentivePooling(3, 2, (5,)), GeneralizedPooling(3, (5,))
    for row, length in enumerate(MASK.sum(1).tolist()):
        states = data[row, :length]  # [S, H]
        # Lin et al., equation 6: A = softmax(W2 tanh(W1 Hᵀ)), M = A H; the mean over its rows.
        first, last = several.mlp[1].weight, several.mlp[3].weight
        attention = (last @ (first @ states.T).tanh()).softmax(dim=1)  # [R, S]
        torch.testing.assert_close(several(data, MASK)[row], (attention @ states).mean(0))
        # Chen et al., equations 5 and 6: a weight for each feature.
        first, bias, last = of_features.mlp[1].weight, of_features.mlp[1].bias, of_features.mlp[3].weight
        weights = ((states @ first.T + bias).relu() @ last.T).softmax(dim=0)  # [S, H]
        torch.testing.assert_close(of_features(data, MASK)[row], (weights * states).sum(0))
    torch.testing.assert_close(several.weigh(data, MASK).sum(1), torch.ones(2, 2))
    assert not several.weigh(data, MASK)[0, 2:].any()
    assert (several.output_size, of_features.output_size, of_features.attention_heads) == (3, 3, 3)


def test_attentive_poolings_take_what_they_are_given() -> None:
    several = StructuredSelfAttentivePooling(
        3, 2, (5, 4), torch.nn.Tanh(), torch.nn.PReLU(), is_biased=True, input_dropout=0.2, attention_dropout=0.3
    )
    assert [type(layer).__name__ for layer in several.mlp] == [
        "Dropout", "Linear", "PReLU", "Linear", "PReLU", "Linear", "Tanh",
    ]  # fmt: skip
    assert several.mlp[2] is not several.mlp[4]
    assert [layer.bias is not None for layer in several.mlp if isinstance(layer, torch.nn.Linear)] == [
        True,
        True,
        False,
    ]
    assert (several.mlp[0].p, several.drop.p) == (0.2, 0.3)
    assert StructuredSelfAttentivePooling(3, attention_units=()).mlp[1].weight.shape == (16, 3)
    with pytest.raises(ValueError, match="attention_heads must be at least 1, got 0"):
        StructuredSelfAttentivePooling(3, 0)


@pytest.mark.parametrize("kind", ["gru", "lstm", "sru"])
@pytest.mark.parametrize("pooling", ["first", "last", "sum", "average"])
def test_empty_texts_through_an_encoder(kind: str, pooling: str) -> None:
    if kind == "sru":
        pytest.importorskip("sru")
    for encoder in (RNNEncoder(4, 6, rnn_type=kind), PooledRNNEncoder(4, 6, rnn_type=kind, pooling=pooling)):
        embedder = Embedder(Embeddings(9, 4), encoder, pooling=pooling)
        assert not embedder(torch.zeros(2, 0, dtype=torch.long)).any()
        assert not embedder(torch.zeros(2, 3, dtype=torch.long)).any()
    states, _ = RNNEncoder(4, 6, rnn_type=kind)(torch.ones(2, 0, 4))
    assert states.shape == (2, 0, 6)

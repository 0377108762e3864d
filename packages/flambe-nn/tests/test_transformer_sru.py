"""Transformers with an SRU. Padding never changes a result."""

from __future__ import annotations

import pytest
import torch

from flambe.nn import Embedder, Embeddings, TransformerSRU, TransformerSRUEncoder
from flambe.nn.transformer_sru import TransformerSRUDecoderLayer, TransformerSRUEncoderLayer

REAL = torch.tensor([[True, True, True], [True, False, False]])


def data(length: int = 3, seed: int = 0, size: int = 6) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(2, length, size)


def sru(cell: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The cell without its skip term on ``x [B, S, D]`` (Lei et al. 2018, equations 1 to 4), position by position."""
    width = cell.hidden_size
    (u, f, r), (v_f, v_r), (b_f, b_r) = (
        (x @ cell.weight).unflatten(-1, (width, 3)).unbind(-1),
        cell.weight_c.split(width),
        cell.bias.split(width),
    )
    state, outputs = torch.zeros(x.size(0), width), []
    for t in range(x.size(1)):
        forget = torch.sigmoid(f[:, t] + v_f * state + b_f)
        reset = torch.sigmoid(r[:, t] + v_r * state + b_r)
        state = forget * state + (1 - forget) * u[:, t]
        outputs.append(reset * state)
    return torch.stack(outputs, dim=1)


def test_layers_are_the_formula() -> None:
    torch.manual_seed(0)
    encoder, decoder = TransformerSRUEncoderLayer(6, 2, 5).eval(), TransformerSRUDecoderLayer(6, 2, 5).eval()
    src, memory = data(), data(4, 1)

    def attend(attention: torch.nn.Module, query: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        return attention(query, seen, seen, need_weights=False)[0]

    x = encoder.norm1(src + attend(encoder.self_attn, src, src))
    x = encoder.norm2(x + encoder.linear2(sru(encoder.sru, x)))
    torch.testing.assert_close(encoder(src)[0], x)
    x = decoder.norm1(src + attend(decoder.self_attn, src, src))
    x = decoder.norm2(x + attend(decoder.multihead_attn, x, memory))
    x = decoder.norm3(x + decoder.linear2(sru(decoder.sru, x)))
    torch.testing.assert_close(decoder(src, memory), x)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(bidirectional: bool) -> None:
    torch.manual_seed(0)
    model = TransformerSRU(6, 8, 2, 2, 2, 16, bidirectional=bidirectional).eval()
    src, tgt = data(), data(4, 1)
    longer = torch.cat([torch.where(REAL.unsqueeze(-1), src, torch.tensor(5.0)), torch.full((2, 2, 6), 7.0)], 1)
    longer_real = torch.cat([REAL, torch.zeros(2, 2, dtype=torch.bool)], 1)
    with torch.no_grad():
        plain = model(src, tgt, src_key_padding_mask=REAL)
        torch.testing.assert_close(model(longer, tgt, src_key_padding_mask=longer_real), plain)
        torch.testing.assert_close(model(src[1:, :1], tgt[1:]), plain[1:])
    assert plain.shape == (2, 4, 8)


def test_a_state_goes_on() -> None:
    torch.manual_seed(0)
    encoder = TransformerSRUEncoder(6, 8, 2, 2, 16).eval()
    output, state = encoder(data(), padding_mask=REAL)
    assert output.shape == (2, 3, 8)
    assert state.shape == (2, 2, 16)
    assert not output[1, 1:].any()
    again, _ = encoder(data(2, 1), state=state)
    fresh, _ = encoder(data(2, 1))
    assert not torch.allclose(again, fresh)
    short, short_state = encoder(data()[1:, :1])
    torch.testing.assert_close(short_state, state[:, 1:])
    torch.testing.assert_close(short, output[1:, :1])


def test_it_trains_and_takes_options_of_the_cell() -> None:
    model = TransformerSRU(6, 8, 2, 1, 2, 16, sru_dropout=0.2, layer_norm=True)
    model(data(), data(4)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.encoder.layers[0].sru.dropout == 0.2
    assert len(model.decoder.layers) == 2
    with pytest.raises(RuntimeError, match="src has a batch of 2 and tgt of 1"):
        model(data(), data()[:1])
    with pytest.raises(RuntimeError, match="src has 7 features, expected input_size 6"):
        model(data(size=7), data())


def test_in_an_embedder() -> None:
    embedder = Embedder(Embeddings(9, 6), TransformerSRUEncoder(6, 8, 2, 1, 16), pooling="last").eval()
    ids = torch.tensor([[3, 1, 2], [4, 0, 0]])
    torch.testing.assert_close(embedder(ids)[1:], embedder(ids[1:, :1]))

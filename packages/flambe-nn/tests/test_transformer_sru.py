"""Transformers with an SRU. Padding never changes a result."""

from __future__ import annotations

import pytest
import torch

from flambe.nn import Embedder, Embeddings, TransformerSRU, TransformerSRUEncoder

REAL = torch.tensor([[True, True, True], [True, False, False]])


def data(length: int = 3, seed: int = 0, size: int = 6) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(2, length, size)


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

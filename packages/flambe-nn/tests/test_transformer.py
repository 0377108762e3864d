"""Transformers, against torch's own. Padding never changes a result."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe.nn import Embedder, Embeddings, Transformer, TransformerDecoder, TransformerEncoder
from flambe.nn.transformer import (
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    generate_square_subsequent_mask,
)

REAL = torch.tensor([[True, True, True], [True, False, False]])


def data(length: int = 3, seed: int = 0, size: int = 8) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(2, length, size)


def test_layers_are_those_of_torch() -> None:
    ours = TransformerEncoderLayer(8, 2, 16).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    theirs.load_state_dict(ours.state_dict())
    causal = generate_square_subsequent_mask(3)
    torch.testing.assert_close(ours(data(), src_mask=causal), theirs(data(), src_mask=causal))
    torch.testing.assert_close(ours(data(), src_mask=causal == 0), theirs(data(), src_mask=causal))
    got, expected = ours(data(), padding_mask=REAL), theirs(data(), src_key_padding_mask=~REAL)
    torch.testing.assert_close(got[REAL], expected[REAL])

    our_decoder = TransformerDecoderLayer(8, 2, 16).eval()
    their_decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True).eval()
    their_decoder.load_state_dict(our_decoder.state_dict())
    torch.testing.assert_close(
        our_decoder(data(), data(5, 1), tgt_mask=causal), their_decoder(data(), data(5, 1), tgt_mask=causal)
    )


def test_the_whole_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours = Transformer(8, 8, 2, 2, 3, 16).eval()
    theirs = nn.Transformer(8, 2, 2, 3, 16, batch_first=True).eval()
    # Torch normalises once more after each stack; we do not.
    theirs.encoder.norm = theirs.decoder.norm = None
    theirs.load_state_dict(ours.state_dict())
    src, tgt, causal = data(), data(5, 1), generate_square_subsequent_mask(5)
    got = ours(src, tgt, tgt_mask=causal, src_key_padding_mask=REAL)
    expected = theirs(src, tgt, tgt_mask=causal, src_key_padding_mask=~REAL, memory_key_padding_mask=~REAL)
    torch.testing.assert_close(got, expected)


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(6, d_model=8, nhead=2, num_encoder_layers=2, num_decoder_layers=3, dim_feedforward=16).eval()


def test_sizes_are_what_was_asked_for(model: Transformer) -> None:
    assert len(model.encoder.layers) == 2
    assert len(model.decoder.layers) == 3
    assert model.encoder.layers[0].linear1.out_features == 16
    assert (model.input_size, model.d_model, model.output_size) == (6, 8, 8)
    assert TransformerEncoder(8, 8, 2, 1).proj is None
    assert len(list(model.parameters())) == len(list(model.trainable_params))


def test_padding_changes_nothing(model: Transformer) -> None:
    src, tgt = data(size=6), data(4, 1, 6)
    tgt_real = torch.tensor([[True] * 4, [True, True, False, False]])

    def padded(x: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        junk = torch.full((2, 3, 6), 7.0)
        x = torch.where(real.unsqueeze(-1), x, torch.full_like(x, -5.0))
        return torch.cat([x, junk], 1), torch.cat([real, torch.zeros(2, 3, dtype=torch.bool)], 1)

    plain = model(src, tgt, src_key_padding_mask=REAL, tgt_key_padding_mask=tgt_real)
    (long_src, long_real), (long_tgt, long_tgt_real) = padded(src, REAL), padded(tgt, tgt_real)
    got = model(long_src, long_tgt, src_key_padding_mask=long_real, tgt_key_padding_mask=long_tgt_real)
    torch.testing.assert_close(got[:, :4], plain)
    assert not got[:, 4:].any()
    alone = model(src[1:, :1], tgt[1:, :2])
    torch.testing.assert_close(plain[1:, :2], alone)


def test_rows_of_padding_are_zeros_and_gradients_finite(model: Transformer) -> None:
    src = data(size=6).requires_grad_()
    nothing = torch.tensor([[True] * 3, [False] * 3])
    output = model.encoder(src, padding_mask=nothing)
    assert not output[1].any()
    output.sum().backward()
    assert torch.isfinite(src.grad).all()  # type: ignore[arg-type]
    assert torch.isfinite(model(src, src, src_key_padding_mask=nothing)).all()


def test_a_causal_mask_hides_what_comes_later(model: Transformer) -> None:
    causal = generate_square_subsequent_mask(4)
    tgt, other = data(4, 1, 6), data(4, 1, 6)
    other[:, 2:] += 1
    src = data(size=6)
    torch.testing.assert_close(model(src, tgt, tgt_mask=causal)[:, :2], model(src, other, tgt_mask=causal)[:, :2])


def test_mismatches(model: Transformer) -> None:
    with pytest.raises(ValueError, match="d_model is 6 and nhead 4; expected heads that share the features evenly"):
        TransformerEncoder(6, 6, 4, 1)
    with pytest.raises(RuntimeError, match="src has a batch of 2 and tgt of 1"):
        model(data(size=6), data(size=6)[:1])
    with pytest.raises(RuntimeError, match="tgt has 8 features, expected input_size 6"):
        model(data(size=6), data(size=8))


def test_in_an_embedder() -> None:
    torch.manual_seed(0)
    embedder = Embedder(
        Embeddings(9, 6, positional_encoding=True), TransformerEncoder(6, 8, 2, 2, 16), pooling="average"
    ).eval()
    ids = torch.tensor([[3, 1, 2], [4, 0, 0]])
    padded = torch.cat([ids, torch.zeros(2, 4, dtype=torch.long)], 1)
    torch.testing.assert_close(embedder(padded), embedder(ids))
    torch.testing.assert_close(embedder(ids[1:, :1]), embedder(ids)[1:])
    assert TransformerDecoder(6, 8, 2, 1)(data(size=6), data(5)).shape == (2, 3, 8)

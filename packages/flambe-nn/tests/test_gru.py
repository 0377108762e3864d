"""``GRU`` gives what ``torch.nn.GRU`` gives: states, gradients, gradients of gradients, state dict and errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from flambe.nn.gru import GRU
from flambe.nn.rnn import RNNEncoder

SHAPES = [(5, 7, 6, 4), (1, 1, 3, 2), (3, 1, 4, 5), (2, 9, 1, 3)]  # B, S, E, H


def pair(*arguments: int, **options: bool | float) -> tuple[nn.GRU, GRU]:
    torch.manual_seed(0)
    theirs = nn.GRU(*arguments, **options)  # type: ignore[arg-type]
    ours = GRU(*arguments, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def results(rnn: nn.GRU, data: Tensor, state: Tensor | None) -> list[Tensor]:
    """Both outputs, all gradients, and the gradients of the input's gradient."""
    inputs = [data, *rnn.parameters(), *([] if state is None else [state])]
    output, last = rnn(data, state)
    weighed = (output * torch.linspace(-1, 2, output.numel()).view(output.shape)).sum() + last.square().sum()
    gradients = torch.autograd.grad(weighed, inputs, retain_graph=True)
    (once,) = torch.autograd.grad(weighed, data, create_graph=True)
    return [output, last, *gradients, once, *torch.autograd.grad(once.square().sum(), inputs)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_it_is_torch(shape: tuple[int, int, int, int], layers: int, with_state: bool, batch_first: bool) -> None:
    batch, length, size, hidden = shape
    theirs, ours = pair(size, hidden, layers, batch_first=batch_first)
    data = torch.randn(*((batch, length) if batch_first else (length, batch)), size, requires_grad=True)
    state = torch.randn(layers, batch, hidden, requires_grad=True) if with_state else None
    for one, other in zip(results(theirs, data, state), results(ours, data, state), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_it_is_torch_at_the_size_of_a_classifier() -> None:
    theirs, ours = pair(300, 256, batch_first=True)
    data = torch.randn(32, 40, 300, requires_grad=True)
    upstream = torch.randn(32, 40, 256)
    wanted, got = (torch.autograd.grad(rnn(data)[0], [data, *rnn.parameters()], upstream) for rnn in (theirs, ours))
    for one, other in zip(wanted, got, strict=True):
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_what_it_does_not_do_itself_is_done_by_torch() -> None:
    data = torch.randn(3, 4, 5)
    packed = nn.utils.rnn.pack_padded_sequence(data, torch.tensor([4, 2, 1]), batch_first=True)
    for options in ({}, {"bidirectional": True}, {"bias": False}):
        theirs, ours = pair(5, 2, batch_first=True, **options)
        assert torch.equal(ours(packed)[0].data, theirs(packed)[0].data)
    theirs, ours = pair(5, 2, batch_first=True)
    assert torch.equal(ours(data[0])[0], theirs(data[0])[0])  # no batch
    assert torch.equal(ours.double()(data.double())[0], theirs.double()(data.double())[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours.float()(data)[0], theirs.float()(data)[0])


def test_errors_are_those_of_torch() -> None:
    theirs, ours = pair(5, 2, batch_first=True)
    for data, state in [(torch.ones(3, 4, 6), None), (torch.ones(3, 4, 5), torch.ones(1, 2, 2))]:
        with pytest.raises(RuntimeError) as wanted:
            theirs(data, state)
        with pytest.raises(RuntimeError) as got:
            ours(data, state)
        assert str(got.value) == str(wanted.value)


def test_an_encoder_has_one_that_counts_as_torchs() -> None:
    encoder = RNNEncoder(5, 2, rnn_type="gru")
    assert isinstance(encoder.rnn, nn.GRU)
    assert list(encoder.rnn.state_dict()) == list(nn.GRU(5, 2).state_dict())


def test_dropout_is_between_layers_and_while_training_only() -> None:
    theirs, ours = pair(5, 8, 2, batch_first=True, dropout=0.5)
    data = torch.randn(3, 4, 5)
    assert not torch.allclose(ours(data)[0], theirs.eval()(data)[0])
    torch.testing.assert_close(ours.eval()(data)[0], theirs(data)[0])

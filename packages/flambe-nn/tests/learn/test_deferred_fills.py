"""Loading a component draws no weights that its state replaces, and nobody can tell: whoever reads weights finds them drawn."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flambe
from flambe.learn.deferred_fills import DeferredFills
from flambe.nn import Module

N = 200  # 160 kB a matrix: enough to be deferred and taken over


class Net(Module):
    """What constructors do with weights, besides drawing them. how: one of the names below."""

    def __init__(self, how: str = "") -> None:
        super().__init__()
        self.first, self.second = nn.Linear(N, N), nn.Linear(N, N)
        with torch.no_grad():
            getattr(self, how or "nothing")()

    def nothing(self) -> None: ...

    def reads(self) -> None:
        self.scale = self.first.weight.std().item()

    def keeps_a_buffer(self) -> None:
        self.register_buffer("halves", self.first.weight / 2, persistent=False)

    def keeps_a_view(self) -> None:
        self.view = self.first.weight[:3].detach()

    def ties(self) -> None:
        self.second.weight = self.first.weight

    def ties_memory(self) -> None:
        self.second.weight.data = self.first.weight.data

    def clones(self) -> None:
        self.third = copy.deepcopy(self.first)

    def truncates(self) -> None:
        nn.init.trunc_normal_(self.first.weight, std=0.1)

    def has_padding(self) -> None:
        self.words = nn.Embedding(N, N, padding_idx=0)
        self.words.weight.data.normal_(0, 0.5)
        self.words.weight.data[0].zero_()

    def normalizes(self) -> None:
        self.third = nn.utils.parametrizations.weight_norm(nn.Linear(N, N))

    def freezes(self) -> None:
        self.first.weight.requires_grad_(False)

    def evaluates(self) -> None:
        self.width = self.second(self.first(torch.ones(1, N))).shape[-1]


HOWS = [name for name in vars(Net) if not name.startswith("_") and name != "forward"]


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("how", HOWS)
def test_what_is_loaded_is_what_was_saved(how: str, tmp_path: Path) -> None:
    made = Net(how)
    flambe.save(made, tmp_path / "it")
    files = (tmp_path / "it" / "state.safetensors").read_bytes()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loaded = flambe.load(tmp_path / "it")
    assert torch.equal(torch.rand(3), expected), "no random number is missing"
    before = weights(loaded)
    assert before.keys() == made.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in made.parameters()]
    shared = made.first.weight.data_ptr() == made.second.weight.data_ptr()
    assert (loaded.first.weight.data_ptr() == loaded.second.weight.data_ptr()) is shared
    # They can be trained, and the file stays as it is.
    optimizer = torch.optim.SGD(loaded.parameters(), lr=1.0)
    loaded.second(loaded.first(torch.ones(2, N))).sum().backward()
    optimizer.step()
    assert not torch.equal(loaded.second.weight, before["second.weight"])
    assert (tmp_path / "it" / "state.safetensors").read_bytes() == files


def test_attributes_made_of_weights_are_made_of_drawn_ones(tmp_path: Path) -> None:
    for how in ("reads", "keeps_a_buffer"):
        flambe.save(Net(how), tmp_path / how)
    scale = 1 / (3 * N) ** 0.5  # the deviation of a linear layer's uniform weights
    assert flambe.load(tmp_path / "reads").scale == pytest.approx(scale, rel=0.05)
    assert flambe.load(tmp_path / "keeps_a_buffer").halves.std().item() == pytest.approx(scale / 2, rel=0.05)


def test_a_view_that_a_constructor_keeps_shows_what_was_loaded(tmp_path: Path) -> None:
    flambe.save(Net("keeps_a_view"), tmp_path / "it")
    loaded = flambe.load(tmp_path / "it")
    assert torch.equal(loaded.view, loaded.first.weight[:3])
    assert loaded.view.data_ptr() == loaded.first.weight.data_ptr()


class Parted(Module):
    def __init__(self, tie: bool) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(N, N), nn.Linear(N, N)
        if tie or TIE:
            self.other.weight = self.one.weight


TIE = False


def test_weights_that_were_tied_when_saved_only_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as tied:
        tied.setitem(globals(), "TIE", True)
        flambe.save(Parted(False), tmp_path / "it")
    loaded = flambe.load(tmp_path / "it")
    assert torch.equal(loaded.one.weight, loaded.other.weight)
    loaded.one.weight.data.zero_()
    assert loaded.other.weight.abs().sum() > 0


class Grown(Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(N, N)
        if GROWN:
            self.later = nn.Linear(N, N)


GROWN = False


def test_what_the_state_does_not_have_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flambe.save(Grown(), tmp_path / "it")
    monkeypatch.setitem(globals(), "GROWN", True)
    loaded = flambe.load(tmp_path / "it")
    assert "missing: later.weight, later.bias" in capsys.readouterr().err
    assert loaded.later.weight.std().item() == pytest.approx(1 / (3 * N) ** 0.5, rel=0.05)


class Given(Module):
    def __init__(self, inner: Module) -> None:
        super().__init__()
        self.inner = inner
        self.view = inner.first.weight.detach()
        for parameter in inner.parameters():
            parameter.data.uniform_(-9, 9)


def test_a_constructor_that_draws_the_weights_of_its_parts(tmp_path: Path) -> None:
    made = Given(Net())
    flambe.save(made, tmp_path / "it")
    loaded = flambe.load(tmp_path / "it")
    assert torch.equal(loaded.inner.first.weight, made.inner.first.weight)
    assert torch.equal(loaded.view, made.view)


# --- the mode itself ---


def test_fills_wait_until_somebody_reads() -> None:
    state = torch.get_rng_state()
    with DeferredFills():
        layer = nn.Linear(N, N, bias=False)
        assert layer.weight.shape == (N, N)
        assert not layer.weight.t().is_contiguous()
        assert torch.equal(torch.get_rng_state(), state), "nothing was drawn"
        assert layer.weight.abs().max() <= N**-0.5
        assert not torch.equal(torch.get_rng_state(), state)
        nn.init.constant_(layer.weight, 3.0)
        nn.init.normal_(layer.weight)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.05), "the last fill counts"


@pytest.mark.parametrize(
    "fill",
    [
        lambda weight: nn.init.uniform_(weight, 2, 3),
        lambda weight: weight.data.uniform_(2, 3),
        lambda weight: weight.data.view(-1).uniform_(0, 1).add_(2),
        lambda weight: nn.init.constant_(weight, 2.5),
        lambda weight: weight.copy_(torch.full_like(weight, 2.5)),
    ],
)
def test_each_way_to_fill_ends_with_its_values(fill: Any) -> None:
    with torch.no_grad(), DeferredFills():
        weight = nn.Parameter(torch.empty(N, N))
        nn.init.normal_(weight)
        fill(weight)
        half = weight[N // 2 :]
        weight[0].fill_(7)
    assert (weight[0] == 7).all()
    assert weight[1:].min() >= 2
    assert weight[1:].max() <= 3
    assert half.data_ptr() == weight[N // 2 :].data_ptr()


def test_a_generator_of_ones_own_is_drawn_from_at_once() -> None:
    with DeferredFills():
        values = torch.empty(N, N).normal_(generator=torch.Generator().manual_seed(1))
    assert torch.equal(values, torch.empty(N, N).normal_(generator=torch.Generator().manual_seed(1)))


def test_one_inside_another() -> None:
    with DeferredFills():
        outer = nn.Linear(N, N)
        with DeferredFills():
            inner = nn.Linear(N, N)
            assert outer.weight.std() > 0
        assert inner.weight.std() > 0

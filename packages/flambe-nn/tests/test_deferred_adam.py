"""``DeferredAdam`` gives the weights of ``torch.optim.Adam``, and goes on exactly where it was stopped."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from flambe.build.state import read_state, write_state
from flambe.dataset.array import ArrayDataset
from flambe.errors import ConfigError
from flambe.learn import Trainer
from flambe.metric import Accuracy
from flambe.nn.gradients import strided
from flambe.optim import DeferredAdam
from flambe.sampler import BaseSampler

ROWS, UPDATES = 300, 200


class Net(nn.Module):
    """Reads a table whose rows are read by 1 / rank, as words are: most of them far less often than every 128 updates."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(ROWS, 8, padding_idx=0, sparse=sparse)
        self.out = nn.Linear(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.out(self.table(ids).mean(dim=1))
        return scores


def batches(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    chances = 1 / torch.arange(1, ROWS + 1)
    return [torch.multinomial(chances, 24, True, generator=generator).view(4, 6) for _ in range(count)]


def train(
    net: Net,
    optimizer: torch.optim.Optimizer,
    data: list[Tensor],
    scheduler: LRScheduler | None = None,
    clip: float = 0.3,
) -> None:
    for ids in data:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(ids), ids.sum(dim=1) % 2).backward()
        nn.utils.clip_grad_norm_(strided(net.parameters()), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def deferred(**options: Any) -> tuple[Net, DeferredAdam]:
    net = Net(sparse=True)
    optimizer = DeferredAdam(net.parameters(), **options)
    optimizer.attach(net)
    optimizer.attach(net)  # twice is once
    return net, optimizer


@pytest.mark.parametrize("options", [{"lr": 1e-2}, {"lr": 1e-2, "betas": (0.5, 0.9)}, {"lr": 1e-3, "eps": 1e-4}])
def test_the_weights_are_those_of_adam(options: dict[str, Any]) -> None:
    dense, (net, optimizer) = Net(sparse=False).double(), deferred(**options)
    start = net.table.weight.detach().double().clone()
    # In double precision, so that the only rounding is ours.
    adam = torch.optim.Adam(dense.parameters(), **options)
    schedule: Callable[[Any], LRScheduler] = lambda one: OneCycleLR(one, options["lr"], UPDATES, cycle_momentum=False)  # noqa: E731
    train(dense, adam, batches(UPDATES), schedule(adam))
    train(net, optimizer, batches(UPDATES), schedule(optimizer))
    behind = (net.table.weight.double() - dense.table.weight).abs().max()
    optimizer.settle()
    far = (dense.table.weight - start).abs().max()
    off = (net.table.weight.double() - dense.table.weight).abs().max()
    assert (
        off < 1e-4 * far if options["lr"] == 1e-2 else off < 1e-3 * far
    )  # where ε is as large as √v the second order is seen
    assert off < behind
    torch.testing.assert_close(net.out.weight.double(), dense.out.weight, rtol=1e-3, atol=1e-5)


def test_a_schedule_may_move_the_betas() -> None:
    dense, (net, optimizer) = Net(sparse=False).double(), deferred(lr=1e-2)
    adam = torch.optim.Adam(dense.parameters(), lr=1e-2)
    train(dense, adam, batches(40), OneCycleLR(adam, 1e-2, 40))
    train(net, optimizer, batches(40), OneCycleLR(optimizer, 1e-2, 40))
    optimizer.settle()
    torch.testing.assert_close(net.table.weight.double(), dense.table.weight, rtol=1e-4, atol=1e-5)


def test_norms_and_clipping_see_the_sparse_gradient_as_the_dense_one() -> None:
    dense, sparse = Net(sparse=False), Net(sparse=True)
    for net in (dense, sparse):
        nn.functional.cross_entropy(net(batches(1)[0]), torch.tensor([0, 1, 0, 1])).backward()
    wanted = nn.utils.clip_grad_norm_(dense.parameters(), 0.01)
    torch.testing.assert_close(nn.utils.clip_grad_norm_(strided(sparse.parameters()), 0.01), wanted)
    assert sparse.table.weight.grad is not None
    assert sparse.table.weight.grad.is_sparse
    torch.testing.assert_close(sparse.table.weight.grad.to_dense(), dense.table.weight.grad)
    torch.testing.assert_close(sparse.out.weight.grad, dense.out.weight.grad)


@pytest.mark.parametrize("stop", [1, 127, 129])
def test_it_goes_on_bit_for_bit(stop: int) -> None:
    data = batches(140)
    whole, optimizer = deferred(lr=1e-2)
    train(whole, optimizer, data)
    half, optimizer_1 = deferred(lr=1e-2)
    train(half, optimizer_1, data[:stop])
    rest, optimizer_2 = deferred(lr=0.5)
    with torch.no_grad():  # the weights as they are, some of them behind
        for new, old in zip(rest.parameters(), half.parameters(), strict=True):
            new.copy_(old)
    optimizer_2.load_state_dict(copy.deepcopy(optimizer_1.state_dict()))
    train(rest, optimizer_2, data[stop:])
    for one, other in zip(rest.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_is_read_is_up_to_date() -> None:
    net, optimizer = deferred(lr=1e-2)
    train(net, optimizer, batches(100))
    row = int((optimizer.state[net.table.weight]["age"] > 20).nonzero()[0])
    stale = net.table.weight.detach()[row].clone()
    with torch.inference_mode():
        looked_up = net.table(input=torch.tensor([row]))[0].clone()
    assert not torch.equal(stale, looked_up)
    saved = net.state_dict()["table.weight"].clone()
    assert torch.equal(saved[row], looked_up)
    optimizer.settle()
    assert torch.equal(net.table.weight, saved)


def test_dense_gradients_are_updated_as_by_adam() -> None:
    nets = [Net(sparse=False), Net(sparse=False)]
    train(nets[0], torch.optim.Adam(nets[0].parameters(), fused=True), batches(5))
    train(nets[1], DeferredAdam(nets[1].parameters()), batches(5))
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_right_is_refused() -> None:
    net = Net(sparse=True)
    with pytest.raises(RuntimeError, match=r"call attach\(model\)"):
        train(net, DeferredAdam(net.parameters()), batches(1))
    with pytest.raises(ValueError, match="set it to 0, or sparse: false on the embedding"):
        deferred(weight_decay=0.1)
    net, optimizer = deferred()
    optimizer.param_groups[0]["weight_decay"] = 0.1  # as a schedule may do
    with pytest.raises(ValueError, match="sparse: false"):
        train(net, optimizer, batches(1))
    dense = Net(sparse=False)
    DeferredAdam(dense.parameters(), weight_decay=0.1).attach(dense)  # nothing to defer


def trainer(sparse: bool = True, **options: Any) -> Trainer:
    draw = np.random.default_rng(0)
    ids = draw.integers(1, ROWS, (40, 6))
    data = ArrayDataset((ids, ids.sum(1) % 2), (ids, ids.sum(1) % 2))
    net = Classifier(sparse=sparse)
    torch.manual_seed(1)
    kind = DeferredAdam if sparse else torch.optim.Adam
    return Trainer(
        data, BaseSampler(batch_size=4, drop_last=True), BaseSampler(batch_size=20, shuffle=False), net, nn.CrossEntropyLoss(), nn.CrossEntropyLoss(),
        kind(net.parameters(), lr=0.01), device="cpu", max_steps=2, **{"max_grad_norm": 0.5, **options},
    )  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"batches_per_iter": 2, "max_grad_abs_val": 0.02}])
def test_a_trainer_stopped_in_the_middle_of_a_step_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    options = {"iter_per_checkpoint": 3, **options}
    whole = trainer(**options)
    while whole.run():
        pass
    half = trainer(**options)
    half.run()
    half.run()
    write_state(tmp_path, half.get_state())
    rest = trainer(**options)
    rest.load_state(read_state(tmp_path))
    while rest.run():
        pass
    for one, other in zip(rest.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert rest.metric() == whole.metric()


@pytest.mark.parametrize(
    "options",
    [{"batches_per_iter": 3}, {"max_grad_norm": None, "max_grad_abs_val": 0.003}, {"batches_per_iter": 2, "max_grad_norm": 0.05}],
)  # fmt: skip
def test_gradients_are_added_up_and_clipped_as_dense_ones(options: dict[str, Any]) -> None:
    ours, theirs = trainer(**options), trainer(sparse=False, **options)
    while ours.run():
        pass
    while theirs.run():
        pass
    start = Net(sparse=False).state_dict()
    for name, weights in theirs.model.state_dict().items():
        far = (weights - start[name]).abs().max()
        assert (ours.model.state_dict()[name] - weights).abs().max() < 1e-3 * far


class Classifier(Net):
    def forward(self, ids: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(ids), target


def test_a_trainer_refuses_an_optimizer_without_sparse_gradients_before_it_trains() -> None:
    net = Net(sparse=True)
    data = ArrayDataset((np.zeros((4, 6), dtype=np.int64), np.zeros(4, dtype=np.int64)))
    with pytest.raises(
        ConfigError, match=r"table is an embedding of sparse: true, and Adam takes no sparse gradients"
    ) as refused:
        Trainer(
            data,
            BaseSampler(),
            BaseSampler(),
            net,
            nn.CrossEntropyLoss(),
            Accuracy(),
            torch.optim.Adam(net.parameters()),
        )
    assert refused.value.hint == "Use !DeferredAdam, whose weights are those of Adam, or leave out sparse: true."

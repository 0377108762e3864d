"""Training on a GPU: nobody waits for it between two logs, what is stopped goes on bit for bit, and every precision learns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import flambe
from flambe.build.encoding import Encoder
from flambe.build.state import get_state, load_state, read_state, write_state
from flambe.dataset.array import ArrayDataset
from flambe.errors import ConfigError
from flambe.learn import Evaluator, Trainer
from flambe.learn.network import Network
from flambe.learn.precision import Precision
from flambe.learn.processes import Processes, drawn_so_far
from flambe.learn.updates import Updates
from flambe.metric import Accuracy
from flambe.optim import DeferredAdam
from flambe.runner.seeding import rng_state, seed_everything, set_rng_state
from flambe.sampler import BaseSampler

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device: nothing of training on a GPU is tested here"
    ),
]


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 2))

    def forward(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers(data), target


def make(kind: type[Trainer] = Trainer, pin: bool = True, **options: Any) -> Trainer:
    seed_everything(3)
    draw = np.random.default_rng(0)
    data = draw.normal(size=(320, 8)).astype(np.float32)
    labels = (data.sum(1) > 0).astype(np.int64)
    dataset = ArrayDataset((data[:256], labels[:256]), (data[256:], labels[256:]), (data[256:], labels[256:]))
    net = Net().cuda()
    return kind(
        dataset, BaseSampler(batch_size=16, seed=1, pin_memory=pin), BaseSampler(batch_size=16, shuffle=False, seed=0, pin_memory=pin),
        net, nn.CrossEntropyLoss(), Accuracy(), torch.optim.Adam(net.parameters(), 0.01, fused=True),
        **{"max_steps": 3, "max_grad_norm": 1.0, **options},
    )  # fmt: skip


def finish(trainer: Trainer) -> list[Tensor]:
    while trainer.run():
        pass
    return [parameter.detach().cpu() for parameter in trainer.model.parameters()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_learns(precision: str) -> None:
    trainer = make(precision=precision, max_steps=6)
    assert trainer.device == "cuda"
    finish(trainer)
    assert (trainer.metric() or 0) > 0.85
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    evaluator = Evaluator(trainer.dataset, trainer.model, Accuracy())
    evaluator.run()
    assert evaluator.metric() == pytest.approx(trainer.metric(), abs=0.05)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_what_is_stopped_in_the_middle_of_a_step_goes_on_bit_for_bit(precision: str, tmp_path: Path) -> None:
    options = {"precision": precision, "iter_per_checkpoint": 5, "batches_per_iter": 1}
    whole = finish(make(**options))
    stopped = make(**options)
    for _ in range(4):
        stopped.run()
    write_state(tmp_path, {"state": get_state(stopped), "random": rng_state()})
    torch.rand(100, device="cuda")
    again = make(**options)
    saved = read_state(tmp_path)
    load_state(again, saved["state"])
    set_rng_state(saved["random"])
    assert equal(finish(again), whole)


def test_pinned_and_prefetched_batches_are_the_same() -> None:
    plain = finish(make(pin=False))
    assert equal(finish(make()), plain)
    assert equal(finish(make(prefetch=3)), plain)


class Watched(Trainer):
    """Fails where an iteration that is not logged waits for the GPU."""

    def _update(self, parameters: list[nn.Parameter], is_logged: bool) -> Tensor | None:
        torch.cuda.set_sync_debug_mode("error")
        try:
            return super()._update(parameters, is_logged)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_iteration_waits_for_the_gpu(precision: str) -> None:
    finish(make(Watched, precision=precision, extra_training_metrics=[Accuracy()]))


@pytest.mark.slow
def test_a_compiled_model_is_trained_as_a_plain_one() -> None:
    compiled, plain = make(compile_model=True), make()
    for one, other in zip(finish(compiled), finish(plain), strict=True):
        assert torch.allclose(one, other, atol=0.05)
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8, padding_idx=0, sparse=True)
        self.outer = nn.Linear(8, 2)

    def forward(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return self.outer(self.table(data).mean(1)), target


def words(device: str, **options: Any) -> Trainer:
    torch.manual_seed(0)
    ids = np.random.default_rng(0).zipf(1.5, size=(43, 6)).clip(max=49)
    labels = ids.sum(1) % 2
    net = Words().to(device)
    return Trainer(
        ArrayDataset((ids[:30], labels[:30]), (ids[30:], labels[30:])), BaseSampler(batch_size=8, seed=1), BaseSampler(seed=1), net,
        nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), DeferredAdam(net.parameters(), lr=0.01), device=device,
        **{"max_steps": 2, "max_grad_norm": 0.5, **options},
    )  # fmt: skip


def test_deferred_adam_computes_what_it_does_on_the_cpu_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    torch.use_deterministic_algorithms(False)  # torch has no deterministic sum of sparse gradients there
    whole = finish(words("cuda"))
    for one, other in zip(whole, finish(words("cpu")), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    stopped = words("cuda", iter_per_checkpoint=3)
    stopped.run()
    write_state(tmp_path, get_state(stopped))
    again = words("cuda", iter_per_checkpoint=3)
    load_state(again, read_state(tmp_path))
    for one, other in zip(finish(again), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_sparse_gradients_of_several_gpus_are_refused() -> None:
    net = Words().cuda()
    processes, precision = Processes(0, 2), Precision("float32", "cuda")
    with pytest.raises(ConfigError, match="table is an embedding of sparse: true, and NCCL does not add up"):
        Updates(net, DeferredAdam(net.parameters()), Network(net, False, processes), precision, processes)


def test_tied_weights_on_a_gpu_are_stored_once() -> None:
    net = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)]).cuda()
    net[1].weight = net[0].weight
    encoder = Encoder()
    encoder.encode(dict(net.state_dict()), "")
    assert len(encoder.tensors) == 1


def test_models_are_saved_from_and_loaded_onto_a_gpu(tmp_path: Path) -> None:
    made = flambe.Schema(nn.Linear, in_features=300, out_features=300)().cuda()
    flambe.save(made, tmp_path / "it")
    seed_everything(1)
    expected = torch.rand(3, device="cuda")
    seed_everything(1)
    loaded = flambe.load(tmp_path / "it", map_location="cuda")
    assert torch.equal(torch.rand(3, device="cuda"), expected)
    assert loaded.weight.is_cuda
    assert torch.equal(loaded.weight, made.weight)


def test_what_a_gpu_drew_changes_the_seeds_of_other_processes() -> None:
    torch.rand(1, device="cuda")
    before = drawn_so_far()
    torch.rand(1, device="cuda")
    assert drawn_so_far() != before

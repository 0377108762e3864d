"""The trainer against loops written by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flambe
from flambe.errors import ArgumentError, ConfigError, RunFailed
from flambe.learn import Trainer
from flambe.metric import Accuracy
from flambe.sampler import BaseSampler


class Data:
    """Sequences of ids of differing length whose label is a function of them."""

    def __init__(self, train: int = 40, val: int = 16, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def examples(count: int) -> list[tuple[Tensor, Tensor]]:
            lengths = torch.randint(2, 9, (count,), generator=generator).tolist()
            rows = [torch.randint(1, 30, (length,), generator=generator) for length in lengths]
            return [(row, (row.sum() % 3 == 0).long()) for row in rows]

        self.train, self.val = examples(train), examples(val)


class Net(nn.Module):
    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 12, padding_idx=0)
        self.rnn = nn.GRU(12, 10, num_layers=2, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(10, 2)

    def forward(self, data: Tensor, target: Tensor | None = None) -> Any:
        # data [B, S] → states [B, S, H] → logits [B, 2]
        states, _ = self.rnn(self.dropout(self.embedding(data)))
        logits = self.out(self.dropout(states[:, -1]))
        return logits if target is None else (logits, target)


@pytest.fixture(autouse=True)
def logged(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[int, float]]]:
    lines: dict[str, list[tuple[int, float]]] = {}
    monkeypatch.setattr(
        flambe, "log", lambda tag, data, step: lines.setdefault(tag, []).append((step, data)), raising=False
    )
    return lines


def make(
    *, net: nn.Module | None = None, seed: int = 0, sampler: dict[str, Any] | None = None, scheduler: str | None = None,
    lr: float = 0.01, data: Any = None, **arguments: Any,
) -> Trainer:  # fmt: skip
    torch.manual_seed(seed)
    net = net or Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    schedulers = {
        "multi": lambda: torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2, 2], gamma=0.5),
        "plateau": lambda: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5),
        "exponential": lambda: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97),
    }
    iter_scheduler = arguments.pop("iter_scheduler", None)
    defaults: dict[str, Any] = {"loss_fn": nn.CrossEntropyLoss(), "metric_fn": Accuracy(), "device": "cpu"}
    return Trainer(
        data or Data(),
        BaseSampler(**({"batch_size": 8} | (sampler or {}))),
        BaseSampler(batch_size=8, shuffle=False),
        net,
        optimizer=optimizer,
        scheduler=schedulers[scheduler]() if scheduler else None,
        iter_scheduler=schedulers[iter_scheduler]() if iter_scheduler else None,
        **(defaults | arguments),
    )


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class ScoresOnly(Net):
    def forward(self, data: Tensor, target: Tensor | None = None) -> Any:
        return super().forward(data)


@pytest.mark.parametrize("size", [2, 8])
def test_scores_without_their_target_are_told(size: int) -> None:
    # Two rows of scores would be unpacked as a prediction and a target.
    trainer = make(net=ScoresOnly(), sampler={"batch_size": size})
    said = rf"model \(ScoresOnly\), with the first batch of train, gives a tensor \[{size}, 2\] float32"
    with pytest.raises(ArgumentError, match=rf"{said}; expected \(prediction, target\). Its forward\(data, target\)"):
        trainer.run()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"metric_fn": Accuracy}, r"metric_fn is the class Accuracy; expected an object of it: Accuracy\(…\)"),
        ({"loss_fn": nn.NLLLoss}, r"loss_fn is the class NLLLoss; expected an object of it: NLLLoss\(…\)"),
        ({"device": "gpu"}, "there is no device 'gpu'; expected cpu, cuda, cuda:1, …. Did you mean 'cuda'?"),
    ],
)
def test_parts_that_are_none(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((TypeError, ConfigError), match=said):
        make(**arguments)


def test_a_loader_of_torch_is_no_sampler() -> None:
    net = Net()
    loader: Any = torch.utils.data.DataLoader([1])
    with pytest.raises(TypeError, match=r"val_sampler is a DataLoader, without sample\(data, n_epochs\)"):
        Trainer(
            Data(), BaseSampler(), loader, net, nn.CrossEntropyLoss(), Accuracy(), torch.optim.Adam(net.parameters())
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="the device is cuda:1, and PyTorch .* sees no GPU here. Leave device away"):
        make(device="cuda:1")


class Diverging(nn.CrossEntropyLoss):
    """Is NaN from its third call in training on."""

    calls = 0

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        loss = super().forward(pred, target)
        self.calls += loss.requires_grad
        return loss * (float("nan") if self.calls > 3 else 1)


def test_one_line_tells_that_the_loss_is_nan(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make(loss_fn=Diverging(), max_steps=2, iter_per_step=5, log_interval=1)
    while trainer.run():
        pass
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "NaN" in line]
    assert line.startswith("warning: Training/Loss is NaN at iteration 4. A smaller lr")
    assert line.endswith("stop_on_nan: true ends the run where this happens.")


def test_a_loss_of_nan_ends_the_run_where_that_is_asked_for(logged: dict[str, Any]) -> None:
    trainer = make(loss_fn=Diverging(), iter_per_step=5, log_interval=2, stop_on_nan=True)
    with pytest.raises(RunFailed, match="Training/Loss is NaN at iteration 4"):
        trainer.run()
    assert [at for at, _ in logged["Training/Loss"]] == [2, 4]


# --- against a loop written by hand ---


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("bucket", [False, True])
def test_losses_equal_a_plain_loop(logged: dict[str, Any], accumulate: int, bucket: bool) -> None:
    options = {"drop_last": accumulate > 1, "seed": 3, "bucket": bucket}
    trainer = make(
        sampler=options, batches_per_iter=accumulate, max_steps=2, iter_per_step=7, max_grad_norm=1.0, log_interval=1
    )
    plain = copy.deepcopy(trainer.model)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    data, expected, norms = Data(), [], []
    batches = iter(BaseSampler(batch_size=8, **options).sample(data.train, n_epochs=-1))

    torch.manual_seed(7)
    plain.train()
    for _ in range(14):
        optimizer.zero_grad()
        losses = []
        for _ in range(accumulate):
            pred, target = plain(*next(batches))
            loss = nn.functional.cross_entropy(pred, target)
            (loss / accumulate).backward()
            losses.append(loss.item())
        norms.append(nn.utils.clip_grad_norm_(plain.parameters(), 1.0).item())
        optimizer.step()
        expected.append(torch.tensor(losses).mean().item())

    torch.manual_seed(7)
    assert trainer.run()
    assert not trainer.run()
    assert [value for _, value in logged["Training/Loss"]] == expected
    assert [step for step, _ in logged["Training/Loss"]] == list(range(1, 15))
    assert [value for _, value in logged["Training/Gradient_Norm"]] == norms


def test_accumulated_gradients_are_those_of_one_large_batch() -> None:
    results = []
    for batch_size, accumulate in [(8, 1), (2, 4)]:
        trainer = make(
            net=(torch.manual_seed(1), Net(dropout=0.0))[1],
            sampler={"batch_size": batch_size, "shuffle": False, "drop_last": True},
            batches_per_iter=accumulate,
            max_steps=1,
            iter_per_step=1,
            data=EqualLengths(),
        )
        trainer._train_step()
        results.append(weights(trainer))
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-4, atol=1e-5)


class EqualLengths(Data):
    def __init__(self) -> None:
        super().__init__()
        self.train = [(torch.arange(1, 6) + index % 7, torch.tensor(index % 2)) for index in range(8)]


def test_parameter_norm_and_value_clipping(logged: dict[str, Any]) -> None:
    trainer = make(max_steps=1, iter_per_step=1, max_grad_abs_val=1e-3)
    trainer.run()
    grads = [parameter.grad for parameter in trainer.model.parameters()]
    assert max(grad.abs().max() for grad in grads) <= 1e-3
    # Logged before clipping, and of the weights that were trained (not of the restored ones).
    assert logged["Training/Gradient_Norm"][0][1] > 1e-3
    assert logged["Training/Parameter_Norm"][0][1] > 0


# --- steps ---


def test_a_step_validates_and_then_trains(logged: dict[str, Any]) -> None:
    trainer = make(max_steps=3, iter_per_step=4)
    assert trainer.metric() is None
    assert [trainer.run() for _ in range(3)] == [True, True, False]
    assert [step for step, _ in logged["Validation/Accuracy"]] == [0, 1, 2, 3]
    assert [step for step, _ in logged["Validation/Loss"]] == [0, 1, 2, 3]
    assert trainer.metric() == max(value for _, value in logged["Validation/Accuracy"])
    assert logged["Best/Accuracy"][-1] == (3, trainer.metric())
    assert trainer.metric_name == "Best/Accuracy"
    assert not trainer.run(), "a finished trainer stays finished"
    assert len(logged["Validation/Loss"]) == 4


@pytest.mark.parametrize(("epochs", "accumulate", "expected"), [(1, 1, 5), (0.5, 1, 3), (2, 1, 10), (1, 2, 3)])
def test_length_of_a_step_in_epochs(epochs: float, accumulate: int, expected: int) -> None:
    trainer = make(epoch_per_step=epochs, batches_per_iter=accumulate, sampler={"drop_last": True})
    assert trainer.iterations == expected


def test_validation_loss_is_that_of_the_whole_split(logged: dict[str, Any]) -> None:
    trainer = make(max_steps=1, iter_per_step=1)
    trainer._eval_step()
    whole = torch.nn.utils.rnn.pad_sequence([row for row, _ in trainer.dataset.val], batch_first=True)
    # The model reads padding, so each batch has to be padded as the sampler does.
    parts = [part for part, _ in BaseSampler(batch_size=8, shuffle=False).sample(trainer.dataset.val)]
    assert sum(map(len, parts)) == len(whole)
    trainer.model.eval()
    with torch.inference_mode():
        pred = torch.cat([trainer.model(part) for part in parts])
    target = torch.stack([label for _, label in trainer.dataset.val])
    assert logged["Validation/Loss"][0][1] == pytest.approx(nn.functional.cross_entropy(pred, target).item(), rel=1e-6)
    assert logged["Validation/Accuracy"][0][1] == pytest.approx((pred.argmax(1) == target).float().mean().item())


# --- best weights ---


class Scripted:
    """A metric with given values, one for each validation."""

    def __init__(self, values: list[float]) -> None:
        self.values = iter(values)

    def __call__(self, pred: Tensor, target: Tensor) -> float:
        return next(self.values)

    def __str__(self) -> str:
        return "Scripted"


@pytest.mark.parametrize(
    ("values", "lower", "best", "best_step"),
    [
        ([0.1, 0.9, 0.2, 0.3], False, 0.9, 1),
        ([0.5, 0.9, 0.2, 0.3], True, 0.2, 2),
        ([0.1, 0.2, 0.3, 0.4], False, 0.4, 3),
        ([float("nan"), 0.2, float("nan"), 0.2], False, 0.2, 1),
        ([-3.0, -2.0, -5.0, -4.0], False, -2.0, 1),
    ],
)
def test_the_best_weights_come_back(values: list[float], lower: bool, best: float, best_step: int) -> None:
    trainer = make(max_steps=3, iter_per_step=2, metric_fn=Scripted(values), lower_is_better=lower, lr=0.1)
    seen = [weights(trainer)]
    more = True
    while more:
        if trainer._step == 2:
            trainer._eval_step()
            trainer._train_step()
            trainer._step += 1
            seen.append(weights(trainer))
            trainer.finish()
            break
        more = trainer.run()
        seen.append(weights(trainer))
    assert not any(equal(seen[index], seen[index + 1]) for index in range(3))
    assert trainer.metric() == best
    assert equal(weights(trainer), seen[best_step])


def test_losses_and_metrics_that_say_so_are_lower_is_better() -> None:
    assert make(metric_fn=nn.CrossEntropyLoss()).lower_is_better
    assert not make().lower_is_better
    assert make(lower_is_better=True).lower_is_better


# --- schedulers ---


def test_learning_rates(logged: dict[str, Any]) -> None:
    trainer = make(max_steps=3, iter_per_step=2, scheduler="multi", iter_scheduler=None)
    rates = []
    for _ in range(3):
        trainer.run()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    # Used while training in steps 0, 1 and 2, and after the last validation: 0.5 once, then twice.
    assert rates == pytest.approx([0.01, 0.005, 0.00125])


def test_iter_scheduler_is_stepped_each_iteration() -> None:
    trainer = make(max_steps=1, iter_per_step=5, iter_scheduler="exponential")
    trainer.run()
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 0.97**5)


def test_plateau_is_told_the_validation_loss(monkeypatch: pytest.MonkeyPatch, logged: dict[str, Any]) -> None:
    trainer = make(max_steps=3, iter_per_step=1, scheduler="plateau")
    told: list[float] = []
    monkeypatch.setattr(trainer.scheduler, "step", told.append)
    while trainer.run():
        pass
    assert told == [value for _, value in logged["Validation/Loss"][1:]]


# --- going on after a stop ---


def codec_round_trip(value: Any) -> Any:
    """What a checkpoint does: tensors to bytes and back, containers stay."""
    from flambe.learn import TorchCodec

    codec = TorchCodec()
    stored = codec.tensor_of(value)
    if stored is not None:
        return codec.to_value(stored._replace(data=memoryview(bytes(stored.data))), "torch")
    assert value is None or type(value) in (bool, int, float, str, list, tuple, dict), type(value)
    if isinstance(value, dict):
        return {key: codec_round_trip(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(codec_round_trip(item) for item in value)
    return value


def save(trainer: Trainer) -> dict[str, Any]:
    return codec_round_trip(
        {"trainer": trainer._state({}, "a.", {}), "model": trainer.model.state_dict(), "rng": torch.get_rng_state()}
        | {"model": dict(trainer.model.state_dict())}
    )


def load(trainer: Trainer, saved: dict[str, Any]) -> None:
    missing: list[str] = []
    errors: list[str] = []
    trainer.model.load_state_dict(saved["model"])
    trainer._load_state(saved["trainer"], "a.", {}, True, missing, [], errors)
    assert not missing
    assert not errors
    torch.set_rng_state(saved["rng"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("stop_after", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampler": {"bucket": True, "seed": 5}, "scheduler": "multi"},
        {"sampler": {"drop_last": True}, "batches_per_iter": 2, "scheduler": "plateau", "max_grad_norm": 0.5},
        {"iter_scheduler": "exponential", "iter_per_step": 3, "sampler": {"bucket": True}},
    ],
    ids=["plain", "bucket", "accumulate", "iter_scheduler"],
)
def test_a_stopped_trainer_goes_on_bit_for_bit(
    logged: dict[str, list[Any]], options: dict[str, Any], stop_after: int
) -> None:
    options = {"max_steps": 4, "iter_per_step": 7, "log_interval": 1} | options
    never_stopped = make(**options)
    while never_stopped.run():
        pass
    expected = copy.deepcopy(logged)
    logged.clear()

    first = make(**options)
    for _ in range(stop_after):
        assert first.run()
    saved = save(first)
    first.run()  # what happens after the checkpoint must not reach it
    logged.clear()

    second = make(seed=0, **options)
    load(second, saved)
    while second.run():
        pass
    for tag, lines in expected.items():
        assert logged[tag] == lines[-len(logged[tag]) :], tag
        assert len(logged[tag]) >= 4 - stop_after
    assert equal(weights(second), weights(never_stopped))
    assert second.metric() == never_stopped.metric()


def test_state_before_the_first_step_and_after_the_last() -> None:
    trainer = make(max_steps=1, iter_per_step=1)
    save(trainer)
    trainer.run()
    fresh = make(max_steps=1, iter_per_step=1)
    load(fresh, save(trainer))
    assert not fresh.run()
    assert equal(weights(fresh), weights(trainer))


def test_what_the_builder_notes_on_a_scheduler_is_no_state() -> None:
    trainer = make(scheduler="multi")
    trainer.scheduler._flambe_made = object()
    save(trainer)


def test_loading_names_what_is_missing() -> None:
    missing: list[str] = []
    make()._load_state({}, "train.", {}, True, missing, [], [])
    assert "train.optimizer" in missing


def test_a_scheduler_on_one_side_only() -> None:
    errors: list[str] = []
    state = make(scheduler="multi")._state({}, "", {})
    make()._load_state(state, "", {}, True, [], [], errors)
    assert errors == ["scheduler: it is there in one of the saved and the new trainer only"]


# --- what subclasses may override ---


def test_overridden_loss_is_the_one_that_is_trained_on(logged: dict[str, Any]) -> None:
    class Doubled(Trainer):
        def _compute_loss(self, batch: Any) -> Tensor:
            return 2 * super()._compute_loss(batch)

    plain = make(max_steps=1, iter_per_step=1)
    plain.run()
    base = logged["Training/Loss"].pop()[1]
    doubled = make(max_steps=1, iter_per_step=1)
    doubled.__class__ = Doubled
    doubled.run()
    assert logged["Training/Loss"][0][1] == pytest.approx(2 * base)


def test_overridden_aggregation_is_used(logged: dict[str, Any]) -> None:
    class Perfect(Trainer):
        def _aggregate_preds(self, data_iterator: Any) -> tuple[Tensor, Tensor]:
            _pred, target = super()._aggregate_preds(data_iterator)
            return nn.functional.one_hot(target, 2).float(), target

    trainer = make(max_steps=1, iter_per_step=1)
    trainer.__class__ = Perfect
    trainer._eval_step()
    assert logged["Validation/Accuracy"][0][1] == 1


def test_extra_metrics(logged: dict[str, Any]) -> None:
    trainer = make(
        max_steps=1, iter_per_step=6, extra_validation_metrics=[nn.CrossEntropyLoss()],
        extra_training_metrics=[Accuracy()], extra_training_metrics_log_interval=4,
    )  # fmt: skip
    trainer.run()
    assert logged["Validation/CrossEntropyLoss"] == logged["Validation/Loss"]
    assert [step for step, _ in logged["Training/Accuracy"]] == [4, 6]
    assert all(0 <= value <= 1 for _, value in logged["Training/Accuracy"])


def test_ten_logs_a_step_unless_told_otherwise(logged: dict[str, Any]) -> None:
    make(max_steps=1, iter_per_step=40).run()
    assert [step for step, _ in logged["Training/Loss"]] == list(range(4, 41, 4))


# --- refusals ---


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"batches_per_iter": 2}, "drop_last: true"),
        ({"batches_per_iter": 0}, "batches_per_iter is 0"),
        ({"iter_per_step": 0}, "iter_per_step is 0"),
        ({"epoch_per_step": 0}, "epoch_per_step is 0"),
        ({"max_steps": -1}, "max_steps is -1"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make(**arguments)


def test_lbfgs_is_refused() -> None:
    net = Net()
    with pytest.raises(ValueError, match="LBFGS"):
        Trainer(Data(), BaseSampler(), BaseSampler(), net, nn.CrossEntropyLoss(), Accuracy(),
                torch.optim.LBFGS(net.parameters()))  # fmt: skip


def test_a_split_without_examples() -> None:
    trainer = make(data=Data(val=0))
    with pytest.raises(ArgumentError, match="no examples in its split 'val'"):
        trainer.run()


def test_a_sampler_that_ends() -> None:
    class Once:
        def sample(self, data: Any, n_epochs: int = 1) -> Any:
            yield data[0][0][None], data[0][1][None]

        def length(self, data: Any) -> int:
            return 1

    trainer = make()
    trainer.train_sampler = trainer._batches.sampler = Once()
    trainer.iter_per_step = 2
    with pytest.raises(RuntimeError, match="Once ran out of batches"):
        trainer._train_step()


# --- precision, compiling, patience ---


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.filterwarnings("ignore:.*GradScaler")
def test_precision_is_that_of_the_model_and_not_of_its_weights(logged: dict[str, Any], precision: str) -> None:
    seen: list[torch.dtype] = []

    class Noting(Trainer):
        def _compute_batch(self, batch: tuple[Tensor, ...], metrics: Any = ()) -> Tensor:
            pred, target = self.network(*batch)
            seen.append(pred.dtype)
            loss: Tensor = self.loss_fn(pred, target)
            return loss

    plain = make(max_steps=2, iter_per_step=10, net=(torch.manual_seed(1), Net(dropout=0.0))[1])
    while plain.run():
        pass
    net = (torch.manual_seed(1), Net(dropout=0.0))[1]
    trainer = Noting(
        Data(), BaseSampler(batch_size=8, seed=plain.train_sampler.seed), BaseSampler(batch_size=8, shuffle=False), net,
        nn.CrossEntropyLoss(), Accuracy(), torch.optim.Adam(net.parameters(), lr=0.01), device="cpu", max_steps=2,
        iter_per_step=10, precision=precision,
    )  # fmt: skip
    while trainer.run():
        pass
    assert set(seen) == {getattr(torch, precision)}
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    losses = logged["Training/Loss"]
    half = len(losses) // 2
    for (_, ours), (_, theirs) in zip(losses[:half], losses[half:], strict=True):
        assert theirs == pytest.approx(ours, rel=0.05)


def test_an_update_with_an_infinite_gradient_is_left_out(recwarn: pytest.WarningsRecorder) -> None:
    trainer = make(max_steps=1, iter_per_step=3, precision="float16", iter_scheduler="exponential")
    scaler = trainer._precision.scaler
    assert scaler is not None
    before, scale = weights(trainer), scaler.get_scale()
    with torch.no_grad():
        trainer.model.out.bias.fill_(1e30)
    before["out.bias"].fill_(1e30)
    trainer._train_step()
    assert equal(weights(trainer), before)
    assert scaler.get_scale() < scale
    assert not [warning for warning in recwarn if "lr_scheduler.step" in str(warning.message)]


def test_patience(logged: dict[str, Any]) -> None:
    trainer = make(max_steps=50, iter_per_step=1, patience=2, lr=0.0)
    steps = 1
    while trainer.run():
        steps += 1
    assert steps == 3, "the first validation is never beaten"
    assert [step for step, _ in logged["Validation/Accuracy"]] == [0, 1, 2]
    assert not trainer.run()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"precision": "bfloat61"},
            "precision is 'bfloat61'; expected float32, bfloat16, float16. Did you mean 'bfloat16'",
        ),
        ({"patience": 0}, "patience is 0; expected 1 or more"),
        ({"prefetch": -1}, "prefetch is -1; expected 0 or more"),
    ],
)
def test_new_arguments_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make(**options)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_computes_the_same_and_is_saved_under_its_own_names() -> None:
    states = []
    for compiled in (False, True):
        trainer = make(net=Straight(), max_steps=1, iter_per_step=4, compile_model=compiled, data=Rows())
        trainer.run()
        states.append(weights(trainer))
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-5)


class Straight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.out = nn.Linear(3, 2)

    def forward(self, data: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return self.out(data).tanh(), target


class Rows:
    def __init__(self) -> None:
        self.train = self.val = [(torch.arange(3.0) * place, torch.tensor(place % 2)) for place in range(16)]

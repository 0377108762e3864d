"""RNNEncoder and PooledRNNEncoder, against plain torch. Padding never changes a result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flambe.errors import ConfigError
from flambe.nn import PooledRNNEncoder, RNNEncoder, TransformerSRUEncoder

LENGTHS = (5, 1, 3, 4)
TYPES = ["lstm", "gru", "sru"]


def batch(extra: int = 0, junk: float = 0.0) -> tuple[Tensor, Tensor]:
    """Vectors ``[4, 5 + extra, 6]`` and their mask; padding is filled with ``junk``."""
    torch.manual_seed(1)
    data = torch.randn(4, 5, 6)
    data = torch.cat([data, torch.zeros(4, extra, 6)], dim=1)
    mask = torch.arange(5 + extra) < torch.tensor(LENGTHS)[:, None]
    data[~mask] = junk
    return data, mask


def encoder(kind: str, **options: Any) -> RNNEncoder:
    torch.manual_seed(0)
    return RNNEncoder(6, 8, n_layers=2, rnn_type=kind, **options).eval()


def plain(kind: str, bidirectional: bool) -> nn.Module:
    torch.manual_seed(0)
    return {"lstm": nn.LSTM, "gru": nn.GRU}[kind](6, 8, 2, batch_first=True, bidirectional=bidirectional)


def states(state: Any) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_it_is_torch_on_each_row_alone(kind: str, bidirectional: bool) -> None:
    data, mask = batch(extra=2, junk=9.0)
    output, state = encoder(kind, bidirectional=bidirectional)(data, padding_mask=mask)
    reference = plain(kind, bidirectional)
    for row, length in enumerate(LENGTHS):
        expected, expected_state = reference(data[row : row + 1, :length])
        torch.testing.assert_close(output[row, :length], expected[0])
        assert not output[row, length:].any()
        for ours, theirs in zip(states(state), states(expected_state), strict=True):
            torch.testing.assert_close(ours[:, row], theirs[:, 0])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_padding_changes_nothing(kind: str, bidirectional: bool) -> None:
    rnn = encoder(kind, bidirectional=bidirectional)
    with torch.no_grad():
        output, state = rnn(batch()[0], padding_mask=batch()[1])
        data, mask = batch(extra=7, junk=3.0)
        padded, padded_state = rnn(data, padding_mask=mask)
        quick = rnn(data, padding_mask=mask, return_state=False)
    torch.testing.assert_close(padded[:, :5], output)
    assert not padded[:, 5:].any()
    torch.testing.assert_close(quick, padded)
    for ours, theirs in zip(states(padded_state), states(state), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", TYPES)
def test_without_a_mask_every_position_counts(kind: str) -> None:
    rnn = encoder(kind)
    data, _ = batch()
    output, _ = rnn(data)
    full, _ = rnn(data, padding_mask=torch.ones(4, 5, dtype=torch.bool))
    torch.testing.assert_close(output, full)
    assert output.shape == (4, 5, 8)


@pytest.mark.parametrize("kind", TYPES)
def test_a_state_goes_on_where_it_was(kind: str) -> None:
    rnn = encoder(kind)
    data, _ = batch()
    whole, last = rnn(data)
    _, state = rnn(data[:, :2])
    rest, again = rnn(data[:, 2:], state=state)
    torch.testing.assert_close(rest, whole[:, 2:])
    for ours, theirs in zip(states(again), states(last), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_a_row_of_padding_gives_zeros_and_keeps_its_state(kind: str, bidirectional: bool) -> None:
    rnn = encoder(kind, bidirectional=bidirectional)
    data, mask = batch(junk=2.0)
    mask[1] = False
    output, state = rnn(data, padding_mask=mask)
    assert not output[1].any()
    assert all(not part[:, 1].any() for part in states(state))
    _, start = rnn(data)
    _, state = rnn(data, state=start, padding_mask=mask)
    for ours, theirs in zip(states(state), states(start), strict=True):
        torch.testing.assert_close(ours[:, 1], theirs[:, 1])


@pytest.mark.parametrize("pooling", ["last", "first", "sum", "average"])
@pytest.mark.parametrize("kind", TYPES)
def test_pooled(kind: str, pooling: str) -> None:
    torch.manual_seed(0)
    pooled = PooledRNNEncoder(6, 8, n_layers=2, rnn_type=kind, pooling=pooling).eval()
    rnn = encoder(kind)
    data, mask = batch(extra=3, junk=5.0)
    got = pooled(data, padding_mask=mask)
    assert got.shape == (4, 8)
    for row, length in enumerate(LENGTHS):
        states_ = rnn(data[row : row + 1, :length])[0][0]
        expected = {"last": states_[-1], "first": states_[0], "sum": states_.sum(0), "average": states_.mean(0)}[
            pooling
        ]
        torch.testing.assert_close(got[row], expected)
    assert torch.isfinite(pooled(data, padding_mask=torch.zeros_like(mask))).all()


@pytest.mark.parametrize("kind", TYPES)
def test_gradients_are_finite_and_padding_gets_none(kind: str) -> None:
    data, mask = batch(extra=2)
    data.requires_grad_()
    PooledRNNEncoder(6, 8, rnn_type=kind, bidirectional=True)(data, padding_mask=mask).sum().backward()
    assert data.grad is not None
    assert torch.isfinite(data.grad).all()
    assert not data.grad[~mask].any()
    assert data.grad[mask].abs().sum() > 0


def test_sizes_can_be_linked() -> None:
    pooled = PooledRNNEncoder(6, 8, bidirectional=True)
    assert (pooled.input_size, pooled.hidden_size, pooled.output_size) == (6, 8, 16)
    assert (pooled.rnn.input_size, pooled.rnn.hidden_size, pooled.rnn.output_size) == (6, 8, 16)
    assert isinstance(pooled.rnn.rnn, nn.LSTM)
    assert pooled.rnn.rnn.hidden_size == 8


def test_sorted_rows() -> None:
    rnn = encoder("lstm", enforce_sorted=True)
    data, mask = batch()
    with pytest.raises(RuntimeError, match="sorted"):
        rnn(data, padding_mask=mask)
    order = mask.sum(1).argsort(descending=True)
    output, _ = rnn(data[order], padding_mask=mask[order])
    torch.testing.assert_close(output, encoder("lstm")(data, padding_mask=mask)[0][order])


def test_bad_parameters() -> None:
    with pytest.raises(
        ValueError, match="rnn_type 'ltsm' is not known; expected lstm, gru or sru. Did you mean 'lstm'"
    ):
        RNNEncoder(6, 8, rnn_type="ltsm")
    with pytest.raises(ValueError, match="layer_norm, highway_bias and rescale are for rnn_type sru; this is gru"):
        RNNEncoder(6, 8, rnn_type="gru", layer_norm=True)
    with pytest.raises(ValueError, match="pooling 'max' is not known; expected one of: first, last, sum, average"):
        PooledRNNEncoder(6, 8, pooling="max")


def test_sru_takes_its_own_parameters() -> None:
    rnn = RNNEncoder(6, 8, rnn_type="sru", layer_norm=True, highway_bias=-2, rescale=False)
    assert rnn(batch()[0])[0].shape == (4, 5, 8)


def test_without_sru_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, "sru", raising=False)
    monkeypatch.setattr("importlib.import_module", missing)
    for make in (lambda: RNNEncoder(6, 8, rnn_type="sru"), lambda: TransformerSRUEncoder(6, 8, 2, 1, 16)):
        with pytest.raises(ConfigError, match=r"SRU cannot be used.*pip install 'flambe-nn\[sru\]'"):
            make()
    RNNEncoder(6, 8, rnn_type="gru")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock that torch makes while it builds sru, which is not installed then."""
    lock = tmp_path / "py311_cpu" / "sru_cpu" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    monkeypatch.delitem(sys.modules, "sru", raising=False)
    monkeypatch.setattr(sys, "meta_path", [WithoutSru(), *sys.meta_path])
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    return lock


class WithoutSru:
    """A finder that refuses sru."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "sru":
            raise ImportError(f"no {name}")


def test_the_lock_of_a_build_that_was_killed_is_taken_away(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(lock, (0, 0))
    with pytest.raises(ConfigError, match="SRU cannot be used: no sru"):
        RNNEncoder(6, 8, rnn_type="sru")
    assert list(lock.parent.iterdir()) == []
    assert re.fullmatch(
        r"warning: a build of SRU was interrupted \d+ minutes ago; it begins anew\n", capsys.readouterr().err
    )


def test_a_build_that_goes_on_is_waited_for_however_old_it_is(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(lock, (0, 0))
    handle = os.open(lock, os.O_RDONLY)
    ended: list[float] = []

    def end() -> None:
        ended.append(time.monotonic())
        lock.unlink()
        os.close(handle)

    threading.Timer(0.3, end).start()
    with pytest.raises(ConfigError, match="no sru"):
        RNNEncoder(6, 8, rnn_type="sru")
    assert ended
    assert capsys.readouterr().err == ""


def test_a_build_that_nobody_is_seen_at_is_waited_for_and_told(
    lock: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of another machine that shares the folder."""
    monkeypatch.setattr("flambe.nn.build_lock._LIMIT_S", 0.3)
    with pytest.raises(ConfigError, match="no sru"):
        RNNEncoder(6, 8, rnn_type="sru")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(f"waiting for 0 s at most. If that build was killed, remove {lock}")
    assert second.endswith("it begins anew")


def test_sru_is_imported_only_where_it_is_used() -> None:
    code = "import sys; from flambe.nn import RNNEncoder; RNNEncoder(2, 2); print('sru' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"

"""Sequential."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import flambe
from flambe.nn import MLPEncoder, Sequential


def test_modules_run_in_order() -> None:
    sequence = Sequential(second=MLPEncoder(3, 4), act=nn.Tanh(), first=MLPEncoder(4, 2))
    data = torch.randn(5, 3)
    torch.testing.assert_close(sequence(data), sequence.first(sequence.second(data).tanh()))
    assert len(list(sequence.parameters())) == 4


def test_it_is_saved_with_its_parts(tmp_path: Path) -> None:
    sequence = Sequential(a=MLPEncoder(3, 4), b=MLPEncoder(4, 2))
    flambe.save(sequence, str(tmp_path / "s"))
    data = torch.randn(5, 3)
    torch.testing.assert_close(flambe.load(str(tmp_path / "s"))(data), sequence(data))


def test_faults() -> None:
    with pytest.raises(ValueError, match="a must be a module, got int"):
        Sequential(a=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a module cannot be called 'forward'"):
        Sequential(forward=nn.Tanh())

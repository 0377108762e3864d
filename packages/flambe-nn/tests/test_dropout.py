"""``Dropout`` drops as often as it says, keeps the mean, and is torch's in all else."""

from __future__ import annotations

import pytest
import torch

from flambe.nn.dropout import Dropout


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_share_that_is_dropped_and_what_the_rest_becomes(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    data = torch.ones(101, 997, dtype=dtype)
    made = Dropout(p)(data)
    kept = made != 0
    spread = (p * (1 - p) / data.numel()) ** 0.5
    assert abs(1 - kept.double().mean() - p) < 4 * spread
    torch.testing.assert_close(
        made[kept], torch.full_like(made[kept], 1 / (1 - p)), rtol=1e-4 if dtype != torch.bfloat16 else 1e-2, atol=0
    )
    # Neighbours are dropped independently of each other, in both directions.
    for one, other in ((kept[:, 1:], kept[:, :-1]), (kept[1:], kept[:-1]), (kept[:, 4:], kept[:, :-4])):
        assert abs((one & other).double().mean() - (1 - p) ** 2) < 6 * spread


def test_gradients_go_where_values_went() -> None:
    torch.manual_seed(0)
    data = torch.randn(4, 5, 6).transpose(0, 1).requires_grad_()
    made = Dropout(0.5)(data)
    made.sum().backward()
    assert data.grad is not None
    torch.testing.assert_close(data.grad * data, made)


def test_a_seed_gives_one_mask_and_evaluation_drops_nothing() -> None:
    data, drop = torch.ones(7, 3), Dropout(0.5)
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(drop(data))
    assert torch.equal(*made)
    assert not torch.equal(drop(data), made[0])
    assert drop.eval()(data) is data
    for p, value in ((0.0, 1.0), (1.0, 0.0), (1e-9, 1.0)):
        assert torch.equal(Dropout(p)(data), torch.full_like(data, value))
    assert Dropout(0.5)(torch.empty(0, 3)).shape == (0, 3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Dropout(1.5)

"""CNNEncoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flambe.nn import CNNEncoder


def test_blocks() -> None:
    cnn = CNNEncoder(1, [4, 8], kernel_size=[3, (2, 1)], activation=nn.PReLU(), pooling=nn.MaxPool2d(2), dropout=0.1)
    assert [[type(part).__name__ for part in block] for block in cnn.cnn] == [
        ["Conv2d", "MaxPool2d", "BatchNorm2d", "PReLU", "Dropout"]
    ] * 2
    assert cnn.cnn[0][3] is not cnn.cnn[1][3]
    assert cnn(torch.randn(2, 1, 12, 12)).shape == (2, 8, 2, 2)
    assert (cnn.input_size, cnn.output_size) == (1, 8)


@pytest.mark.parametrize(
    ("dims", "convolution", "norm"), [(1, nn.Conv1d, nn.BatchNorm1d), (2, nn.Conv2d, nn.BatchNorm2d), (3, nn.Conv3d, nn.BatchNorm3d)]
)  # fmt: skip
def test_it_is_torch(dims: int, convolution: type[nn.Module], norm: type[nn.Module]) -> None:
    torch.manual_seed(0)
    cnn = CNNEncoder(3, [5, 4], conv_dim=dims, kernel_size=[3, 2], stride=2, padding=1, activation=nn.ReLU())
    torch.manual_seed(0)
    plain = nn.Sequential(
        convolution(3, 5, 3, stride=2, padding=1), norm(5), nn.ReLU(),
        convolution(5, 4, 2, stride=2, padding=1), norm(4), nn.ReLU(),
    )  # fmt: skip
    data = torch.randn(4, 3, *[9, 8, 7][:dims])
    torch.testing.assert_close(cnn(data), plain(data))
    # What was normalised by batches is normalised by what was seen, once it is evaluated.
    torch.testing.assert_close(cnn.eval()(data), plain.eval()(data))


def test_batch_norm_is_what_was_asked_for() -> None:
    for wanted in (True, False):
        norms = [part for part in CNNEncoder(1, [2], batch_norm=wanted).modules() if isinstance(part, nn.BatchNorm2d)]
        assert len(norms) == wanted
    assert CNNEncoder(1, [2, 2], conv_dim=3)(torch.randn(1, 1, 6, 6, 6)).shape == (1, 2, 2, 2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [2], "conv_dim": 4}, "conv_dim must be 1, 2 or 3, got 4"),
        ({"channels": [2], "kernel_size": [3, 3]}, "kernel_size has 2 values for 1 blocks"),
        ({"channels": [2], "kernel_size": [(3, 3, 3)]}, r"kernel \[3, 3, 3\] has 3 sizes for conv_dim 2"),
        ({"channels": []}, "at least one block"),
    ],
)
def test_faults(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CNNEncoder(1, **options)  # type: ignore[arg-type]

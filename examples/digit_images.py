"""The extension of digits.yaml: a field that makes images of columns, and a small convolutional network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from flambe.field import Field
from flambe.nn import Module


class PixelField(Field):
    """Columns with one pixel each, row by row, to an image ``[1, height, width]`` with values from 0 to 1.

    Parameters
    ----------
    height, width: of the image.
    white: the largest value of a pixel.
    """

    def __init__(self, height: int, width: int, white: float) -> None:
        self.height = height
        self.width = width
        self.white = white

    def process(self, *example: Any) -> Tensor:
        """Pixels to one image."""
        return torch.tensor([float(pixel) for pixel in example]).view(1, self.height, self.width) / self.white


class DigitClassifier(Module):
    """Two convolutions, the mean over the image, one linear layer. Shapes: B batch, C channels.

    Parameters
    ----------
    channels: of each convolution. output_size: classes. dropout: before the linear layer.
    """

    def __init__(self, channels: int, output_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(4 * channels, output_size)

    def forward(self, data: Tensor, target: Tensor | None = None) -> Any:
        """Images ``[B, 1, 8, 8]`` to logits ``[B, output_size]``; with a target, both."""
        logits = self.output(self.dropout(self.encoder(data)))  # [B, 4 C] → [B, output_size]
        return logits if target is None else (logits, target)

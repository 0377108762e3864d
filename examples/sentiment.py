"""An engine around a trained classifier: text in, probabilities out. Named by examples/builder.yaml."""

from __future__ import annotations

from typing import Any

import torch

from flambe import Component


class Sentiment(Component):
    """Say what a film review thinks of the film.

    trained: what the stage ``export`` of examples/reviews.yaml groups: ``model``, ``text`` and ``label``.
    names: how to call the labels; labels that are not named keep their own name.
    """

    def __init__(self, trained: Any, names: dict[str, str] | None = None) -> None:
        super().__init__()
        self.trained = trained
        self.names = names or {}

    def predict(self, review: str) -> dict[str, float]:
        """Return label → probability."""
        model = self.trained.model.eval()
        with torch.no_grad():
            chances = model(self.trained.text.process(review).unsqueeze(0)).exp()  # [1, C], from log-probabilities
        labels = self.trained.label.vocab_list
        return {
            self.names.get(label, label): round(float(chance), 4)
            for label, chance in zip(labels, chances[0], strict=True)
        }

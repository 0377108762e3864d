"""``PrototypicalTextClassifier``. Shapes: Q queries, N support examples, K classes, H encoding."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.distance import get_distance_module, get_mean_module
from flambe.nn.distance.named import DistanceName
from flambe.nn.module import Module


class PrototypicalTextClassifier(Module):
    """Classify a text by the nearest class mean (Snell et al. 2017, https://arxiv.org/abs/1703.05175).

    Parameters
    ----------
    embedder: ids to one vector a text.
    distance: ``euclidean``, ``cosine`` or ``hyperbolic``; the mean is the one that belongs to it.
    detach_mean: let no gradient through the class means.
    """

    def __init__(
        self, embedder: torch.nn.Module, distance: DistanceName = "euclidean", detach_mean: bool = False
    ) -> None:
        super().__init__()
        self.embedder = embedder
        self.distance_module = get_distance_module(distance)
        self.mean_module = get_mean_module(distance, detach_mean)

    def compute_prototypes(self, support: Tensor, label: Tensor) -> Tensor:
        """Encodings ``support [N, H]`` with classes ``label [N]`` (0 to K - 1) to class means ``[K, H]``.

        Raises
        ------
        ValueError: a class between 0 and the highest has no example.
        """
        classes = int(label.max()) + 1
        counts = torch.bincount(label, minlength=classes)
        if not bool(counts.all()):
            raise ValueError(f"class {int((counts == 0).nonzero()[0])} has no support example")
        return torch.stack([self.mean_module(support[label == each]) for each in range(classes)])

    def forward(
        self,
        query: Tensor,
        query_label: Tensor | None = None,
        support: Tensor | None = None,
        support_label: Tensor | None = None,
        prototypes: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Score queries against class means.

        Parameters
        ----------
        query: ids ``[Q, S]``. query_label: ``[Q]``.
        support: ids ``[N, T]``. support_label: ``[N]``.
        prototypes: class means ``[K, H]`` that are known already; then no support is needed.

        Returns
        -------
        Scores ``[Q, K]`` (minus the distance); with labels ``(scores, labels)``.

        Raises
        ------
        ValueError: neither prototypes nor a support with labels.
        """
        if prototypes is None:
            if support is None or support_label is None:
                raise ValueError(
                    "a batch has no support: give the trainer or evaluator an `!EpisodicSampler {n_support: …, n_query: …, "
                    "n_episodes: …}` (train_sampler, val_sampler, eval_sampler); in Python, prototypes or support and support_label"
                )
            prototypes = self.compute_prototypes(self.embedder(support), support_label)
        scores: Tensor = -self.distance_module(self.embedder(query), prototypes)
        return scores if query_label is None else (scores, query_label)

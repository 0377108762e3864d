"""``EpisodicSampler``: small classification problems drawn from a large one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flambe.sampler.base import collate_fn
from flambe.sampler.seeded import SeededSampler


class EpisodicSampler(SeededSampler):
    """Few-shot episodes over two columns, source and class.

    An episode has some classes, support examples of each, and queries that are none of the support.

    Parameters
    ----------
    n_support: support examples of a class.
    n_query: queries in an episode; with ``balance_query`` of each class.
    n_episodes: episodes in an epoch.
    n_classes: classes in an episode; None: all.
    pad_index: what padding is filled with.
    balance_query: draw the queries class by class.
    seed: of all draws; None draws one from torch's generator, so it follows the seed of the run. Episode e is the same
        whenever it is drawn.
    """

    def __init__(
        self,
        n_support: int,
        n_query: int,
        n_episodes: int,
        n_classes: int | None = None,
        pad_index: int = 0,
        balance_query: bool = False,
        seed: int | None = None,
    ) -> None:
        for name, value in (("n_support", n_support), ("n_query", n_query), ("n_episodes", n_episodes)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.n_support = n_support
        self.n_query = n_query
        self.n_episodes = n_episodes
        self.n_classes = n_classes
        self.pad_index = pad_index
        self.balance_query = balance_query
        super().__init__(seed)

    def sample(self, data: Sequence[Any], n_epochs: int = 1) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Give episodes: ``(query [Q, S], query label [Q], support [N, T], support label [N])``, labels 0 to K - 1.

        ``n_epochs=-1`` never ends.

        Raises
        ------
        ValueError: too few classes, too few examples, or other than two columns.
        """
        places = self._places(data)
        return self._sample(data, places, n_epochs)

    def length(self, data: Sequence[Any]) -> int:
        """Episodes in an epoch."""
        return self.n_episodes

    def iterate(
        self, data: Sequence[Any], *, start: tuple[int, int] = (0, 0), n_epochs: int = -1
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Give the episodes of epochs ``start[0]``, …, ``n_epochs - 1``, beginning with episode ``start[1]``."""
        places = self._places(data)
        return self._iterate(data, places, start, n_epochs)

    def _iterate(
        self, data: Sequence[Any], places: list[npt.NDArray[np.int64]], start: tuple[int, int], n_epochs: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        epoch, first = start
        while n_epochs < 0 or epoch < n_epochs:
            for episode in range(first, self.n_episodes):
                yield self._episode(data, places, np.random.default_rng([self.seed % 2**64, epoch, episode]))
            epoch, first = epoch + 1, 0

    def _sample(
        self, data: Sequence[Any], places: list[npt.NDArray[np.int64]], n_epochs: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        for _ in count() if n_epochs < 0 else range(n_epochs):
            epoch = self._epochs_sampled
            self._epochs_sampled += 1
            yield from self._iterate(data, places, (epoch, 0), epoch + 1)

    def _places(self, data: Sequence[Any]) -> list[npt.NDArray[np.int64]]:
        """Where the examples of each class are."""
        if len(data) == 0:
            raise ValueError("there are no examples to sample from")
        if len(data[0]) != 2:
            raise ValueError(f"an example has {len(data[0])} columns; expected 2, source and class")
        labels = np.array([int(example[1]) for example in data])
        places = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if self.n_classes is not None and self.n_classes > len(places):
            raise ValueError(f"n_classes is {self.n_classes}, but the examples have {len(places)} classes")
        needed = self.n_support + (self.n_query if self.balance_query else 1)
        fewest = min(map(len, places))
        if fewest < needed:
            raise ValueError(f"a class has {fewest} examples; n_support and n_query need {needed}")
        n_classes = len(places) if self.n_classes is None else self.n_classes
        beside = sum(sorted(len(each) - self.n_support for each in places)[:n_classes])
        if beside < self.n_query:
            raise ValueError(
                f"n_query is {self.n_query}, but {n_classes} classes may have only {beside} examples beside their support"
            )
        return places

    def _episode(
        self, data: Sequence[Any], places: list[npt.NDArray[np.int64]], random: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        chosen = random.permutation(len(places))[: self.n_classes]
        support: list[tuple[int, int]] = []
        rest: list[list[tuple[int, int]]] = []
        for label, kind in enumerate(chosen):
            order = random.permutation(places[kind])
            support.extend((int(place), label) for place in order[: self.n_support])
            rest.append([(int(place), label) for place in order[self.n_support :]])
        if self.balance_query:
            query = [pair for pairs in rest for pair in pairs[: self.n_query]]
        else:
            pool = [pair for pairs in rest for pair in pairs]
            query = [pool[place] for place in random.permutation(len(pool))[: self.n_query]]
        return (*self._join(data, query), *self._join(data, support))

    def _join(self, data: Sequence[Any], pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        (source,) = collate_fn([(data[place][0],) for place, _ in pairs], self.pad_index)
        return source, torch.tensor([label for _, label in pairs])

"""PrototypicalTextClassifier and EpisodicSampler."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from flambe.nlp.fewshot import PrototypicalTextClassifier
from flambe.nn import Embedder, Embeddings, PooledRNNEncoder
from flambe.sampler import EpisodicSampler


def model(distance: str = "euclidean") -> PrototypicalTextClassifier:
    torch.manual_seed(0)
    return PrototypicalTextClassifier(Embedder(Embeddings(20, 6), PooledRNNEncoder(6, 8)), distance).eval()


DATA = [(torch.tensor([1 + i % 7, *range(1, 2 + i % 3)]), torch.tensor(10 + i % 4)) for i in range(40)]


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "hyperbolic"])
def test_scores_are_minus_the_distance_to_class_means(distance: str) -> None:
    classifier = model(distance)
    query, query_label, support, support_label = next(EpisodicSampler(2, 5, 1, seed=0).sample(DATA))
    pred, target = classifier(query, query_label, support, support_label)
    assert pred.shape == (5, 4)
    assert target is query_label
    encoded = classifier.embedder(support)
    means = torch.stack([classifier.mean_module(encoded[support_label == each]) for each in range(4)])
    torch.testing.assert_close(pred, -classifier.distance_module(classifier.embedder(query), means))
    torch.testing.assert_close(classifier(query, prototypes=means), pred)
    if distance == "euclidean":
        expected = -(torch.cdist(classifier.embedder(query), encoded.reshape(4, 2, 8).mean(1)) ** 2)
        torch.testing.assert_close(pred, expected, atol=1e-5, rtol=1e-4)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="a batch has no support: give the trainer or evaluator an `!EpisodicSampler"):
        model()(torch.ones(1, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="class 1 has no support example"):
        model().compute_prototypes(torch.zeros(2, 8), torch.tensor([0, 2]))


@pytest.mark.parametrize("balance", [False, True])
def test_episodes(balance: bool) -> None:
    sampler = EpisodicSampler(3, 4, 6, n_classes=2, balance_query=balance, seed=1)
    episodes = list(sampler.sample(DATA))
    assert len(episodes) == sampler.length(DATA) == 6
    for query, query_label, support, support_label in episodes:
        assert support_label.bincount().tolist() == [3, 3]
        assert len(query) == len(query_label) == (8 if balance else 4)
        assert not balance or query_label.bincount().tolist() == [4, 4]
        assert set(query_label.tolist()) <= {0, 1}
        assert len(support) == 6


def test_query_and_support_are_different_examples_of_the_same_classes() -> None:
    data = [(torch.tensor([i]), torch.tensor(i // 10)) for i in range(40)]
    for query, query_label, support, support_label in EpisodicSampler(3, 9, 20, n_classes=3, seed=1).sample(data):
        assert not set(query[:, 0].tolist()) & set(support[:, 0].tolist())
        classes = {int(label): int(source) // 10 for source, label in zip(support[:, 0], support_label, strict=True)}
        assert all(int(s) // 10 == classes[int(label)] for s, label in zip(query[:, 0], query_label, strict=True))
        assert len(classes) == 3


def test_order_is_that_of_the_seed_and_never_ends_on_demand() -> None:
    sampler = EpisodicSampler(1, 2, 3, seed=4)
    endless = [episode[0].tolist() for episode in islice(sampler.sample(DATA, n_epochs=-1), 7)]
    assert [e[0].tolist() for e in EpisodicSampler(1, 2, 3, seed=4).iterate(DATA, n_epochs=3)][:7] == endless
    assert [e[0].tolist() for e in sampler.iterate(DATA, start=(1, 1), n_epochs=2)] == endless[4:6]


def test_faults() -> None:
    for options, message in [
        ({"n_support": 10}, "a class has 10 examples; n_support and n_query need 11"),
        ({"n_support": 1, "n_classes": 5}, "n_classes is 5, but the examples have 4 classes"),
    ]:
        with pytest.raises(ValueError, match=message):
            EpisodicSampler(n_query=1, n_episodes=1, **options).sample(DATA)
    three = [(*example, torch.tensor(0)) for example in DATA]
    with pytest.raises(ValueError, match=r"an example has 3 columns; expected 2, source and class"):
        EpisodicSampler(1, 1, 1).sample(three)
    # Two of ten-example classes have twelve examples beside four of support each: never fewer queries than asked for.
    assert len(next(EpisodicSampler(4, 12, 1, n_classes=2).sample(DATA))[0]) == 12
    with pytest.raises(
        ValueError, match=r"n_query is 13, but 2 classes may have only 12 examples beside their support"
    ):
        EpisodicSampler(4, 13, 1, n_classes=2).sample(DATA)
    with pytest.raises(ValueError, match="n_episodes must be at least 1, got 0"):
        EpisodicSampler(1, 1, 0)
    with pytest.raises(ValueError, match="no examples"):
        EpisodicSampler(1, 1, 1).sample([])

"""What version 0.4 computed wrongly, or could not do at all, is right here. One test for each, by what a user would see.

Those of one component alone are in its own file: best weights, accumulated gradients, whose scale is that of one batch, and a
distillation that distils (``learn``); seeds and lengths of samplers (``test_base_sampler``); positions (``test_embedding``);
pooling (``test_pooling``); batch norm (``test_cnn``); vectors of padding (``test_text_field``); MNIST (``test_image_classifier``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flambe.dataset.array import ArrayDataset
from flambe.learn import Evaluator, Trainer
from flambe.metric import Accuracy, BinaryPrecision, BinaryRecall, MultiLabelCrossEntropy, Perplexity
from flambe.nlp.language_modeling import LanguageModel
from flambe.nn import (
    AvgPooling,
    CNNEncoder,
    Embedder,
    Embeddings,
    MixtureOfSoftmax,
    RNNEncoder,
    Sequential,
    SoftmaxLayer,
    Transformer,
)
from flambe.nn.distance import HyperbolicDistance
from flambe.sampler import BaseSampler, EpisodicSampler

IDS = torch.tensor([[3, 1, 2, 7], [4, 5, 0, 0], [6, 0, 0, 0]])


def test_reductions_know_the_direction() -> None:
    data = ArrayDataset(
        (np.zeros((4, 2), np.float32), np.zeros(4, np.int64)), (np.zeros((2, 2), np.float32), np.zeros(2, np.int64))
    )

    class Net(nn.Linear):
        def forward(self, data: Any, target: Any) -> Any:  # type: ignore[override]
            return super().forward(data), target

    for metric, lower in ((Perplexity(), True), (nn.CrossEntropyLoss(), True), (Accuracy(), False)):
        net = Net(2, 2)
        trainer = Trainer(data, BaseSampler(), BaseSampler(), net, nn.CrossEntropyLoss(), metric,
                          torch.optim.SGD(net.parameters(), 0.1), device="cpu")  # fmt: skip
        assert trainer.lower_is_better is lower
        assert Evaluator(data, net, metric, device="cpu").lower_is_better is lower


def test_an_evaluator_works_twice() -> None:
    data = ArrayDataset((np.eye(4, dtype=np.float32), np.arange(4)), test=(np.eye(4, dtype=np.float32), np.arange(4)))

    class Same(nn.Module):
        def forward(self, data: Any, target: Any) -> Any:
            return data, target

    evaluator = Evaluator(data, Same(), Accuracy(), device="cpu")
    for _ in range(2):
        assert not evaluator.run()
        assert evaluator.metric() == 1.0


def test_batch_norm_and_activations_are_there_and_each_block_has_its_own() -> None:
    normed, plain = (CNNEncoder(1, [2, 3], activation=nn.PReLU(), batch_norm=norm) for norm in (True, False))
    kinds = [type(module) for module in normed.modules()]
    assert kinds.count(nn.BatchNorm2d) == kinds.count(nn.PReLU) == 2
    assert nn.BatchNorm2d not in map(type, plain.modules())


def test_average_pooling_divides_rows_by_their_own_length() -> None:
    states = torch.ones(3, 4, 5)
    assert torch.equal(AvgPooling()(states, IDS != 0), torch.ones(3, 5))


def test_hyperbolic_distance_sees_the_first_feature() -> None:
    point = torch.zeros(1, 3)
    assert HyperbolicDistance()(point, torch.tensor([[2.0, 0, 0]])).item() > 1


def test_metrics_of_the_negative_class() -> None:
    pred, target = torch.tensor([0.9, 0.2, 0.1]), torch.tensor([1, 0, 1])
    assert BinaryPrecision(positive_label=0)(pred, target).item() == pytest.approx(0.5)
    assert BinaryRecall(positive_label=0)(pred, target).item() == 1.0


def test_a_loss_leaves_its_target_alone() -> None:
    target = torch.tensor([[1, 1, 0], [0, 1, 0]])
    before = target.clone()
    MultiLabelCrossEntropy(ignore_index=1)(torch.randn(2, 3), target)
    assert torch.equal(target, before)


def test_sequential_runs_its_modules_in_order() -> None:
    layers = {"first": nn.Linear(3, 4), "then": nn.Tanh(), "last": nn.Linear(4, 2)}
    data = torch.randn(5, 3)
    torch.testing.assert_close(Sequential(**layers)(data), nn.Sequential(*layers.values())(data))


def test_a_transformer_has_the_layers_that_were_asked_for() -> None:
    model = Transformer(6, 8, 2, num_encoder_layers=1, num_decoder_layers=3, dim_feedforward=32)
    assert (len(model.encoder.layers), len(model.decoder.layers)) == (1, 3)
    assert model.decoder.layers[0].linear1.out_features == 32


def test_a_mixture_of_softmaxes_is_trained_and_is_a_distribution() -> None:
    mixture = MixtureOfSoftmax(4, 6, k=3)
    assert len(list(mixture.parameters())) == 8
    scores = mixture(torch.randn(2, 5, 4))
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(2, 5))


def test_a_language_model_counts_real_targets_and_ties_its_weights() -> None:
    model = LanguageModel(Embedder(Embeddings(9, 6), RNNEncoder(6, 6)), SoftmaxLayer(6, 9), tie_weights=True)
    pred, target = model(IDS[:, :-1], IDS[:, 1:])
    assert target.tolist() == [1, 2, 7, 5], "the target after the last real word is padding"
    assert pred.shape == (4, 9)


def test_episodes_without_end() -> None:
    data = [(torch.tensor([place]), torch.tensor(place % 3)) for place in range(12)]
    episodes = EpisodicSampler(1, 2, 4, seed=0).sample(data, n_epochs=-1)
    assert len([next(episodes) for _ in range(11)]) == 11


@pytest.mark.parametrize("tag", ["torch.ReduceLROnPlateau", "RAdam", "CorpusSampler", "Sequential", "MNISTDataset"])
def test_a_tag_that_could_not_be_reached(tag: str) -> None:
    from flambe.compile.tags import short_names

    assert tag in short_names()

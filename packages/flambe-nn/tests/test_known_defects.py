"""What version 0.4 computed wrongly, or could not do at all, is right here: one test for each, by what a user would see.

Most are below. ``ELSEWHERE`` names those that stand in the file of the component that they are about.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flambe
from flambe.compile import compile_text
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
    PooledRNNEncoder,
    RNNEncoder,
    Sequential,
    SoftmaxLayer,
    Transformer,
)
from flambe.nn.distance import HyperbolicDistance
from flambe.runner.execute import execute
from flambe.sampler import BaseSampler, EpisodicSampler

IDS = torch.tensor([[3, 1, 2, 7], [4, 5, 0, 0], [6, 0, 0, 0]])


ELSEWHERE = {
    "reduce and schedulers kept the worst where lower is better": "flambe-tune/tests/pipeline/test_reduce.py::test_the_best_stay",
    "failed variants won": "flambe-tune/tests/experiment/test_controller.py::test_a_failed_variant_blocks_nobody_and_never_wins",
    "best weights were those of the last step": "learn/test_trainer.py::test_the_best_weights_come_back",
    "distillation did not distil": "learn/test_distillation.py::test_the_loss_is_the_formula",
    "its teacher was trained": "learn/test_distillation.py::test_the_teacher_stays_as_it_was",
    "accumulated gradients were added": "learn/test_trainer.py::test_accumulated_gradients_are_those_of_one_large_batch",
    "the seed of a sampler did nothing": "test_base_sampler.py::test_the_seed_makes_the_order",
    "its length ignored drop_last": "test_base_sampler.py::test_batches_are_those_of_torch",
    "its length ignored downsample": "test_base_sampler.py::test_downsampling_is_fixed",
    "!s never drew the higher end": "flambe-config/tests/compile/test_trials.py::test_both_ends_of_whole_samples_are_reached",
    "resuming restarted the data": "learn/test_resume.py::test_stopped_after_any_iteration_it_goes_on",
    "batch norm was never applied": "test_cnn.py::test_it_is_torch",
    "positions followed the batch": "test_embedding.py::test_sines_follow_the_sequence_and_not_the_batch",
    "positions had to be as many as tokens": "test_embedding.py::test_from_pretrained",
    "the vector of padding was random": "test_text_field.py::test_real_files_of_every_format",
    "the version 1.0.0 was none": "flambe-config/tests/build/test_state.py::test_versions_of_classes",
    "a transformer's batch was checked on the wrong axis": "test_transformer.py::test_mismatches",
    "TransformerSRU had other sizes": "test_transformer_sru.py::test_it_trains_and_takes_options_of_the_cell",
    "a mixture of softmaxes was none": "test_mos.py::test_it_is_the_formula",
    "tied weights failed": "test_language_model.py::test_tied_weights",
    "padded targets counted": "test_language_model.py::test_positions_whose_target_is_padding_do_not_count",
    "an embedder had to give two tensors": "test_language_model.py::test_embedders_that_give_one_tensor_will_do",
    "graphs were not logged": "flambe-config/tests/logging/test_datatypes.py::test_every_type_of_record_is_kept",
    "fastText was not read": "test_text_field.py::test_only_a_binary_model_of_fasttext_knows_words_it_never_saw",
    "ReduceLROnPlateau was not stepped": "learn/test_trainer.py::test_plateau_is_told_the_validation_loss",
    "MNIST's publisher is gone": "test_image_classifier.py::test_mnist_from_files",
}  # fmt: skip


@pytest.mark.parametrize("defect", ELSEWHERE)
def test_a_test_elsewhere_is_still_there(defect: str) -> None:
    here = Path(__file__).parent
    file, _, name = ELSEWHERE[defect].partition("::")
    path = here.parents[1] / file if file.startswith("flambe-") else here / file
    functions = {
        node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    }
    assert name in functions


FINE_TUNED = """
!Experiment
name: tuned
pipeline:
  dataset: !DigitsDataset
  model: !ImageClassifier
    encoder: !torch.Flatten
    output_layer: !SoftmaxLayer {input_size: 64, output_size: 10}
  train: !Trainer
    dataset: !@ dataset
    model: !@ model
    train_sampler: !BaseSampler {batch_size: 256}
    val_sampler: !BaseSampler {batch_size: 512}
    loss_fn: !torch.NLLLoss
    metric_fn: !Accuracy
    optimizer: !torch.Adam {params: !@ 'train[model].trainable_params', lr: 0.1}
    max_steps: 1
  before: !Evaluator {dataset: !@ dataset, model: !@ model, metric_fn: !Accuracy }
  after: !Evaluator {dataset: !@ dataset, model: !@ train.model, metric_fn: !Accuracy }
  both: !Exporter {before: !@ model, after: !@ train.model}
"""


def test_a_link_to_a_model_is_the_one_before_it_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[dict[str, Any]] = []
    run, failed = execute(compile_text(FINE_TUNED, name="tuned"), tool="test", on_unit=rows.append)
    assert failed == 0
    accuracy = {row["stage"]: row["metric"] for row in rows if "stage" in row}
    assert accuracy["before"] < 0.3
    assert accuracy["after"] > 0.7
    both = flambe.load(str(run / "stages/both/0/checkpoint"))
    alone = flambe.load(str(run / "stages/model/0/checkpoint"))
    for weights, other in (
        (both.before, alone),
        (both.after, flambe.load(str(run / "stages/train/0/checkpoint/model"))),
    ):
        assert all(map(torch.equal, weights.parameters(), other.parameters()))
    assert not torch.equal(next(both.before.parameters()), next(both.after.parameters()))


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
    encoder = PooledRNNEncoder(5, 2, rnn_type="gru", pooling="average")
    torch.testing.assert_close(encoder(states), encoder.rnn(states)[0].mean(1))


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

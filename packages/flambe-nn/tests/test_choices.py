"""A misspelt choice is refused before anything is built, with its place and what was probably meant."""

from __future__ import annotations

import pytest

from flambe.compile.compiler import compile_text
from flambe.errors import ConfigFaults

EMBEDDINGS = "!Embeddings {num_embeddings: 9, embedding_dim: 4}"
RNN = "!PooledRNNEncoder {input_size: 4, hidden_size: 4}"
RNN_TYPES = "'lstm', 'gru' or 'sru'. Did you mean 'lstm'?"
POOLINGS = "'first', 'last', 'sum' or 'average'. Did you mean 'average'?"
SPLITS = "'train', 'val' or 'test'. Did you mean 'test'?"

MISSPELT = [
    ("!RNNEncoder {input_size: 4, hidden_size: 4, rnn_type: ltsm}", RNN_TYPES),
    ("!PooledRNNEncoder {input_size: 4, hidden_size: 4, rnn_type: !g [gru, ltsm]}", RNN_TYPES),
    ("!PooledRNNEncoder {input_size: 4, hidden_size: 4, pooling: avergae}", POOLINGS),
    (
        f"!Embedder {{embedding: {EMBEDDINGS}, encoder: {RNN}, pooling: frist}}",
        "torch.nn.Module, 'first', 'last', 'sum', 'average' or null. Did you mean 'first'?",
    ),
    ("!CNNEncoder {input_channels: 1, channels: [2], conv_dim: 4}", "1, 2 or 3"),
    ("!MultiLabelCrossEntropy {reduction: maen}", "'mean', 'sum', 'none' or null. Did you mean 'mean'?"),
    ("!BinaryPrecision {positive_label: 2}", "0 or 1"),
    ("!F1 {positive_label: -1}", "0 or 1"),
    (
        "!TextField {embeddings: vectors.txt, embeddings_format: golve}",
        "'glove', 'word2vec', 'fasttext' or 'gensim'. Did you mean 'glove'?",
    ),
    (
        f"!PrototypicalTextClassifier {{embedder: {RNN}, distance: euclidian}}",
        "'euclidean', 'cosine' or 'hyperbolic'. Did you mean 'euclidean'?",
    ),
    ("!Evaluator {dataset: !DigitsDataset , model: !torch.Flatten , metric_fn: !Accuracy , eval_data: tset}", SPLITS),
    (
        "!Trainer {dataset: !DigitsDataset , train_sampler: !BaseSampler , val_sampler: !BaseSampler , "
        "model: !torch.Flatten , loss_fn: !Accuracy , metric_fn: !Accuracy , "
        "optimizer: !torch.SGD {params: !@ 'part[model].parameters', lr: 1.0}, precision: bfloat61}",
        "'float32', 'bfloat16', 'float16', 'fp32', 'bf16' or 'fp16'. Did you mean 'bfloat16'?",
    ),
]


@pytest.mark.parametrize(("tagged", "expected"), MISSPELT, ids=[tagged.split()[0][1:] for tagged, _ in MISSPELT])
def test_a_misspelt_choice_is_refused_at_its_place(tagged: str, expected: str) -> None:
    """The wrong value is the last one of each text."""
    text = f"!Experiment\nname: t\npipeline:\n  part: {tagged}\n"
    with pytest.raises(ConfigFaults) as caught:
        compile_text(text, name="t")
    (fault,) = caught.value.faults
    assert fault.position is not None
    assert fault.position.line == 4
    line = f"  part: {tagged}"
    assert line[fault.position.column - 1 :].rstrip("}]") == line.rstrip("}]").split()[-1]
    assert str(fault).endswith(f"; expected {expected}")

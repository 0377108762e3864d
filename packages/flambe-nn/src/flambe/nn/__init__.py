"""Model parts: encoders, poolings, output layers."""

from flambe.nn.embedding import Embedder, Embeddings
from flambe.nn.mlp import MLPDecoder, MLPEncoder
from flambe.nn.module import Module
from flambe.nn.pooling import AvgPooling, FirstPooling, LastPooling, SumPooling
from flambe.nn.rnn import PooledRNNEncoder, RNNEncoder
from flambe.nn.softmax import SoftmaxLayer

__all__ = [
    "AvgPooling",
    "Embedder",
    "Embeddings",
    "FirstPooling",
    "LastPooling",
    "MLPDecoder",
    "MLPEncoder",
    "Module",
    "PooledRNNEncoder",
    "RNNEncoder",
    "SoftmaxLayer",
    "SumPooling",
]

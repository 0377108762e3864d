"""Model parts: encoders, poolings, output layers."""

from flambe.nn.attentive_pooling import GeneralizedPooling, StructuredSelfAttentivePooling
from flambe.nn.cnn import CNNEncoder
from flambe.nn.embedding import Embedder, Embeddings
from flambe.nn.mlp import MLPDecoder, MLPEncoder
from flambe.nn.module import Module
from flambe.nn.mos import MixtureOfSoftmax
from flambe.nn.pooling import AvgPooling, FirstPooling, LastPooling, SumPooling
from flambe.nn.rnn import PooledRNNEncoder, RNNEncoder
from flambe.nn.sequential import Sequential
from flambe.nn.softmax import SoftmaxLayer
from flambe.nn.transformer import Transformer, TransformerDecoder, TransformerEncoder
from flambe.nn.transformer_sru import TransformerSRU, TransformerSRUDecoder, TransformerSRUEncoder

__all__ = [
    "AvgPooling",
    "CNNEncoder",
    "Embedder",
    "Embeddings",
    "FirstPooling",
    "GeneralizedPooling",
    "LastPooling",
    "MLPDecoder",
    "MLPEncoder",
    "MixtureOfSoftmax",
    "Module",
    "PooledRNNEncoder",
    "RNNEncoder",
    "Sequential",
    "SoftmaxLayer",
    "StructuredSelfAttentivePooling",
    "SumPooling",
    "Transformer",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerSRU",
    "TransformerSRUDecoder",
    "TransformerSRUEncoder",
]

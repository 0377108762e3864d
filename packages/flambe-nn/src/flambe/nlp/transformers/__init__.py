"""Pretrained transformers of the package ``transformers`` (``pip install 'flambe-nn[transformers]'``), which is
imported where one of them is built."""

from flambe.nlp.transformers.embedder import PretrainedTransformerEmbedder
from flambe.nlp.transformers.family import (
    BertEmbedder,
    BertTextField,
    GPT2Embedder,
    GPT2TextField,
    GPTEmbedder,
    GPTTextField,
    RobertaEmbedder,
    RobertaTextField,
    XLMEmbedder,
    XLMTextField,
    XLNetEmbedder,
    XLNetTextField,
)
from flambe.nlp.transformers.field import PretrainedTransformerField
from flambe.nlp.transformers.optimizer import AdamW
from flambe.nlp.transformers.schedule import ConstantLRSchedule, WarmupConstantSchedule, WarmupLinearSchedule

__all__ = [
    "AdamW",
    "BertEmbedder",
    "BertTextField",
    "ConstantLRSchedule",
    "GPT2Embedder",
    "GPT2TextField",
    "GPTEmbedder",
    "GPTTextField",
    "PretrainedTransformerEmbedder",
    "PretrainedTransformerField",
    "RobertaEmbedder",
    "RobertaTextField",
    "WarmupConstantSchedule",
    "WarmupLinearSchedule",
    "XLMEmbedder",
    "XLMTextField",
    "XLNetEmbedder",
    "XLNetTextField",
]

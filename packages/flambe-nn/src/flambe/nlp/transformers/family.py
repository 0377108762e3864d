"""The fields and embedders of one family of models each: the names of version 0.4."""

from __future__ import annotations

from flambe.nlp.transformers.embedder import PretrainedTransformerEmbedder
from flambe.nlp.transformers.field import PretrainedTransformerField


class BertTextField(PretrainedTransformerField):
    """The tokenizer of a BERT model (Devlin et al. 2018, https://arxiv.org/abs/1810.04805)."""

    family = "bert"


class BertEmbedder(PretrainedTransformerEmbedder):
    """A BERT model."""

    family = "bert"


class RobertaTextField(PretrainedTransformerField):
    """The tokenizer of a RoBERTa model (Liu et al. 2019, https://arxiv.org/abs/1907.11692)."""

    family = "roberta"


class RobertaEmbedder(PretrainedTransformerEmbedder):
    """A RoBERTa model."""

    family = "roberta"


class GPTTextField(PretrainedTransformerField):
    """The tokenizer of the first GPT (Radford et al. 2018)."""

    family = "openai-gpt"


class GPTEmbedder(PretrainedTransformerEmbedder):
    """The first GPT."""

    family = "openai-gpt"


class GPT2TextField(PretrainedTransformerField):
    """The tokenizer of a GPT-2 model (Radford et al. 2019)."""

    family = "gpt2"


class GPT2Embedder(PretrainedTransformerEmbedder):
    """A GPT-2 model."""

    family = "gpt2"


class XLMTextField(PretrainedTransformerField):
    """The tokenizer of an XLM model (Lample and Conneau 2019, https://arxiv.org/abs/1901.07291)."""

    family = "xlm"


class XLMEmbedder(PretrainedTransformerEmbedder):
    """An XLM model."""

    family = "xlm"


class XLNetTextField(PretrainedTransformerField):
    """The tokenizer of an XLNet model (Yang et al. 2019, https://arxiv.org/abs/1906.08237)."""

    family = "xlnet"


class XLNetEmbedder(PretrainedTransformerEmbedder):
    """An XLNet model."""

    family = "xlnet"

"""``PretrainedTransformerEmbedder``: ids to the states of a pretrained model.

Shapes: B batch, S longest sequence, H hidden size.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from flambe.nlp.transformers.package import config_of, model_of, options_of, pretrained
from flambe.nn.module import Module

# What the tables of positions of BERT and RoBERTa, XLM, GPT and GPT-2 are called.
_POSITIONS = ("position_embeddings", "positions_embed", "wpe")


class PretrainedTransformerEmbedder(Module):
    """A pretrained encoder, to be trained further.

    A saved embedder has the weights and, as its argument ``config``, the architecture: neither the folder nor the hub is asked when it
    is loaded. A subclass with a constructor of its own that names no ``config`` reads its alias again.

    Parameters
    ----------
    alias: name of a model of the Hugging Face hub, or a folder that ``save_pretrained()`` wrote. With ``config`` a mere name.
    cache_dir: where downloads are kept; default that of transformers.
    padding_idx: id that marks padding, which is then not attended to; default the model's own.
    pool: give one vector a text, what the model's own pooler makes of the first position.
    config: the architecture as data, the content of a ``config.json`` (``model_type: bert``, ``hidden_size: 64``, …). Nothing is read
        then: the weights are drawn at random, or those of the saved component.
    kwargs: for the model, such as ``hidden_dropout_prob``.

    Attributes of the model's configuration are attributes of the embedder: ``!@ teacher[embedder].hidden_size``.

    Raises
    ------
    ValueError: there is no such model, ``config`` is of none that transformers knows, or ``pool`` is asked of a model without a pooler.
    ConfigError: transformers is not installed.
    """

    family: ClassVar[str | None] = None

    def __init__(
        self,
        alias: str,
        cache_dir: str | None = None,
        padding_idx: int | None = None,
        pool: bool = False,
        config: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if config is None:
            self.embedder = pretrained("AutoModel", alias, self.family, {"cache_dir": cache_dir, **kwargs})
        else:
            self.embedder = model_of(config, self.family, kwargs)
        self.alias = alias
        self.pool = pool
        self.padding_idx = self.embedder.config.pad_token_id if padding_idx is None else padding_idx
        if pool and getattr(self.embedder, "pooler", None) is None:
            raise ValueError(
                f"{alias!r} ({self.embedder.config.model_type}) has no pooler; leave pool away and put the embedder "
                "below an Embedder with a pooling, such as !AvgPooling"
            )

    def saved_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Say the architecture by ``config``, so that nothing has to be read where the component is loaded."""
        if "config" not in inspect.signature(type(self)).parameters:
            return arguments
        own = inspect.signature(PretrainedTransformerEmbedder).parameters
        named = {name: value for name, value in arguments.items() if name in own and name != "cache_dir"}
        rest = {name: value for name, value in arguments.items() if name not in own}
        return {**named, "config": config_of(self.embedder), **options_of(self.embedder, rest)}

    def __getattr__(self, name: str) -> Any:
        """Attributes of the model's configuration."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            model = self.__dict__.get("_modules", {}).get("embedder")
            if model is None or name.startswith("_") or not hasattr(model.config, name):
                raise
            return getattr(model.config, name)

    @property
    def positions(self) -> int | None:
        """Longest sequence that the model has positions for; None for models that count by distance."""
        for name, part in self.embedder.named_modules():
            if name.rpartition(".")[2] in _POSITIONS and isinstance(part, torch.nn.Embedding):
                # Those of RoBERTa begin after that of padding.
                return part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
        return None

    @property
    def hidden_size(self) -> int:
        """Features of one position, H."""
        return cast(int, self.embedder.config.hidden_size)

    @property
    def output_size(self) -> int:
        """Another name of ``hidden_size``."""
        return self.hidden_size

    def forward(
        self,
        data: Tensor,
        token_type_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
    ) -> Tensor:
        """Encode ids ``data [B, S]`` to ``[B, S, H]``, with ``pool`` to ``[B, H]``.

        attention_mask: ``[B, S]``, 1 for real tokens; default every position but padding. The others are those of the
        model, ``[B, S]`` each; ``head_mask [heads]`` only where the model knows it.
        """
        if attention_mask is None and self.padding_idx is not None:
            attention_mask = (data != self.padding_idx).to(torch.long)
        options = {
            "token_type_ids": token_type_ids, "attention_mask": attention_mask, "position_ids": position_ids,
            "head_mask": head_mask,
        }  # fmt: skip
        output = self.embedder(input_ids=data, **{name: value for name, value in options.items() if value is not None})
        return cast(Tensor, output.pooler_output if self.pool else output.last_hidden_state)

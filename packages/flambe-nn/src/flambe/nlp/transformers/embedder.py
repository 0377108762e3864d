"""``PretrainedTransformerEmbedder``: ids to the states of a pretrained model.

Shapes: B batch, S longest sequence, H hidden size.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from flambe.nlp.transformers.package import pretrained
from flambe.nn.module import Module


class PretrainedTransformerEmbedder(Module):
    """A pretrained encoder, to be trained further.

    The weights are in a saved component; the architecture is read by its alias again, so that the folder, or the model
    of the hub, has to be there when it is loaded.

    Parameters
    ----------
    alias: name of a model of the Hugging Face hub, or a folder that ``save_pretrained()`` wrote.
    cache_dir: where downloads are kept; default that of transformers.
    padding_idx: id that marks padding, which is then not attended to; default the model's own.
    pool: give one vector a text, what the model's own pooler makes of the first position.
    kwargs: for the model, such as ``hidden_dropout_prob``.

    Attributes of the model's configuration are attributes of the embedder: ``!@ teacher[embedder].hidden_size``.

    Raises
    ------
    ValueError: there is no such model, or ``pool`` is asked of a model without a pooler.
    ConfigError: transformers is not installed.
    """

    family: ClassVar[str | None] = None

    def __init__(
        self,
        alias: str,
        cache_dir: str | None = None,
        padding_idx: int | None = None,
        pool: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.embedder = pretrained("AutoModel", alias, self.family, {"cache_dir": cache_dir, **kwargs})
        self.alias = alias
        self.pool = pool
        self.padding_idx = self.embedder.config.pad_token_id if padding_idx is None else padding_idx
        if pool and getattr(self.embedder, "pooler", None) is None:
            raise ValueError(
                f"{alias!r} ({self.embedder.config.model_type}) has no pooler; leave pool away and put the embedder "
                "below an Embedder with a pooling, such as !AvgPooling"
            )

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

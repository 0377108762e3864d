"""``LanguageModel``. Shapes: B batch, S longest sequence, V vocabulary, N real targets."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.nn.embedding import Embedder
from flambe.nn.module import Module


class LanguageModel(Module):
    """Predict the next token at every position.

    Parameters
    ----------
    embedder: ids ``[B, S]`` to states ``[B, S, H]``; it must not pool.
    output_layer: states to scores of tokens.
    dropout: on the states.
    pad_index: target that does not count.
    tie_weights: the output layer uses the embedding's matrix (Press and Wolf 2017, https://arxiv.org/abs/1608.05859);
        then H must be the embedding size.
    tie_weight_attr: attribute of the embedder that holds the embedding.
    """

    def __init__(
        self,
        embedder: Embedder,
        output_layer: torch.nn.Module,
        dropout: float = 0,
        pad_index: int = 0,
        tie_weights: bool = False,
        tie_weight_attr: str = "embedding",
    ) -> None:
        super().__init__()
        self.embedder = embedder
        self.output_layer = output_layer
        self.drop = torch.nn.Dropout(dropout)
        self.pad_index = pad_index
        self.tie_weights = tie_weights
        if tie_weights:
            self._tie(tie_weight_attr)

    def forward(self, data: Tensor, target: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Score every position.

        Parameters
        ----------
        data: ids ``[B, S]``.
        target: ids that follow, ``[B, S]``.

        Returns
        -------
        ``[B, S, V]``; with a target ``([N, V], [N])``, without positions whose target is padding.
        """
        states = self.embedder(data)
        if isinstance(states, tuple):
            states = states[0]
        if states.dim() != 3:
            raise ValueError("the embedder pools; a language model needs a state for every position")
        states = self.drop(states)
        if target is None:
            scores: Tensor = self.output_layer(states)
            return scores
        real = target != self.pad_index  # [B, S]
        return self.output_layer(states[real]), target[real]

    def _tie(self, attribute: str) -> None:
        embedding = getattr(self.embedder, attribute, None)
        if embedding is None:
            raise ValueError(f"the embedder has no {attribute!r}, which tie_weight_attr names for tie_weights")
        # An `Embeddings` keeps its table one level down.
        holder = getattr(embedding, "token_embedding", embedding)
        linears = [module for module in self.output_layer.modules() if isinstance(module, torch.nn.Linear)]
        if len(linears) != 1 or linears[0].weight.shape != holder.weight.shape:
            shapes = [list(linear.weight.shape) for linear in linears]
            raise ValueError(
                f"tie_weights needs an output layer with one matrix of shape {list(holder.weight.shape)} "
                f"(vocabulary, embedding size); it has {shapes}"
            )
        linears[0].weight = holder.weight

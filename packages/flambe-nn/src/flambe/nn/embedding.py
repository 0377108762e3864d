"""``Embeddings`` (ids to vectors) and ``Embedder`` (ids to encoded vectors). Shapes: B batch, S longest sequence,
E embedding size, H what the encoder gives."""

from __future__ import annotations

import inspect
import math
from typing import Any, cast

import torch
from torch import Tensor

from flambe.build.registrable import registrable_factory
from flambe.nn.cnn import CNNEncoder
from flambe.nn.dropout import Dropout
from flambe.nn.module import Module
from flambe.nn.pooling import PoolingName, get_pooling
from flambe.nn.rnn import RNNEncoder


class Embeddings(Module):
    """Token embeddings, with positions added when asked for.

    Parameters
    ----------
    num_embeddings: rows of the table (``dataset.text.vocab_size``).
    embedding_dim: size of a vector.
    padding_idx: id whose vector is zeros and stays so; None for none. No position is added to it.
    max_norm, norm_type, scale_grad_by_freq, sparse: as in ``torch.nn.Embedding``.
    positional_encoding: add a vector for the place in the sequence: sines and cosines of falling frequencies
        (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), never trained.
    positional_learned: learn those vectors instead; needs ``positional_encoding``.
    positional_max_length: longest sequence for which there are positions.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = 0,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        positional_encoding: bool = False,
        positional_learned: bool = False,
        positional_max_length: int = 5000,
    ) -> None:
        super().__init__()
        if positional_learned and not positional_encoding:
            raise ValueError("positional_learned needs positional_encoding: true")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.token_embedding = torch.nn.Embedding(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        )
        self.positional_embedding: torch.nn.Embedding | None = None
        if positional_encoding:
            self.positional_embedding = torch.nn.Embedding(positional_max_length, embedding_dim)
            if not positional_learned:
                self.positional_embedding.weight = torch.nn.Parameter(
                    sinusoids(positional_max_length, embedding_dim), requires_grad=False
                )

    @registrable_factory
    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = 0,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        positional_encoding: bool = False,
        positional_learned: bool = False,
        positional_max_length: int = 5000,
        positional_embeddings: Tensor | None = None,
        positional_freeze: bool = True,
    ) -> Embeddings:
        """Make embeddings from a matrix ``[num_embeddings, embedding_dim]`` (``dataset.text.embedding_matrix``).

        Parameters
        ----------
        embeddings: the matrix; it is copied.
        freeze: do not train it.
        positional_embeddings: ``[length, embedding_dim]``; replaces the positions, and their number. Needs
            ``positional_encoding``.
        positional_freeze: do not train ``positional_embeddings``.

        The others are those of the constructor.
        """
        if embeddings is None or embeddings.dim() != 2:
            what = "None" if embeddings is None else f"{embeddings.dim()} dimensions"
            raise ValueError(f"embeddings must be a matrix [num_embeddings, embedding_dim], got {what}")
        if positional_embeddings is not None:
            if not positional_encoding:
                raise ValueError("positional_embeddings needs positional_encoding: true")
            if positional_embeddings.dim() != 2 or positional_embeddings.size(1) != embeddings.size(1):
                raise ValueError(
                    f"positional_embeddings must be [length, {embeddings.size(1)}], "
                    f"got {list(positional_embeddings.shape)}"
                )
            positional_max_length = positional_embeddings.size(0)
        made = cls(
            num_embeddings=embeddings.size(0),
            embedding_dim=embeddings.size(1),
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            positional_encoding=positional_encoding,
            positional_learned=positional_learned,
            positional_max_length=positional_max_length,
        )
        made.token_embedding.weight = torch.nn.Parameter(embeddings.detach().clone(), requires_grad=not freeze)
        if positional_embeddings is not None and made.positional_embedding is not None:
            made.positional_embedding.weight = torch.nn.Parameter(
                positional_embeddings.detach().clone(), requires_grad=not positional_freeze
            )
        return made

    @property
    def positions(self) -> int | None:
        """Longest sequence that there are positions for; None without positions."""
        return None if self.positional_embedding is None else self.positional_embedding.num_embeddings

    @property
    def weight(self) -> Tensor:
        """The token table, under the name ``torch.nn.Embedding`` gives it."""
        return self.token_embedding.weight

    def forward(self, data: Tensor) -> Tensor:
        """Ids ``data [B, S]`` to vectors ``[B, S, E]``."""
        vectors: Tensor = self.token_embedding(data)
        if self.positional_embedding is None:
            return vectors
        length = data.size(1)
        if length > self.positional_embedding.num_embeddings:
            raise ValueError(
                f"a sequence of {length} is longer than positional_max_length "
                f"({self.positional_embedding.num_embeddings})"
            )
        positions = self.positional_embedding.weight[:length]  # [S, E], the same for every row
        if self.padding_idx is not None:
            return vectors + positions * (data != self.padding_idx).unsqueeze(-1)
        return vectors + positions


def sinusoids(length: int, size: int) -> Tensor:
    """Sine and cosine positions ``[length, size]``: even columns sines, odd columns cosines."""
    position = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, size, 2, dtype=torch.float32) * (-math.log(10000.0) / size))
    table = torch.zeros(length, size)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate[: size // 2])
    return table


class Embedder(Module):
    """Embedding, dropout, encoder and (perhaps) pooling: ids to one vector a sequence or a position.

    Parameters
    ----------
    embedding: ids ``[B, S]`` to vectors ``[B, S, E]``.
    encoder: vectors to states; gets ``padding_mask`` when its ``forward`` knows that name. A ``CNNEncoder`` has ``conv_dim: 1`` and
        ``padding: same``, and ``input_channels`` is the size of the vectors.
    pooling: states ``[B, S, H]`` to ``[B, H]``; a module, or ``first``, ``last``, ``sum``, ``average``. An encoder
        that pools by itself is left as it is.
    embedding_dropout: on the vectors.
    padding_idx: id that marks padding; None builds no mask.
    return_mask: give the mask back too.

    Raises
    ------
    ValueError: the encoder is a ``CNNEncoder`` of images.
    """

    def __init__(
        self,
        embedding: torch.nn.Module,
        encoder: torch.nn.Module,
        pooling: torch.nn.Module | PoolingName | None = None,
        embedding_dropout: float = 0,
        padding_idx: int | None = 0,
        return_mask: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(encoder, CNNEncoder) and encoder.conv_dim != 1:
            raise ValueError(
                f"encoder has conv_dim {encoder.conv_dim}, and text has one dimension; set conv_dim: 1, padding: same"
            )
        self.embedding = embedding
        self.encoder = encoder
        self.pooling = get_pooling(pooling) if isinstance(pooling, str) else pooling
        self.drop = Dropout(embedding_dropout)
        self.padding_idx = padding_idx
        self.return_mask = return_mask
        self._encoder_masks = _accepts(encoder, "padding_mask")
        self._pooling_masks = self.pooling is not None and _accepts(self.pooling, "padding_mask")

    @property
    def embeddings(self) -> torch.nn.Module:
        """Another name of ``embedding``."""
        return self.embedding

    @property
    def input_size(self) -> int:
        """Size of the vectors that the encoder reads."""
        size = getattr(self.encoder, "input_size", None)
        return cast(int, self.embedding.embedding_dim if size is None else size)

    @property
    def hidden_size(self) -> int:
        """``hidden_size`` of the encoder."""
        return cast(int, self.encoder.hidden_size)

    @property
    def output_size(self) -> int:
        """Features of what comes out: those of the encoder, unless the pooling says otherwise."""
        size = getattr(self.pooling, "output_size", None)
        return cast(int, self.encoder.output_size if size is None else size)

    def forward(self, data: Tensor) -> Any:
        """Encode ids ``data [B, S]``.

        Returns
        -------
        With pooling ``[B, H]``. Without: what the encoder gives, ``[B, S, H]`` or ``(states, last state)``.
        With ``return_mask`` a pair of that and the mask ``[B, S]`` (None without ``padding_idx``).
        """
        mask = None if self.padding_idx is None else data != self.padding_idx  # [B, S], True for real tokens
        vectors = self.drop(self.embedding(data))  # [B, S, E]
        options: dict[str, Any] = {}
        if self._encoder_masks and mask is not None:
            options["padding_mask"] = mask
        if self.pooling is not None and isinstance(self.encoder, RNNEncoder):
            options["return_state"] = False
        if isinstance(self.encoder, CNNEncoder):
            encoded = self.encoder(vectors.transpose(1, 2), **options).transpose(1, 2)  # [B, E, S] to [B, H, S]
        else:
            encoded = self.encoder(vectors, **options)
        if self.pooling is not None:
            states = encoded[0] if isinstance(encoded, tuple) else encoded
            if states.dim() == 2:
                encoded = states
            elif self._pooling_masks:
                encoded = self.pooling(states, padding_mask=mask)
            else:
                encoded = self.pooling(states)
        return (encoded, mask) if self.return_mask else encoded


def _accepts(module: torch.nn.Module, name: str) -> bool:
    parameters = inspect.signature(module.forward).parameters
    return name in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())

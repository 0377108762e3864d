"""``tell_unlikely``: what trains without an error, and is hardly meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from flambe.build.made import made_of
from flambe.cli.console import say
from flambe.field import Field, LabelField, TextField


def tell_unlikely(dataset: Any, model: nn.Module, sampler: Any, classes: int | None) -> None:
    """Warn of what is prepared and not used: word vectors, scores of classes, a word that padding is.

    dataset: with its fields as attributes. sampler: of its training data. classes: of which the model gives scores, where the loss
    is one of classes.
    """
    for name, field in getattr(dataset, "__dict__", {}).items():
        if not isinstance(field, Field):
            continue
        for fault in (*_vectors(name, field, model), *_padding(name, field, sampler, dataset)):
            say(f"warning: {fault}")
    labels = [field for field in getattr(dataset, "__dict__", {}).values() if isinstance(field, LabelField)]
    if classes is not None and labels and classes > (most := max(field.vocab_size for field in labels)):
        say(
            f"warning: the model gives scores of {classes} classes, and there are {most} labels: the others are never right. "
            "Link it to the labels: output_size: !@ DATASET.FIELD.vocab_size"
        )


def _vectors(name: str, field: Field, model: nn.Module) -> Iterator[str]:
    """Yield what is wrong with the vectors that a field has read: no part of the model has begun with them."""
    matrix = getattr(field, "embedding_matrix", None)
    if matrix is None:
        return
    parts = list(model.modules())
    tables = [part for part in parts if isinstance(part, nn.Embedding) and part.num_embeddings == len(matrix)]
    begun = any((made := made_of(part)) is not None and made.factory == "from_pretrained" for part in parts)
    if not tables or begun or any(_holds(table.weight, matrix) for table in tables):
        return
    yield (
        f"the field {name!r} has read word vectors, and the model's embeddings begin with random ones. "
        f"Link them: !Embeddings.from_pretrained {{embeddings: !@ DATASET.{name}.embedding_matrix}}"
    )


def _holds(weight: torch.Tensor, matrix: torch.Tensor) -> bool:
    """Whether rows of a matrix are in the weights, but for the first ones: special tokens have none of their own."""
    return weight.shape == matrix.shape and torch.equal(weight.detach()[-1].cpu(), matrix[-1])


def _padding(name: str, field: Field, sampler: Any, dataset: Any) -> Iterator[str]:
    """Yield what is wrong with padding: it is a word."""
    if not isinstance(field, TextField) or field.pad_token is not None or getattr(sampler, "pad_index", None) != 0:
        return
    word = next((token for token, place in field.vocab.items() if place == 0), None)
    packed = dataset.train.packed() if hasattr(dataset.train, "packed") else None
    lengths = [column.lengths() for column in packed or ()]
    if word is not None and any(one is not None and one.min() != one.max() for one in lengths):
        yield (
            f"the field {name!r} has no pad_token, and the sampler pads with 0, which is {word!r}. Take a pad_token, or a pad_index of the "
            "sampler and a padding_idx of the embeddings that are no word"
        )


__all__ = ["tell_unlikely"]

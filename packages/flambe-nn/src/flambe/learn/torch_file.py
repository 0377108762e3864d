"""Artifacts of type ``torch``: files of ``torch.save``, read with weights only unless somebody vouches for them."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from torch import nn

from flambe.errors import ProvenanceError
from flambe.record.artifact_type import InvalidArtifactError


def save(value: Any, path: str, *, allow_pickle: bool = False) -> None:
    """Write tensors, or plain data with tensors in it. allow_pickle: any object, as a pickle.

    Raises InvalidArtifactError for a module, whose state is meant, ProvenanceError for other objects that need a pickle.
    """
    if isinstance(value, nn.Module) and not allow_pickle:
        raise InvalidArtifactError(
            f"a whole {type(value).__qualname__} would be a pickle",
            hint="Give its state_dict(), or pass allow_pickle=True here and where it is read.",
        )
    torch.save(value, path)
    if not allow_pickle:
        load(path)


def load(path: str, *, allow_pickle: bool = False) -> Any:
    """Read what ``save`` wrote, onto the CPU. Raises ProvenanceError for a file that would run code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=not allow_pickle, mmap=True)
    except pickle.UnpicklingError as error:
        raise ProvenanceError(
            f"{path} holds more than tensors and plain data", hint="If you trust it, pass allow_pickle=True."
        ) from error

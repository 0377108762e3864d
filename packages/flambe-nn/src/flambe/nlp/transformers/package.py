"""Importing the optional package ``transformers``, which takes seconds, and asking it for a model."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from flambe.errors import ConfigError
from flambe.runner.environment import note_input

WEIGHTS = {".safetensors", ".bin", ".h5", ".msgpack"}


def import_transformers() -> ModuleType:
    """Return the package ``transformers``. Called only where a tokenizer or a model is built.

    Raises
    ------
    ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ConfigError(
            f"pretrained transformers cannot be used: {error}", hint="pip install 'flambe-nn[transformers]'"
        ) from error


def pretrained(auto_class: str, alias: str, family: str | None, options: dict[str, Any]) -> Any:
    """Return ``transformers.<auto_class>.from_pretrained(alias, **options)``.

    The files of a local folder are inputs of the stage that is running: a result is used again as long as they stay.

    family: the ``model_type`` that the model has to have; None takes any.

    Raises
    ------
    ValueError: there is no such model, it is of another family, or its author's code would have to run.
    """
    if options.get("trust_remote_code"):
        # A saved component may come from anybody, and its arguments with it.
        raise ValueError("trust_remote_code is refused: it would run the code of whoever made the model")
    library = import_transformers()
    folder = Path(alias).expanduser()
    if folder.is_dir():
        alias = str(folder)
    elif alias.startswith((".", "/", "~")):
        raise ValueError(f"there is no folder {alias!r}, which save_pretrained() would have written")
    try:
        if family is not None:
            config = library.AutoConfig.from_pretrained(alias, cache_dir=options.get("cache_dir"))
            if config.model_type != family:
                raise ValueError(
                    f"{alias!r} is a {config.model_type} model, not {family}; "
                    "PretrainedTransformerField and PretrainedTransformerEmbedder take any"
                )
        made = getattr(library, auto_class).from_pretrained(alias, **options)
    except OSError as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(
            f"the pretrained model {alias!r} cannot be loaded: {first} "
            "Name a folder that save_pretrained() wrote, or a model of https://huggingface.co/models"
        ) from error
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            # Other weights make no other tokenizer, and a data set does not depend on them.
            if file.is_file() and not (auto_class == "AutoTokenizer" and file.suffix in WEIGHTS):
                note_input(file)
    return made

"""Importing the optional package ``transformers``, which takes seconds, and asking it for a model; and what is kept of one, so
that it is made again without its folder or the hub."""

from __future__ import annotations

import importlib
import inspect
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from flambe.errors import ConfigError
from flambe.runner.environment import note_input

WEIGHTS = {".safetensors", ".bin", ".h5", ".msgpack"}
TOKENIZER_SETTINGS = "tokenizer_config.json"


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
    options = {name: value for name, value in options.items() if name != "trust_remote_code"}
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
        made = getattr(library, auto_class).from_pretrained(alias, trust_remote_code=False, **options)
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


def model_of(config: Mapping[str, Any], family: str | None, options: Mapping[str, Any]) -> Any:
    """Return a model of the configuration ``config``, its weights drawn at random: nothing is read, from no folder and no hub.

    options: for the configuration or the model, such as ``hidden_dropout_prob``.

    Raises
    ------
    ValueError: the configuration has no known ``model_type``, or is of another family, or its author's code would have to run.
    """
    library = import_transformers()
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in library.CONFIG_MAPPING:
        raise ValueError(f"config: model_type is {model_type!r}; expected one that transformers knows, such as 'bert'")
    if family is not None and model_type != family:
        raise ValueError(f"config: model_type is {model_type!r}; expected {family!r}")
    data = {name: value for name, value in config.items() if name not in ("model_type", "auto_map")}
    kind = library.CONFIG_MAPPING[model_type]
    plain = kind.from_dict(data)
    # A configuration takes anything; what it does not know by itself is for the model.
    known = {name: value for name, value in options.items() if hasattr(plain, name)}
    rest = {name: value for name, value in options.items() if name not in known}
    return library.AutoModel.from_config(kind.from_dict({**data, **known}), trust_remote_code=False, **rest)


def config_of(model: Any) -> dict[str, Any]:
    """Return the configuration of a model as plain data, for ``model_of``."""
    data: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=False))
    # It names where the model came from, which is of no use elsewhere.
    return {name: value for name, value in data.items() if name not in ("_name_or_path", "auto_map")}


def options_of(model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``options`` that the class of ``model`` takes beside its configuration (``add_pooling_layer``)."""
    takes = {*inspect.signature(type(model)).parameters, "attn_implementation"} - {"config"}
    return {name: value for name, value in options.items() if name in takes}


def files_of(tokenizer: Any) -> dict[str, str | bytes]:
    """Return the files that a tokenizer is made again of, by name. Equal tokenizers give equal files, wherever they were read."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        # Each call sets both; what the last one set would be written too.
        fast.no_truncation()
        fast.no_padding()
    with tempfile.TemporaryDirectory(prefix="flambe-tokenizer-") as folder:
        tokenizer.save_pretrained(folder)
        found = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    settings = json.loads(found[TOKENIZER_SETTINGS])
    kept = {name: value for name, value in settings.items() if name not in ("is_local", "local_files_only", "auto_map")}
    found[TOKENIZER_SETTINGS] = json.dumps(kept, indent=1, sort_keys=True).encode()
    return {name: _text_or_bytes(data) for name, data in found.items()}


def tokenizer_of(files: Mapping[str, str | bytes]) -> Any:
    """Return the tokenizer whose files ``files_of`` returned.

    Raises
    ------
    ValueError: a name among them leads elsewhere, or they make no tokenizer.
    """
    library = import_transformers()
    with tempfile.TemporaryDirectory(prefix="flambe-tokenizer-") as folder:
        for name, data in files.items():
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise ValueError(f"a file of the saved tokenizer is called {name!r}; expected a plain name")
            (Path(folder) / name).write_bytes(data.encode() if isinstance(data, str) else data)
        try:
            return library.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except OSError as error:
            raise ValueError(f"the saved tokenizer cannot be loaded: {str(error).splitlines()[0]}") from error


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data

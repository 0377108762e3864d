"""Importing the optional package ``sru``, which compiles C++ when it is first imported."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

from flambe.errors import ConfigError
from flambe.nn.build_lock import wait_for_build


def import_sru() -> ModuleType:
    """Return the package ``sru``. Called only where an SRU is built: the first import on a machine compiles for some 20 s.

    Raises
    ------
    ConfigError: it is not installed, or cannot be compiled here.
    """
    if "sru" in sys.modules:
        return sys.modules["sru"]
    _wait_for_other_builds()
    path = os.environ.get("PATH", "")
    # torch wants `ninja` on PATH even for what is compiled already, and a venv that is not activated is not there.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    try:
        with warnings.catch_warnings():
            # It says that there is no CUDA compiler, and torch says that torch.jit.script is old: neither is for our users.
            warnings.simplefilter("ignore")
            sru = importlib.import_module("sru")
    except ImportError as error:
        raise ConfigError(f"SRU cannot be used: {error}", hint="pip install 'flambe-nn[sru]'") from error
    except (RuntimeError, OSError) as error:
        raise ConfigError(
            f"SRU cannot be used, because its C++ part did not build: {str(error).splitlines()[0]}",
            hint="It needs g++ and ninja (`pip install 'flambe-nn[sru]'` brings ninja)",
        ) from error
    finally:
        os.environ["PATH"] = path
    warnings.filterwarnings("ignore", message="Running SRU on CPU with grad_enabled=True")
    return sru


def _wait_for_other_builds() -> None:
    home = os.environ.get("TORCH_EXTENSIONS_DIR")
    root = Path(home) if home else Path.home() / ".cache" / "torch_extensions"
    for lock in (*root.glob("sru_c*/lock"), *root.glob("*/sru_c*/lock")):
        wait_for_build(lock, "SRU")

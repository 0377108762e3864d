"""Importing the optional package ``sru``, which compiles C++ when it is first imported."""

from __future__ import annotations

import importlib
import os
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType

from flambe.errors import ConfigError

BUILD_LIMIT_S = 300.0


def import_sru() -> ModuleType:
    """Return the package ``sru``. Called only where an SRU is built: the first import on a machine compiles for some 20 s.

    Raises
    ------
    ConfigError: it is not installed, it cannot be compiled here, or an earlier compilation was killed half-way.
    """
    if "sru" in sys.modules:
        return sys.modules["sru"]
    _refuse_a_dead_build()
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


def _refuse_a_dead_build() -> None:
    """A build that was killed leaves a lock, for which every later import would wait without end."""
    home = os.environ.get("TORCH_EXTENSIONS_DIR")
    root = Path(home) if home else Path.home() / ".cache" / "torch_extensions"
    for lock in (*root.glob("sru_c*/lock"), *root.glob("*/sru_c*/lock")):
        try:
            age_s = time.time() - lock.stat().st_mtime
        except OSError:
            continue
        if age_s > BUILD_LIMIT_S:
            raise ConfigError(
                f"SRU cannot be used: a build of it was interrupted {age_s / 60:.0f} minutes ago",
                hint=f"If nothing is building it now, remove {lock}",
            )

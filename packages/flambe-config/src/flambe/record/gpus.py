"""The GPUs of this machine, from what the driver says. No library is loaded for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

_DRIVER = Path("/proc/driver/nvidia/gpus")
_ASK = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
_LONGEST_S = 10.0


def named_gpus() -> list[dict[str, Any]]:
    """Return the names of the GPUs, from the files of the driver: at once, and without their memory."""
    found = []
    for file in sorted(_DRIVER.glob("*/information")):
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        pairs = dict(line.split(":", 1) for line in lines if ":" in line)
        found.append({"name": pairs.get("Model", "").strip()})
    return found


def measured_gpus() -> list[dict[str, Any]] | None:
    """Return name and memory of the GPUs, from ``nvidia-smi`` (which may take a second), or from torch where it has begun to use
    them. None where nobody knows.
    """
    if shutil.which(_ASK[0]) is not None:
        try:
            done = subprocess.run(
                _ASK, capture_output=True, text=True, timeout=_LONGEST_S, check=True, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.SubprocessError):
            return None
        rows = [line.rpartition(",") for line in done.stdout.splitlines() if "," in line]
        return [
            {"name": name.strip(), "memory_mib": int(memory)} for name, _, memory in rows if memory.strip().isdigit()
        ]
    torch = sys.modules.get("torch")
    # To ask torch first would begin to use the GPU in this process, which cannot be forked any more then.
    if torch is not None and torch.cuda.is_initialized():
        seen = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return [{"name": one.name, "memory_mib": one.total_memory // 2**20} for one in seen]
    return None


__all__ = ["measured_gpus", "named_gpus"]

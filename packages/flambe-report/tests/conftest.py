from __future__ import annotations

import sys
from pathlib import Path

# The builder also serves the screenshot, which is no test: it lives beside the tests and is found by its folder.
sys.path.insert(0, str(Path(__file__).parent / "tools"))

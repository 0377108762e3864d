from __future__ import annotations

import sys
from pathlib import Path

# What writes runs for tests is no test: it lies beside them and is found by its folder.
sys.path.insert(0, str(Path(__file__).parent))

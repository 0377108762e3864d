"""What the tests of both rooms share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def searching() -> Path:
    """The file of some search algorithms of one's own. One process can hold only one module of its name."""
    return Path(__file__).parent / "own" / "searching.py"

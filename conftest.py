"""For all tests: what a process inherits must not decide what they see, and the long ones begin first."""

import os
import signal
from collections import Counter

import pytest

# Several workers share the cores, and the tensors of tests are tiny: threads of torch would mostly wait for each other, at
# twice the CPU time and more. Units set their own number (`resources.cpus`).
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts a job in the background has it, and all that it starts, ignore SIGINT. Tests send that to commands.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, whole: at the end no worker waits for another one's long file."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])

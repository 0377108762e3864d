"""Processes that compile nothing do not import the compiler of torch: it takes as long to import as the rest of torch."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys

import flambe.learn.torch_codec
import torch
from flambe.optim import DeferredAdam

net = torch.nn.Linear(2, 1)
optimizer = DeferredAdam(net.parameters())
torch.optim.SGD(net.parameters(), 0.1).zero_grad()
net(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
assert net.weight.grad is None
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules

import torch._dynamo

for _ in range(2):  # from now on torch's own way
    optimizer.zero_grad()
assert getattr(torch.optim.Optimizer.zero_grad.__wrapped__, "__dynamo_disable").__module__.startswith("torch")
"""


def test_optimizers_leave_the_compiler_out_until_it_is_there() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

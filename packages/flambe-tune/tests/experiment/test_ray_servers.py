"""What can be said about a Ray without a Ray."""

from __future__ import annotations

import socket
import time

import pytest

from flambe.errors import MachineError
from flambe.experiment.ray_servers import RayServers, own_address


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1:6379", "127.0.0.1"),
        ("127.0.0.2:6379", "127.0.0.2"),
        ("localhost:6379", "127.0.0.1"),
        ("192.0.2.1:6379", None),  # kept for documents: no machine has it
        ("no-such-host.invalid:6379", None),
        ("0.0.0.0:6379", None),
        ("auto", None),
        ("ray://127.0.0.1:10001", None),
    ],
)
def test_the_address_of_a_ray_is_ours_or_not(address, own):
    assert own_address(address) == own


def test_a_ray_that_is_not_there_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(MachineError, match=rf"cannot join the Ray at {address}: .*refused") as caught:
        RayServers(address, cpus=1)
    assert time.monotonic() - began < 10
    assert "Is it running there" in caught.value.hint

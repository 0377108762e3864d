"""``flambe.get_env``, ``set_env`` and ``env``: one environment for a process and its children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import flambe
from flambe.errors import ConfigError
from flambe.runnable import Environment


@pytest.fixture(autouse=True)
def none_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("FLAMBE_ENVIRONMENT", raising=False)
    yield
    os.environ.pop("FLAMBE_ENVIRONMENT", None)


def test_the_default_environment_has_the_documented_values() -> None:
    assert vars(flambe.get_env()) == {
        "output_path": "flambe_output", "extensions": {}, "local_files": {}, "remote_files": {}, "head_node_ip": None,
        "worker_node_ips": [], "remote": False, "debug": False, "extra": {},
    }  # fmt: skip


def test_overrides_of_get_env_are_a_copy_and_those_of_set_env_stay() -> None:
    assert flambe.get_env(debug=True).debug is True
    assert flambe.get_env().debug is False
    flambe.set_env(env=Environment(output_path="out"), extra={"fold": 3})
    flambe.set_env(head_node_ip="10.0.0.1")
    assert flambe.get_env() == Environment("out", head_node_ip="10.0.0.1", extra={"fold": 3})
    flambe.get_env().extra["fold"] = 4
    assert flambe.get_env().extra == {"fold": 3}


def test_a_block_has_an_environment_of_its_own_also_when_it_raises() -> None:
    def inside() -> None:
        with flambe.env(debug=True, output_path="a") as inner:
            assert flambe.get_env() == inner == Environment("a", debug=True)
            with flambe.env(Environment(remote=True)):
                assert flambe.get_env() == Environment(remote=True)
            assert flambe.get_env() == inner
            raise KeyError

    with pytest.raises(KeyError):
        inside()
    assert flambe.get_env() == Environment()


def test_children_have_the_environment_of_their_parent() -> None:
    flambe.set_env(worker_node_ips=["10.0.0.2"])
    program = "import flambe; print(flambe.get_env())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "Environment(worker_node_ips=['10.0.0.2'])\n"


def test_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"Environment has no field 'output'. Did you mean 'output_path'\?"):
        flambe.get_env(output="x")
    with pytest.raises(ConfigError, match="an environment holds plain data only: Object of type set is not JSON"):
        flambe.set_env(extra={"a": {1}})
    monkeypatch.setenv("FLAMBE_ENVIRONMENT", "no json")
    with pytest.raises(ConfigError, match="the variable FLAMBE_ENVIRONMENT holds no environment: .*unset"):
        flambe.get_env(debug=True)

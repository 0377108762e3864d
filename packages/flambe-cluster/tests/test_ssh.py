"""The description of an SSH cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flambe.cluster import SSHCluster
from flambe.cluster.cli import load_cluster
from flambe.cluster.errors import ClusterConfigurationError, ClusterError
from flambe.errors import ConfigError


def make(**fields: Any) -> SSHCluster:
    given = {"name": "c", "orchestrator_ip": "10.0.0.1", "factories_ips": ["10.0.0.2"], "key": "k", "username": "u"}
    return SSHCluster(**{**given, **fields})


def test_addresses_are_one_or_a_pair_of_public_and_private() -> None:
    pairs = {"orchestrator_ip": ["1.1.1.1", "10.0.0.1"], "factories_ips": ["10.0.0.2", ["1.1.1.3", "10.0.0.3"]]}
    outside = make(**pairs).hosts
    assert [(host.name, host.role) for host in outside] == [
        ("c_orchestrator", "orchestrator"), ("c_factory_1", "factory"), ("c_factory_2", "factory"),
    ]  # fmt: skip
    assert [host.address for host in outside] == ["1.1.1.1", "10.0.0.2", "1.1.1.3"]
    assert [host.private for host in outside] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    inside = make(**pairs, use_public=False)
    assert [host.address for host in inside.hosts] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert inside.ray_address == "10.0.0.1:6379"
    for word in ("c_factory_2", "factory_2", "10.0.0.3"):
        assert inside.find_host(word) is inside.hosts[2]
    with pytest.raises(ClusterError, match="no machine 'factory_9'.*c_orchestrator, c_factory_1, c_factory_2"):
        inside.find_host("factory_9")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"orchestrator_ip": ["a", "b", "c"]}, r"orchestrator_ip is \['a', 'b', 'c'\]; expected an address, or"),
        ({"factories_ips": [["1.1.1.1"]]}, r"factories_ips\[0\]"),
        ({"factories_ips": ["-oProxyCommand=x"]}, "ProxyCommand"),
        ({"factories_ips": ["10.0.0.1"]}, "same public address 10.0.0.1: orchestrator_ip and factories_ips.0."),
        ({"factories_ips": ["10.0.0.2", ["1.1.1.1", "10.0.0.2"]]}, "same private address 10.0.0.2"),
        ({"name": "a b"}, "'a b' cannot be the name"),
        ({"name": "../up"}, "cannot be the name"),
        ({"setup_cmds": "apt update"}, "setup_cmds is no list"),
        ({"port": 0}, "port is 0"),
        ({"key": ""}, "key is missing; expected the path of the private key"),
        ({"username": " "}, "username is missing"),
    ],
)
def test_what_contradicts_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ClusterConfigurationError, match=text) as caught:
        make(**fields)
    assert caught.value.exit_code == 2


def test_both_documented_files_compile_and_build(tmp_path: Path) -> None:
    public = tmp_path / "public.yaml"
    public.write_text(
        "!SSHCluster\n\nname: my-cluster\n\norchestrator_ip: [53.10.21.32, 10.150.0.1]\nfactories_ips:\n"
        "  - [53.10.21.54, 10.150.0.2]\n  - [53.10.21.73, 10.150.0.3]\n\nkey: /path/to/my/key\n\nusername: ubuntu\n"
    )
    cluster = load_cluster(str(public))
    assert [host.address for host in cluster.hosts] == ["53.10.21.32", "53.10.21.54", "53.10.21.73"]
    private = tmp_path / "private.yaml"
    private.write_text(
        "!SSHCluster\n\nname: my-cluster\n\norchestrator_ip: 10.150.0.10\nfactories_ips:\n  - 10.150.0.20\n"
        "  - 10.150.0.30\n\nkey: /path/to/my/key\n\nusername: ubuntu\n"
    )
    assert [host.private for host in load_cluster(str(private)).hosts] == ["10.150.0.10", "10.150.0.20", "10.150.0.30"]


def test_faults_of_a_cluster_file_have_a_position(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("!SSHCluster\nname: c\norchestrator: 10.0.0.1\nfactories_ips: []\nkey: k\nusername: u\n")
    with pytest.raises(ConfigError, match=r"c.yaml:3:1.*orchestrator_ip"):
        load_cluster(str(file))
    file.write_text("!Experiment\nname: c\npipeline: {}\n")
    with pytest.raises(ConfigError):
        load_cluster(str(file))
    file.write_text("!RemoteEnvironment\nkey: k\norchestrator_ip: a\nfactories_ips: []\nuser: u\n")
    with pytest.raises(ClusterConfigurationError, match="describes a RemoteEnvironment; expected !SSHCluster"):
        load_cluster(str(file))
    with pytest.raises(ClusterConfigurationError, match="there is no file nowhere.yaml"):
        load_cluster("nowhere.yaml")


def test_what_contradicts_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    head = "!SSHCluster\nname: c\norchestrator_ip: 10.0.0.1\nfactories_ips:\n  - 10.0.0.2\n"
    for text, place in (
        ("  - 10.0.0.1\nkey: k\nusername: u\n", r"c.yaml:5:\d+: two machines have the same public address 10.0.0.1"),
        ("key: k\nusername: u\nport: 70000\n", r"c.yaml:8:\d+: port is 70000"),
        ("username: u\n", r"c.yaml:1:\d+: key is missing"),
    ):
        file.write_text(head + text)
        with pytest.raises(ConfigError, match=place):
            load_cluster(str(file))


@pytest.mark.parametrize("factories", ["", "factories_ips: []\n", "factories_ips:\n"])
def test_without_factories_the_orchestrator_works_too(factories: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"!SSHCluster\nname: c\norchestrator_ip: 10.0.0.1\n{factories}key: k\nusername: u\n")
    cluster = load_cluster(str(file))
    assert [host.name for host in cluster.hosts] == ["c_orchestrator"]
    assert cluster.factories_num == 0


def test_what_a_program_on_the_machines_may_know() -> None:
    cluster = make(orchestrator_ip=["1.1.1.1", "10.0.0.1"])
    environment = cluster.get_remote_env()
    assert (environment.orchestrator_ip, environment.factories_ips, environment.user) == ("10.0.0.1", ["10.0.0.2"], "u")
    assert environment.public_orchestrator_ip == "1.1.1.1"
    assert environment.key == ""  # no key lies on the machines

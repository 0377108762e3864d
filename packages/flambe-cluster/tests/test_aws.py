"""The description of a cluster of rented machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambe.cluster import AWSCluster
from flambe.cluster.cli import main
from flambe.cluster.errors import ClusterConfigurationError

# The file of the documentation's chapter on AWS.
DOCUMENTED = """!AWSCluster

name: my-cluster
factories_num: 2
factories_type: t3.small
orchestrator_type: t3.small
orchestrator_timeout: -1
factories_timeout: -1
creator: user@company.com
key_name: my-pair
key: /path/to/my-pair.pem
tags:
  project: my-project
  company: my-company
subnet_id: subnet-XXXXXXXXXXXXXXXXX
volume_size: 100
security_group: sg-XXXXXXXXXXXXXXXXX
"""


def make(**fields: Any) -> AWSCluster:
    given = {
        "name": "c", "factories_num": 1, "factories_type": "t3.small", "orchestrator_type": "t3.small", "key_name": "k",
        "security_group": "sg", "subnet_id": "subnet", "creator": "me", "key": "k.pem",
    }  # fmt: skip
    return AWSCluster(**{**given, **fields})


def test_the_defaults_are_the_documented_ones() -> None:
    cluster = make()
    assert (cluster.volume_type, cluster.username, cluster.volume_size) == ("gp2", "ubuntu", 100)
    assert (cluster.orchestrator_timeout, cluster.factories_timeout, cluster.dedicated) == (-1, 1, False)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tags": {"Creator": "x"}}, "the tag 'Creator' is set by flambe itself"),
        ({"tags": {"name": "x"}}, "the tag 'name'"),
        ({"orchestrator_timeout": 5, "factories_timeout": -1}, "would outlive the orchestrator"),
        ({"orchestrator_timeout": 5, "factories_timeout": 6}, "would outlive the orchestrator"),
        ({"factories_timeout": -2}, "factories_timeout is -2"),
        ({"factories_num": 0}, "factories_num is 0"),
        ({"volume_size": 0}, "volume_size is 0"),
        ({"volume_size": 0.5}, "volume_size is 0.5; expected a whole number of GB above 0"),
    ],
)
def test_what_contradicts_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ClusterConfigurationError, match=text):
        make(**fields)


@pytest.mark.parametrize("fields", [{"orchestrator_timeout": 5, "factories_timeout": 0}, {"volume_type": "gp3"},
                                    {"volume_type": "io1"}, {"tags": {"project": "p"}}])  # fmt: skip
def test_what_fits_is_taken(fields: dict[str, Any]) -> None:
    make(**fields)


def test_an_unknown_volume_type_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="volume_type is 'gp1'; expected gp2 or gp3 or io1"):
        make(volume_type="gp1")


@pytest.mark.parametrize("verb", ["up", "status", "down"])
def test_the_command_says_that_it_cannot_rent_yet(verb: str, tmp_path: Path) -> None:
    file = tmp_path / "aws.yaml"
    file.write_text(DOCUMENTED)
    done = subprocess.run([sys.executable, "-m", "flambe.cluster.cli", verb, str(file)], capture_output=True, text=True)
    assert done.returncode == 4
    assert "cannot rent machines yet: nothing was created. Start the instances yourself" in done.stderr
    assert done.stdout == ""


def test_a_fault_in_the_file_ends_with_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "aws.yaml"
    file.write_text(DOCUMENTED.replace("volume_size: 100", "volume_sise: 100"))
    assert main(["up", str(file)]) == 2
    text = capfd.readouterr().err
    assert "aws.yaml:16:1" in text
    assert "Did you mean 'volume_size'?" in text

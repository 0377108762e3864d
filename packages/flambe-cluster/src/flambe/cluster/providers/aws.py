"""``AWSCluster``: machines that are rented from EC2. Its description is checked; renting is not there yet."""

from __future__ import annotations

from flambe.cluster.cluster import Cluster
from flambe.cluster.errors import ClusterConfigurationError, ClusterError

VOLUME_TYPES = ("gp2", "gp3", "io1")
OWN_TAGS = ("creator", "name")


class AWSCluster(Cluster):
    """A cluster of EC2 instances.

    This version reads and checks the description; every command that needs machines refuses, with exit code 4.

    Parameters
    ----------
    name, factories_num, key, username, setup_cmds: see ``Cluster``.
    factories_type, orchestrator_type: instance types, such as ``g5.xlarge``.
    key_name: the key pair's name in EC2. key: path of its private key.
    security_group, subnet_id: where the instances are put. They are not changed.
    creator: who the machines belong to; with ``name`` it finds them again.
    volume_type: ``gp2``, ``gp3`` or ``io1`` (5000 IOPS). volume_size: whole GB.
    region_name: None takes it from the local AWS configuration.
    tags: more tags of instances and volumes. ``creator`` and ``name`` are taken.
    orchestrator_ami, factory_ami: images.
    dedicated: rent dedicated instances.
    orchestrator_timeout, factories_timeout: hours of idleness after which they end themselves; 0 at once, -1 never.

    Raises
    ------
    ValueError: for an unknown volume_type. ClusterConfigurationError: for tags and timeouts that contradict.
    """

    def __init__(
        self,
        name: str,
        factories_num: int,
        factories_type: str,
        orchestrator_type: str,
        key_name: str,
        security_group: str,
        subnet_id: str,
        creator: str,
        key: str,
        volume_type: str = "gp2",
        region_name: str | None = None,
        username: str = "ubuntu",
        tags: dict[str, str] | None = None,
        orchestrator_ami: str | None = None,
        factory_ami: str | None = None,
        dedicated: bool = False,
        orchestrator_timeout: int = -1,
        factories_timeout: int = 1,
        volume_size: float = 100,
        setup_cmds: list[str] | None = None,
    ) -> None:
        super().__init__(name, factories_num, key, username, setup_cmds)
        self.factories_type = factories_type
        self.orchestrator_type = orchestrator_type
        self.key_name = key_name
        self.security_group = security_group
        self.subnet_id = subnet_id
        self.creator = creator
        self.volume_type = volume_type
        self.region_name = region_name
        self.tags = dict(tags or {})
        self.orchestrator_ami = orchestrator_ami
        self.factory_ami = factory_ami
        self.dedicated = dedicated
        self.orchestrator_timeout = orchestrator_timeout
        self.factories_timeout = factories_timeout
        # `100.` is 100 GB; what EC2 has no volume for is left as it is, for parse() to refuse.
        self.volume_size = int(volume_size) if volume_size == int(volume_size) else volume_size
        self.parse()

    def parse(self) -> None:
        """Check the description. Raises ``UnknownVolumeTypeError`` (a ValueError), ``ClusterConfigurationError``."""
        super().parse()
        if self.volume_type not in VOLUME_TYPES:
            raise UnknownVolumeTypeError(
                f"volume_type is {self.volume_type!r}", expected=" or ".join(VOLUME_TYPES), at=("volume_type",)
            )
        if not isinstance(self.factories_num, int) or self.factories_num < 1:
            raise ClusterConfigurationError(
                f"factories_num is {self.factories_num!r}", expected="1 or more", at=("factories_num",)
            )
        if not isinstance(self.volume_size, int) or self.volume_size <= 0:
            raise ClusterConfigurationError(
                f"volume_size is {self.volume_size!r}", expected="a whole number of GB above 0", at=("volume_size",)
            )
        taken = [tag for tag in self.tags if tag.lower() in OWN_TAGS]
        if taken:
            raise ClusterConfigurationError(
                f"the tag {taken[0]!r} is set by flambe itself",
                hint="Name yours differently; `creator` is a parameter.",
                at=("tags", taken[0]),
            )
        for what, hours in (
            ("orchestrator_timeout", self.orchestrator_timeout),
            ("factories_timeout", self.factories_timeout),
        ):
            if hours < -1:
                raise ClusterConfigurationError(
                    f"{what} is {hours}", expected="hours, 0 for at once, -1 for never", at=(what,)
                )
        endless = self.factories_timeout == -1 or self.factories_timeout > self.orchestrator_timeout
        if self.orchestrator_timeout != -1 and endless:
            raise ClusterConfigurationError(
                f"the factories (factories_timeout {self.factories_timeout}) would outlive the orchestrator "
                f"(orchestrator_timeout {self.orchestrator_timeout}), and are of no use without it",
                hint="Let the factories end first, or set orchestrator_timeout to -1.",
                at=("factories_timeout",),
            )

    def load_all_instances(self) -> None:
        """Refuse: this version does not rent machines. Raises ``ClusterError``."""
        raise ClusterError(
            f"{self.name}: the description is right, but AWSCluster cannot rent machines yet: nothing was created",
            hint="Start the instances yourself and describe them with !SSHCluster.",
        )

    def rollback_env(self) -> None:
        """Do nothing: nothing was rented."""


class UnknownVolumeTypeError(ClusterConfigurationError, ValueError):
    """No such kind of volume."""

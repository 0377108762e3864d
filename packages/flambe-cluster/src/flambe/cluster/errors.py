"""What goes wrong with machines.

MachineError (4)
├── ClusterError                 the cluster cannot do what was asked
│   ├── HostKeyError             a machine is not, or no longer, the one that was trusted
│   ├── SSHConnectingError       no connection
│   ├── ConnectionLost           a connection broke while something ran
│   ├── MissingAuthError         the key was refused, or is no usable key
│   ├── RemoteCommandError       a command on a machine failed
│   └── RemoteFileTransferError  rsync failed
ConfigError (2)
└── ClusterConfigurationError    the cluster file asks for something impossible
"""

from __future__ import annotations

from flambe.errors import ConfigError, MachineError, Position


class ClusterError(MachineError):
    """The cluster cannot do what was asked."""


class ClusterConfigurationError(ConfigError):
    """The description of a cluster contradicts itself. at: the place in it, as ``("factories_ips", 1)``."""

    def __init__(
        self,
        what: str,
        *,
        position: Position | None = None,
        expected: str | None = None,
        hint: str | None = None,
        at: tuple[str | int, ...] = (),
    ) -> None:
        super().__init__(what, position=position, expected=expected, hint=hint)
        self.at = at


class HostKeyError(ClusterError):
    """A machine is unknown, or its host key is not the known one. Nothing was sent to it."""


class SSHConnectingError(ClusterError):
    """No SSH connection could be made."""


class ConnectionLost(SSHConnectingError):
    """A connection broke while something ran; the machine may still be working on it."""


class MissingAuthError(ClusterError):
    """The key of the cluster was refused, or cannot be used."""


class RemoteCommandError(ClusterError):
    """A command on a machine failed."""


class RemoteFileTransferError(ClusterError):
    """Files could not be copied to or from a machine."""

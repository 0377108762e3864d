"""``Runnable``: what can be started. Anything with ``run()`` is one; the classes add what the documented API promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flambe.build.made import made_of
from flambe.build.registrable import MappedRegistrable
from flambe.runnable.secrets import Secrets, read_secrets

if TYPE_CHECKING:
    from flambe.runnable.environment import RemoteEnvironment


class Runnable(MappedRegistrable):
    """The base of what can be started from a config of its own.

    A subclass gives ``run``. Objects with a ``run`` need not inherit from it.

    Attributes
    ----------
    config: the user's secrets: ``self.config["SECTION"]["KEY"]``. Given before ``run()``, not in the constructor.
    extensions: module → source of the extensions of the config.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.config = Secrets()
        self.extensions: dict[str, str] = {}

    def run(self, **kwargs: Any) -> Any:
        """Do the work. True means: call again."""
        raise TypeError(f"{type(self).__qualname__} has no run()")

    def parse(self) -> None:
        """Check whether it can run. Raises a ``ConfigError`` when it cannot."""

    def inject_secrets(self, secrets: str) -> None:
        """Read the secrets: an INI file. One that does not exist holds none.

        Raises ``ResourceError`` when it is no INI file.
        """
        self.config = read_secrets(secrets)

    def inject_extensions(self, extensions: dict[str, str]) -> None:
        """Take the extensions of the config: module → source."""
        self.extensions = dict(extensions)


class ClusterRunnable(Runnable):
    """A runnable that can also run on a cluster.

    Attributes
    ----------
    env: what it may know of the cluster when it runs there; None elsewhere.
    """

    def __init__(self, env: RemoteEnvironment | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.env = env

    def setup(self, cluster: Any, extensions: dict[str, str], force: bool, **kwargs: Any) -> None:
        """Prepare the machines: folders, files, programs. Nothing by default.

        cluster: a ``flambe.cluster.Cluster``, with its helpers. force: replace what is in the way.
        """

    def setup_inject_env(self, cluster: Any, extensions: dict[str, str], force: bool, **kwargs: Any) -> None:
        """Call ``setup`` and take what may be known of the cluster as ``env``."""
        self.setup(cluster=cluster, extensions=extensions, force=force, **kwargs)
        self.set_serializable_attr("env", cluster.get_remote_env())

    def set_serializable_attr(self, attr: str, value: Any) -> None:
        """Set an attribute so that the description of this object, as it is sent to the cluster, holds it too."""
        setattr(self, attr, value)
        made = made_of(self)
        if made is not None:
            made.kwargs[attr] = value

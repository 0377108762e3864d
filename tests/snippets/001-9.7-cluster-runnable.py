"""A runnable that prepares a cluster

put right: the body of `setup` is filled; the cluster is a stand-in that knows its environment
"""

from typing import Dict

from flambe.cluster import Cluster
from flambe.compile import yaml
from flambe.runnable import ClusterRunnable, RemoteEnvironment


class MyClusterRunnable(ClusterRunnable, tag_namespace="snippet"):
    def __init__(self, folder: str = "here", env=None) -> None:
        super().__init__(env)
        self.folder = folder

    def setup(self, cluster: Cluster, extensions: Dict[str, str], force: bool, **kwargs) -> None:
        # code to setup the cluster
        self.set_serializable_attr("folder", "there")


class OneHost:
    def get_remote_env(self):
        return RemoteEnvironment("key", "10.0.0.1", ["10.0.0.2"], "ubuntu")


runnable = MyClusterRunnable()
runnable.setup_inject_env(OneHost(), {}, False)
assert runnable.env.orchestrator_ip == "10.0.0.1"
text = yaml.dump(runnable)
assert text.startswith("!snippet.MyClusterRunnable\nfolder: there\nenv: !RemoteEnvironment\n")
assert yaml.load(text).env.factories_ips == ["10.0.0.2"]

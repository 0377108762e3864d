"""``Experiment``: a pipeline of stages as a Python object. In YAML it is ``!Experiment``, which compiles to a spec."""

from __future__ import annotations

import getpass
import os
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambe.build.schema import Schema
from flambe.build.schema_node import NodeWriter, modules_in
from flambe.errors import did_you_mean
from flambe.experiment.cluster_resource import ClusterResource
from flambe.runnable.error import ParsingRunnableError, UnsuccessfulRunnableError
from flambe.runnable.runnable import ClusterRunnable
from flambe.spec.nodes import FILE, LINK, Environment, Spec, Stage, kind_of

if TYPE_CHECKING:
    from flambe.experiment.session import Summary
    from flambe.runnable.environment import RemoteEnvironment

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")


class Experiment(ClusterRunnable):
    """Stages that link to one another, each with its variants.

    Parameters
    ----------
    name: of its folder; letters, digits, ``_`` and ``-``, beginning with a letter or digit.
    pipeline: stage name → ``Schema`` (or the node of one), in the order of the file.
    resume: a stage (and all above), or a list of stages, that take results of earlier runs; the others run anew. Without it every
        stage takes what there is, by its key.
    debug: one unit after another in one process.
    devices: resources of each variant: ``{"cpu": 2, "gpu": 1}``.
    save_path: folder of the runs, ``flambe-output`` by default.
    resources: name → path or URL of files that stages may link to, ``ClusterResource`` of one that only a cluster has; or
        0.4's ``{"local": …, "remote": …}``.
    search, schedulers: stage → algorithm (a ``Schema``, or its node) of Ray Tune.
    reduce: stage → how many variants stay for later stages.
    env: set by the system on a cluster.
    max_failures: how often a failing variant is tried again, from its last step.
    stop_on_failure: start no later stage once a variant has failed for good.
    merge_plot: False puts the name of the stage before its tags in event files, so that each stage has plots of its own.
    user_provider: returns the name of the user; the login name by default.
    seed: of every random number; of several everything is run once for each.
    extensions: module → source, for stages whose classes are in modules of your own that are not imported yet.

    Raises TypeError when the pipeline is no mapping, ValueError when a stage is no component.
    """

    def __init__(
        self,
        name: str,
        pipeline: Mapping[str, Any],
        resume: str | Sequence[str] | None = None,
        debug: bool = False,
        devices: Mapping[str, float] | None = None,
        save_path: str | None = None,
        resources: Mapping[str, Any] | None = None,
        search: Mapping[str, Any] | None = None,
        schedulers: Mapping[str, Any] | None = None,
        reduce: Mapping[str, int] | None = None,
        env: RemoteEnvironment | None = None,
        max_failures: int = 1,
        stop_on_failure: bool = False,
        merge_plot: bool = True,
        user_provider: Callable[[], str] | None = None,
        seed: int | Sequence[int] = 0,
        extensions: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(env)
        if not isinstance(pipeline, Mapping):
            raise TypeError(f"the pipeline is a {type(pipeline).__name__}, expected a mapping of stage name to Schema")
        self.name = name
        self.pipeline = dict(pipeline)
        self.resume = resume
        self.debug = debug
        self.devices = devices
        self.save_path = save_path
        self.resources = resources
        self.search = dict(search or {})
        self.schedulers = dict(schedulers or {})
        self.reduce = dict(reduce or {})
        self.max_failures = max_failures
        self.stop_on_failure = stop_on_failure
        self.merge_plot = merge_plot
        self.user_provider = user_provider
        self.seeds = list(seed) if isinstance(seed, Sequence) and not isinstance(seed, str) else []
        tried: list[Any] = self.seeds or [seed]
        if not all(isinstance(one, int) and one >= 0 for one in tried):
            raise ParsingRunnableError(f"seed is {seed!r}", expected="an integer, 0 or more, or several of them")
        self.seed: int = seed if isinstance(seed, int) else self.seeds[0]
        self.inject_extensions(dict(extensions or {}))

    def parse(self) -> None:
        """Check names, links, schedulers and resources. Raises ParsingRunnableError or another ConfigError."""
        from flambe.experiment.check import check_spec
        from flambe.pipeline.graph import StageGraph

        spec = self.spec()
        check_spec(spec, StageGraph(spec))

    def spec(self) -> Spec:
        """Return the spec of this experiment: what ``flambe-compile`` writes.

        Raises ParsingRunnableError for names that cannot be used or that are not there, ValueError for a stage that is no
        component.
        """
        if not self.name or not _NAME.match(self.name):
            raise ParsingRunnableError(
                f"the name {self.name!r} cannot be used: letters, digits, '-' and '_', beginning with a letter or digit"
            )
        files, remote = self._files()
        self.refuse_unknown_stages("search", "schedulers", "reduce")
        names = {"cpu": "cpus", "gpu": "gpus"}
        extensions = dict(self.extensions)
        nodes = _Nodes(self.seed, files, extensions)
        return Spec(
            name=self.name,
            output_dir=os.path.expanduser(self.save_path or "flambe-output"),
            seed=self.seed,
            seeds=self.seeds,
            stages=[
                Stage(
                    name=stage,
                    body=nodes.body(stage, value),
                    reduce=self.reduce.get(stage),
                    scheduler=nodes.plain(self.schedulers.get(stage), stage),
                    search=nodes.plain(self.search.get(stage), stage),
                    seedless=getattr(
                        value.component_subclass if isinstance(value, Schema) else value, "seedless", False
                    )
                    is True,
                )
                for stage, value in self.pipeline.items()
            ],
            resume=self.resume if self.resume is None or isinstance(self.resume, str) else list(self.resume),
            devices={names.get(name, name): amount for name, amount in self.devices.items()} if self.devices else None,
            max_failures=self.max_failures,
            stop_on_failure=self.stop_on_failure,
            merge_plot=self.merge_plot,
            debug=self.debug,
            environment=Environment(extensions=extensions, files=files, remote=remote),
        )

    def run(
        self,
        force: bool = False,
        verbose: bool = False,
        debug: bool = False,
        workers: int | None = None,
        store: str | None = None,
        **kwargs: Any,
    ) -> Summary:
        """Run it; an unfinished run of the same experiment goes on where it was.

        force: begin a new run directory and reuse nothing (nothing is deleted). debug: one unit after another in one
        process. workers: CPUs to use, all by default. store: a folder or address (``s3://…``) where machines share results,
        by default that of FLAMBE_STORE.
        Raises ConfigFaults for arguments that a class does not take, UnsuccessfulRunnableError when a variant failed.
        """
        from flambe.cli.console import set_level
        from flambe.compile.spec_check import check_arguments
        from flambe.experiment.display import choose_display
        from flambe.experiment.session import AUTO, LOCAL, Settings, run_experiment
        from flambe.record.run import FAILED

        set_level(verbose=verbose)
        settings = Settings(runner=LOCAL if debug or self.debug else AUTO, workers=workers, force=force)
        settings.store = store or os.environ.get("FLAMBE_STORE") or None
        spec = self.spec()
        check_arguments(spec)
        spec.debug = spec.debug or debug
        summary = run_experiment(spec, settings, tool="Experiment.run", display=choose_display(spec.debug))
        if summary.counts["failed"]:
            raise UnsuccessfulRunnableError(
                f"{summary.counts['failed']} variants failed: see {summary.run}",
                hint="flambe-report ls shows their errors.",
            )
        if summary.status == FAILED:
            raise UnsuccessfulRunnableError(f"{summary.reason}: see {summary.run}")
        return summary

    def refuse_unknown_stages(self, *parameters: str) -> None:
        """Raise ParsingRunnableError for a name in one of these mappings that is no stage."""
        for parameter in parameters:
            for stage in getattr(self, parameter):
                if stage not in self.pipeline:
                    hint = did_you_mean(stage, self.pipeline) or ""
                    raise ParsingRunnableError(f"{parameter} names {stage!r}, which is no stage. {hint}".rstrip())

    def get_user(self) -> str:
        """Return the name of the user: on a cluster whoever launched it (``env.local_user``), else what ``user_provider`` says, or
        the login name."""
        launched_by: str | None = getattr(self.env, "local_user", None)
        return launched_by or (self.user_provider() if self.user_provider is not None else getpass.getuser())

    def process_resources(
        self, resources: Mapping[str, str | ClusterResource], folder: str
    ) -> dict[str, str | ClusterResource]:
        """Download what is behind a URL into ``folder``, and return resources that are paths; those of a cluster stay.

        Nobody has to call it: a run downloads what it needs, once, into the user's cache. Each file has the name of its
        resource before its own. Raises DownloadError.
        """
        from flambe.compile.downloader import download

        found: dict[str, str | ClusterResource] = {}
        for name, path in resources.items():
            found[name] = path
            if not isinstance(path, ClusterResource):
                if "://" in path:
                    target = Path(folder) / f"{name}__{path.rstrip('/').rpartition('/')[2]}"
                    download(path, target)
                    path = str(target)
                found[name] = str(Path(path).expanduser().absolute())
        return found

    def _files(self) -> tuple[dict[str, str], list[str]]:
        """Return name → path of all resources, and the names of those that only a cluster has."""
        given = dict(self.resources or {})
        if given and set(given) <= {"local", "remote"} and all(isinstance(part, Mapping) for part in given.values()):
            local, remote = dict(given.get("local", {})), dict(given.get("remote", {}))
        else:
            remote = {name: path for name, path in given.items() if isinstance(path, ClusterResource)}
            local = {name: path for name, path in given.items() if name not in remote}
        for name, path in local.items():
            if "://" not in str(path):
                local[name] = str(Path(path).expanduser().absolute())
                if not Path(local[name]).exists():
                    raise ParsingRunnableError(f"the resource {name!r} does not exist: {path}")
        for name in (*local, *remote):
            if name in self.pipeline:
                raise ParsingRunnableError(f"the stage {name!r} has the name of a resource: rename one of them")
        return {**local, **{name: str(path) for name, path in remote.items()}}, list(remote)


class _Nodes:
    """The nodes of one experiment's schemas: what stages share is one object, and resources are paths."""

    def __init__(self, seed: int, files: Mapping[str, str], extensions: dict[str, str]) -> None:
        self._files = files
        self._extensions = extensions
        self._writer = NodeWriter(generator=random.Random(seed))

    def body(self, stage: str, value: Any) -> Any:
        """Return the body of a stage. Raises ValueError for what is no component."""
        try:
            node = self.plain(value, stage)
        except TypeError as error:
            raise ValueError(f"the stage {stage!r}: {error}, expected a Schema") from error
        if kind_of(node) != "$new":
            raise ValueError(f"the stage {stage!r} is a {type(value).__name__}, expected a Schema")
        return node

    def plain(self, value: Any, stage: str) -> Any:
        """Return the node of a schema or of plain data that belongs to a stage."""
        if value is None:
            return None
        if isinstance(value, Schema):
            self._extensions.update(value.aggregate_extensions_metadata())
            node = self._writer.stage(value, (stage,))
        else:
            node = self._writer.node_of(value, (stage,))
        for module, file in modules_in(node).items():
            self._extensions.setdefault(module, file)
        return self._walk(node)

    def _walk(self, node: Any) -> Any:
        if kind_of(node) == LINK and node[LINK][0] in self._files:
            return {FILE: self._files[node[LINK][0]]}
        if isinstance(node, dict):
            return {key: self._walk(item) for key, item in node.items()}
        return [self._walk(item) for item in node] if isinstance(node, list) else node

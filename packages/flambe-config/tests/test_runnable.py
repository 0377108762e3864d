"""Runnables and the errors that are documented for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flambe.errors import ConfigError, FlambeError, RunFailed
from flambe.runnable import ClusterRunnable, RemoteEnvironment, Runnable, error


def test_secrets_are_an_ini_file_and_their_text_is_never_shown(tmp_path: Path) -> None:
    runnable = Runnable()
    runnable.inject_secrets(str(tmp_path / "none.ini"))
    assert runnable.config.sections() == []
    file = tmp_path / "secrets.ini"
    file.write_text("[AWS]\naccess_key = abc\n")
    runnable.inject_secrets(str(file))
    assert runnable.config["AWS"]["ACCESS_KEY"] == "abc"
    file.write_text("password-hunter2\n")
    with pytest.raises(error.ResourceError, match="is no INI file") as caught:
        runnable.inject_secrets(str(file))
    assert "hunter2" not in str(caught.value)


def test_a_cluster_runnable_learns_its_environment() -> None:
    class Fake:
        def get_remote_env(self) -> RemoteEnvironment:
            return RemoteEnvironment("", "10.0.0.1", ["10.0.0.2"], "u", local_user="me")

    class Mine(ClusterRunnable):
        seen = False

        def setup(self, cluster: object, extensions: dict[str, str], force: bool, **kwargs: object) -> None:
            self.seen = force

    runnable = Mine()
    assert runnable.env is None
    runnable.setup_inject_env(Fake(), {}, True)
    assert runnable.seen
    assert runnable.env is not None
    assert runnable.env.factories_ips == ["10.0.0.2"]
    assert runnable.env.local_user == "me"


def test_the_documented_errors_are_kinds_of_ours() -> None:
    assert str(error.LinkError("a", "b")) == "a links to b, which no stage above it is called"
    assert repr(error.ProtocolError("text")) == "text"
    assert issubclass(error.SearchComponentError, error.ProtocolError)
    for name in (
        "ResourceError",
        "TagError",
        "ParsingRunnableError",
        "ParsingExperimentError",
        "NonExistentResourceError",
        "ExistentResourceError",
    ):
        assert issubclass(getattr(error, name), error.RunnableFileError)
        assert getattr(error, name)("text").exit_code == 2
    assert issubclass(error.UnsuccessfulRunnableError, RunFailed)
    assert issubclass(error.UnsuccessfulRunnableError, RuntimeError)
    assert issubclass(error.ProtocolError, ConfigError)
    assert issubclass(error.MissingSecretsError, FlambeError)


def test_a_runnable_without_run_says_so() -> None:
    with pytest.raises(TypeError, match="Runnable has no run"):
        Runnable().run()

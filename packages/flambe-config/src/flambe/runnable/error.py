"""The documented errors of runnables, as kinds of ``FlambeError``."""

from __future__ import annotations

from flambe.errors import ConfigError, RunFailed


class ProtocolError(ConfigError):
    """The stages of an experiment do not fit together. ``message`` says how."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __repr__(self) -> str:
        return self.message


class LinkError(ProtocolError):
    """Stage ``block_id`` links to ``target_block_id``, which is not declared before it."""

    def __init__(self, block_id: str, target_block_id: str) -> None:
        super().__init__(f"{block_id} links to {target_block_id}, which no stage above it is called")
        self.block_id = block_id
        self.target_block_id = target_block_id


class SearchComponentError(ProtocolError):
    """Stage ``block_id`` has a search or scheduler, and nothing that can be searched."""

    def __init__(self, block_id: str) -> None:
        super().__init__(f"{block_id} has a search or scheduler, but it is no component with run() and metric()")
        self.block_id = block_id


class UnsuccessfulRunnableError(RunFailed, RuntimeError):
    """A run ended with failures."""


class RunnableFileError(ConfigError):
    """A config file does not describe something that can be run."""


class ResourceError(RunnableFileError):
    """A file that a config names is no use."""


class NonExistentResourceError(ResourceError):
    """A file that a config names does not exist."""

    rule = "missing-file"


class ExistentResourceError(ResourceError):
    """A file would be written that exists already."""


class ParsingRunnableError(RunnableFileError):
    """A config is no valid description of a run."""


ParsingExperimentError = ParsingRunnableError
"""Its name in the manual of 0.4.5."""


class TagError(RunnableFileError):
    """A config has a tag that nothing stands for."""


class MissingSecretsError(ConfigError):
    """A secret that is needed was not given."""

"""``Component``: the base of everything that can be configured, run and saved."""

from __future__ import annotations

from typing import Any, ClassVar

from flambe.build.registrable import Registrable


class Component(Registrable):
    """Base of everything that can be configured, run and saved.

    Class attributes
    ----------------
    immutable: other stages share one object of it per process and never change it (datasets, fields, tokenizers).
    seedless: its result does not depend on the run's seed (data preparation).
    lower_is_better: direction of ``metric()``; an instance may set its own.
    """

    immutable: ClassVar[bool] = False
    seedless: ClassVar[bool] = False
    lower_is_better: bool = False
    _flambe_version: ClassVar[str] = "0.0.0"

    def run(self) -> bool:
        """Do one step. Returns True while there is more to do."""
        return False

    def metric(self) -> float | None:
        """Return the value that schedulers and ``reduce`` compare, or None."""
        return None

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Add computed state under keys that begin with ``prefix``. Returns the state."""
        return state_dict

    def _load_state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool,
                    missing_keys: list[Any], unexpected_keys: list[Any], error_msgs: list[Any]) -> None:
        """Take back what ``_state`` added."""

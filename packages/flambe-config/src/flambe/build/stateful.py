"""``Stateful``: components that say in one map what they keep beside attributes and tensors, and take it back as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from flambe.build.component import Component


class Stateful(Component):
    """A component with a state of its own. A subclass overrides ``_kept`` and ``_take_back``, and may extend its parent's.

    Class attributes
    ----------------
    _came_later: values for what states of earlier versions lack; all else that is missing is told, and nothing is taken back then.
    """

    _came_later: ClassVar[Mapping[str, Any]] = {}

    def _kept(self) -> dict[str, Any]:
        """Return name → value of what is to be saved. The names are the same at any time."""
        return {}

    def _take_back(self, kept: Mapping[str, Any]) -> Iterable[str]:
        """Take back what ``_kept`` returned. Returns what does not fit, each beginning with the name it is about."""
        return ()

    def _state(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> Any:
        """Add what is kept."""
        state_dict.update({prefix + name: value for name, value in self._kept().items()})
        return state_dict

    def _load_state(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[Any],
        unexpected_keys: list[Any],
        error_msgs: list[Any],
    ) -> None:
        """Take back what ``_state`` added."""
        names = list(self._kept())
        missing = [prefix + name for name in names if prefix + name not in state_dict and name not in self._came_later]
        missing_keys.extend(missing)
        if not missing:
            found = {name: state_dict[prefix + name] for name in names if prefix + name in state_dict}
            error_msgs.extend(prefix + fault for fault in self._take_back({**self._came_later, **found}))


__all__ = ["Stateful"]

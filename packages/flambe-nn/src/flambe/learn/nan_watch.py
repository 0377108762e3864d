"""``NanWatch``: tells once that a loss is NaN. It sees numbers that are logged anyway, so nobody waits for a device."""

from __future__ import annotations

import math

from flambe.cli.console import say
from flambe.errors import RunFailed

_REMEDY = "A smaller lr or max_grad_norm may help, unless the data holds NaN."


class NanWatch:
    """Tells of the first loss that is NaN; with ``stop`` it ends the run there."""

    def __init__(self, stop: bool) -> None:
        self.stop = stop
        self._told = False

    def see(self, tag: str, loss: float, when: str) -> None:
        """Look at a loss. when: ``iteration 12``. Raises ``RunFailed`` for NaN when the run is to end then."""
        if not math.isnan(loss):
            return
        if self.stop:
            raise RunFailed(f"{tag} is NaN at {when}", hint=_REMEDY)
        if not self._told:
            self._told = True
            say(f"warning: {tag} is NaN at {when}. {_REMEDY} stop_on_nan: true ends the run where this happens.")

"""The compiler of torch, left out of processes that compile nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

_METHODS = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def leave_out() -> None:
    """Let optimizers be made and used without importing ``torch._dynamo``, as long as nothing else has imported it.

    Torch tells its compiler not to look into some methods of optimizers, and imports it to tell it: at the first optimizer that is
    made, 1.4 processor seconds, as long as the import of the rest of torch. There is nobody to be told before somebody compiles.
    A torch that does it otherwise is left as it is.
    """
    for name in _METHODS:
        method = getattr(Optimizer, name, None)
        plain = getattr(method, "__wrapped__", None)
        # torch._compile._disable_dynamo keeps there what it calls in place of the method, from the first call on.
        if plain is not None and method.__module__ == plain.__module__ and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = _until_compiling(plain, method)


def _until_compiling(plain: Any, method: Any) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return plain(*arguments, **options)
        if plain.__dynamo_disable is call:
            del plain.__dynamo_disable
        return method(*arguments, **options)

    return call

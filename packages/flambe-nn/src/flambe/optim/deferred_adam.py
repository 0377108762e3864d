"""``DeferredAdam``: Adam that leaves the rows of an embedding alone until they are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn

# Updates after which every row is brought up to date, so that none is ever further behind.
SWEEP = 128
# Numbers that are moved at once on the CPU: they and what is computed of them stay in its cache.
_BLOCK = 1 << 16


class DeferredAdam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980) for models with embeddings of ``sparse: true``.

    Adam moves every row of an embedding at every update, also those that no example of the batch reads: their running means
    decay, and they drift on. For a large vocabulary that is most of the time an update takes. This one writes down how far
    a row is behind and moves it when it is read next. It is not ``SparseAdam``, which forgets that drift: the weights are
    those of ``torch.optim.Adam`` but for rounding.

    Without gradients the means after j updates are ``m β1^j`` and ``v β2^j``, so a row that is k updates behind moves by ::

        m / (√v + ε') · Σ_{j=1..k} lr_{t+j} · (β1 / √β2)^j · √(1 - β2^{t+j}) / (1 - β1^{t+j})

    where t is the update it was current at. The sums are kept for every k up to 128, after which all rows are moved. In Adam ε'
    is ``ε √(1 - β2^{t+j}) / √β2^j``; here it is the mean of that, weighed as in the sum, which is exact to the first order in ε.

    Parameters with dense gradients are those of ``torch.optim.Adam``.

    On a GPU every lookup waits for the device, which has to say how many rows it reads: unless the vocabulary is very large,
    ``torch.optim.Adam`` and dense gradients are quicker there.

    Parameters
    ----------
    params, lr, betas, eps: as in ``torch.optim.Adam``.
    weight_decay: as there, for groups without such embeddings: it would change every row at every update.
    fused: use the fused kernel for the parameters with dense gradients.

    A ``Trainer`` calls ``attach`` and ``settle``. Elsewhere: call ``attach(model)`` once, and ``settle()`` before the weights are
    read otherwise than by a lookup or ``state_dict()``.

    Raises
    ------
    RuntimeError: in ``step``, for the sparse gradient of an embedding that is not attached; in a lookup, when the model is compiled.
    ValueError: in ``attach`` (and in ``step``, where it was set later), for such an embedding in a group with ``weight_decay``.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        fused: bool = True,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)
        # The fused kernel would take scaled gradients and unscale them itself; sparse ones are not known to it.
        self._step_supports_amp_scaling = False
        self._attached: set[Tensor] = set()

    def attach(self, model: nn.Module) -> None:
        """Move rows when the sparse embeddings in ``model`` read them. Calling it again changes nothing."""
        ours = {parameter: group for group in self.param_groups for parameter in group["params"]}
        new = ours.keys() - self._attached
        for module in model.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse and module.weight in new:
                _refuse_decay(ours[module.weight])
                module.register_forward_pre_hook(self._before_lookup, with_kwargs=True)
                module.register_state_dict_pre_hook(self._before_saving)
                self._attached.add(module.weight)

    @torch.no_grad()
    def settle(self) -> None:
        """Bring every row up to date."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if "age" in self.state.get(parameter, ()):
                    self._settle(parameter, group)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the parameters."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        sparse: list[tuple[nn.Parameter, Tensor, dict[str, Any]]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    sparse.append((parameter, parameter.grad, group))
                    parameter.grad = None
                elif parameter.grad is not None and "age" in self.state.get(parameter, ()):
                    with torch.no_grad():
                        self._settle(parameter, group)
        try:
            # Without what torch wraps around it, which imports its compiler: 1.4 s at the first update.
            with torch.no_grad():
                unwrap(torch.optim.Adam.step)(self)
        finally:
            for parameter, gradient, _ in sparse:
                parameter.grad = gradient
        with torch.no_grad():
            for parameter, gradient, group in sparse:
                self._update(parameter, gradient.coalesce(), group)
        return loss

    def _update(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        if parameter not in self._attached:
            raise RuntimeError(
                "DeferredAdam got the sparse gradient of a parameter that it is not attached to; call attach(model) before training"
            )
        _refuse_decay(group)
        state = self.state[parameter]
        if "exp_avg" not in state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        if "age" not in state:
            state["age"] = torch.zeros(len(parameter), dtype=torch.uint8, device=parameter.device)
            state["drift"] = state["drift_epsilon"] = [0.0] * (SWEEP + 1)
            state["betas"] = list(group["betas"])
        if state["betas"] != list(group["betas"]):
            # A schedule moves them: rows that are behind are so by the old ones.
            self._settle(parameter, group)
            state["betas"] = list(group["betas"])
        rows, values = gradient.indices()[0], gradient.values()
        self._catch_up(parameter, group, rows)  # nothing is left to do, unless no lookup came before
        state["step"] += 1
        step, (beta_1, beta_2) = int(state["step"]), group["betas"]
        root = (1 - beta_2**step) ** 0.5
        rate = float(group["lr"]) * root / (1 - beta_1**step)
        mean = state["exp_avg"].index_select(0, rows).lerp_(values, 1 - beta_1)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(beta_2).addcmul_(values, values, value=1 - beta_2)
        moved = parameter.index_select(0, rows).addcdiv_(mean, _root(square).add_(group["eps"] * root), value=-rate)
        for whole, part in ((state["exp_avg"], mean), (state["exp_avg_sq"], square), (parameter, moved)):
            whole.index_copy_(0, rows, part)
        state["age"].add_(1).index_fill_(0, rows, 0)
        # One update more for rows that were k - 1 behind.
        drifts, epsilons = _powers(beta_1, beta_2)
        state["drift"] = [0.0, *(sums + rate * power for sums, power in zip(state["drift"], drifts, strict=False))]
        rate *= group["eps"] * root
        state["drift_epsilon"] = [
            0.0, *(sums + rate * power for sums, power in zip(state["drift_epsilon"], epsilons, strict=False))
        ]  # fmt: skip
        if step % SWEEP == 0:
            self._settle(parameter, group)

    def _settle(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Bring all rows up to date."""
        state = self.state[parameter]
        if not state["age"].any():
            return
        table = self._table(parameter, group)
        whole = (parameter, state["exp_avg"], state["exp_avg_sq"], state["age"])
        rows = max(1, _BLOCK // parameter[0].numel()) if parameter.device.type == "cpu" else len(parameter)
        for part, mean, square, ages in zip(*(one.split(rows) for one in whole), strict=True):
            # Rows that are not behind move by 0, and their means are multiplied by 1.
            _move(part, mean, square, table[:, ages.int()])
        state["age"].zero_()

    def _catch_up(self, parameter: nn.Parameter, group: dict[str, Any], rows: Tensor) -> None:
        """Bring ``rows``, each named once, up to date."""
        state = self.state[parameter]
        ages = state["age"].index_select(0, rows)
        behind = ages.nonzero()[:, 0]
        if not len(behind):
            return
        if len(behind) < len(rows):
            rows, ages = rows[behind], ages[behind]
        whole = (parameter, state["exp_avg"], state["exp_avg_sq"])
        moved, mean, square = (one.index_select(0, rows) for one in whole)
        _move(moved, mean, square, self._table(parameter, group)[:, ages.int()])
        for one, part in zip(whole, (moved, mean, square), strict=True):
            one.index_copy_(0, rows, part)
        state["age"].index_fill_(0, rows, 0)

    def _table(self, parameter: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """Return for rows that are k behind their drift, the decays of both means and ε', ``[4, SWEEP + 1]``."""
        state = self.state[parameter]
        beta_1, beta_2 = state["betas"]
        # In double precision: one number for each k, and then one for each row.
        k = torch.arange(SWEEP + 1, dtype=torch.float64)
        drifts = torch.tensor([state["drift"], state["drift_epsilon"]], dtype=torch.float64)
        epsilon = torch.where(drifts[0] == 0, group["eps"], drifts[1] / drifts[0])  # rates of 0 move nothing
        table = torch.stack([drifts[0], beta_1**k, beta_2**k, epsilon])
        return table.to(parameter.device, parameter.dtype)

    @torch.no_grad()
    def _before_lookup(self, module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():
            raise RuntimeError("DeferredAdam cannot be used with compile_model: true; use torch.optim.Adam")
        group = self._behind(module.weight)
        if group is not None:
            rows = arguments[0] if arguments else named["input"]
            self._catch_up(module.weight, group, rows.unique())

    @torch.no_grad()
    def _before_saving(self, module: Any, prefix: str, keep_vars: bool) -> None:
        group = self._behind(module.weight)
        if group is not None:
            self._settle(module.weight, group)

    def _behind(self, parameter: nn.Parameter) -> dict[str, Any] | None:
        """Return the group of a parameter of which rows may be behind."""
        if "age" not in self.state.get(parameter, ()):
            return None
        return next(group for group in self.param_groups if any(one is parameter for one in group["params"]))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            if "age" in state:
                state["age"] = state["age"].to(torch.uint8)  # torch makes all state of the parameter's type
                state["step"] = state["step"].cpu()  # and moves the count to its device, where it would be waited for


def _root(squares: Tensor) -> Tensor:
    # On the CPU torch.sqrt takes five to thirty times as long for zeros and for what is close to 0 as for other numbers.
    return squares.rsqrt().reciprocal_()


def _refuse_decay(group: dict[str, Any]) -> None:
    if group["weight_decay"]:
        raise ValueError(
            "weight_decay changes every row of an embedding at every update; set it to 0, or sparse: false on the embedding"
        )


def _move(rows: Tensor, mean: Tensor, square: Tensor, table: Tensor) -> None:
    """Move rows ``[R, D]`` in place, and their means. table: drift, decays and ε' of each, ``[4, R]``."""
    drift, decay_1, decay_2, epsilon = table.unsqueeze(-1).unbind()
    rows.sub_(_root(square).add_(epsilon).reciprocal_().mul_(mean).mul_(drift))
    mean.mul_(decay_1)
    square.mul_(decay_2)


@lru_cache(maxsize=8)
def _powers(beta_1: float, beta_2: float) -> tuple[list[float], list[float]]:
    """Return ``(β1 / √β2)^k`` and that over ``√β2^k``, for k from 1."""
    ks = range(1, SWEEP + 1)
    return [(beta_1 / beta_2**0.5) ** k for k in ks], [(beta_1 / beta_2) ** k for k in ks]

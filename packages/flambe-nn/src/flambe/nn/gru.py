"""``GRU``: torch's, with a quicker training step on the CPU. Shapes: S longest sequence, B batch, E input size, H hidden size."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class GRU(torch.nn.GRU):
    """``torch.nn.GRU`` in every respect; where gradients are wanted, dense float32 sequences on the CPU that are read one way are
    computed in fewer, larger pieces.

    On the CPU torch makes each time step of some twenty operations and as many backward, and adds to the gradient of the
    recurrent weights once a step. Here a step is two matrix products and four operations, backward one product and four, and
    the gradients of all weights are single products over the whole sequence. Results differ from torch's by rounding.
    """

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """See ``torch.nn.GRU``."""
        if not self._is_plain(input):
            return super().forward(input, hx)
        self.check_input(input, None)
        if hx is not None:
            self.check_hidden_size(hx, self.get_expected_hidden_size(input, None))
        data = input.transpose(0, 1) if self.batch_first else input  # [S, B, E]
        last = []
        for layer, weights in enumerate(cast(list[list[Tensor]], self.all_weights)):
            if layer and self.dropout:
                data = torch.nn.functional.dropout(data, self.dropout, self.training)
            data = _Layer.apply(data.contiguous(), None if hx is None else hx[layer], *weights)
            last.append(data[-1])
        return (data.transpose(0, 1) if self.batch_first else data), torch.stack(last)

    def _is_plain(self, data: Any) -> bool:
        return (
            torch.is_grad_enabled()
            and isinstance(data, Tensor)
            and data.dim() == 3
            and data.size(1 if self.batch_first else 0) > 0
            and data.device.type == "cpu"
            and data.dtype == torch.float32 == self.weight_ih_l0.dtype
            and bool(self.bias)
            and not self.bidirectional
            and not torch.is_autocast_enabled("cpu")
            # What is traced is to be made of operations that others know.
            and not torch.jit.is_tracing()
            and not torch.compiler.is_compiling()
        )


class _Layer(torch.autograd.Function):
    """One layer: ``(data [S, B, E], state [B, H] or None, weights and biases as in torch)`` to states ``[S, B, H]``.

    With the gates reset r, update z and the candidate n as in torch's documentation, and m = W_hn h + b_hn.
    """

    @staticmethod
    def forward(
        ctx: Any, data: Tensor, state: Tensor | None, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor
    ) -> Tensor:
        length, batch, size = data.shape
        hidden = w_hh.size(1)
        gates = 2 * hidden
        rows = data.view(length * batch, size)
        # What does not depend on the states, for all steps at once.
        rz = torch.addmm(b_ih[:gates] + b_hh[:gates], rows, w_ih[:gates].t()).view(length, batch, gates)
        n = torch.addmm(b_ih[gates:], rows, w_ih[gates:].t()).view(length, batch, hidden)
        m = data.new_empty(length, batch, hidden)
        states = data.new_empty(length + 1, batch, hidden)  # the one before the first step, too
        w_rz, w_n, b_n = w_hh[:gates].t(), w_hh[gates:].t(), b_hh[gates:].expand(batch, hidden)
        if state is None:
            states[0] = 0
        else:
            states[0] = state
        for step, (rz_t, r_t, z_t, n_t, m_t, before, after) in enumerate(
            zip(
                rz.unbind(), rz[..., :hidden].unbind(), rz[..., hidden:].unbind(), n.unbind(), m.unbind(),
                states.unbind(), states[1:].unbind(), strict=False,
            )
        ):  # fmt: skip
            if step or state is not None:
                rz_t.addmm_(before, w_rz)
                torch.addmm(b_n, before, w_n, out=m_t)
            else:
                m_t.copy_(b_n)
            rz_t.sigmoid_()
            n_t.addcmul_(r_t, m_t).tanh_()
            torch.lerp(n_t, before, z_t, out=after)
        ctx.save_for_backward(data, state, w_ih, w_hh, b_ih, b_hh, rz, n, m, states)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        data, state, w_ih, w_hh, b_ih, b_hh, rz, n, m, states = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: gradients of gradients are torch's affair
            given = [one for one in (data, state, w_ih, w_hh, b_ih, b_hh) if one is not None and one.requires_grad]
            start = data.new_zeros(data.size(1), w_hh.size(1)) if state is None else state
            again = torch.gru(data, start[None], [w_ih, w_hh, b_ih, b_hh], True, 1, 0.0, False, False, False)[0]
            made = iter(torch.autograd.grad(again, given, grad, create_graph=True))
            return tuple(next(made) if needed else None for needed in ctx.needs_input_grad)
        length, batch, size = data.shape
        hidden = w_hh.size(1)
        r, z = rz[..., :hidden], rz[..., hidden:]
        # How the sums before the gates' functions depend on the state after each step, side by side as m, r, z, n: the first three
        # belong to w_hh and the last three to w_ih. Then times the gradients of the states, step by step from the last.
        slopes = data.new_empty(length, batch, 4 * hidden)
        of_m, of_r, of_z, of_n = slopes.split(hidden, dim=-1)
        part = torch.addcmul(n.new_ones(()), n, n, value=-1)
        torch.addcmul(part, part, z, value=-1, out=of_n)  # (1 - n²)(1 - z)
        torch.mul(of_n, r, out=of_m)
        part = torch.addcmul(rz, rz, rz, value=-1)  # r(1 - r), z(1 - z)
        torch.mul(of_n, m, out=of_r).mul_(part[..., :hidden])
        torch.sub(states[:-1], n, out=of_z).mul_(part[..., hidden:])
        weights = torch.cat([w_hh[2 * hidden :], w_hh[: 2 * hidden]])  # in the order m, r, z
        flow = data.new_zeros(batch, hidden)
        for step, grad_t, slopes_t, mrz_t, z_t in zip(
            range(length - 1, -1, -1),
            reversed(grad.unbind()),
            reversed(slopes.view(length, batch, 4, hidden).unbind()),
            reversed(slopes[..., : 3 * hidden].unbind()),
            reversed(z.unbind()),
            strict=True,
        ):
            flow.add_(grad_t)
            slopes_t.mul_(flow.unsqueeze(1))
            if step or state is not None:
                flow.mul_(z_t).addmm_(mrz_t, weights)
        rows = slopes.view(length * batch, 4 * hidden)
        rzn, mrz = rows[:, hidden:], rows[:, : 3 * hidden]
        bias = rows.sum(dim=0)
        skipped = 0 if state is not None else batch  # before the first step there was nothing
        recurrent = mrz[skipped:].t() @ states.view(-1, hidden)[skipped:-batch]  # [3H, H]
        return (
            (rzn @ w_ih).view(length, batch, size) if ctx.needs_input_grad[0] else None,
            flow if ctx.needs_input_grad[1] else None,
            rzn.t() @ data.view(-1, size),
            torch.cat([recurrent[hidden:], recurrent[:hidden]]),
            bias[hidden:],
            torch.cat([bias[hidden : 3 * hidden], bias[:hidden]]),
        )

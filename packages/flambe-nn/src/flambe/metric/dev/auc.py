"""``AUC``: area under the ROC curve."""

from __future__ import annotations

import torch
from torch import Tensor

from flambe.metric.dev.binary import check_binary
from flambe.metric.metric import Metric


class AUC(Metric):
    """Area under the ROC curve of two classes up to a false-positive rate, as a share of what is possible there. ``MultiClassAUC``
    is that of several.

    Parameters
    ----------
    max_fpr: the rate, in (0, 1].
    """

    def __init__(self, max_fpr: float = 1.0) -> None:
        if not 0 < max_fpr <= 1:
            raise ValueError(f"max_fpr must be in (0, 1], got {max_fpr}")
        self.max_fpr = max_fpr

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N]`` and classes ``target [N]`` (0 or 1) to the area, 0-d; 0.5 where a class is missing, NaN where
        a score is NaN, which has no place in an order.

        Equal scores make one sloping piece of the curve, so their order is of no consequence.

        Raises
        ------
        ValueError: they are not of one size.
        """
        check_binary(self, pred, target)
        if pred.isnan().any():
            return torch.tensor(float("nan"))
        scores, order = pred.reshape(-1).double().sort(descending=True)
        positive = target.reshape(-1)[order] == 1
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if n_positive == 0 or n_negative == 0:
            return torch.tensor(0.5)
        last_of_score = torch.cat([scores[1:] != scores[:-1], torch.ones(1, dtype=torch.bool, device=scores.device)])
        start = scores.new_zeros(1)
        tpr = torch.cat([start, positive.cumsum(0)[last_of_score] / n_positive])
        fpr = torch.cat([start, (~positive).cumsum(0)[last_of_score] / n_negative])
        if self.max_fpr < 1:
            # The piece in which max_fpr lies is cut there.
            inside = int(torch.searchsorted(fpr, self.max_fpr, right=True))
            step = fpr[inside] - fpr[inside - 1]
            share = (self.max_fpr - fpr[inside - 1]) / step
            height = tpr[inside - 1] + share * (tpr[inside] - tpr[inside - 1])
            fpr = torch.cat([fpr[:inside], fpr.new_tensor([self.max_fpr])])
            tpr = torch.cat([tpr[:inside], height.reshape(1)])
        return (torch.trapezoid(tpr, fpr) / self.max_fpr).float()


class MultiClassAUC(AUC):
    """Mean over classes of the area under the ROC curve of each class against the others.

    Parameters
    ----------
    max_fpr: as in ``AUC``.
    """

    def compute(self, pred: Tensor, target: Tensor) -> Tensor:
        """Scores ``pred [N, C]`` and classes ``target [N]`` (or 0/1 ``[N, C]``) to the mean area, 0-d.

        Classes without an example, or to which all examples belong, have no curve and do not count; 0.5 where that are all.

        Raises
        ------
        ValueError: they do not fit.
        """
        hot = torch.nn.functional.one_hot(target, pred.size(1)) if target.dim() == 1 else target
        if hot.shape != pred.shape:
            raise ValueError(
                f"{self}: pred is {list(pred.shape)} and target {list(target.shape)}; expected [N, C] and [N]"
            )
        has_curve = [0 < int(column.sum()) < len(column) for column in hot.T]
        areas = [
            super(MultiClassAUC, self).compute(pred[:, c], hot[:, c]) for c, there in enumerate(has_curve) if there
        ]
        return torch.stack(areas).mean() if areas else torch.tensor(0.5)

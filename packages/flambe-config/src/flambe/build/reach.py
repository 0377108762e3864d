"""The written part of the allow-list of ``trust``. It is a file of its own because compiling needs no more of that."""

from __future__ import annotations

TORCH_ROOMS = ("torch.nn", "torch.optim", "torch.utils.data")
RAY_ROOMS = ("ray.tune.schedulers", "ray.tune.search")

_TENSORS = "arange device eye full linspace ones relu sigmoid softmax tanh tensor zeros"
_FUNCTIONAL = (
    "binary_cross_entropy binary_cross_entropy_with_logits cosine_similarity cross_entropy elu gelu glu hardtanh huber_loss "
    "kl_div l1_loss leaky_relu log_softmax logsigmoid mish mse_loss nll_loss normalize relu relu6 selu sigmoid silu "
    "smooth_l1_loss softmax softmin softplus softsign tanh"
)
FUNCTIONS = frozenset(
    [f"torch:{name}" for name in _TENSORS.split()] + [f"torch.nn.functional:{name}" for name in _FUNCTIONAL.split()]
)
"""Functions of torch that a tag may call. They compute, and reach neither files nor code."""

LIBRARY_BASES = frozenset(
    {
        ("torch.nn.modules.module", "Module"),
        ("torch.optim.optimizer", "Optimizer"),
        ("torch.optim.lr_scheduler", "LRScheduler"),
        ("torch.utils.data.sampler", "Sampler"),
    }
)
RAY_BASES = frozenset(
    {
        ("ray.tune.schedulers.trial_scheduler", "TrialScheduler"),
        ("ray.tune.search.searcher", "Searcher"),
        ("ray.tune.search.search_algorithm", "SearchAlgorithm"),
    }
)

"""Optimizers and learning-rate schedulers that torch does not have. Torch's are used by name: ``!torch.StepLR``."""

from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from flambe.optim.deferred_adam import DeferredAdam
from flambe.optim.linear import WarmupLinearScheduler
from flambe.optim.noam import NoamScheduler
from flambe.optim.radam import RAdam

__all__ = ["DeferredAdam", "LRScheduler", "LambdaLR", "NoamScheduler", "RAdam", "WarmupLinearScheduler"]

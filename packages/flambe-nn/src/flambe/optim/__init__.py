"""Learning-rate schedulers that torch does not have. Torch's are used by name: ``!torch.StepLR``."""

from flambe.optim.linear import WarmupLinearScheduler
from flambe.optim.noam import NoamScheduler

__all__ = ["NoamScheduler", "WarmupLinearScheduler"]

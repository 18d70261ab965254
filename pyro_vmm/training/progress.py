"""Where a training is."""

from dataclasses import dataclass


@dataclass
class Progress:
    """Where training is: all of it goes into a checkpoint."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    reconstruction_sum: float = 0.0
    prior_loss_sum: float = 0.0
    best_epoch: int = -1
    finished: bool = False
    seconds: float = 0.0

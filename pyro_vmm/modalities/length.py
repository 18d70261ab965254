"""How long to train where nobody says."""

from pyro_vmm.observations import num_minibatches

ENOUGH_STEPS = 5_000
ENOUGH_OBSERVATIONS = 8_000_000
"""As many as scvi-tools' SCVI sees by default of 20,000 cells or more: 400 epochs of 20,000."""


def default_epochs(num_observations: int, batch_size: int, *, least: int, most: int) -> int:
    """Epochs that hold 5,000 steps, but no fewer than ``least`` and no more than ``most``.

    ``least`` gives way where it would mean to look at more than 8 million observations, each time they are seen counted. That
    bounds what a training costs (benchmarks/README.md, "Length of training").
    """
    steps_per_epoch = num_minibatches(num_observations, batch_size)
    least = min(least, max(1, round(ENOUGH_OBSERVATIONS / max(1, num_observations))))
    return min(max(-(-ENOUGH_STEPS // steps_per_epoch), least), most)

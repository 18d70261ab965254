"""A network for a moment in evaluation mode."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from pyro_vmm.process_lock import PROCESS_LOCK


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """Switch off dropout and use running statistics inside the block; every submodule's own mode comes back after it.

    Nothing is written to a network that is in evaluation mode, as after every fit. Other threads wait meanwhile.
    """
    with PROCESS_LOCK:
        training = [module for module in network.modules() if module.training]
        _set_training(training, False)
        try:
            yield network
        finally:
            _set_training(training, True)


def _set_training(modules: list[nn.Module], mode: bool) -> None:
    for module in modules:
        # Past nn.Module's own __setattr__, which looks for parameters: this runs several times in every training step.
        object.__setattr__(module, "training", mode)


def differs_in_evaluation(network: nn.Module) -> bool:
    """Whether the network may compute something else in training mode than in evaluation mode.

    Modules of unknown kinds count as differing only if they are known to: dropout and batch normalisation in all their
    forms.
    """
    return any(
        isinstance(module, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd)
        for module in network.modules()
    )

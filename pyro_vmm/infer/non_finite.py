"""Numbers that cease to be finite: the error that names them, and taking back what a forward pass has already changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pyro_vmm.shapes import Float


class NonFiniteError(ArithmeticError):
    """A loss, a gradient or a running statistic was not finite; the step that raised it has moved nothing.

    Attributes
    ----------
    tensor
        What was not finite: ``"ELBO"``, ``"gradient of decoder.layers.0.weight"``, ``"encoder.layers.1.running_var"``.
    step
        The training step, counted from 0.
    epochs
        Epochs that were done before, where a :class:`~pyro_vmm.training.Trainer` ran the steps.
    rows
        Rows of the data at fault, as far as they can be told from the others of their minibatch; else the whole minibatch.
        Empty outside a trainer.
    """

    def __init__(self, message: str, *, tensor: str, step: int, epochs: int = 0, rows: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.tensor, self.step, self.epochs, self.rows = tensor, step, epochs, tuple(rows)


class NonFiniteLossError(NonFiniteError):
    """The ELBO or the empirical-Bayes objective was not finite."""


def gradients(parameters: Mapping[str, nn.Parameter]) -> Iterator[tuple[str, Tensor]]:
    """The gradients that there are, named after their parameters."""
    for name, parameter in parameters.items():
        gradient = parameter.grad
        if gradient is not None:
            yield f"gradient of {name}", gradient.coalesce().values() if gradient.is_sparse else gradient


def total_norm(named: Iterable[tuple[str, Tensor]]) -> Float[Tensor, ""]:
    """Euclidean norm of all the tensors together, a scalar; not finite where one of their numbers is not.

    Nor where the sum of squares overflows: Adam's second moment would, too, and stay infinite ever after.
    """
    # Half the time of torch.nn.utils.get_total_norm on a CPU.
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(tensor) for _, tensor in named]))


def first_non_finite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """Name of the first tensor whose norm is not finite."""
    return next((name for name, tensor in named if not total_norm([(name, tensor)]).isfinite()), None)


class RunningStatistics:
    """Running statistics of batch normalisation, which a forward pass moves before its loss is known.

    Parameters
    ----------
    modules
        Where to look for layers that have some.
    """

    def __init__(self, *modules: nn.Module) -> None:
        layers: dict[nn.Module, str] = {}
        for module in modules:
            for name, layer in module.named_modules():
                if isinstance(layer, _NormBase) and layer.track_running_stats:
                    layers.setdefault(layer, name)
        self._layers = layers

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Running means and variances by name."""
        return ((name, buffer) for name, buffer in self._buffers() if buffer.is_floating_point())

    def copy(self) -> list[Tensor]:
        """What :meth:`restore` takes."""
        return [buffer.clone() for _, buffer in self._buffers()]

    @torch.no_grad()
    def restore(self, copies: list[Tensor]) -> None:
        """Put back what :meth:`copy` gave."""
        for (_, buffer), copied in zip(self._buffers(), copies, strict=True):
            buffer.copy_(copied)

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        for layer, name in self._layers.items():
            for own, buffer in layer.named_buffers(recurse=False):
                yield f"{name}.{own}", buffer

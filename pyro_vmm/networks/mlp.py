"""Fully connected encoder and decoder, in the sizes of the paper's image experiments by default."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.networks.initialisation import glorot_uniform
from pyro_vmm.networks.linear import Linear
from pyro_vmm.option_checks import is_number
from pyro_vmm.shapes import Float, Real

Normalization = Literal["none", "batch", "layer"]


class MLPEncoder(nn.Module):
    """Multilayer perceptron from an observation to the parameters of its approximate posterior.

    Each hidden layer is linear, then ``normalization``, then ReLU, then ``dropout``; the output layer is linear.

    Parameters
    ----------
    num_features
        Number of values F in one observation.
    hidden
        Width of each hidden layer, input side first; empty for a single linear map.
    num_outputs
        Number of values returned for each observation.
    event_shape
        Shape of one observation, of F values in all. If None, one observation is the fewest trailing
        dimensions of x that hold F values, so ``[..., F]`` and ``[..., H, W]`` with ``H * W = F`` both work;
        name the shape where it starts with a 1, as ``(1, H, W)`` does, because that 1 would be read as a
        batch dimension.
    normalization
        ``"none"``, ``"batch"`` (statistics over all leading dimensions together) or ``"layer"``.
    dropout
        Probability with which a hidden unit is zeroed during training, in [0, 1).
    covariates
        Width of each covariate by name, such as ``{"batch": 3}``; they stand beside the input of the first layer.
        Covariates of other names are let pass by.

    Raises
    ------
    UserError
        If a size, ``normalization`` or ``dropout`` is outside its domain.

    Notes
    -----
    In training, ``"batch"`` needs at least two observations in every minibatch.
    """

    def __init__(
        self,
        num_features: int,
        hidden: Sequence[int] = (500, 500, 2000),
        *,
        num_outputs: int,
        event_shape: Sequence[int] | None = None,
        normalization: Normalization = "none",
        dropout: float = 0.0,
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.covariates = dict(covariates or {})
        self.num_features = num_features
        self.num_outputs = num_outputs
        self.event_shape = None if event_shape is None else tuple(event_shape)
        self.layers = _perceptron(
            num_features + sum(self.covariates.values()), hidden, num_outputs, normalization, dropout
        )
        if self.event_shape is not None:
            _check_event_shape(self.event_shape, "num_features", num_features)

    def forward(self, x: Real[Tensor, "..."], **covariates: Any) -> Float[Tensor, "*batch num_outputs"]:
        """Encode observations.

        Parameters
        ----------
        x
            Observations, ``[..., *event]`` with F values in one event.
        **covariates
            Those that the encoder was made for, each ``[..., width]``.

        Returns
        -------
        Tensor
            ``[..., num_outputs]``.

        Raises
        ------
        UserError
            If the trailing dimensions of ``x`` do not hold one event, or a covariate is missing or of another width.
        """
        batch_shape = x.shape[: x.ndim - self._num_event_dims(x)]
        flat: Tensor = self.layers(
            _beside(x.reshape(math.prod(batch_shape), self.num_features), batch_shape, self.covariates, covariates)
        )
        return flat.reshape(*batch_shape, self.num_outputs)

    def _num_event_dims(self, x: Tensor) -> int:
        """Count the trailing dimensions of ``x`` that make one event."""
        if self.event_shape is not None:
            num_dims = len(self.event_shape)
            if tuple(x.shape[x.ndim - num_dims :]) == self.event_shape and x.ndim >= num_dims:
                return num_dims
            raise UserError(f"x has shape {tuple(x.shape)}, but the encoder needs x to end in {self.event_shape}.")
        for num_dims in range(1, x.ndim + 1):
            if math.prod(x.shape[x.ndim - num_dims :]) == self.num_features:
                return num_dims
        raise UserError(
            f"x has shape {tuple(x.shape)}, but the encoder needs trailing dimensions of {self.num_features} values "
            f"in all (num_features={self.num_features})."
        )


class MLPDecoder(nn.Module):
    """Multilayer perceptron from a latent vector to the parameters of an observation's likelihood.

    Each hidden layer is linear, then ``normalization``, then ReLU, then ``dropout``; the output layer is linear.

    Parameters
    ----------
    latent_dim
        Number of latent coordinates D.
    hidden
        Width of each hidden layer, latent side first; empty for a single linear map.
    num_outputs
        Number of values returned for each latent vector; may be left out where ``event_shape`` says it.
    event_shape
        Shape of the output of one latent vector; ``(num_outputs,)`` if None.
    normalization
        ``"none"``, ``"batch"`` (statistics over all leading dimensions together, samples included) or ``"layer"``.
    dropout
        Probability with which a hidden unit is zeroed during training, in [0, 1).
    covariates
        Width of each covariate by name, such as ``{"batch": 3}``; they stand beside the input of the first layer.
        Covariates of other names are let pass by.

    Raises
    ------
    UserError
        If neither ``num_outputs`` nor ``event_shape`` is given, if they disagree, or if a size,
        ``normalization`` or ``dropout`` is outside its domain.

    Notes
    -----
    In training, ``"batch"`` needs at least two latent vectors in every call.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int] = (2000, 500, 500),
        *,
        num_outputs: int | None = None,
        event_shape: Sequence[int] | None = None,
        normalization: Normalization = "none",
        dropout: float = 0.0,
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        if num_outputs is None:
            if event_shape is None:
                raise UserError("The decoder needs num_outputs or event_shape to know the size of its output.")
            num_outputs = math.prod(event_shape)
        self.covariates = dict(covariates or {})
        self.latent_dim = latent_dim
        self.num_outputs = num_outputs
        self.event_shape = (num_outputs,) if event_shape is None else tuple(event_shape)
        self.layers = _perceptron(
            latent_dim + sum(self.covariates.values()), hidden, num_outputs, normalization, dropout
        )
        _check_event_shape(self.event_shape, "num_outputs", num_outputs)

    def forward(self, z: Float[Tensor, "*batch D"], **covariates: Any) -> Tensor:
        """Decode latent vectors.

        Parameters
        ----------
        z
            Latent vectors, ``[..., D]``.
        **covariates
            Those that the decoder was made for, each ``[..., width]`` or broadcastable to that.

        Returns
        -------
        Tensor
            ``[..., *event_shape]``.

        Raises
        ------
        UserError
            If the last dimension of ``z`` is not D, or a covariate is missing or of another width.
        """
        if z.ndim == 0 or z.shape[-1] != self.latent_dim:
            raise UserError(f"z has shape {tuple(z.shape)}, but the decoder needs z to end in ({self.latent_dim},).")
        batch_shape = z.shape[:-1]
        flat: Tensor = self.layers(
            _beside(z.reshape(math.prod(batch_shape), self.latent_dim), batch_shape, self.covariates, covariates)
        )
        return flat.reshape(*batch_shape, *self.event_shape)


def _beside(
    inputs: Tensor, batch_shape: torch.Size, widths: Mapping[str, int], covariates: Mapping[str, Tensor]
) -> Tensor:
    """Put the covariates named in ``widths`` beside ``inputs [M, I]``, M being the product of ``batch_shape``."""
    columns = [inputs]
    for name, width in widths.items():
        if name not in covariates:
            raise UserError(f"The network was made for a covariate {name!r} of width {width}: give {name}=...")
        values = covariates[name]
        if values.ndim == 0 or values.shape[-1] != width:
            raise UserError(
                f"The covariate {name!r} has shape {tuple(values.shape)}: its last dimension must be {width}."
            )
        columns.append(values.to(inputs.dtype).expand(*batch_shape, width).reshape(len(inputs), width))
    return torch.cat(columns, -1) if len(columns) > 1 else inputs


def _perceptron(
    num_inputs: int, hidden: Sequence[int], num_outputs: int, normalization: Normalization, dropout: float
) -> nn.Sequential:
    """Build the stack from ``[M, num_inputs]`` to ``[M, num_outputs]``."""
    for name, size in (("input", num_inputs), ("output", num_outputs), *(("hidden", width) for width in hidden)):
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise UserError(f"The size of each {name} layer must be at least 1, but one of {size!r} was asked for.")
    if normalization not in ("none", "batch", "layer"):
        raise UserError(f"normalization must be 'none', 'batch' or 'layer', but {normalization!r} was given.")
    if not is_number(dropout) or not 0.0 <= dropout < 1.0:
        raise UserError(f"dropout must be at least 0 and less than 1, but {dropout!r} was given.")
    layers: list[nn.Module] = []
    width_in = num_inputs
    for width in hidden:
        layers.append(Linear(width_in, width))
        if normalization == "batch":
            layers.append(nn.BatchNorm1d(width))
        elif normalization == "layer":
            layers.append(nn.LayerNorm(width))
        layers.append(nn.ReLU())
        if dropout > 0.0:
            layers.append(nn.Dropout(dropout))
        width_in = width
    layers.append(Linear(width_in, num_outputs))
    network = nn.Sequential(*layers)
    glorot_uniform(network)
    return network


def _check_event_shape(event_shape: tuple[int, ...], size_name: str, size: int) -> None:
    if math.prod(event_shape) != size:
        raise UserError(
            f"event_shape {event_shape} holds {math.prod(event_shape)} values, but {size_name} is {size}: "
            "the two must agree."
        )

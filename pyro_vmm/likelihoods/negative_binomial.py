"""Counts that vary more than chance alone makes them."""

import pyro.distributions as dist
from torch import Tensor

from pyro_vmm import distributions
from pyro_vmm.likelihoods.counts import CountLikelihood, InverseDispersion


class NegativeBinomial(CountLikelihood):
    """``x_f ~ NegativeBinomial(mean_f, theta_f)`` with variance ``mean + mean^2 / theta``, independent over features.

    The mean comes from the decoder (:meth:`expected_counts`); the inverse dispersion ``theta`` is learned with it, one for
    each feature or for each feature in each batch (section 6; Lopez et al. 2018).

    Parameters
    ----------
    num_features
        ``F``.
    num_batches
        With more than one, ``theta [num_batches, F]`` is chosen by the covariate ``batch``.

    Raises
    ------
    UserError
        If a number is less than 1.

    References
    ----------
    R. Lopez et al., "Deep generative modeling for single-cell transcriptomics", 2018.
    """

    def __init__(self, num_features: int, num_batches: int = 1) -> None:
        super().__init__()
        self.inverse_dispersion = InverseDispersion(num_features, num_batches)

    def forward(self, outputs: Tensor, **covariates: Tensor) -> dist.Independent:
        """Scale head ``[..., F]`` to a distribution of event shape ``(F,)``.

        Parameters
        ----------
        outputs
            Decoder outputs ``[..., B, F]``.
        **covariates
            ``library_size`` (``[B]`` or ``[B, 1]``), optional; ``batch`` (one-hot, ``[B, num_batches]``), needed when
            there is more than one.

        Raises
        ------
        UserError
            If outputs or covariates do not fit.
        """
        theta = self.inverse_dispersion(outputs, covariates.get("batch"))
        mean = self.expected_counts(outputs, covariates.get("library_size"))
        return distributions.NegativeBinomial(mean, theta, validate_args=False).to_event(1)

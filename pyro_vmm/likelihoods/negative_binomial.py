"""Counts that vary more than chance alone makes them."""

import pyro.distributions as dist
from torch import Tensor

from pyro_vmm import distributions
from pyro_vmm.likelihoods.counts import OverdispersedCountLikelihood
from pyro_vmm.shapes import Float


class NegativeBinomial(OverdispersedCountLikelihood):
    """``x_f ~ NegativeBinomial(mean_f, theta_f)`` with variance ``mean + mean^2 / theta``, independent over features.

    The mean comes from the decoder (:meth:`expected_counts`); the inverse dispersion ``theta`` is learned with it, one for
    each feature or for each feature in each batch (section 6; Lopez et al. 2018).

    Parameters, also for errors, are those of
    :class:`~pyro_vmm.likelihoods.counts.OverdispersedCountLikelihood`.

    References
    ----------
    R. Lopez et al., "Deep generative modeling for single-cell transcriptomics", 2018.
    """

    def forward(self, outputs: Float[Tensor, "*batch F"], **covariates: Tensor) -> dist.Independent:
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

"""Counts of which some were lost and read as zero."""

from typing import ClassVar

import pyro.distributions as dist
from torch import Tensor

from pyro_vmm import distributions
from pyro_vmm.likelihoods.counts import OverdispersedCountLikelihood
from pyro_vmm.shapes import Float


class ZeroInflatedNegativeBinomial(OverdispersedCountLikelihood):
    """``x_f`` is 0 with probability ``sigmoid(dropout_f)`` and else ``NegativeBinomial(mean_f, theta_f)``.

    Mean and dropout logits come from two heads of the decoder; the inverse dispersion ``theta`` is learned with them, one
    for each feature or for each feature in each batch (section 6; Lopez et al. 2018).

    Parameters, also for errors, are those of
    :class:`~pyro_vmm.likelihoods.counts.OverdispersedCountLikelihood`.

    Notes
    -----
    When not to use: counts of unique molecules rarely need the extra zeros; compare with
    :class:`~pyro_vmm.likelihoods.NegativeBinomial`.

    References
    ----------
    R. Lopez et al., "Deep generative modeling for single-cell transcriptomics", 2018.
    """

    outputs_per_feature: ClassVar[int] = 2

    def forward(self, outputs: Float[Tensor, "*batch outputs"], **covariates: Tensor) -> dist.Independent:
        """Scale head, then dropout logits, ``[..., 2 F]`` together, to a distribution of event shape ``(F,)``.

        Parameters
        ----------
        outputs
            Decoder outputs ``[..., B, 2 F]``.
        **covariates
            ``library_size`` (``[B]`` or ``[B, 1]``), optional; ``batch`` (one-hot, ``[B, num_batches]``), needed when
            there is more than one.

        Raises
        ------
        UserError
            If outputs or covariates do not fit.
        """
        scale_head, gate_logits = outputs.chunk(2, -1)
        theta = self.inverse_dispersion(scale_head, covariates.get("batch"))
        mean = self.expected_counts(scale_head, covariates.get("library_size"))
        return distributions.ZeroInflatedNegativeBinomial(mean, theta, gate_logits, validate_args=False).to_event(1)

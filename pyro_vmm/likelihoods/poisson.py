"""Counts that vary no more than chance makes them."""

import pyro.distributions as dist
from torch import Tensor

from pyro_vmm import distributions
from pyro_vmm.likelihoods.counts import CountLikelihood
from pyro_vmm.shapes import Float


class Poisson(CountLikelihood):
    """``x_f ~ Poisson(mean_f)``, independent over features; see :meth:`expected_counts` for the mean.

    When not to use: counts of real data mostly vary more than their mean (single cells, documents, visits); compare with
    :class:`~pyro_vmm.likelihoods.NegativeBinomial`.
    """

    def forward(self, outputs: Float[Tensor, "*batch F"], **covariates: Tensor) -> dist.Independent:
        """Scale head ``[..., F]`` to a distribution of event shape ``(F,)``.

        Parameters
        ----------
        outputs
            Decoder outputs ``[..., B, F]``.
        **covariates
            ``library_size`` (``[B]`` or ``[B, 1]``), optional.

        Raises
        ------
        UserError
            If the library size has another shape.
        """
        mean = self.expected_counts(outputs, covariates.get("library_size"))
        return distributions.Poisson(mean, validate_args=False).to_event(1)

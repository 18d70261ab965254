"""The generative story of counts whose library size is inferred."""

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyro_vmm.errors import UserError
from pyro_vmm.likelihoods import Likelihood
from pyro_vmm.models.latent_mixture import LatentMixtureModel
from pyro_vmm.priors import Prior
from pyro_vmm.shapes import Float, Real


class CountMixtureModel(LatentMixtureModel):
    """:class:`LatentMixtureModel` with one more line before the observation (section 6; Lopez et al. 2018)::

        library_size   l_n      ~ LogNormal(loc_{s_n}, scale_{s_n})

    Parameters
    ----------
    prior, decoder, likelihood
        As for :class:`LatentMixtureModel`; the likelihood takes the covariate ``library_size``.
    library_loc, library_scale
        Mean and standard deviation of the log library size in each batch, ``[num_batches]``; they are data, not fitted.

    Raises
    ------
    UserError
        If the two differ in shape; when called, if there are several batches but no covariate ``batch``.
    """  # noqa: D400

    library_loc: Tensor
    library_scale: Tensor

    def __init__(
        self,
        prior: Prior,
        decoder: nn.Module,
        likelihood: Likelihood | str,
        library_loc: Float[Tensor, "num_batches"],
        library_scale: Float[Tensor, "num_batches"],
    ) -> None:
        super().__init__(prior, decoder, likelihood)
        if library_loc.shape != library_scale.shape or library_loc.ndim != 1:
            raise UserError(
                f"library_loc {tuple(library_loc.shape)} and library_scale {tuple(library_scale.shape)} must both be "
                "[num_batches]."
            )
        self.register_buffer("library_loc", library_loc)
        self.register_buffer("library_scale", library_scale)

    def library_prior(self, batch: Real[Tensor, "B num_batches"] | None = None) -> dist.LogNormal:
        """``p(l | s)`` for one-hot batches ``[B, num_batches]``: batch shape ``(B,)``, or ``()`` with one batch."""
        if batch is None:
            if len(self.library_loc) > 1:
                raise UserError(f"The model has {len(self.library_loc)} batches: give the covariate 'batch', one-hot.")
            return dist.LogNormal(self.library_loc[0], self.library_scale[0], validate_args=False)
        weights = batch.to(self.library_loc.dtype)
        return dist.LogNormal(weights @ self.library_loc, weights @ self.library_scale, validate_args=False)

    def draw_covariates(self, covariates: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add the site ``library_size``, ``[B]``."""
        library_size = pyro.sample("library_size", self.library_prior(covariates.get("batch")))
        # Finite whatever an early encoder says; e^30 counts is no cell.
        return covariates | {"library_size": torch.clamp(library_size, 1e-6, 1e13)}

    @property
    def needs_latents_alone(self) -> bool:
        """Never: a library size is drawn."""
        return False

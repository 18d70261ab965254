"""What a trained model of single cells says of whole groups of cells: where in the embedding they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.distributions as dist
from torch import Tensor

from pyro_vmm.data.cell_covariates import read_categories
from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import check_positive, check_whole_number
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.single_cell.facts import Facts

if TYPE_CHECKING:
    from anndata import AnnData

DENSITIES = "da_log_probs"
"""Entry of ``adata.obsm``."""


class Populations(Facts):
    """Aggregated posteriors, and the abundance of samples by them; the facade inherits them."""

    @undisturbed()
    def get_aggregated_posterior(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        batch_size: int | None = None,
        dof: float | None = 3.0,
    ) -> dist.MixtureSameFamily:
        """Mean of the cells' approximate posteriors, a distribution over the embedding (event shape ``(n_latent,)``).

        Parameters
        ----------
        adata, indices, batch_size
            As for :meth:`get_latent_representation`.
        dof
            Degrees of freedom of Student's t, in whose shape each posterior enters; None for the Gaussian that it is.
            Scales are standard deviations of the posteriors (scvi-tools 1.4 takes variances).

        Raises
        ------
        UserError
            As everywhere, and for degrees of freedom that are not positive.
        """
        dof = check_positive(dof, "dof", or_none=True)
        self._some_cells(adata, indices)
        return _aggregated(*self._posteriors(adata, indices, batch_size), dof)

    @undisturbed()
    def differential_abundance(
        self,
        adata: AnnData | None = None,
        sample_key: str | None = None,
        batch_size: int = 128,
        num_cells_posterior: int | None = None,
        dof: float | None = None,
    ) -> None:
        """Write the log density of every sample at every cell into ``adata.obsm["da_log_probs"]``, cells by samples.

        A sample whose column is larger than another's at a cell has more cells of this kind, for its size. Cells of one
        sample are no replicates: compare several samples of each condition.

        Parameters
        ----------
        adata
            As for :meth:`get_latent_representation`; this AnnData is written to.
        sample_key
            Column of ``adata.obs`` with each cell's sample.
        batch_size
            Cells whose densities are worked out at once.
        num_cells_posterior
            At most this number of each sample's cells make up its density, drawn at random, the same in every call; None for
            all.
        dof
            As for :meth:`get_aggregated_posterior`.

        Raises
        ------
        UserError
            As everywhere; without a column of samples; for a view, which AnnData would have to copy.
        """
        batch_size = check_whole_number(batch_size, "batch_size")
        most = check_whole_number(num_cells_posterior, "num_cells_posterior", or_none="for all cells")
        adata = self.adata if adata is None else adata
        if sample_key is None:
            raise UserError("sample_key is None: name the column of adata.obs with each cell's sample.")
        dof = check_positive(dof, "dof", or_none=True)
        codes, names = read_categories(adata.obs, sample_key, role="sample_key")
        loc, scale = self._posteriors(adata, None, None)
        if adata.is_view:
            raise UserError("adata is a view of another AnnData and cannot take notes: copy it, adata = adata.copy().")
        generator = np.random.default_rng(0)
        densities = np.empty((len(loc), len(names)), dtype=np.float32)
        for sample in range(len(names)):
            rows = np.flatnonzero(codes == sample)
            if most is not None and most < len(rows):
                rows = np.sort(generator.choice(rows, most, replace=False))
            posterior = _aggregated(loc[rows], scale[rows], dof)
            densities[:, sample] = (
                torch.cat([posterior.log_prob(block) for block in loc.split(batch_size)]).cpu().numpy()
            )
        adata.obsm[DENSITIES] = pd.DataFrame(densities, index=adata.obs_names, columns=list(names))

    def _posteriors(self, adata: AnnData | None, indices: Any, batch_size: int | None) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of the cells' posteriors, ``[n_obs, n_latent]`` each, where the model is."""
        both = self.get_latent_representation(adata, indices, batch_size=batch_size, return_dist=True)
        mean, variance = (torch.from_numpy(each).to(self.device) for each in both)
        return mean, variance.sqrt()


def _aggregated(loc: Tensor, scale: Tensor, dof: float | None) -> dist.MixtureSameFamily:
    cells = dist.Normal(loc, scale) if dof is None else dist.StudentT(dof, loc, scale)
    alike = dist.Categorical(logits=torch.zeros(len(loc), device=loc.device))
    return dist.MixtureSameFamily(alike, dist.Independent(cells, 1))

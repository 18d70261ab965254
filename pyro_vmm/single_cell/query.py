"""New cells on a fitted model: genes put in its order, and how novel each cell is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.data import DataWarning
from pyro_vmm.errors import UserError
from pyro_vmm.fit.config import read_config
from pyro_vmm.fit.novelty import NotCalibratedError, Novelty
from pyro_vmm.observations import InMemory, OnDisk
from pyro_vmm.option_checks import as_folder, check_boolean
from pyro_vmm.process_settings import undisturbed
from pyro_vmm.single_cell.facts import Facts

if TYPE_CHECKING:
    from anndata import AnnData

LEAST_SHARE = 0.5
"""New cells need at least this share of the model's genes."""


class Queried(Facts):
    """Questions about new cells; the facade inherits them."""

    @staticmethod
    def prepare_query_anndata(
        adata: AnnData,
        reference_model: Any,
        return_reference_var_names: bool = False,
        inplace: bool = True,
    ) -> AnnData | pd.Index | None:
        """Give new cells the genes of a fitted model, in its order.

        Genes are matched by name. Those that the model does not have are left out; those that the cells do not have are
        filled with zeros in ``X`` and in every layer. ``raw``, ``varm`` and ``varp`` are left out.

        Parameters
        ----------
        adata
            New cells.
        reference_model
            A fitted model, or the folder of a saved one.
        return_reference_var_names
            Only return the names of the model's genes.
        inplace
            Change ``adata``; otherwise leave it as it is and return a new AnnData.

        Returns
        -------
        AnnData, pandas.Index or None
            The prepared cells with ``inplace=False``, the names where these are asked for, and None otherwise.

        Raises
        ------
        UserError
            If fewer than half of the model's genes are there, if two of the cells' genes have one name, for counts in
            ``adata.raw``, and for a view with ``inplace=True``.

        Warns
        -----
        DataWarning
            With the number of missing genes, and the names of the first.
        """
        check_boolean(return_reference_var_names, "return_reference_var_names")
        check_boolean(inplace, "inplace")
        genes, layer = _genes_of(reference_model)
        if return_reference_var_names:
            return genes
        if not hasattr(adata, "is_view"):
            raise UserError(
                f"An AnnData is needed, not a {type(adata).__name__}: read one with anndata.read_h5ad(path)."
            )
        if adata.isbacked:
            raise UserError(
                f"adata is backed by the file {adata.filename}: load it into memory with adata.to_memory()."
            )
        if layer == "raw":
            raise UserError(
                "The model was fitted to adata.raw, whose genes cannot be changed: set adata.raw to the genes of the model."
            )
        if inplace and adata.is_view:
            raise UserError("adata is a view of another AnnData and cannot be changed: copy it, adata = adata.copy().")
        prepared = _with_genes(adata, genes)
        if not inplace:
            return prepared
        # AnnData has no public way to become another one; scvi-tools does the same.
        adata._init_as_actual(prepared)
        return None

    @undisturbed()
    def embed_query(self, adata: AnnData, *, batch_free: bool = False) -> NDArray[np.float32]:
        """Posterior means of new cells' latents, ``[n_obs, n_latent]``; ``batch_free`` as for :meth:`novelty`."""
        batch_free = check_boolean(batch_free, "batch_free")
        cells = self._read(adata, None, batch_free=batch_free)
        return self._evaluation.posterior_mean(self._as_asked(cells, batch_free))

    @undisturbed()
    def novelty(
        self, adata: AnnData | None = None, indices: Any = None, *, batch_free: bool = False
    ) -> NDArray[np.float64]:
        """P-value of each cell for being of the same kind as the cells fitted, ``[n_obs]``; small for novel cells.

        The density of the mixture at the cell's embedding and the likelihood of its counts are compared with those of the
        cells held out in training. Of new cells like the reference, a share of about ``p`` has a value of at most ``p``.
        The smallest is about two divided by the number of held-out cells.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        batch_free
            Do not use the batch: encode and decode the new cells and the held-out ones as of the average batch. ``adata`` may
            then have batches that the model does not know.

        Raises
        ------
        UserError
            If fewer than 100 cells were held out, or it is not known which: after :meth:`load` with other cells than those
            fitted.
        """
        batch_free = check_boolean(batch_free, "batch_free")
        held_out = self._fit.held_out
        if held_out is None:
            raise NotCalibratedError(
                "Novelty is calibrated on the cells held out in training, and these are not known: load the model with the "
                "cells fitted, and give the new ones to novelty(adata)."
            )
        cells, reference = self._read(adata, indices, batch_free=batch_free), self.cells.subset(held_out)
        calibrated = Novelty.of(self._evaluation, self._as_asked(reference, batch_free), reference.library_size)
        return calibrated.p_values(self._as_asked(cells, batch_free), cells.library_size)

    def _as_asked(self, cells: Any, batch_free: bool) -> InMemory | OnDisk:
        observations = self.encoding.observations(cells)
        if not batch_free or "batch" not in observations.covariates:
            return observations
        average = torch.as_tensor(self.modality.batch_shares, dtype=torch.float32).expand(len(observations), -1)
        return observations.with_covariates(batch=average)


def _genes_of(model: Any) -> tuple[pd.Index, str | None]:
    """Genes of a model or of the one in a folder, and the layer that it reads."""
    if isinstance(model, str | PathLike):
        folder = as_folder(model)
        config = read_config(Path(folder))
        try:
            learned: Mapping[str, Any] = config["fitted"]["modality"]
            return pd.Index(learned["gene_names"]), learned["setup"]["layer"]
        except (KeyError, TypeError):
            raise UserError(f"{folder} holds no fitted single-cell model: give the folder of one.") from None
    if not isinstance(model, Queried):
        raise UserError(
            f"reference_model is {type(model).__name__!r}: give a SingleCellVMM or the folder of a saved one."
        )
    return pd.Index(model.gene_names.tolist()), model.setup.layer


def _with_genes(adata: AnnData, genes: pd.Index) -> AnnData:
    import anndata
    from scipy import sparse

    there = pd.Index([str(name) for name in adata.var_names])
    if not there.is_unique:
        twice = there[there.duplicated()][0]
        raise UserError(f"adata has two genes called {twice!r}: call adata.var_names_make_unique() or remove one.")
    missing = genes.difference(there, sort=False)
    share = 1.0 - len(missing) / len(genes)
    if share < LEAST_SHARE:
        raise UserError(
            f"adata has {len(genes) - len(missing):,} of the model's {len(genes):,} genes ({share:.0%}), and {LEAST_SHARE:.0%} "
            f"are needed: check that names are of the same kind (here {there[0]!r}, there {genes[0]!r})."
        )
    if len(missing):
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5:,} more" if len(missing) > 5 else "")
        warn_caller(
            f"{len(missing):,} of the model's {len(genes):,} genes are not in adata and are filled with zeros: {named}.",
            DataWarning,
        )
    places = there.get_indexer(genes)
    known = np.flatnonzero(places >= 0)

    # A matrix of zeros and ones, [G of adata, G of the model], that moves columns and leaves zeros.
    def moved(values: Any) -> Any:
        if values is None:
            return None
        moving = sparse.csr_array(
            (np.ones(len(known), dtype=values.dtype), (places[known], known)), shape=(len(there), len(genes))
        )
        product = sparse.csr_matrix(sparse.csr_array(values) @ moving)
        return product if sparse.issparse(values) else product.toarray()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        var = adata.var.set_axis(there).reindex(genes)
    return anndata.AnnData(
        X=moved(adata.X),
        obs=adata.obs.copy(),
        var=var,
        obsm=dict(adata.obsm),
        obsp=dict(adata.obsp),
        uns=dict(adata.uns),
        layers={name: moved(values) for name, values in adata.layers.items() if name is not None},
    )

"""What a fitted model says of cells, written where scverse's tools look for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.errors import UserError
from pyro_vmm.fit.config import versions
from pyro_vmm.fit.own_objects import storable
from pyro_vmm.modalities import Modality
from pyro_vmm.modalities.counts import Counts

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.single_cell.genes import AnswersOfGenes

KEY = "vmm"
"""What entries are called by, unless the user says otherwise."""


def annotate(model: AnswersOfGenes, adata: AnnData, key_added: str = KEY) -> None:
    """Write embedding and clusters into ``adata``, replacing what an earlier call wrote.

    With another ``key_added`` it takes the place of ``vmm`` in these names:

    ``obsm["X_vmm"]``
        Posterior means of the latents, ``[n_obs, n_latent]``.
    ``obs["vmm_cluster"]``, ``obs["vmm_probability"]``
        The most probable cluster, a categorical of text ``"0"``, ``"1"``, ..., and its responsibility.
    ``obsm["vmm_responsibilities"]``
        Responsibilities of the utilised components, ``[n_obs, clusters]``. Rows sum to one less what the others have.
    ``uns["vmm"]``
        Number of clusters, options, setup and versions; what was left at None is left out.

    Parameters
    ----------
    model
        After training.
    adata
        Cells with the model's genes and known batches: those fitted, or others.
    key_added
        What the entries are called by, such as ``"second_fit"`` to keep those of another model.

    Raises
    ------
    UserError
        If the model is not trained, or cannot read ``adata``; for a view, which AnnData would have to copy; and for a key that
        is no text.
    """
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        raise UserError(f"key_added is {key_added!r}: give text without a slash, such as 'vmm'.")
    if not hasattr(adata, "is_view"):
        raise UserError(f"An AnnData is needed, not a {type(adata).__name__}: give the one to write into.")
    responsibilities = model.predict_proba(adata)
    if adata.is_view:
        raise UserError("adata is a view of another AnnData and cannot take notes: copy it, adata = adata.copy().")
    latent = model.get_latent_representation(adata)
    write_annotation(model.modality, model.n_clusters_, adata, latent, RowBlocks.of(responsibilities), key_added)


def write_annotation(
    modality: Modality,
    num_clusters: int,
    adata: AnnData,
    latent: NDArray[np.float32],
    responsibilities: RowBlocks,
    key: str = KEY,
) -> None:
    """As :func:`annotate`, for cells of which latents ``[n_obs, n_latent]`` and responsibilities ``[n_obs, K]`` are known."""
    assert isinstance(modality, Counts)
    likeliest = [(block.argmax(1), block.max(1)) for block in responsibilities]
    clusters, probabilities = (np.concatenate(parts) for parts in zip(*likeliest, strict=True))
    # Cells other than those fitted may be of a component that owned none of them.
    utilised = max(num_clusters, int(clusters.max()) + 1)
    adata.obsm[f"X_{key}"] = latent
    adata.obsm[f"{key}_responsibilities"] = responsibilities.first_columns(utilised).whole()
    adata.obs[f"{key}_cluster"] = pd.Categorical.from_codes(
        clusters.tolist(), categories=pd.Index([str(cluster) for cluster in range(utilised)])
    )
    adata.obs[f"{key}_probability"] = probabilities
    adata.uns[key] = {
        "num_clusters": num_clusters,
        "options": _told(storable(modality.options_of_model)),
        "setup": _told(modality.setup.to_dict()),
        "versions": versions(),
    }


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What there is: files of AnnData have no place for None, and none worth having for an empty list."""
    return {name: value for name, value in values.items() if value not in (None, [], ())}

"""Small real files, where there are any; no label is read."""

import os
from pathlib import Path

import anndata
import numpy as np
import pytest

from pyro_vmm import SingleCellVMM, UserError

DATA = Path(os.environ.get("PYRO_VMM_DATA", Path(__file__).parents[3] / "shared" / "data"))


def read(name: str, genes: int) -> anndata.AnnData:
    path = DATA / f"{name}.h5ad"
    if not path.exists():
        pytest.skip(f"{path.name} is not there: set PYRO_VMM_DATA to the folder that holds it")
    adata = anndata.read_h5ad(path)
    totals = np.asarray(adata.X.sum(0)).ravel()
    return adata[:, np.sort(np.argsort(-totals)[:genes])].copy()


@pytest.mark.parametrize(
    ("name", "several"),
    [("tian_cell_line_mixtures", True), ("starmap_mpfc_spatial", True), ("zeisel_cortex_subset", False)],
)
def test_a_short_fit_learns_and_describes_every_cell(name: str, several: bool) -> None:
    adata = read(name, 150)
    order = adata.obs_names.tolist()
    SingleCellVMM.setup_anndata(adata, batch_key="batch" if several else None)
    model = SingleCellVMM(adata, num_components=20)
    model.train(max_epochs=12)
    elbo = -model.history["elbo_validation"]["elbo_validation"]
    assert elbo.iloc[-1] > elbo.iloc[0]
    model.annotate(adata)
    assert adata.obs_names.tolist() == order
    assert adata.obsm["X_vmm"].shape == (len(order), 10)
    assert np.isfinite(adata.obsm["X_vmm"]).all()
    assert adata.obs["vmm_cluster"].nunique() == model.n_clusters_ > 1
    own = model.get_normalized_expression(library_size="latent", indices=np.arange(50)).to_numpy()
    np.testing.assert_allclose(own.sum(1), np.asarray(adata.X[:50].sum(1)).ravel(), rtol=1e-3)
    # Replicates have the data's scale, gene by gene.
    replicate = model.posterior_predictive_sample()
    found, true = np.log(replicate.mean(0) + 0.01), np.log(np.asarray(adata.X.mean(0)).ravel() + 0.01)
    assert np.corrcoef(found, true)[0, 1] > 0.95


def test_cells_with_hardly_a_count_are_fitted() -> None:
    adata = read("cao_worm_neuron", 500)
    totals = np.asarray(adata.X.sum(1)).ravel()
    empty = adata[totals == 0].obs_names.tolist()
    if empty:
        with pytest.raises(UserError, match="with no counts"):
            SingleCellVMM.setup_anndata(adata)
    adata = adata[totals > 0].copy()
    SingleCellVMM.setup_anndata(adata)
    model = SingleCellVMM(adata, num_components=20)
    model.train(max_epochs=2)
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.get_elbo())


def test_normalised_real_values_are_refused_by_name() -> None:
    adata = read("zeisel_cortex_subset", 100)
    adata.layers["log"] = adata.X.log1p()
    with pytest.raises(UserError, match=r"adata.layers\['log'\]"):
        SingleCellVMM.setup_anndata(adata, layer="log")
